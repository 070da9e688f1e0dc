// The code that a person carries from the old device to the new one, and the keys derived from it (docs/trust.md).

import { toHex, utf8 } from "./bytes.js";
import { bytesOf, grouped, parseSymbols, symbolsOf } from "./crockford.js";
import { check } from "./error.js";
import { hkdf, randomBytes } from "./primitives.js";

const CHARACTERS = 20;
const DATA_CHARACTERS = CHARACTERS - 1;

/** The text of a new code, to be shown by a device that is on the list. */
export function newPairingCode() {
  const data = symbolsOf(randomBytes(12)).slice(0, DATA_CHARACTERS);
  return grouped([...data, checkSymbol(data)]);
}

/**
 * The 95 bits that a person typed, and a zero bit. Every single mistake and every exchange of two is noticed.
 *
 * @param {string} text
 */
export function parsePairingCode(text) {
  const symbols = parseSymbols(text, CHARACTERS);
  const data = symbols.slice(0, DATA_CHARACTERS);
  check(symbols[DATA_CHARACTERS] === checkSymbol(data), "checksum", "the pairing code is mistyped");
  return bytesOf(data);
}

/** The character that makes the sum of c_i x^i zero in GF(2^5) modulo x^5 + x^2 + 1. */
function checkSymbol(data) {
  const sum = data.reduce((sum, symbol, at) => sum ^ timesPower(symbol, at), 0);
  // x has order 31, so that dividing by x^19 is multiplying by x^12.
  return timesPower(sum, 31 - DATA_CHARACTERS);
}

function timesPower(number, exponent) {
  for (let power = 0; power < exponent; power++) {
    number <<= 1;
    if (number & 0x20) number ^= 0x25;
  }
  return number;
}

/** @typedef {{ rowId: string, request: Uint8Array, answer: Uint8Array }} PairingKeys */

/**
 * @param {string} userId
 * @param {Uint8Array} code of `parsePairingCode`
 * @returns {Promise<PairingKeys>}
 */
export async function pairingKeys(userId, code) {
  const output = await hkdf(utf8(userId), code, utf8("levi/pair/v1"), 80);
  return { rowId: toHex(output.subarray(0, 16)), request: output.slice(16, 48), answer: output.slice(48) };
}
