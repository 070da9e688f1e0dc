"""The algorithms, each under the name of its standard."""

import hashlib
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings
from nacl.exceptions import CryptoError

from .errors import LeviError, check

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

random_bytes = os.urandom


def sha256(*parts: bytes) -> bytes:
    """FIPS 180-4."""
    return hashlib.sha256(b"".join(parts)).digest()


def hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256, RFC 5869."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def seal(key: bytes, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); the tag is at the end."""
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce, key)


def open_sealed(key: bytes, nonce: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Refuses as `truncated` or `forged`."""
    check(len(sealed) >= TAG_BYTES, "truncated", "shorter than an authentication tag")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key)
    except CryptoError:
        raise LeviError("forged", "authentication failed") from None


def x25519_public_key(private_key: bytes) -> bytes:
    """RFC 7748."""
    return bindings.crypto_scalarmult_base(private_key)


def ed25519_public_key(seed: bytes) -> bytes:
    """RFC 8032."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def ed25519_verify(key: bytes, signature: bytes, message: bytes) -> bool:
    """Strict: S is below the group's order, and the check is the one without the cofactor."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _near_p(lowest: int) -> bytes:
    """p - 1, p and p + 1 for p = 2^255 - 19, little endian."""
    return bytes([lowest]) + b"\xff" * 30 + b"\x7f"


_COMMON = {bytes(32), bytes([1]) + bytes(31), _near_p(0xEC), _near_p(0xED), _near_p(0xEE)}

# Every encoding below 2^255 of a point of low order: for X25519 its u-coordinate, for Ed25519 its y-coordinate.
_X25519_LOW_ORDER = _COMMON | {
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
}
_ED25519_LOW_ORDER = _COMMON | {
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


def _coordinate(key: bytes) -> bytes:
    """Without the highest bit, which is no part of it."""
    return key[:31] + bytes([key[31] & 0x7F])


def is_low_order_x25519(key: bytes) -> bool:
    """Whether the public key gives no protection."""
    return _coordinate(key) in _X25519_LOW_ORDER


def is_low_order_ed25519(key: bytes) -> bool:
    """Whether anybody can sign for the public key."""
    return _coordinate(key) in _ED25519_LOW_ORDER
