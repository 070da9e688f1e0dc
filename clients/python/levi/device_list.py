"""The signed device list: which entries are accepted, and which members there are after them (docs/trust.md)."""

import struct
from dataclasses import dataclass, replace

from . import entry as kinds
from .entry import Entry, Rotation, SignedEntry
from .errors import check
from .list_rules import RULES, check_genesis, check_slot
from .member import DEVICE, RECOVERY, Member
from .primitives import sha256

MAX_ENTRIES = 1000


@dataclass(frozen=True)
class ListMember:
    """A member, with the entry that added it and the one that removed it, if any did."""

    member: Member
    added: Entry
    removed: Entry | None = None


@dataclass(frozen=True)
class DeviceList:
    """A list after its accepted entries, the first of which is the genesis. `accept` returns another."""

    chain: tuple[SignedEntry, ...] = ()
    superseded: frozenset[bytes] = frozenset()  # entries that were accepted once and that a recovery cut off
    members: tuple[ListMember, ...] = ()  # in the order in which they were added, removed ones included
    rotations: tuple[Rotation, ...] = ()  # in ascending order; a recovery may leave gaps
    last_epoch: int = 0  # of any entry seen, those included that were cut off

    @classmethod
    def begin(cls, user_id: str, signed: SignedEntry) -> "DeviceList":
        """Begins a list with a genesis."""
        check_genesis(user_id, signed.entry)
        _verify(signed, signed.entry.device)
        return cls()._push(signed)

    @property
    def user_id(self) -> str:
        return self.chain[0].entry.user_id

    @property
    def genesis(self) -> bytes:
        """The hash of the genesis. It identifies the list."""
        return self.chain[0].hash

    @property
    def head(self) -> bytes:
        """The hash of the last entry."""
        return self.chain[-1].hash

    @property
    def slot(self) -> int:
        return self.chain[-1].entry.slot

    @property
    def epoch(self) -> int:
        """The current one."""
        return self.rotations[-1].epoch

    @property
    def active(self) -> list[Member]:
        """Who is given secrets, the recovery key included."""
        return [known.member for known in self.members if known.removed is None]

    @property
    def active_devices(self) -> list[Member]:
        return [member for member in self.active if member.type == DEVICE]

    @property
    def recovery(self) -> Member:
        """The recovery key. Every list has one."""
        return next(member for member in self.active if member.type == RECOVERY)

    def active_member(self, member_id: str) -> Member | None:
        return next((member for member in self.active if member.id == member_id), None)

    def member(self, member_id: str) -> Member | None:
        """Removed ones included: whose envelopes may be opened."""
        return next((known.member for known in self.members if known.member.id == member_id), None)

    def has_seen(self, entry_hash: bytes) -> bool:
        """Whether the entry is part of the list, or was before a recovery cut it off."""
        return entry_hash in self.superseded or any(link.hash == entry_hash for link in self.chain)

    def verify_code(self) -> str:
        """32 digits for a person to compare on two devices: equal exactly if both have one history."""
        numbers = struct.unpack(">8I", sha256(b"levi/verify/v1", self.genesis, self.head))
        return " ".join(f"{number % 10_000:04}" for number in numbers)

    def accept(self, signed: SignedEntry) -> "DeviceList":
        """The list with one more entry, which must be valid on the head."""
        base = self._base_for(signed.entry)
        _verify(signed, base.check(signed.entry))
        return base._push(signed)

    def _base_for(self, entry: Entry) -> "DeviceList":
        """This list, or for a recovery on an ancestor the list as it was there, which still knows what it has seen."""
        if entry.prev == self.head:
            return self
        at = next((at for at, link in enumerate(self.chain) if link.hash == entry.prev), None)
        is_recovery = entry.kind == kinds.RECOVER and entry.signer_id == self.recovery.id
        check(at is not None and is_recovery, "not-on-head", "the entry does not follow the head")
        kept, cut = self.chain[: at + 1], self.chain[at + 1 :]
        before = DeviceList()
        for link in kept:
            before = before._push(link)
        superseded = self.superseded | {link.hash for link in cut}
        return replace(before, superseded=superseded, last_epoch=self.last_epoch)

    def check(self, entry: Entry) -> Member:
        """Checks everything about an entry on the head but its signatures. Returns the signer."""
        check(entry.user_id == self.user_id, "user", "the entry belongs to another user")
        check(entry.prev == self.head, "not-on-head", "the entry does not follow the head")
        check_slot(entry.slot, self.slot)
        check(len(self.chain) < MAX_ENTRIES, "full", "the list has 1,000 entries")
        signer = self.active_member(entry.signer_id)
        check(signer, "signer-not-active", "the signer is not an active member")
        rule = RULES.get(entry.kind)
        check(rule, "not-on-head" if entry.is_known else "unknown-kind", "no entry of this kind goes on a list")
        rule(self, entry, signer)
        return signer

    def _push(self, signed: SignedEntry) -> "DeviceList":
        """Adds an entry that was checked."""
        entry = signed.entry
        leaving = (entry.signer_id,) if entry.kind == kinds.NEW_RECOVERY_KEY else entry.removed
        members = [
            replace(known, removed=entry) if known.removed is None and known.member.id in leaving else known
            for known in self.members
        ]
        members += [ListMember(member, entry) for member in (entry.device, entry.recovery) if member]
        rotations = self.rotations + ((entry.rotation,) if entry.rotation else ())
        last_epoch = max(self.last_epoch, entry.rotation.epoch if entry.rotation else 0)
        return DeviceList(self.chain + (signed,), self.superseded, tuple(members), rotations, last_epoch)


def _verify(signed: SignedEntry, signer: Member) -> None:
    """Both signatures of an entry."""
    check(signer.signed(signed.signature, signed.data), "signature", "the entry's signature does not verify")
    cosigner, cosignature = signed.entry.cosigner, signed.cosignature
    if cosigner is None:
        check(cosignature is None, "unexpected-cosignature", "the entry has a cosignature, but its kind has none")
        return
    cosigned = cosignature is not None and cosigner.signed(cosignature, signed.data)
    check(cosigned, "cosignature", "the new member's cosignature is missing or does not verify")
