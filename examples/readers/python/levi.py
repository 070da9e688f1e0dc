"""Levi's formats (docs/protocol.md): message content, session secrets, envelopes. No I/O."""

import base64
import os
import struct
from dataclasses import dataclass

from nacl import bindings
from pyhpke import AEADId, CipherSuite, KDFId, KEMId


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, length: int | None = None) -> bytes:
    """Strict: the standard alphabet, padded, nothing else."""
    data = base64.b64decode(text, validate=True)
    if to_base64(data) != text:
        raise ValueError("not canonical base64")
    if length is not None and len(data) != length:
        raise ValueError(f"{len(data)} bytes instead of {length}")
    return data


def lp(text: str) -> bytes:
    """The length of x, then x: u32be(len(x)) || x"""
    data = text.encode("utf-8")
    return struct.pack(">I", len(data)) + data


# ------------------------------------------------------------------ session secrets


def new_secret() -> str:
    return format_secret(os.urandom(32))


def format_secret(key: bytes) -> str:
    return "sess_" + base64.urlsafe_b64encode(key).decode("ascii").rstrip("=")


def parse_secret(secret: str) -> bytes:
    """The 32-byte key in a session secret."""
    try:
        key = base64.urlsafe_b64decode(secret[5:].encode("ascii") + b"=")
    except ValueError:
        key = b""
    if len(key) != 32 or format_secret(key) != secret:
        raise ValueError("not a session secret")
    return key


# ------------------------------------------------------------------ messages


def _place(session_id: str, sequence_number: int) -> bytes:
    """Binds a ciphertext to its position, so that a row that the server moved does not open."""
    return b"levi/message/v1" + lp(session_id) + struct.pack(">q", sequence_number)


def seal_message(
    key: bytes, session_id: str, sequence_number: int, content: str, nonce: bytes | None = None
) -> dict[str, str]:
    nonce = os.urandom(24) if nonce is None else nonce
    sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        content.encode("utf-8"), _place(session_id, sequence_number), nonce, key
    )
    return {"content_encrypted": to_base64(sealed), "content_nonce": to_base64(nonce)}


def open_message(key: bytes, session_id: str, sequence_number: int, row: dict) -> str:
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        from_base64(row["content_encrypted"]),
        _place(session_id, sequence_number),
        from_base64(row["content_nonce"], 24),
        key,
    )
    return opened.decode("utf-8")


# ------------------------------------------------------------------ envelopes

_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


@dataclass(frozen=True)
class Ids:
    """The user, the session, the sending and the receiving device: an envelope opens with these four only."""

    user_id: str
    session_id: str
    sender_device_id: str
    recipient_device_id: str

    def info(self) -> bytes:
        parts = (self.user_id, self.session_id, self.sender_device_id, self.recipient_device_id)
        return b"levi/envelope/v1" + b"".join(map(lp, parts))


def public_key_of(private_key: str) -> str:
    """A device's public key, to be put into its row of `devices`. Keys are base64."""
    return to_base64(bindings.crypto_scalarmult_base(from_base64(private_key, 32)))


def seal_envelope(secret: str, ids: Ids, sender_private_key: str, recipient_public_key: str) -> dict[str, str]:
    """Auth mode, so that only the holder of `sender_private_key` can have sealed it."""
    enc, context = _SUITE.create_sender_context(
        _SUITE.kem.deserialize_public_key(from_base64(recipient_public_key, 32)),
        info=ids.info(),
        sks=_SUITE.kem.deserialize_private_key(from_base64(sender_private_key, 32)),
    )
    return {
        "ephemeral_public_key": to_base64(enc),
        "encrypted_secret": to_base64(context.seal(secret.encode("ascii"))),
    }


def open_envelope(row: dict, ids: Ids, sender_public_key: str, recipient_private_key: str) -> str:
    context = _SUITE.create_recipient_context(
        from_base64(row["ephemeral_public_key"], 32),
        _SUITE.kem.deserialize_private_key(from_base64(recipient_private_key, 32)),
        info=ids.info(),
        pks=_SUITE.kem.deserialize_public_key(from_base64(sender_public_key, 32)),
    )
    return context.open(from_base64(row["encrypted_secret"])).decode("utf-8")
