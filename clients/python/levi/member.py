"""A member of the device list: a device, or the recovery key (docs/trust.md)."""

import re
import unicodedata
from dataclasses import dataclass

from .crockford import grouped, symbols_of
from .encoding import Reader, lp, u8
from .errors import check
from .keys import XWING_PUBLIC_KEY_BYTES, PublicKeys
from .primitives import ed25519_verify, sha256

MAX_ID_BYTES = 256
MAX_NAME_CHARACTERS = 128
FINGERPRINT_BYTES = 10
DEVICE, RECOVERY = "device", "recovery"

_TYPES = {DEVICE: 1, RECOVERY: 2}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Characters that are not shown, or that change how the text around them is shown. Control characters are others.
_UNPRINTABLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class Member:
    """`id` is that of its row in `devices`. The name is for people; nothing depends on it."""

    id: str
    type: str
    name: str
    keys: PublicKeys

    def encode(self) -> bytes:
        keys = self.keys
        return lp(self.id) + u8(_TYPES[self.type]) + lp(self.name) + keys.signing + keys.envelope + keys.keyring

    @classmethod
    def read(cls, reader: Reader) -> "Member":
        member_id, code = reader.text(), reader.u8()
        kind = next((name for name, known in _TYPES.items() if known == code), None)
        check(kind, "malformed", "a member of an unknown type")
        name = reader.text()
        keys = PublicKeys(reader.bytes(32), reader.bytes(32), reader.bytes(XWING_PUBLIC_KEY_BYTES))
        keys.check()
        check_id(member_id)
        check_name(name)
        return cls(member_id, kind, name, keys)

    def fingerprint(self) -> str:
        """16 characters that differ for every other set of keys, for people to compare."""
        parts = (self.keys.signing, self.keys.envelope, self.keys.keyring)
        return grouped(symbols_of(sha256(b"levi/fingerprint/v1", *parts)[:FINGERPRINT_BYTES]))

    def signed(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature is this member's over the data."""
        return ed25519_verify(self.keys.signing, signature, data)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in text)


def check_id(text: str) -> None:
    """Signatures cover ids as text, and PostgreSQL returns uuids in lower case."""
    check(1 <= len(text.encode("utf-8")) <= MAX_ID_BYTES, "member", "an id has 1 to 256 bytes")
    check(not _has_control(text), "member", "an id holds a control character")
    is_upper = not _UUID.fullmatch(text) and _UUID.fullmatch(text.lower())
    check(not is_upper, "member", "an id is a uuid in upper case")


def check_name(text: str) -> None:
    check(1 <= len(text) <= MAX_NAME_CHARACTERS, "member", "a name has 1 to 128 characters")
    hidden = _has_control(text) or _UNPRINTABLE.search(text)
    check(not hidden, "member", "a name holds a character that cannot be shown")
