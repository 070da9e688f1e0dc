"""The secret of one session: `sess_` and 32 bytes in base64url without padding (docs/protocol.md)."""

import base64
import re

from .errors import check
from .primitives import KEY_BYTES, random_bytes

PREFIX = "sess_"
LENGTH = 48


def new_secret() -> str:
    return format_secret(random_bytes(KEY_BYTES))


def format_secret(key: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")


def parse_secret(text: str) -> bytes:
    """The 32-byte key in a session secret."""
    check(text.startswith(PREFIX), "prefix", "a session secret starts with sess_")
    check("=" not in text, "padding", "a session secret has no padding")
    check(len(text.encode("utf-8")) == LENGTH, "length", "a session secret is 48 bytes long")
    data = text[len(PREFIX) :]
    check(re.fullmatch(r"[A-Za-z0-9_-]*", data), "alphabet", "a session secret is base64url")
    # The last character has two bits that encode nothing.
    check(data[-1] in "AEIMQUYcgkosw048", "trailing-bits", "a session secret has no bits set that encode nothing")
    return base64.urlsafe_b64decode(data + "=")
