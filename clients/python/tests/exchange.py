"""The package in the exchanges of `cargo xtask interop`: what one program writes, every other reads.

    python -m tests.exchange write | read | invite | join

Lines are JSON. interop/trust.mjs runs these programs in pairs and says what is in each line.
"""

import json
import sys
import uuid
from dataclasses import dataclass, field

from levi import entry as kinds
from levi.device_list import DeviceList
from levi.encoding import from_base64, to_base64
from levi.entry import NO_HASH, Entry, Rotation, SignedEntry, commitment_to
from levi.errors import LeviError
from levi.keyring import Keyring, open_keyring, seal_keyring
from levi.keys import MemberKeys
from levi.member import DEVICE, RECOVERY, Member
from levi.message_v2 import Form, epoch_message_key, open_message_v2, parse_nonce, seal_message_v2
from levi.pairing import Join, open_request, seal_answer
from levi.pairing_code import new_pairing_code, pairing_keys, parse_pairing_code
from levi.primitives import random_bytes
from levi.read_list import read_list
from levi.recovery_key import recovery_keys
from levi.session_secret import new_secret, parse_secret

from .checks import described


def receive() -> dict:
    return json.loads(sys.stdin.readline())


def send(line: dict) -> None:
    print(json.dumps(line), flush=True)


class Owner:
    """A device or the recovery key, with what only it has."""

    def __init__(self, member_id: str, keys: MemberKeys | None = None, kind: str = DEVICE) -> None:
        self.keys = keys or MemberKeys.new()
        self.member = Member(member_id, kind, member_id, self.keys.public_keys())

    @classmethod
    def given(cls, device: dict) -> "Owner":
        keys = device["keys"]
        return cls(device["id"], MemberKeys(*(from_base64(keys[name]) for name in ("signing", "envelope", "keyring"))))

    @classmethod
    def paper(cls, member_id: str) -> "Owner":
        return cls(member_id, recovery_keys(random_bytes(32)), RECOVERY)


@dataclass
class Scene:
    """A user with a list, as the device sees it that writes next."""

    user_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    laptop: Owner = field(default_factory=lambda: Owner("laptop"))
    recovery: Owner = field(default_factory=lambda: Owner.paper("paper"))
    rows: list[dict] = field(default_factory=list)
    keyring: Keyring = field(default_factory=list)
    devices: DeviceList | None = None

    def __post_init__(self) -> None:
        members = {"device": self.laptop.member, "recovery": self.recovery.member}
        entry = self.entry(kinds.GENESIS, self.laptop, NO_HASH, rotation=self.rotation(1, NO_HASH), **members)
        signed = SignedEntry.sign(entry, self.laptop.keys, self.recovery.keys)
        self.devices = DeviceList.begin(self.user_id, signed)
        self.rows.append(signed.row())

    def rotation(self, epoch: int | None = None, genesis: bytes | None = None) -> Rotation:
        """Draws the secret of an epoch."""
        epoch = epoch or self.devices.last_epoch + 1
        secret = random_bytes(32)
        self.keyring += [None] * (epoch - 1 - len(self.keyring)) + [secret]
        return Rotation(epoch, commitment_to(genesis or self.devices.genesis, epoch, secret))

    def entry(self, kind: int, signer: Owner, prev: bytes | None = None, **body) -> Entry:
        return Entry(kind, len(self.rows), prev or self.devices.head, self.user_id, 0, signer.member.id, **body)

    def push(self, entry: Entry, signer: Owner, cosigner: Owner | None = None) -> None:
        signed = SignedEntry.sign(entry, signer.keys, cosigner and cosigner.keys)
        self.devices = self.devices.accept(signed)
        self.rows.append(signed.row())

    def add(self, device: Owner) -> None:
        self.push(self.entry(kinds.ADD, self.laptop, device=device.member), self.laptop, device)

    def remove(self, member_id: str) -> None:
        entry = self.entry(kinds.REMOVE, self.laptop, removed=(member_id,), rotation=self.rotation())
        self.push(entry, self.laptop)


