// The recovery key: 32 random bytes on paper, and the three keys derived from them (docs/trust.md).

import { toBase64, utf8 } from "./bytes.js";
import { GROUP, bytesOf, grouped, parseSymbols, symbolsOf } from "./crockford.js";
import { check } from "./error.js";
import { hkdf } from "./primitives.js";

const PREFIX = "levi-rk1-";
const KEY_BYTES = 32;
const CHARACTERS = 56;
const DATA_CHARACTERS = CHARACTERS - GROUP;

/** @param {Uint8Array} key */
export function formatRecoveryKey(key) {
  const data = symbolsOf(key);
  return PREFIX + grouped([...data, ...checkSymbols(data)]);
}

/**
 * The 32 bytes that a person typed. The error names the group that is wrong, where that can be known.
 *
 * @param {string} text
 */
export function parseRecoveryKey(text) {
  const symbols = parseSymbols(withoutPrefix(text.trim()), CHARACTERS);
  const fits = isCodeword(symbols);
  check(fits, "checksum", "the recovery key is mistyped", { group: fits ? undefined : wrongGroup(symbols) });
  const bytes = bytesOf(symbols.slice(0, DATA_CHARACTERS));
  check(bytes[KEY_BYTES] === 0, "not-a-key", "the recovery key was not made by Levi");
  return bytes.slice(0, KEY_BYTES);
}

function withoutPrefix(text) {
  const lower = text.toLowerCase();
  if (lower.startsWith(PREFIX)) return text.slice(PREFIX.length);
  check(!lower.startsWith("levi-"), "prefix", "a recovery key of this version starts with levi-rk1-");
  return text;
}

/**
 * The three keys of the recovery member.
 *
 * @param {Uint8Array} key
 * @returns {Promise<import("./keys.js").MemberKeys>}
 */
export async function recoveryKeys(key) {
  const derive = async (use) => toBase64(await hkdf(new Uint8Array(), key, utf8(`levi/recovery/v1/${use}`), KEY_BYTES));
  return { signing: await derive("sign"), envelope: await derive("x25519"), keyring: await derive("xwing") };
}

// The check: two characters are a number of 10 bits, so the text is 28 numbers c_0 to c_27 of GF(2^10) modulo
// x^10 + x^3 + 1 with sum(c_i) = 0 and sum(c_i x^i) = 0, a Reed-Solomon code of distance 3.

const NUMBERS = CHARACTERS / 2;
const MODULUS = 0x409;

const double = (number) => (number & 0x200 ? (number << 1) ^ MODULUS : number << 1);

function multiply(a, b) {
  let product = 0;
  for (; b > 0; b >>= 1, a = double(a)) if (b & 1) product ^= a;
  return product;
}

const POWERS = Array.from({ length: NUMBERS });
POWERS.forEach((_, at) => (POWERS[at] = at === 0 ? 1 : double(POWERS[at - 1])));

/** The sum of all numbers, and the sum of the i-th times x^i. */
function sums(symbols) {
  let [sum, weighted] = [0, 0];
  for (let at = 0; at < symbols.length; at += 2) {
    const number = (symbols[at] << 5) | symbols[at + 1];
    sum ^= number;
    weighted ^= multiply(number, POWERS[at / 2]);
  }
  return [sum, weighted];
}

const isCodeword = (symbols) => sums(symbols).every((sum) => sum === 0);

/** The four characters that make both sums zero: c_26 + c_27 = sum and c_26 x^26 + c_27 x^27 = weighted. */
function checkSymbols(data) {
  const [sum, weighted] = sums(data);
  const [before, last] = [POWERS[NUMBERS - 2], POWERS[NUMBERS - 1]];
  let quotient = weighted ^ multiply(sum, before);
  // a / b = a b^1022, because b^1023 = 1.
  for (let time = 0; time < 1022; time++) quotient = multiply(quotient, before ^ last);
  const first = sum ^ quotient;
  return [first >> 5, first & 31, quotient >> 5, quotient & 31];
}

/** Another number in place i changes the sum by d and the weighted sum by d x^i. */
function wrongGroup(symbols) {
  const [change, weighted] = sums(symbols);
  const place = POWERS.findIndex((power) => change !== 0 && multiply(change, power) === weighted);
  return place >= 0 ? Math.floor((place * 2) / GROUP) + 1 : exchangedGroup(symbols);
}

/** The group of the one exchange of neighbours that makes the check fit. */
function exchangedGroup(symbols) {
  const places = [...symbols.keys()];
  const found = places.slice(1).filter((at) => {
    const tried = [...symbols];
    [tried[at - 1], tried[at]] = [tried[at], tried[at - 1]];
    return isCodeword(tried);
  });
  return found.length === 1 ? Math.floor((found[0] - 1) / GROUP) + 1 : undefined;
}
