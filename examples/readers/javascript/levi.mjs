// Levi's formats (docs/protocol.md): message content, session secrets, envelopes. No I/O.

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";

const utf8 = (text) => new TextEncoder().encode(text);
const strictText = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
const join = (...parts) => new Uint8Array(Buffer.concat(parts));

export const toBase64 = (bytes) => Buffer.from(bytes).toString("base64");

/** Node's own decoder skips what it does not know; Levi's is strict. */
export function fromBase64(text, length) {
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  if (toBase64(bytes) !== text) throw new Error("not canonical base64");
  if (length !== undefined && bytes.length !== length) throw new Error(`${bytes.length} bytes instead of ${length}`);
  return bytes;
}

/** x, with its length in front: u32be(len(x)) || x */
export function lp(text) {
  const bytes = utf8(text);
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, bytes.length);
  return join(new Uint8Array(length.buffer), bytes);
}

// ------------------------------------------------------------------ session secrets

export const newSecret = () => formatSecret(crypto.getRandomValues(new Uint8Array(32)));

export const formatSecret = (key) => `sess_${Buffer.from(key).toString("base64url")}`;

/** The 32-byte key in a session secret. */
export function parseSecret(secret) {
  const key = new Uint8Array(Buffer.from(secret.slice(5), "base64url"));
  if (key.length !== 32 || formatSecret(key) !== secret) throw new Error("not a session secret");
  return key;
}

// ------------------------------------------------------------------ messages

/** Ties a ciphertext to its place: a row moved elsewhere by the server cannot be opened. */
function place(sessionId, sequenceNumber) {
  const number = new DataView(new ArrayBuffer(8));
  number.setBigInt64(0, BigInt(sequenceNumber));
  return join(utf8("levi/message/v1"), lp(sessionId), new Uint8Array(number.buffer));
}

export function sealMessage(key, sessionId, sequenceNumber, content, nonce = crypto.getRandomValues(new Uint8Array(24))) {
  const sealed = xchacha20poly1305(key, nonce, place(sessionId, sequenceNumber)).encrypt(utf8(content));
  return { content_encrypted: toBase64(sealed), content_nonce: toBase64(nonce) };
}

export function openMessage(key, sessionId, sequenceNumber, row) {
  const nonce = fromBase64(row.content_nonce, 24);
  const cipher = xchacha20poly1305(key, nonce, place(sessionId, sequenceNumber));
  return strictText(cipher.decrypt(fromBase64(row.content_encrypted)));
}

// ------------------------------------------------------------------ envelopes

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Chacha20Poly1305(),
});

const publicKey = (base64) => suite.kem.importKey("raw", fromBase64(base64, 32), true);
const privateKey = (base64) => suite.kem.importKey("raw", fromBase64(base64, 32), false);

/** A device's public key, to be put into its row of `devices`. */
export async function publicKeyOf(privateKeyBase64) {
  const pkcs8 = join(Buffer.from("302e020100300506032b656e04220420", "hex"), fromBase64(privateKeyBase64, 32));
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "X25519" }, true, ["deriveBits"]);
  return toBase64(Buffer.from((await crypto.subtle.exportKey("jwk", key)).x, "base64url"));
}

/** Who, for which session, from which device, to which: the envelope opens under these four and no others. */
const info = ({ userId, sessionId, senderDeviceId, recipientDeviceId }) =>
  join(utf8("levi/envelope/v1"), lp(userId), lp(sessionId), lp(senderDeviceId), lp(recipientDeviceId));

/** Auth mode: only the device that holds `senderPrivateKey` can have sealed it. Keys are base64. */
export async function sealEnvelope(secret, ids, senderPrivateKey, recipientPublicKey) {
  const sender = await suite.createSenderContext({
    senderKey: await privateKey(senderPrivateKey),
    recipientPublicKey: await publicKey(recipientPublicKey),
    info: info(ids),
  });
  const sealed = await sender.seal(utf8(secret));
  return { ephemeral_public_key: toBase64(sender.enc), encrypted_secret: toBase64(sealed) };
}

export async function openEnvelope(row, ids, senderPublicKey, recipientPrivateKey) {
  const recipient = await suite.createRecipientContext({
    recipientKey: await privateKey(recipientPrivateKey),
    senderPublicKey: await publicKey(senderPublicKey),
    enc: fromBase64(row.ephemeral_public_key, 32),
    info: info(ids),
  });
  return strictText(await recipient.open(fromBase64(row.encrypted_secret)));
}
