// Message content, version 2: the key depends on the epoch of the device list, and the length may be hidden
// (docs/protocol.md).

import { concat, fromBase64, i64, isZero, lp, toBase64, u32, utf8 } from "./bytes.js";
import { check } from "./error.js";
import { contentText, messageNonce } from "./message.js";
import { KEY_BYTES, NONCE_BYTES, hkdf, open, randomBytes, seal } from "./primitives.js";

const PREFIX = "v2:";
const LENGTH_BYTES = 4;
/** Set in the number before the content of a late message. */
const LATE = 0x80000000;

/** Whether a row is of version 2. Everything else is version 1. */
export const isVersion2 = (contentNonce) => contentNonce.startsWith(PREFIX);

/**
 * The epoch and the nonce in `content_nonce`. The epoch is the server's word until the message opens.
 *
 * @param {string} contentNonce
 */
export function parseNonce(contentNonce) {
  check(isVersion2(contentNonce), "not-version-2", "the row is not of version 2");
  const [, digits] = contentNonce.match(/^v2:([1-9][0-9]{0,9}):/) ?? [];
  const epoch = Number(digits);
  check(epoch <= 0xffffffff, "epoch", "the row names no epoch");
  return { epoch, nonce: messageNonce(contentNonce.slice(PREFIX.length + digits.length + 1)) };
}

/**
 * The key of one session in one epoch. It may be kept in memory, and is not to be stored.
 *
 * @param {Uint8Array} sessionKey of the session's secret
 * @param {string} sessionId
 * @param {number} epoch
 * @param {Uint8Array} epochSecret
 */
export async function epochMessageKey(sessionKey, sessionId, epoch, epochSecret) {
  const info = concat(utf8("levi/message-key/v2"), lp(sessionId), u32(epoch));
  return { epoch, key: await hkdf(epochSecret, sessionKey, info, KEY_BYTES) };
}

/**
 * "late": the writer sealed a higher number of the session before. It is an edit, or was written out of order.
 *
 * @typedef {"rising" | "late"} Order
 */

const place = (sessionId, sequenceNumber, epoch) =>
  concat(utf8("levi/message/v2"), lp(sessionId), i64(sequenceNumber), u32(epoch));

/**
 * @param {{ epoch: number, key: Uint8Array }} epochKey
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {string} content
 * @param {{ padding?: "none" | "padme", order?: Order, nonce?: Uint8Array }} [options]
 */
export function sealMessageV2(epochKey, sessionId, sequenceNumber, content, options = {}) {
  const { padding = "none", order = "rising", nonce = randomBytes(NONCE_BYTES) } = options;
  const text = utf8(content);
  const length = LENGTH_BYTES + text.length;
  const zeros = new Uint8Array((padding === "padme" ? padme(length) : length) - length);
  const plain = concat(u32(order === "late" ? text.length + LATE : text.length), text, zeros);
  const sealed = seal(epochKey.key, nonce, place(sessionId, sequenceNumber, epochKey.epoch), plain);
  return { content_encrypted: toBase64(sealed), content_nonce: `${PREFIX}${epochKey.epoch}:${toBase64(nonce)}` };
}

/**
 * @param {{ epoch: number, key: Uint8Array }} epochKey of the epoch that `parseNonce` returned
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {{ content_encrypted: string, content_nonce: string }} row
 * @returns {{ content: string, order: Order }}
 */
export function openMessageV2(epochKey, sessionId, sequenceNumber, row) {
  const { epoch, nonce } = parseNonce(row.content_nonce);
  check(epoch === epochKey.epoch, "forged", "the key is of another epoch");
  const plain = open(epochKey.key, nonce, place(sessionId, sequenceNumber, epoch), fromBase64(row.content_encrypted));
  check(plain.length >= LENGTH_BYTES, "bad-padding", "no length inside");
  const number = new DataView(plain.buffer, plain.byteOffset).getUint32(0);
  const end = LENGTH_BYTES + (number % LATE);
  check(end <= plain.length && isZero(plain.subarray(end)), "bad-padding", "the content is not followed by zeros only");
  return { content: contentText(plain.subarray(LENGTH_BYTES, end)), order: number >= LATE ? "late" : "rising" };
}

/** Rounds up to a Padmé length (Nikitin et al., PURBs, 2019, section 4): at most 12 % more. */
export function padme(length) {
  if (length < 2) return length;
  const exponent = Math.floor(Math.log2(length));
  const keptBits = Math.floor(Math.log2(exponent)) + 1;
  const unit = 2 ** Math.max(exponent - keptBits, 0);
  return Math.ceil(length / unit) * unit;
}
