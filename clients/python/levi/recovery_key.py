"""The recovery key: 32 random bytes on paper, and the three keys derived from them (docs/trust.md).

The check: two characters are a number of 10 bits, so the text is 28 numbers c_0 to c_27 of GF(2^10) modulo
x^10 + x^3 + 1 with sum(c_i) = 0 and sum(c_i x^i) = 0, a Reed-Solomon code of distance 3."""

from .crockford import GROUP, bytes_of, grouped, parse_symbols, symbols_of
from .errors import check
from .keys import MemberKeys
from .primitives import KEY_BYTES, hkdf

PREFIX = "levi-rk1-"
CHARACTERS = 56
DATA_CHARACTERS = CHARACTERS - GROUP


def format_recovery_key(key: bytes) -> str:
    data = symbols_of(key)
    return PREFIX + grouped(data + _check_symbols(data))


def parse_recovery_key(text: str) -> bytes:
    """The 32 bytes that a person typed. The error names the group that is wrong, where that can be known."""
    symbols = parse_symbols(_without_prefix(text.strip()), CHARACTERS)
    fits = _is_codeword(symbols)
    check(fits, "checksum", "the recovery key is mistyped", None if fits else _wrong_group(symbols))
    data = bytes_of(symbols[:DATA_CHARACTERS])
    check(data[KEY_BYTES] == 0, "not-a-key", "the recovery key was not made by Levi")
    return data[:KEY_BYTES]


def _without_prefix(text: str) -> str:
    lower = text.lower()
    if lower.startswith(PREFIX):
        return text[len(PREFIX) :]
    check(not lower.startswith("levi-"), "prefix", "a recovery key of this version starts with levi-rk1-")
    return text


def recovery_keys(key: bytes) -> MemberKeys:
    """The three keys of the recovery member."""

    def derive(use: bytes) -> bytes:
        return hkdf(b"", key, b"levi/recovery/v1/" + use, KEY_BYTES)

    return MemberKeys(derive(b"sign"), derive(b"x25519"), derive(b"xwing"))


_NUMBERS = CHARACTERS // 2
_MODULUS = 0x409


def _double(number: int) -> int:
    return number << 1 ^ (_MODULUS if number & 0x200 else 0)


def _multiply(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = _double(a), b >> 1
    return product


_POWERS = [1]
while len(_POWERS) < _NUMBERS:
    _POWERS.append(_double(_POWERS[-1]))


def _sums(symbols: list[int]) -> tuple[int, int]:
    """The sum of all numbers, and the sum of the i-th times x^i."""
    total = weighted = 0
    for at in range(0, len(symbols), 2):
        number = symbols[at] << 5 | symbols[at + 1]
        total ^= number
        weighted ^= _multiply(number, _POWERS[at // 2])
    return total, weighted


def _is_codeword(symbols: list[int]) -> bool:
    return _sums(symbols) == (0, 0)


def _check_symbols(data: list[int]) -> list[int]:
    """The four characters that make both sums zero: c_26 + c_27 = sum and c_26 x^26 + c_27 x^27 = weighted."""
    total, weighted = _sums(data)
    before, last = _POWERS[-2:]
    quotient = weighted ^ _multiply(total, before)
    for _ in range(1022):  # a / b = a b^1022, because b^1023 = 1
        quotient = _multiply(quotient, before ^ last)
    first = total ^ quotient
    return [first >> 5, first & 31, quotient >> 5, quotient & 31]


def _wrong_group(symbols: list[int]) -> int | None:
    """Another number in place i changes the sum by d and the weighted sum by d x^i."""
    change, weighted = _sums(symbols)
    for place, power in enumerate(_POWERS):
        if change and _multiply(change, power) == weighted:
            return place * 2 // GROUP + 1
    return _exchanged_group(symbols)


def _exchanged_group(symbols: list[int]) -> int | None:
    """The group of the one exchange of neighbours that makes the check fit."""
    found = []
    for at in range(1, len(symbols)):
        tried = list(symbols)
        tried[at - 1], tried[at] = tried[at], tried[at - 1]
        if _is_codeword(tried):
            found.append(at)
    return (found[0] - 1) // GROUP + 1 if len(found) == 1 else None
