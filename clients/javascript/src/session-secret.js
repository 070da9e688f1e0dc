// The secret of one session: `sess_` and 32 bytes in base64url without padding (docs/protocol.md).

import { fromBase64, toBase64Url, utf8 } from "./bytes.js";
import { check } from "./error.js";
import { KEY_BYTES, randomBytes } from "./primitives.js";

const PREFIX = "sess_";
const BYTES = 48;

export const newSecret = () => formatSecret(randomBytes(KEY_BYTES));

/** @param {Uint8Array} key */
export const formatSecret = (key) => PREFIX + toBase64Url(key);

/**
 * The 32-byte key in a session secret.
 *
 * @param {string} text
 */
export function parseSecret(text) {
  check(text.startsWith(PREFIX), "prefix", "a session secret starts with sess_");
  check(!text.includes("="), "padding", "a session secret has no padding");
  check(utf8(text).length === BYTES, "length", "a session secret is 48 bytes long");
  const data = text.slice(PREFIX.length);
  check(/^[A-Za-z0-9_-]*$/.test(data), "alphabet", "a session secret is base64url");
  // The last character has two bits that encode nothing.
  check(/[AEIMQUYcgkosw048]$/.test(data), "trailing-bits", "a session secret has no bits set that encode nothing");
  return fromBase64(`${data.replaceAll("-", "+").replaceAll("_", "/")}=`);
}
