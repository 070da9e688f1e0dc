"""Message content, version 1 (docs/protocol.md)."""

from .encoding import from_base64, i64, lp, to_base64
from .errors import LeviError, check
from .primitives import NONCE_BYTES, open_sealed, random_bytes, seal


def _place(session_id: str, sequence_number: int) -> bytes:
    """Binds a ciphertext to its position, so that a row that the server moved does not open."""
    return b"levi/message/v1" + lp(session_id) + i64(sequence_number)


def seal_message(
    key: bytes, session_id: str, sequence_number: int, content: str, nonce: bytes | None = None
) -> dict[str, str]:
    nonce = random_bytes(NONCE_BYTES) if nonce is None else nonce
    sealed = seal(key, nonce, _place(session_id, sequence_number), content.encode("utf-8"))
    return {"content_encrypted": to_base64(sealed), "content_nonce": to_base64(nonce)}


def open_message(key: bytes, session_id: str, sequence_number: int, row: dict) -> str:
    nonce = message_nonce(row["content_nonce"])
    sealed = from_base64(row["content_encrypted"])
    return content_text(open_sealed(key, nonce, _place(session_id, sequence_number), sealed))


def message_nonce(text: str) -> bytes:
    """The nonce of a row of either version."""
    nonce = from_base64(text)
    check(len(nonce) == NONCE_BYTES, "wrong-nonce-length", "a nonce is 24 bytes")
    return nonce


def content_text(data: bytes) -> str:
    """The content of a row of either version."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise LeviError("not-utf8", "the content is no UTF-8") from None
