"""Reads the device list from the rows that the server shows, and compares it with the pinned one (docs/trust.md)."""

from collections.abc import Iterable, Iterator

from . import entry as kinds
from .device_list import DeviceList
from .entry import Entry, SignedEntry
from .errors import LeviError, check
from .member import RECOVERY


def read_list(user_id: str, genesis: bytes, rows: Iterable[dict]) -> DeviceList:
    """Reads the list that begins with `genesis`. The first valid entry on the head is accepted; everything else is
    skipped, because anybody with the user's token can write it. Without a pin: the server may have cut the list short.

    Refuses as `no-genesis`, or as `unknown-kind` where a member signed an entry of a later version of Levi. Behind such
    an entry of a device only a recovery is accepted, which cuts it off: the device may have been a thief's."""
    devices: DeviceList | None = None
    stopped = False
    for signed in _candidates(rows):
        if devices is not None and not signed.entry.is_known:
            stopped = _stops_at(devices, signed) or stopped
            continue
        try:
            if devices is None and signed.hash == genesis:
                devices = DeviceList.begin(user_id, signed)
            elif devices is not None and (not stopped or signed.entry.kind == kinds.RECOVER):
                devices, stopped = devices.accept(signed), False
        except LeviError:
            continue
    check(devices, "no-genesis", "the server shows no such device list")
    _check_known(not stopped)
    return devices


def _check_known(holds: bool) -> None:
    check(holds, "unknown-kind", "the device list goes on with an entry that this version does not know")


def _candidates(rows: Iterable[dict]) -> list[SignedEntry]:
    """The rows that may be entries, by slot."""

    def decoded() -> Iterator[SignedEntry]:
        for row in rows:
            try:
                yield SignedEntry.from_row(row)
            except LeviError:
                continue

    return sorted(decoded(), key=lambda signed: signed.entry.slot)


def _stops_at(devices: DeviceList, signed: SignedEntry) -> bool:
    """An entry of an unknown kind may remove a device, if a member signed it where it counts: an active member on the
    head, or the recovery key on any entry of the list. Refuses for the recovery key, whose entries no recovery cuts
    off."""
    entry, signer = signed.entry, devices.active_member(signed.entry.signer_id)
    in_list = any(link.hash == entry.prev for link in devices.chain)
    counts = signer and (entry.prev == devices.head or (signer.type == RECOVERY and in_list))
    stops = counts and entry.user_id == devices.user_id and signer.signed(signed.signature, signed.data)
    _check_known(not (stops and signer.type == RECOVERY))
    return bool(stops)


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
