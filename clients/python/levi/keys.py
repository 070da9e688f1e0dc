"""The three keys of a member of the device list: to sign entries, to receive envelopes, to receive keyrings
(docs/trust.md)."""

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .errors import check
from .primitives import (
    KEY_BYTES,
    ed25519_public_key,
    is_low_order_ed25519,
    is_low_order_x25519,
    random_bytes,
    x25519_public_key,
)

XWING_PUBLIC_KEY_BYTES = 1216

# The part of an X-Wing key that encodes coefficients of ML-KEM, 12 bits each, which are below q.
_COEFFICIENT_BYTES = 1152
_ML_KEM_Q = 3329
_ML_KEM_SEED_BYTES = 64


@dataclass(frozen=True)
class PublicKeys:
    """Ed25519 (32 bytes), X25519 (32), X-Wing (1,216)."""

    signing: bytes
    envelope: bytes
    keyring: bytes

    def check(self) -> None:
        """Refuses keys that no honest member has. Then sealing to them cannot fail."""
        check(not is_low_order_ed25519(self.signing), "member", "the signing key is of low order")
        check(not is_low_order_x25519(self.envelope), "member", "the envelope key is of low order")
        for at in range(0, _COEFFICIENT_BYTES, 3):
            a, b, c = self.keyring[at : at + 3]
            # FIPS 203, section 7.2.
            below = (a | (b & 0x0F) << 8) < _ML_KEM_Q and (b >> 4 | c << 4) < _ML_KEM_Q
            check(below, "member", "the X-Wing key has a coefficient that is too large")
        check(not is_low_order_x25519(self.keyring[-32:]), "member", "the X25519 half of the X-Wing key is of low order")

    def overlap(self, other: "PublicKeys") -> bool:
        """Whether both have a key in common."""
        return self.signing == other.signing or self.envelope == other.envelope or self.keyring == other.keyring


@dataclass(frozen=True)
class MemberKeys:
    """The private keys: an Ed25519 seed, an X25519 private key and an X-Wing seed, 32 bytes each."""

    signing: bytes = field(repr=False)
    envelope: bytes = field(repr=False)
    keyring: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "MemberKeys":
        return cls(*(random_bytes(KEY_BYTES) for _ in range(3)))

    def public_keys(self) -> PublicKeys:
        mlkem, x25519 = _xwing_halves(self.keyring)
        return PublicKeys(
            signing=ed25519_public_key(self.signing),
            envelope=x25519_public_key(self.envelope),
            keyring=mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw(),
        )


def xwing_private_key(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    return hpke.MLKEM768X25519PrivateKey(*_xwing_halves(seed))


def _xwing_halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """draft-connolly-cfrg-xwing-kem, section 5.2: SHAKE-256 of the seed is ML-KEM's seed and the X25519 key."""
    expanded = hashlib.shake_256(seed).digest(_ML_KEM_SEED_BYTES + KEY_BYTES)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_BYTES])
    return mlkem, X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_BYTES:])
