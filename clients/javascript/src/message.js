// Message content, version 1 (docs/protocol.md).

import { concat, fromBase64, i64, lp, strictText, toBase64, utf8 } from "./bytes.js";
import { LeviError, check } from "./error.js";
import { NONCE_BYTES, open, randomBytes, seal } from "./primitives.js";

/** Ties a ciphertext to its place: a row moved elsewhere by the server cannot be opened. */
const place = (sessionId, sequenceNumber) => concat(utf8("levi/message/v1"), lp(sessionId), i64(sequenceNumber));

/**
 * @param {Uint8Array} key of the session's secret
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber
 * @param {string} content
 */
export function sealMessage(key, sessionId, sequenceNumber, content, nonce = randomBytes(NONCE_BYTES)) {
  const sealed = seal(key, nonce, place(sessionId, sequenceNumber), utf8(content));
  return { content_encrypted: toBase64(sealed), content_nonce: toBase64(nonce) };
}

/**
 * @param {Uint8Array} key of the session's secret
 * @param {string} sessionId
 * @param {string | number | bigint} sequenceNumber as text where it may be above 2^53
 * @param {{ content_encrypted: string, content_nonce: string }} row
 */
export function openMessage(key, sessionId, sequenceNumber, row) {
  const nonce = messageNonce(row.content_nonce);
  return contentText(open(key, nonce, place(sessionId, sequenceNumber), fromBase64(row.content_encrypted)));
}

/** The nonce of a row of either version. */
export function messageNonce(text) {
  const nonce = fromBase64(text);
  check(nonce.length === NONCE_BYTES, "wrong-nonce-length", "a nonce is 24 bytes");
  return nonce;
}

/** The content of a row of either version. */
export function contentText(bytes) {
  try {
    return strictText(bytes);
  } catch {
    throw new LeviError("not-utf8", "the content is no UTF-8");
  }
}
