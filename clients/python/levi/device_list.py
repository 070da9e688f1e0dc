"""The signed device list: which entries are accepted, and which members there are after them (docs/trust.md)."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from . import entry as kinds
from .entry import MAX_SLOT, NO_HASH, Entry, Rotation, SignedEntry
from .errors import LeviError, check
from .member import DEVICE, RECOVERY, Member
from .primitives import ed25519_verify, sha256

MAX_MEMBERS = 32
MAX_ENTRIES = 1000
MAX_EPOCH = 1000


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
        _check_genesis(user_id, signed.entry)
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
        _check_slot(entry.slot, self.slot)
        check(len(self.chain) < MAX_ENTRIES, "full", "the list has 1,000 entries")
        signer = self.active_member(entry.signer_id)
        check(signer, "signer-not-active", "the signer is not an active member")
        rule = _RULES.get(entry.kind)
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


def _rule_add(devices: DeviceList, entry: Entry, signer: Member) -> None:
    _check_signer(signer, DEVICE)
    _check_new(devices, entry.device, DEVICE)
    _check_room(devices, 0)


def _rule_remove(devices: DeviceList, entry: Entry, signer: Member) -> None:
    _check_signer(signer, DEVICE)
    _check_removals(devices, entry.removed)
    check(len(devices.active_devices) > 1, "last-device", "the last device cannot be removed")
    _check_epoch(entry.rotation, entry.rotation.epoch == devices.last_epoch + 1)


def _rule_new_recovery_key(devices: DeviceList, entry: Entry, signer: Member) -> None:
    _check_signer(signer, RECOVERY)
    _check_new(devices, entry.recovery, RECOVERY)
    _check_epoch(entry.rotation, entry.rotation.epoch == devices.last_epoch + 1)


def _rule_recover(devices: DeviceList, entry: Entry, signer: Member) -> None:
    _check_signer(signer, RECOVERY)
    _check_removals(devices, entry.removed)
    _check_new(devices, entry.device, DEVICE)
    _check_room(devices, len(entry.removed))
    _check_epoch(entry.rotation, entry.rotation.epoch > devices.last_epoch)


_RULES = {
    kinds.ADD: _rule_add,
    kinds.REMOVE: _rule_remove,
    kinds.NEW_RECOVERY_KEY: _rule_new_recovery_key,
    kinds.RECOVER: _rule_recover,
}


def _check_genesis(user_id: str, entry: Entry) -> None:
    check(entry.kind == kinds.GENESIS and entry.prev == NO_HASH, "not-on-head", "a list begins with a genesis")
    check(entry.user_id == user_id, "user", "the entry belongs to another user")
    _check_slot(entry.slot, -1)
    check(entry.signer_id == entry.device.id, "signer-not-active", "the first device signs the genesis")
    _check_type(entry.device, DEVICE)
    _check_type(entry.recovery, RECOVERY)
    check(entry.device.id != entry.recovery.id, "id-taken", "two members with one id")
    check(not entry.device.keys.overlap(entry.recovery.keys), "key-taken", "two members with one key")


def _check_slot(slot: int, head: int) -> None:
    check(head < slot <= MAX_SLOT, "slot", "the entry's slot is not a later one")


def _check_type(member: Member, kind: str) -> None:
    check(member.type == kind, "member-type", f"the new member is not a {kind}")


def _check_signer(signer: Member, kind: str) -> None:
    check(signer.type == kind, "signer-type", "the signer may not sign this kind of entry")


def _check_new(devices: DeviceList, member: Member, kind: str) -> None:
    """No id and no key is ever used twice."""
    _check_type(member, kind)
    check(devices.member(member.id) is None, "id-taken", "the list has or had a member with this id")
    taken = any(known.member.keys.overlap(member.keys) for known in devices.members)
    check(not taken, "key-taken", "the list has or had a member with the same key")


def _check_room(devices: DeviceList, removals: int) -> None:
    check(len(devices.active) + 1 - removals <= MAX_MEMBERS, "full", "the list has 32 active members")


def _check_removals(devices: DeviceList, removed: tuple[str, ...]) -> None:
    active = {device.id for device in devices.active_devices}
    valid = len(set(removed)) == len(removed) and active.issuperset(removed)
    check(valid, "not-a-device", "what is removed is not an active device")


def _check_epoch(rotation: Rotation, follows: bool) -> None:
    check(follows and rotation.epoch <= MAX_EPOCH, "epoch", "the epoch does not follow the last one")


def _signed(member: Member, signature: bytes, data: bytes) -> bool:
    return ed25519_verify(member.keys.signing, signature, data)


def _verify(signed: SignedEntry, signer: Member) -> None:
    """Both signatures of an entry."""
    check(_signed(signer, signed.signature, signed.data), "signature", "the entry's signature does not verify")
    cosigner, cosignature = signed.entry.cosigner, signed.cosignature
    if cosigner is None:
        check(cosignature is None, "unexpected-cosignature", "the entry has a cosignature, but its kind has none")
        return
    cosigned = cosignature is not None and _signed(cosigner, cosignature, signed.data)
    check(cosigned, "cosignature", "the new member's cosignature is missing or does not verify")


def read_list(user_id: str, genesis: bytes, rows: Iterable[dict]) -> DeviceList:
    """Reads the list that begins with `genesis`. The first valid entry on the head is accepted; everything else is
    skipped, because anybody with the user's token can write it. Without a pin: the server may have cut the list short.

    Refuses as `no-genesis`, or as `unknown-kind` where a member signed an entry of a later version of Levi."""
    devices: DeviceList | None = None
    for signed in _candidates(rows):
        if devices is not None and not signed.entry.is_known:
            _stop_at_unknown(devices, signed)
        try:
            if devices is not None:
                devices = devices.accept(signed)
            elif signed.hash == genesis:
                devices = DeviceList.begin(user_id, signed)
        except LeviError:
            continue
    check(devices, "no-genesis", "the server shows no such device list")
    return devices


def _candidates(rows: Iterable[dict]) -> list[SignedEntry]:
    """The rows that may be entries, by slot."""

    def decoded() -> Iterator[SignedEntry]:
        for row in rows:
            try:
                yield SignedEntry.from_row(row)
            except LeviError:
                continue

    return sorted(decoded(), key=lambda signed: signed.entry.slot)


def _stop_at_unknown(devices: DeviceList, signed: SignedEntry) -> None:
    """An entry of an unknown kind may remove a device, if a member signed it where it counts: an active member on the
    head, or the recovery key on any entry of the list."""
    entry, signer = signed.entry, devices.active_member(signed.entry.signer_id)
    in_list = any(link.hash == entry.prev for link in devices.chain)
    counts = signer and (entry.prev == devices.head or (signer.type == RECOVERY and in_list))
    stops = counts and entry.user_id == devices.user_id and _signed(signer, signed.signature, signed.data)
    check(not stops, "unknown-kind", "the device list goes on with an entry that this version does not know")


def extend_list(pinned: DeviceList, rows: list[dict]) -> DeviceList:
    """Reads the rows that the server shows now, and checks that they continue the pinned list.

    Refuses as `rolled-back`, `forked` or `unknown-kind`. The device then goes on with the pinned list and seals
    nothing."""
    try:
        shown = read_list(pinned.user_id, pinned.genesis, rows)
    except LeviError as error:
        if error.code != "no-genesis":
            raise
        raise (_forked() if geneses(pinned.user_id, rows) else _rolled_back()) from None
    if shown.has_seen(pinned.head):
        return shown
    common = next(
        (at for at, (ours, theirs) in enumerate(zip(pinned.chain, shown.chain)) if ours.hash != theirs.hash),
        len(shown.chain),
    )
    if common == len(shown.chain):
        raise _rolled_back()
    if not _cuts_off(pinned, shown.chain[common].entry):
        raise _forked()
    return shown


def _cuts_off(pinned: DeviceList, entry: Entry) -> bool:
    """A recovery by the recovery key of the pinned history, above every epoch seen. Its signature was verified."""
    by_recovery_key = entry.kind == kinds.RECOVER and entry.signer_id == pinned.recovery.id
    return by_recovery_key and entry.rotation.epoch > pinned.last_epoch


def _forked() -> LeviError:
    return LeviError("forked", "the server shows a device list that differs from this device's; compare `levi verify`")


def _rolled_back() -> LeviError:
    return LeviError("rolled-back", "the server shows a device list that ends before what this device has seen")


def geneses(user_id: str, rows: Iterable[dict]) -> list[bytes]:
    """The hash of every valid genesis. Anybody with the user's token can begin a list of their own."""
    found = []
    for signed in _candidates(rows):
        try:
            found.append(DeviceList.begin(user_id, signed).genesis)
        except LeviError:
            continue
    return found
