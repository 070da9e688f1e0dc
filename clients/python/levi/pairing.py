"""Pairing: a device that is on the list shows a code, and the new device takes it in (docs/trust.md)."""

import hmac
from dataclasses import dataclass

from .device_list import DeviceList
from .encoding import Reader, from_base64, lp, to_base64, u64
from .entry import ADD, Entry, hash_of
from .errors import check
from .keys import MemberKeys
from .member import DEVICE, Member
from .pairing_code import PairingKeys, pairing_keys, parse_pairing_code
from .primitives import NONCE_BYTES, ed25519_sign, open_sealed, random_bytes, seal
from .read_list import read_list

FRESH_BYTES = 16
_REQUEST, _ANSWER = b"levi/pair/v1/request", b"levi/pair/v1/answer"


def _seal(key: bytes, label: bytes, user_id: str, plain: bytes) -> str:
    """The column that holds a message."""
    nonce = random_bytes(NONCE_BYTES)
    return to_base64(nonce + seal(key, nonce, label + lp(user_id), plain))


def _open(key: bytes, label: bytes, user_id: str, column: str) -> Reader:
    sealed = from_base64(column)
    check(len(sealed) >= NONCE_BYTES + 16, "forged", "the message was cut off")
    return Reader(open_sealed(key, sealed[:NONCE_BYTES], label + lp(user_id), sealed[NONCE_BYTES:]))


def open_request(keys: PairingKeys, user_id: str, column: str) -> tuple[Member, bytes]:
    """Opens a request, on the device that shows the code. Its person compares the member's name and fingerprint with
    those on the new device."""
    reader = _open(keys.request, _REQUEST, user_id, column)
    member = Member.read(reader)
    check(member.type == DEVICE, "malformed", "only a device can be paired")
    fresh = reader.bytes(FRESH_BYTES)
    reader.end()
    return member, fresh


def seal_answer(keys: PairingKeys, user_id: str, fresh: bytes, devices: DeviceList, entry: Entry) -> str:
    """The answer, on the device that shows the code, after its person said yes."""
    place = devices.genesis + devices.head + u64(devices.slot)
    return _seal(keys.answer, _ANSWER, user_id, fresh + place + entry.encode())


@dataclass(frozen=True)
class Answer:
    """The old device's list, and the encoding of the entry that adds the new device."""

    genesis: bytes
    head: bytes
    slot: int
    entry: bytes


class Join:
    """A new device that asks to be added. `member` is this device with its new keys."""

    def __init__(self, user_id: str, code: str, member: Member, fresh: bytes | None = None) -> None:
        self._user_id = user_id
        self._member = member
        self._keys = pairing_keys(user_id, parse_pairing_code(code))
        self._fresh = random_bytes(FRESH_BYTES) if fresh is None else fresh

    @property
    def row_id(self) -> str:
        """Of the row in `levi_pairings`."""
        return self._keys.row_id

    def request(self) -> str:
        """The column `request` of that row."""
        return _seal(self._keys.request, _REQUEST, self._user_id, self._member.encode() + self._fresh)

    def open_answer(self, column: str) -> Answer:
        """Opens the column `answer`, and checks that it answers this request and would add exactly this device."""
        reader = _open(self._keys.answer, _ANSWER, self._user_id, column)
        same = hmac.compare_digest(reader.bytes(FRESH_BYTES), self._fresh)
        check(same, "not-fresh", "the answer is to another request")
        check(not reader.is_at_end, "declined", "the other device was told not to add this one")
        answer = Answer(reader.bytes(32), reader.bytes(32), reader.u64(), reader.rest())
        entry = Entry.decode(answer.entry)
        adds_this_device = entry.kind == ADD and entry.device == self._member
        fits = adds_this_device and entry.prev == answer.head and entry.user_id == self._user_id
        check(fits, "other-entry", "the other device would not add this device as it is; do not trust it")
        return answer

    def cosign(self, answer: Answer, rows: list[dict], keys: MemberKeys) -> str:
        """The column `cosignature`, after the list that the server shows was read up to the head that the old device
        named."""
        devices = self._read(answer, rows)
        check(devices.head == answer.head, "list-changed", "the device list has changed meanwhile; show a new code")
        devices.check(Entry.decode(answer.entry))
        return to_base64(ed25519_sign(keys.signing, answer.entry))

    def finish(self, answer: Answer, rows: list[dict]) -> DeviceList:
        """The list to pin, once the old device has added this one."""
        devices = self._read(answer, rows)
        added = any(link.hash == hash_of(answer.entry) for link in devices.chain)
        check(added, "not-added", "the other device has not added this one yet")
        return devices

    def _read(self, answer: Answer, rows: list[dict]) -> DeviceList:
        devices = read_list(self._user_id, answer.genesis, rows)
        check(devices.has_seen(answer.head), "other-list", "the server shows another list than the other device has")
        return devices
