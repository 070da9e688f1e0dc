"""The rules of the device list: what makes an entry valid on a head, but for its signatures (docs/trust.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import entry as kinds
from .entry import MAX_SLOT, NO_HASH, Entry, Rotation
from .errors import check
from .member import DEVICE, RECOVERY, Member

if TYPE_CHECKING:
    from .device_list import DeviceList

MAX_MEMBERS = 32
MAX_EPOCH = 1000


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


RULES = {
    kinds.ADD: _rule_add,
    kinds.REMOVE: _rule_remove,
    kinds.NEW_RECOVERY_KEY: _rule_new_recovery_key,
    kinds.RECOVER: _rule_recover,
}


def check_genesis(user_id: str, entry: Entry) -> None:
    check(entry.kind == kinds.GENESIS and entry.prev == NO_HASH, "not-on-head", "a list begins with a genesis")
    check(entry.user_id == user_id, "user", "the entry belongs to another user")
    check_slot(entry.slot, -1)
    check(entry.signer_id == entry.device.id, "signer-not-active", "the first device signs the genesis")
    _check_type(entry.device, DEVICE)
    _check_type(entry.recovery, RECOVERY)
    check(entry.device.id != entry.recovery.id, "id-taken", "two members with one id")
    check(not entry.device.keys.overlap(entry.recovery.keys), "key-taken", "two members with one key")


def check_slot(slot: int, head: int) -> None:
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
