"""Keyrings: the secrets of all epochs, sealed for one member of the device list (docs/trust.md). HPKE in Base mode with
X-Wing; what authenticates a keyring is that its secrets match the commitments of the signed list.

A keyring is the list of the secrets of epoch 1, 2, ...; None for an epoch that a recovery cut off and whose secret is
lost."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from .device_list import DeviceList
from .encoding import from_base64, lp, to_base64, u32
from .entry import NO_HASH, commitment_to
from .errors import LeviError, check
from .keys import MemberKeys, xwing_private_key
from .primitives import TAG_BYTES

Keyring = list[bytes | None]

SECRET_BYTES = 32
ENC_BYTES = 1120
_LOST = bytes(SECRET_BYTES)

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def _info(devices: DeviceList, recipient_id: str, epoch: int) -> bytes:
    return b"levi/keyring/v1" + lp(devices.user_id) + devices.genesis + lp(recipient_id) + u32(epoch)


def check_keyring(keyring: Keyring, devices: DeviceList) -> None:
    """Checks every secret against the commitments of the list."""
    check(len(keyring) == devices.epoch, "other-epoch", "the keyring is of another epoch than the device list")
    for rotation in devices.rotations:
        secret = keyring[rotation.epoch - 1]
        # Within the genesis, whose hash was not known yet, zeros stand for it.
        genesis = NO_HASH if rotation.epoch == 1 else devices.genesis
        matches = secret is not None and hmac.compare_digest(
            commitment_to(genesis, rotation.epoch, secret), rotation.commitment
        )
        check(matches, "uncommitted", f"the secret of epoch {rotation.epoch} is not the one in the device list")


def open_keyring(row: dict, devices: DeviceList, recipient_id: str, keys: MemberKeys) -> Keyring:
    """Opens the keyring of a member, and checks it against the list."""
    enc, sealed, epoch = from_base64(row["enc"]), from_base64(row["sealed"]), row["epoch"]
    check(len(enc) == ENC_BYTES, "truncated", "the keyring's encapsulated key has the wrong length")
    check(epoch == devices.epoch, "other-epoch", "the keyring is of another epoch than the device list")
    expected = epoch * SECRET_BYTES + TAG_BYTES
    check(len(sealed) == expected, "truncated", "the keyring has the wrong length")
    try:
        private_key = xwing_private_key(keys.keyring)
        plain = _SUITE.decrypt(enc + sealed, private_key, info=_info(devices, recipient_id, epoch))
    except (InvalidTag, ValueError):
        raise LeviError("forged", "the keyring was sealed for somebody else, or was altered") from None
    secrets = [plain[at : at + SECRET_BYTES] for at in range(0, len(plain), SECRET_BYTES)]
    keyring: Keyring = [None if secret == _LOST else secret for secret in secrets]
    check_keyring(keyring, devices)
    return keyring


def seal_keyring(keyring: Keyring, devices: DeviceList, recipient_id: str) -> dict:
    """Seals the keyring for an active member of the list: a row of `levi_keyrings`."""
    check_keyring(keyring, devices)
    member = devices.active_member(recipient_id)
    check(member, "not-a-member", "only an active member of the device list is given a keyring")
    plain = b"".join(secret or _LOST for secret in keyring)
    info = _info(devices, recipient_id, devices.epoch)
    both = _SUITE.encrypt(plain, _public_key(member.keys.keyring), info=info)
    return {"epoch": devices.epoch, "enc": to_base64(both[:ENC_BYTES]), "sealed": to_base64(both[ENC_BYTES:])}


def _public_key(data: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(data[:-32]), X25519PublicKey.from_public_bytes(data[-32:])
    )
