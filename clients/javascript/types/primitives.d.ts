/** HKDF-SHA256, RFC 5869. */
export function hkdf(salt: any, secret: any, info: any, length: any): Promise<Uint8Array<ArrayBuffer>>;
/** Throws `truncated` or `forged`. */
export function open(key: any, nonce: any, aad: any, sealed: any): Uint8Array<ArrayBufferLike> & Uint8Array<ArrayBuffer>;
export function ed25519Sign(seed: any, message: any): Promise<Uint8Array<ArrayBuffer>>;
/** Strict: S is below the group's order, and the check is the one without the cofactor. */
export function ed25519Verify(key: any, signature: any, message: any): Promise<boolean>;
/** Whether the public key gives no protection. The highest bit is no part of the coordinate. */
export function isLowOrder(algorithm: any, key: any): any;
export const KEY_BYTES: 32;
export const NONCE_BYTES: 24;
export const TAG_BYTES: 16;
export function randomBytes(length: any): Uint8Array<any>;
export function sha256(...parts: any[]): Promise<Uint8Array<ArrayBuffer>>;
export function seal(key: any, nonce: any, aad: any, plain: any): Uint8Array<ArrayBufferLike> & Uint8Array<ArrayBuffer>;
export function x25519PublicKey(seed: any): Promise<Uint8Array<ArrayBuffer>>;
export function ed25519PublicKey(seed: any): Promise<Uint8Array<ArrayBuffer>>;
