// The algorithms, each under the name of its standard. WebCrypto has all but XChaCha20-Poly1305.

import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { concat, fromBase64, toBase64 } from "./bytes.js";
import { LeviError, check } from "./error.js";

const { subtle } = globalThis.crypto;

export const KEY_BYTES = 32;
export const NONCE_BYTES = 24;
export const TAG_BYTES = 16;

export const randomBytes = (length) => crypto.getRandomValues(new Uint8Array(length));

/** FIPS 180-4. */
export const sha256 = async (...parts) => new Uint8Array(await subtle.digest("SHA-256", concat(...parts)));

/** HKDF-SHA256, RFC 5869. */
export async function hkdf(salt, secret, info, length) {
  const key = await subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  return new Uint8Array(await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt, info }, key, 8 * length));
}

/** XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); the tag is at the end. */
export const seal = (key, nonce, aad, plain) => xchacha20poly1305(key, nonce, aad).encrypt(plain);

/** Throws `truncated` or `forged`. */
export function open(key, nonce, aad, sealed) {
  check(sealed.length >= TAG_BYTES, "truncated", "shorter than an authentication tag");
  try {
    return xchacha20poly1305(key, nonce, aad).decrypt(sealed);
  } catch {
    throw new LeviError("forged", "authentication failed");
  }
}

/** What PKCS #8 puts before the 32 bytes of a private key (RFC 8410). */
const PKCS8 = { X25519: "MC4CAQAwBQYDK2VuBCIEIA==", Ed25519: "MC4CAQAwBQYDK2VwBCIEIA==" };

async function privateKey(algorithm, seed, usage, extractable = false) {
  check(seed.length === KEY_BYTES, "wrong-length", "a private key is 32 bytes");
  const pkcs8 = concat(fromBase64(PKCS8[algorithm]), seed);
  return subtle.importKey("pkcs8", pkcs8, { name: algorithm }, extractable, [usage]);
}

async function publicKey(algorithm, seed, usage) {
  const { x } = await subtle.exportKey("jwk", await privateKey(algorithm, seed, usage, true));
  return fromBase64(`${x.replaceAll("-", "+").replaceAll("_", "/")}=`);
}

/** The X25519 public key (RFC 7748) of 32 private bytes. */
export const x25519PublicKey = (seed) => publicKey("X25519", seed, "deriveBits");

/** The Ed25519 public key (RFC 8032) of a seed. */
export const ed25519PublicKey = (seed) => publicKey("Ed25519", seed, "sign");

export async function ed25519Sign(seed, message) {
  return new Uint8Array(await subtle.sign("Ed25519", await privateKey("Ed25519", seed, "sign"), message));
}

/** Strict: S is below the group's order, and the check is the one without the cofactor. */
export async function ed25519Verify(key, signature, message) {
  try {
    const imported = await subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", imported, signature, message);
  } catch {
    return false; // Not a point of the curve.
  }
}

/** The bytes 0x`lowest` ff .. ff 7f: p - 1, p and p + 1 for p = 2^255 - 19, little endian. */
const nearP = (lowest) => concat([lowest], new Uint8Array(30).fill(0xff), [0x7f]);
const small = (value) => concat([value], new Uint8Array(31));
const COMMON = [small(0), small(1), nearP(0xec), nearP(0xed), nearP(0xee)].map(toBase64);

/** Every encoding below 2^255 of a point of low order: for X25519 its u-coordinate, for Ed25519 its y-coordinate. */
const LOW_ORDER = {
  X25519: new Set([
    ...COMMON,
    "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
    "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc=",
  ]),
  Ed25519: new Set([
    ...COMMON,
    "JuiVj8KyJ7BFw/SJ8u+Y8NXfrAXTxjM5sTgCiG1T/AU=",
    "xxdqcD1N2E+6PAt2DRBnDyogU/osOczGTsf9d5KsA3o=",
  ]),
};

/** Whether the public key gives no protection. The highest bit is no part of the coordinate. */
export function isLowOrder(algorithm, key) {
  const coordinate = Uint8Array.from(key);
  coordinate[KEY_BYTES - 1] &= 0x7f;
  return LOW_ORDER[algorithm].has(toBase64(coordinate));
}
