"""Crockford's base32: digits and letters without I, L, O and U, for texts that a person reads or types."""

import re
from collections.abc import Iterable

from .errors import check

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP = 4
_LOOKALIKES = {"O": "0", "I": "1", "L": "1"}


def symbols_of(data: bytes) -> list[int]:
    """Splits bytes into symbols of five bits. The last symbol is filled up with zero bits."""
    return _regroup(data, 8, 5)


def bytes_of(symbols: Iterable[int]) -> bytes:
    """Joins symbols of five bits to bytes. The last byte is filled up with zero bits."""
    return bytes(_regroup(symbols, 5, 8))


def _regroup(numbers: Iterable[int], size: int, to: int) -> list[int]:
    result, buffer, bits = [], 0, 0
    for number in numbers:
        buffer, bits = buffer << size | number, bits + size
        while bits >= to:
            bits -= to
            result.append(buffer >> bits)
            buffer &= (1 << bits) - 1
    if bits:
        result.append(buffer << (to - bits))
    return result


def grouped(symbols: list[int]) -> str:
    """In groups of four with hyphens between them."""
    text = "".join(ALPHABET[symbol] for symbol in symbols)
    return "-".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def parse_symbols(text: str, length: int) -> list[int]:
    """The symbols that a person typed. Case does not matter, O is 0, I and L are 1. Spaces and hyphens between groups
    may be left out."""
    groups = [group for group in re.split(r"[-\s]+", text) if group]
    for number, group in enumerate(groups, 1):
        fits = len(groups) == 1 or len(group) == GROUP
        check(fits, "group-length", f"group {number} has {len(group)} characters instead of 4", number)
    symbols = []
    for at, character in enumerate("".join(groups)):
        symbol, number = _value(character), at // GROUP + 1
        check(symbol >= 0, "character", f"group {number} holds a character that no code has", number)
        symbols.append(symbol)
    check(len(symbols) == length, "length", f"{len(symbols)} characters instead of {length}")
    return symbols


def _value(character: str) -> int:
    """-1 for a character outside the alphabet."""
    upper = character.upper() if character.isascii() else character
    return ALPHABET.find(_LOOKALIKES.get(upper, upper))
