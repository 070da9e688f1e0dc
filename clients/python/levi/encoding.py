"""Bytes and text: strict base64, and the encoding of docs/trust.md, which is big-endian integers, fixed fields and
lp(x) = u32be(len(x)) || x."""

import base64
import binascii
import struct

from .errors import LeviError, check


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Standard alphabet, padded, and nothing else: each value has one text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise LeviError("not-base64", "not standard padded base64") from None
    check(to_base64(data) == text, "not-base64", "not standard padded base64")
    return data


def u8(number: int) -> bytes:
    return struct.pack(">B", number)


def u16(number: int) -> bytes:
    return struct.pack(">H", number)


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)


def i64(number: int) -> bytes:
    return struct.pack(">q", number)


def lp(text: str) -> bytes:
    data = text.encode("utf-8")
    return u32(len(data)) + data


class Reader:
    """Takes fields from the front of bytes, and refuses as `malformed` what ends too early."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def bytes(self, length: int) -> bytes:
        check(length <= len(self._rest), "malformed", "cut off")
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    @property
    def is_at_end(self) -> bool:
        return not self._rest

    def _number(self, form: str) -> int:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def u8(self) -> int:
        return self._number(">B")

    def u16(self) -> int:
        return self._number(">H")

    def u32(self) -> int:
        return self._number(">I")

    def u64(self) -> int:
        return self._number(">Q")

    def i64(self) -> int:
        return self._number(">q")

    def text(self) -> str:
        try:
            return self.bytes(self.u32()).decode("utf-8")
        except UnicodeDecodeError:
            raise LeviError("malformed", "not UTF-8") from None

    def rest(self) -> bytes:
        return self.bytes(len(self._rest))

    def end(self) -> None:
        check(not self._rest, "malformed", "bytes at the end")
