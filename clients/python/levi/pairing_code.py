"""The code that a person carries from the old device to the new one, and the keys derived from it (docs/trust.md)."""

from dataclasses import dataclass, field

from .crockford import bytes_of, grouped, parse_symbols, symbols_of
from .errors import check
from .primitives import hkdf, random_bytes

CHARACTERS = 20
DATA_CHARACTERS = CHARACTERS - 1


def new_pairing_code() -> str:
    """The text of a new code, to be shown by a device that is on the list."""
    data = symbols_of(random_bytes(12))[:DATA_CHARACTERS]
    return grouped([*data, _check_symbol(data)])


def parse_pairing_code(text: str) -> bytes:
    """The 95 bits that a person typed, and a zero bit. Every single mistake and every exchange of two is noticed."""
    symbols = parse_symbols(text, CHARACTERS)
    data = symbols[:DATA_CHARACTERS]
    check(symbols[-1] == _check_symbol(data), "checksum", "the pairing code is mistyped")
    return bytes_of(data)


def _check_symbol(data: list[int]) -> int:
    """The character that makes the sum of c_i x^i zero in GF(2^5) modulo x^5 + x^2 + 1."""
    total = 0
    for at, symbol in enumerate(data):
        total ^= _times_power(symbol, at)
    # x has order 31, so that dividing by x^19 is multiplying by x^12.
    return _times_power(total, 31 - DATA_CHARACTERS)


def _times_power(number: int, exponent: int) -> int:
    for _ in range(exponent):
        number <<= 1
        if number & 0x20:
            number ^= 0x25
    return number


@dataclass(frozen=True)
class PairingKeys:
    row_id: str
    request: bytes = field(repr=False)
    answer: bytes = field(repr=False)


def pairing_keys(user_id: str, code: bytes) -> PairingKeys:
    output = hkdf(user_id.encode("utf-8"), code, b"levi/pair/v1", 80)
    return PairingKeys(output[:16].hex(), output[16:48], output[48:])
