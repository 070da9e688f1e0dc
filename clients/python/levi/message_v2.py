"""Message content, version 2: the key depends on the epoch of the device list, and the length may be hidden
(docs/protocol.md)."""

import re
from dataclasses import dataclass

from .encoding import from_base64, i64, lp, to_base64, u32
from .errors import check
from .message import content_text, message_nonce
from .primitives import KEY_BYTES, NONCE_BYTES, hkdf, open_sealed, random_bytes, seal

PREFIX = "v2:"
LENGTH_BYTES = 4
LATE = 1 << 31  # set in the number before the content of a late message
MAX_EPOCH = 2**32 - 1


@dataclass(frozen=True)
class Opened:
    """A message. It is late if its writer sealed a higher number of the session before: it is an edit, or was written out
    of order."""

    content: str
    is_late: bool


@dataclass(frozen=True)
class Form:
    """`padding` is "none", or "padme" to hide the length."""

    padding: str = "none"
    is_late: bool = False


@dataclass(frozen=True)
class EpochKey:
    """The key of one session in one epoch. Not to be stored."""

    epoch: int
    key: bytes


def is_version_2(content_nonce: str) -> bool:
    """Everything else is version 1."""
    return content_nonce.startswith(PREFIX)


def parse_nonce(content_nonce: str) -> tuple[int, bytes]:
    """The epoch, which is the server's word until the message opens, and the nonce."""
    check(is_version_2(content_nonce), "not-version-2", "the row is not of version 2")
    found = re.match(r"v2:([1-9][0-9]{0,9}):", content_nonce)
    check(found and int(found[1]) <= MAX_EPOCH, "epoch", "the row names no epoch")
    return int(found[1]), message_nonce(content_nonce[found.end() :])


def epoch_message_key(session_key: bytes, session_id: str, epoch: int, epoch_secret: bytes) -> EpochKey:
    info = b"levi/message-key/v2" + lp(session_id) + u32(epoch)
    return EpochKey(epoch, hkdf(epoch_secret, session_key, info, KEY_BYTES))


def _place(session_id: str, sequence_number: int, epoch: int) -> bytes:
    return b"levi/message/v2" + lp(session_id) + i64(sequence_number) + u32(epoch)


def seal_message_v2(
    key: EpochKey,
    session_id: str,
    sequence_number: int,
    content: str,
    form: Form = Form(),
    nonce: bytes | None = None,
) -> dict[str, str]:
    nonce = random_bytes(NONCE_BYTES) if nonce is None else nonce
    text = content.encode("utf-8")
    plain = u32(len(text) + (LATE if form.is_late else 0)) + text
    padded = padme(len(plain)) if form.padding == "padme" else len(plain)
    sealed = seal(key.key, nonce, _place(session_id, sequence_number, key.epoch), plain.ljust(padded, b"\0"))
    return {"content_encrypted": to_base64(sealed), "content_nonce": f"{PREFIX}{key.epoch}:{to_base64(nonce)}"}


def open_message_v2(key: EpochKey, session_id: str, sequence_number: int, row: dict) -> Opened:
    epoch, nonce = parse_nonce(row["content_nonce"])
    check(epoch == key.epoch, "forged", "the key is of another epoch")
    sealed = from_base64(row["content_encrypted"])
    plain = open_sealed(key.key, nonce, _place(session_id, sequence_number, epoch), sealed)
    check(len(plain) >= LENGTH_BYTES, "bad-padding", "no length inside")
    number = int.from_bytes(plain[:LENGTH_BYTES], "big")
    end = LENGTH_BYTES + number % LATE
    check(end <= len(plain) and not any(plain[end:]), "bad-padding", "the content is not followed by zeros only")
    return Opened(content_text(plain[LENGTH_BYTES:end]), number >= LATE)


def padme(length: int) -> int:
    """Rounds up to a Padmé length (Nikitin et al., PURBs, 2019, section 4): at most 12 % more."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    mask = (1 << max(exponent - exponent.bit_length(), 0)) - 1
    return (length + mask) & ~mask
