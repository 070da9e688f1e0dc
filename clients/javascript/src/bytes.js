// Bytes and text: strict base64, UTF-8, and the encoding of docs/trust.md, which is big-endian integers, fixed fields
// and lp(x) = u32be(len(x)) || x.

import { LeviError, check } from "./error.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);

/** Throws where the bytes are no UTF-8. */
export const strictText = (bytes) => decoder.decode(bytes);

export function concat(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function toBase64(bytes) {
  let text = "";
  // In pieces, because every byte becomes an argument.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Standard alphabet, padded, and nothing else: each value has one text. */
export function fromBase64(text) {
  let bytes;
  try {
    const characters = atob(text);
    bytes = new Uint8Array(characters.length);
    for (let at = 0; at < characters.length; at++) bytes[at] = characters.charCodeAt(at);
  } catch {
    throw new LeviError("not-base64", "not standard padded base64");
  }
  check(toBase64(bytes) === text, "not-base64", "not standard padded base64");
  return bytes;
}

export const toBase64Url = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Compares in a time that does not depend on the contents. */
export function equalBytes(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= a[at] ^ b[at];
  return difference === 0;
}

export const isZero = (bytes) => bytes.every((byte) => byte === 0);

const integer = (length, write) => {
  const bytes = new Uint8Array(length);
  write(new DataView(bytes.buffer));
  return bytes;
};

export const u8 = (number) => new Uint8Array([number]);
export const u16 = (number) => integer(2, (view) => view.setUint16(0, number));
export const u32 = (number) => integer(4, (view) => view.setUint32(0, number));
export const u64 = (number) => integer(8, (view) => view.setBigUint64(0, BigInt(number)));
export const i64 = (number) => integer(8, (view) => view.setBigInt64(0, BigInt(number)));

export function lp(text) {
  const bytes = utf8(text);
  return concat(u32(bytes.length), bytes);
}

/** Takes fields from the front of bytes, and throws `malformed` where they end too early. */
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  bytes(length) {
    check(this.#at + length <= this.#bytes.length, "malformed", "cut off");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  get isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  #view(length) {
    const bytes = this.bytes(length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  u8() {
    return this.#view(1).getUint8(0);
  }

  u16() {
    return this.#view(2).getUint16(0);
  }

  u32() {
    return this.#view(4).getUint32(0);
  }

  /** As a number. One above 2^53 is no value of any field. */
  u64() {
    const number = Number(this.#view(8).getBigUint64(0));
    check(Number.isSafeInteger(number), "malformed", "a number above 2^53");
    return number;
  }

  /** As a BigInt. */
  i64() {
    return this.#view(8).getBigInt64(0);
  }

  text() {
    const bytes = this.bytes(this.u32());
    try {
      return strictText(bytes);
    } catch {
      throw new LeviError("malformed", "not UTF-8");
    }
  }

  base64(length) {
    return toBase64(this.bytes(length));
  }

  rest() {
    return this.bytes(this.#bytes.length - this.#at);
  }

  end() {
    check(this.#at === this.#bytes.length, "malformed", "bytes at the end");
  }
}
