"""Envelopes: one session's secret for one device (docs/protocol.md). HPKE in Auth mode, so that only the sender's
device can have sealed it. Keys are base64."""

from dataclasses import dataclass

from pyhpke import AEADId, CipherSuite, KDFId, KEMId
from pyhpke.exceptions import PyHPKEError

from .encoding import from_base64, lp, to_base64
from .errors import LeviError, check
from .primitives import KEY_BYTES, TAG_BYTES, is_low_order_x25519, x25519_public_key
from .session_secret import parse_secret

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


def parse_device_key(text: str) -> bytes:
    """The bytes of an X25519 public key, such as the column `devices.public_key`."""
    data = from_base64(text)
    check(len(data) == KEY_BYTES, "wrong-length", "a public key is 32 bytes")
    check(not is_low_order_x25519(data), "low-order", "the public key is of low order and gives no protection")
    return data


def device_key_of(private_key: str) -> str:
    """A device's public key, to be put into its row of `devices`."""
    return to_base64(x25519_public_key(from_base64(private_key)))


def seal_envelope(secret: str, ids: Ids, sender_private_key: str, recipient_public_key: str) -> dict[str, str]:
    enc, context = _SUITE.create_sender_context(
        _SUITE.kem.deserialize_public_key(parse_device_key(recipient_public_key)),
        info=ids.info(),
        sks=_SUITE.kem.deserialize_private_key(from_base64(sender_private_key)),
    )
    sealed = context.seal(secret.encode("ascii"))
    return {"ephemeral_public_key": to_base64(enc), "encrypted_secret": to_base64(sealed)}


def open_envelope(row: dict, ids: Ids, sender_public_key: str, recipient_private_key: str) -> str:
    """The session secret in an envelope."""
    enc, sealed = from_base64(row["ephemeral_public_key"]), from_base64(row["encrypted_secret"])
    check(len(enc) == KEY_BYTES, "wrong-key-length", "an ephemeral key is 32 bytes")
    check(len(sealed) >= TAG_BYTES, "truncated", "shorter than an authentication tag")
    check(not is_low_order_x25519(enc), "low-order", "the ephemeral key is of low order")
    sender = _SUITE.kem.deserialize_public_key(parse_device_key(sender_public_key))
    recipient = _SUITE.kem.deserialize_private_key(from_base64(recipient_private_key))
    try:
        plain = _SUITE.create_recipient_context(enc, recipient, info=ids.info(), pks=sender).open(sealed)
    except PyHPKEError:
        raise LeviError("forged", "the envelope was sealed by or for somebody else, or was altered") from None
    try:
        secret = plain.decode("utf-8")
        parse_secret(secret)
    except (UnicodeDecodeError, LeviError):
        raise LeviError("not-a-secret", "the envelope holds no session secret") from None
    return secret
