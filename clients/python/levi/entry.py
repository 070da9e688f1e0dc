"""Entries of the device list: what they say, their one encoding, and the rows that store them (docs/trust.md)."""

from dataclasses import dataclass

from .encoding import Reader, from_base64, i64, lp, to_base64, u8, u16, u32, u64
from .errors import check
from .keys import MemberKeys
from .member import Member, check_id
from .primitives import ed25519_sign, sha256

_LABEL = b"levi/device-list/v1"
_HASH_LABEL = b"levi/device-list-hash/v1"
_COMMIT_LABEL = b"levi/epoch-commit/v1"
MAX_ENTRY_BYTES = 6144
MAX_SLOT = 1999

NO_HASH = bytes(32)
"""What a genesis has as `prev`."""

GENESIS, ADD, REMOVE, NEW_RECOVERY_KEY, RECOVER = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Rotation:
    """The beginning of an epoch."""

    epoch: int
    commitment: bytes

    def encode(self) -> bytes:
        return u32(self.epoch) + self.commitment

    @classmethod
    def read(cls, reader: Reader) -> "Rotation":
        epoch = reader.u32()
        check(epoch > 0, "malformed", "there is no epoch 0")
        return cls(epoch, reader.bytes(32))


@dataclass(frozen=True)
class Entry:
    """`device` is there in kind 1, 2 and 5, `recovery` in 1 and 4, `removed` in 3, where it is one id, and 5, and
    `rotation` in all but 2; in kind 1 its epoch is 1. An entry of an unknown kind has none of them."""

    kind: int
    slot: int
    prev: bytes
    user_id: str
    time_ms: int
    signer_id: str
    device: Member | None = None
    recovery: Member | None = None
    removed: tuple[str, ...] = ()
    rotation: Rotation | None = None

    @property
    def cosigner(self) -> Member | None:
        """The member whose keys the entry brings in."""
        return self.recovery if self.kind == GENESIS else self.device or self.recovery

    @property
    def is_known(self) -> bool:
        return self.kind in _BODIES

    def encode(self) -> bytes:
        header = u8(self.kind) + u64(self.slot) + self.prev + lp(self.user_id) + i64(self.time_ms) + lp(self.signer_id)
        return _LABEL + header + _BODIES[self.kind][0](self)

    @classmethod
    def decode(cls, data: bytes) -> "Entry":
        check(len(data) <= MAX_ENTRY_BYTES, "malformed", "an entry has at most 6,144 bytes")
        reader = Reader(data)
        check(reader.bytes(len(_LABEL)) == _LABEL, "malformed", "not an entry")
        kind = reader.u8()
        header = (kind, reader.u64(), reader.bytes(32), reader.text(), reader.i64(), reader.text())
        entry = cls(*header)
        check_id(entry.user_id)
        check_id(entry.signer_id)
        # Every later kind keeps these fields too, so that its signer is known.
        if not entry.is_known:
            return entry
        entry = cls(*header, **_BODIES[kind][1](reader))
        reader.end()
        check(entry.encode() == data, "malformed", "not the one encoding of the entry")
        return entry


def _read_id(reader: Reader) -> str:
    text = reader.text()
    check_id(text)
    return text


# What each kind has after the common fields: how it is written and read, in this order.
_BODIES = {
    GENESIS: (
        lambda entry: entry.device.encode() + entry.recovery.encode() + entry.rotation.commitment,
        lambda reader: {
            "device": Member.read(reader),
            "recovery": Member.read(reader),
            "rotation": Rotation(1, reader.bytes(32)),
        },
    ),
    ADD: (lambda entry: entry.device.encode(), lambda reader: {"device": Member.read(reader)}),
    REMOVE: (
        lambda entry: lp(entry.removed[0]) + entry.rotation.encode(),
        lambda reader: {"removed": (_read_id(reader),), "rotation": Rotation.read(reader)},
    ),
    NEW_RECOVERY_KEY: (
        lambda entry: entry.recovery.encode() + entry.rotation.encode(),
        lambda reader: {"recovery": Member.read(reader), "rotation": Rotation.read(reader)},
    ),
    RECOVER: (
        lambda entry: (
            u16(len(entry.removed)) + b"".join(map(lp, entry.removed)) + entry.device.encode() + entry.rotation.encode()
        ),
        lambda reader: {
            "removed": tuple(_read_id(reader) for _ in range(reader.u16())),
            "device": Member.read(reader),
            "rotation": Rotation.read(reader),
        },
    ),
}


def hash_of(data: bytes) -> bytes:
    """The hash of an entry's encoding, which the next entry names."""
    return sha256(_HASH_LABEL, data)


def commitment_to(genesis: bytes, epoch: int, secret: bytes) -> bytes:
    """What an entry says about an epoch's secret without telling it. `genesis` is the hash of the genesis, or NO_HASH for
    epoch 1, whose commitment is in the genesis itself."""
    return sha256(_COMMIT_LABEL, genesis, u32(epoch), secret)


@dataclass(frozen=True)
class SignedEntry:
    """A row of `levi_device_list`, decoded. Nothing is verified."""

    entry: Entry
    data: bytes
    signature: bytes
    cosignature: bytes | None

    @property
    def hash(self) -> bytes:
        return hash_of(self.data)

    @classmethod
    def sign(cls, entry: Entry, signer: MemberKeys, cosigner: MemberKeys | None = None) -> "SignedEntry":
        data = entry.encode()
        cosignature = ed25519_sign(cosigner.signing, data) if cosigner else None
        return cls(entry, data, ed25519_sign(signer.signing, data), cosignature)

    def row(self) -> dict:
        cosignature = to_base64(self.cosignature) if self.cosignature else None
        columns = {"entry": to_base64(self.data), "signature": to_base64(self.signature)}
        return {"slot": self.entry.slot, **columns, "cosignature": cosignature}

    @classmethod
    def from_row(cls, row: dict) -> "SignedEntry":
        """The columns may hold anything."""
        data = from_base64(row["entry"])
        signature = _signature(row["signature"])
        cosignature = None if row.get("cosignature") is None else _signature(row["cosignature"])
        entry = Entry.decode(data)
        # The slot is signed, so that the server cannot move an entry to the front of another.
        check(entry.slot == row["slot"], "slot", "the entry belongs into another slot")
        return cls(entry, data, signature, cosignature)


def _signature(text: str) -> bytes:
    data = from_base64(text)
    check(len(data) == 64, "not-base64", "a signature is 64 bytes")
    return data
