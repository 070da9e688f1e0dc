// Envelopes: one session's secret for one device (docs/protocol.md). HPKE in Auth mode, so that only the sender's
// device can have sealed it. Keys are base64.

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { concat, fromBase64, lp, strictText, toBase64, utf8 } from "./bytes.js";
import { LeviError, check } from "./error.js";
import { KEY_BYTES, TAG_BYTES, isLowOrder, x25519PublicKey } from "./primitives.js";
import { parseSecret } from "./session-secret.js";

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Chacha20Poly1305(),
});

/**
 * @typedef {object} EnvelopeIds who, for which session, from which device, to which: it opens under these four only
 * @property {string} userId
 * @property {string} sessionId
 * @property {string} senderDeviceId
 * @property {string} recipientDeviceId
 */

/** @param {EnvelopeIds} ids */
const info = ({ userId, sessionId, senderDeviceId, recipientDeviceId }) =>
  concat(utf8("levi/envelope/v1"), lp(userId), lp(sessionId), lp(senderDeviceId), lp(recipientDeviceId));

/**
 * The bytes of an X25519 public key, such as the column `devices.public_key`.
 *
 * @param {string} text
 */
export function parseDeviceKey(text) {
  const bytes = fromBase64(text);
  check(bytes.length === KEY_BYTES, "wrong-length", "a public key is 32 bytes");
  check(!isLowOrder("X25519", bytes), "low-order", "the public key is of low order and gives no protection");
  return bytes;
}

/**
 * A device's public key, to be put into its row of `devices`.
 *
 * @param {string} privateKey
 */
export const deviceKeyOf = async (privateKey) => toBase64(await x25519PublicKey(fromBase64(privateKey)));

const publicKey = (text) => suite.kem.importKey("raw", parseDeviceKey(text).buffer, true);
const privateKey = (text) => suite.kem.importKey("raw", fromBase64(text).buffer, false);

/**
 * @param {string} secret
 * @param {EnvelopeIds} ids
 * @param {string} senderPrivateKey
 * @param {string} recipientPublicKey
 */
export async function sealEnvelope(secret, ids, senderPrivateKey, recipientPublicKey) {
  const sender = await suite.createSenderContext({
    senderKey: await privateKey(senderPrivateKey),
    recipientPublicKey: await publicKey(recipientPublicKey),
    info: info(ids),
  });
  const sealed = new Uint8Array(await sender.seal(utf8(secret)));
  return { ephemeral_public_key: toBase64(new Uint8Array(sender.enc)), encrypted_secret: toBase64(sealed) };
}

/**
 * The session secret in an envelope.
 *
 * @param {{ ephemeral_public_key: string, encrypted_secret: string }} row
 * @param {EnvelopeIds} ids
 * @param {string} senderPublicKey
 * @param {string} recipientPrivateKey
 */
export async function openEnvelope(row, ids, senderPublicKey, recipientPrivateKey) {
  const [enc, sealed] = [fromBase64(row.ephemeral_public_key), fromBase64(row.encrypted_secret)];
  check(enc.length === KEY_BYTES, "wrong-key-length", "an ephemeral key is 32 bytes");
  check(sealed.length >= TAG_BYTES, "truncated", "shorter than an authentication tag");
  check(!isLowOrder("X25519", enc), "low-order", "the ephemeral key is of low order");
  const sender = await publicKey(senderPublicKey);
  let plain;
  try {
    const recipientKey = await privateKey(recipientPrivateKey);
    const recipient = await suite.createRecipientContext({ recipientKey, senderPublicKey: sender, enc, info: info(ids) });
    plain = new Uint8Array(await recipient.open(sealed));
  } catch {
    throw new LeviError("forged", "the envelope was sealed by or for somebody else, or was altered");
  }
  try {
    const secret = strictText(plain);
    parseSecret(secret);
    return secret;
  } catch {
    throw new LeviError("not-a-secret", "the envelope holds no session secret");
  }
}
