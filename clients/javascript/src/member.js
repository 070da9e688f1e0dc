// A member of the device list: a device, or the recovery key (docs/trust.md).

import { concat, fromBase64, lp, u8, utf8 } from "./bytes.js";
import { grouped, symbolsOf } from "./crockford.js";
import { check } from "./error.js";
import { XWING_PUBLIC_KEY_BYTES, checkPublicKeys } from "./keys.js";
import { ed25519Verify, sha256 } from "./primitives.js";

const MAX_ID_BYTES = 256;
const MAX_NAME_CHARACTERS = 128;
const FINGERPRINT_BYTES = 10;
const TYPES = { device: 1, recovery: 2 };

const CONTROL = /\p{Cc}/u;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Characters that are not shown, or that change how the text around them is shown. */
const UNPRINTABLE =
  /[\p{Cc}\u{AD}\u{61C}\u{180E}\u{200B}\u{200E}\u{200F}\u{2028}-\u{202E}\u{2060}-\u{206F}\u{FEFF}\u{FFF9}-\u{FFFB}\u{E0000}-\u{E007F}]/u;

/**
 * @typedef {object} Member
 * @property {string} id of its row in `devices`
 * @property {"device" | "recovery"} type
 * @property {string} name for people; nothing depends on it
 * @property {import("./keys.js").PublicKeys} keys
 */

/** @param {Member} member */
export function encodeMember({ id, type, name, keys }) {
  const publicKeys = [keys.signing, keys.envelope, keys.keyring].map(fromBase64);
  return concat(lp(id), u8(TYPES[type]), lp(name), ...publicKeys);
}

/**
 * @param {import("./bytes.js").Reader} reader
 * @returns {Member}
 */
export function readMember(reader) {
  const id = reader.text();
  const code = reader.u8();
  const type = /** @type {Member["type"]} */ (Object.keys(TYPES).find((name) => TYPES[name] === code));
  check(type, "malformed", "a member of an unknown type");
  const name = reader.text();
  const keys = {
    signing: reader.base64(32),
    envelope: reader.base64(32),
    keyring: reader.base64(XWING_PUBLIC_KEY_BYTES),
  };
  checkPublicKeys(keys);
  checkId(id);
  checkName(name);
  return { id, type, name, keys };
}

/** Signatures cover ids as text, and PostgreSQL returns uuids in lower case. */
export function checkId(id) {
  const bytes = utf8(id).length;
  check(bytes >= 1 && bytes <= MAX_ID_BYTES, "member", "an id has 1 to 256 bytes");
  check(!CONTROL.test(id), "member", "an id holds a control character");
  check(UUID.test(id) || !UUID.test(id.toLowerCase()), "member", "an id is a uuid in upper case");
}

export function checkName(name) {
  const characters = [...name].length;
  check(characters >= 1 && characters <= MAX_NAME_CHARACTERS, "member", "a name has 1 to 128 characters");
  check(!UNPRINTABLE.test(name), "member", "a name holds a character that cannot be shown");
}

/**
 * 16 characters that differ for every other set of keys, for people to compare.
 *
 * @param {Member} member
 */
export async function fingerprint({ keys }) {
  const publicKeys = [keys.signing, keys.envelope, keys.keyring].map(fromBase64);
  const hash = await sha256(utf8("levi/fingerprint/v1"), ...publicKeys);
  return grouped(symbolsOf(hash.subarray(0, FINGERPRINT_BYTES)));
}

/** Whether the signature is the member's over the bytes. */
export const isSignedBy = ({ keys }, signature, bytes) => ed25519Verify(fromBase64(keys.signing), signature, bytes);
