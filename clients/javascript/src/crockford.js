// Crockford's base32: digits and letters without I, L, O and U, for texts that a person reads or types.

import { check } from "./error.js";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
export const GROUP = 4;

/** Splits bytes into symbols of five bits. The last symbol is filled up with zero bits. */
export const symbolsOf = (bytes) => regroup(bytes, 8, 5);

/** Joins symbols of five bits to bytes. The last byte is filled up with zero bits. */
export const bytesOf = (symbols) => Uint8Array.from(regroup(symbols, 5, 8));

function regroup(numbers, from, to) {
  const result = [];
  let [buffer, bits] = [0, 0];
  for (const number of numbers) {
    buffer = (buffer << from) | number;
    bits += from;
    while (bits >= to) {
      bits -= to;
      result.push(buffer >> bits);
      buffer &= (1 << bits) - 1;
    }
  }
  if (bits > 0) result.push(buffer << (to - bits));
  return result;
}

/** In groups of four with hyphens between them. */
export function grouped(symbols) {
  const text = Array.from(symbols, (symbol) => ALPHABET[symbol]).join("");
  return text.match(/.{1,4}/g).join("-");
}

/**
 * The symbols that a person typed. Case does not matter, O is 0, I and L are 1. Spaces and hyphens between groups may
 * be left out.
 */
export function parseSymbols(text, length) {
  const groups = text.split(/[-\s\u{85}]+/u).filter((group) => group !== "").map((group) => [...group]);
  for (const [index, group] of groups.entries()) {
    const fits = groups.length === 1 || group.length === GROUP;
    check(fits, "group-length", `group ${index + 1} has ${group.length} characters instead of 4`, { group: index + 1 });
  }
  const symbols = groups.flat().map((character, at) => {
    const group = Math.floor(at / GROUP) + 1;
    const symbol = value(character);
    check(symbol >= 0, "character", `group ${group} holds a character that no code has`, { group });
    return symbol;
  });
  check(symbols.length === length, "length", `${symbols.length} characters instead of ${length}`);
  return symbols;
}

/** -1 for a character outside the alphabet. */
function value(character) {
  const upper = /^[a-z]$/.test(character) ? character.toUpperCase() : character;
  return ALPHABET.indexOf({ O: "0", I: "1", L: "1" }[upper] ?? upper);
}
