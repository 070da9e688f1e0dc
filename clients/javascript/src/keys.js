// The three keys of a member of the device list: to sign entries, to receive envelopes, to receive keyrings
// (docs/trust.md). All in base64: private keys are 32 bytes each, the public X-Wing key is 1,216.

import { XWing } from "@hpke/hybridkem-x-wing";
import { fromBase64, toBase64 } from "./bytes.js";
import { check } from "./error.js";
import { ed25519PublicKey, isLowOrder, randomBytes, x25519PublicKey } from "./primitives.js";

export const XWING_PUBLIC_KEY_BYTES = 1216;

/** The part of an X-Wing key that encodes coefficients of ML-KEM, 12 bits each, which are below q. */
const COEFFICIENT_BYTES = 1152;
const ML_KEM_Q = 3329;

/**
 * @typedef {object} MemberKeys private keys, to be kept where no other program reads them
 * @property {string} signing Ed25519 seed
 * @property {string} envelope X25519 private key
 * @property {string} keyring X-Wing seed
 */

/**
 * @typedef {object} PublicKeys
 * @property {string} signing
 * @property {string} envelope
 * @property {string} keyring
 */

/** @returns {MemberKeys} */
export const newKeys = () => ({
  signing: toBase64(randomBytes(32)),
  envelope: toBase64(randomBytes(32)),
  keyring: toBase64(randomBytes(32)),
});

/**
 * @param {MemberKeys} keys
 * @returns {Promise<PublicKeys>}
 */
export async function publicKeysOf(keys) {
  const kem = new XWing();
  const { publicKey } = await kem.generateKeyPairDerand(fromBase64(keys.keyring));
  return {
    signing: toBase64(await ed25519PublicKey(fromBase64(keys.signing))),
    envelope: toBase64(await x25519PublicKey(fromBase64(keys.envelope))),
    keyring: toBase64(new Uint8Array(await kem.serializePublicKey(publicKey))),
  };
}

/** Refuses keys that no honest member has. Then sealing to them cannot fail. */
export function checkPublicKeys({ signing, envelope, keyring }) {
  check(!isLowOrder("Ed25519", fromBase64(signing)), "member", "the signing key is of low order");
  check(!isLowOrder("X25519", fromBase64(envelope)), "member", "the envelope key is of low order");
  const bytes = fromBase64(keyring);
  for (let at = 0; at < COEFFICIENT_BYTES; at += 3) {
    const [a, b, c] = bytes.subarray(at, at + 3);
    // FIPS 203, section 7.2.
    const below = (a | ((b & 0x0f) << 8)) < ML_KEM_Q && ((b >> 4) | (c << 4)) < ML_KEM_Q;
    check(below, "member", "the X-Wing key has a coefficient that is too large");
  }
  check(!isLowOrder("X25519", bytes.subarray(-32)), "member", "the X25519 half of the X-Wing key is of low order");
}

export const haveKeyInCommon = (a, b) =>
  a.signing === b.signing || a.envelope === b.envelope || a.keyring === b.keyring;