def every_kind(reader: Owner) -> Scene:
    """Genesis, two additions, a removal, a new recovery key, and a recovery that cuts off a thief's addition."""
    scene = Scene()
    scene.add(reader)
    scene.add(Owner("lost"))
    scene.remove("lost")
    paper = Owner.paper("new paper")
    rotation = scene.rotation()
    entry = scene.entry(kinds.NEW_RECOVERY_KEY, scene.recovery, recovery=paper.member, rotation=rotation)
    scene.push(entry, scene.recovery, paper)
    before, new = scene.devices.head, Owner("new laptop")
    scene.add(Owner("thief"))
    body = {"removed": ("laptop",), "device": new.member, "rotation": scene.rotation()}
    scene.push(scene.entry(kinds.RECOVER, paper, before, **body), paper, new)
    return scene


def write() -> None:
    task = receive()
    session_id, contents = task["session_id"], task["contents"]
    scene = every_kind(Owner.given(task["reader"]))
    secret, messages = new_secret(), []
    for index, content in enumerate(contents):
        epoch = 1 + index * scene.devices.epoch // len(contents)
        key = epoch_message_key(parse_secret(secret), session_id, epoch, scene.keyring[epoch - 1])
        sealed = seal_message_v2(key, session_id, index, content, Form("padme", True) if index % 2 else Form())
        messages.append({"sequence_number": str(index)} | sealed)
    written = {
        "user_id": scene.user_id,
        "genesis": to_base64(scene.devices.genesis),
        "rows": scene.rows,
        "keyring": seal_keyring(scene.keyring, scene.devices, task["reader"]["id"]),
        "session_id": session_id,
        "session_secret": secret,
        "messages": messages,
        "list": described(scene.devices),
    }
    send(written)


def read() -> None:
    for line in sys.stdin:
        try:
            send(opened(json.loads(line)))
        except LeviError as error:
            send({"refused": error.code})


def opened(given: dict) -> dict:
    devices = read_list(given["user_id"], from_base64(given["genesis"]), given["rows"])
    reader, session_id = Owner.given(given["reader"]), given["session_id"]
    keyring = open_keyring(given["keyring"], devices, reader.member.id, reader.keys)
    found = []
    for row in given["messages"]:
        epoch, _ = parse_nonce(row["content_nonce"])
        key = epoch_message_key(parse_secret(given["session_secret"]), session_id, epoch, keyring[epoch - 1])
        found.append(open_message_v2(key, session_id, int(row["sequence_number"]), row))
    contents, late = [opened.content for opened in found], [opened.is_late for opened in found]
    return {"contents": contents, "late": late, "list": described(devices)}


def invite() -> None:
    scene = Scene()
    scene.add(Owner("old phone"))
    scene.remove("old phone")
    code = new_pairing_code()
    keys = pairing_keys(scene.user_id, parse_pairing_code(code))
    send({"user_id": scene.user_id, "code": code, "id": keys.row_id})

    member, fresh = open_request(keys, scene.user_id, receive()["request"])
    entry = scene.entry(kinds.ADD, scene.laptop, device=member)
    answer = seal_answer(keys, scene.user_id, fresh, scene.devices, entry)
    send({"answer": answer, "rows": scene.rows, "fingerprint": member.fingerprint()})

    row = SignedEntry.sign(entry, scene.laptop.keys).row() | {"cosignature": receive()["cosignature"]}
    devices = scene.devices.accept(SignedEntry.from_row(row))
    keyring = seal_keyring(scene.keyring, devices, member.id)
    secret = to_base64(scene.keyring[-1])
    send({"rows": [*scene.rows, row], "keyring": keyring, "secret": secret, "list": described(devices)})


def join() -> None:
    task = receive()
    device, user_id = Owner.given(task["device"]), task["user_id"]
    joining = Join(user_id, task["code"], device.member)
    send({"id": joining.row_id, "request": joining.request(), "fingerprint": device.member.fingerprint()})

    answered = receive()
    answer = joining.open_answer(answered["answer"])
    send({"cosignature": joining.cosign(answer, answered["rows"], device.keys)})

    added = receive()
    devices = joining.finish(answer, added["rows"])
    keyring = open_keyring(added["keyring"], devices, device.member.id, device.keys)
    send({"secret": to_base64(keyring[-1]), "list": described(devices)})


if __name__ == "__main__":
    {"write": write, "read": read, "invite": invite, "join": join}[sys.argv[1]]()
