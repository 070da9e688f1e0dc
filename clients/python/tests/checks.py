"""What to do with each case of docs/vectors, by file. A check raises a LeviError with the word that the case expects, or
Wrong where something else comes out than the case says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from levi.device_list import DeviceList
from levi.encoding import Reader, from_base64, lp, to_base64
from levi.entry import SignedEntry
from levi.envelope import Ids, device_key_of, open_envelope, parse_device_key, seal_envelope
from levi.errors import LeviError, check
from levi.keyring import open_keyring
from levi.keys import MemberKeys
from levi.member import Member
from levi.message import open_message, seal_message
from levi.message_v2 import Form, Opened, epoch_message_key, open_message_v2, parse_nonce, seal_message_v2
from levi.pairing import Join, open_request
from levi.pairing_code import pairing_keys, parse_pairing_code
from levi.primitives import NONCE_BYTES, TAG_BYTES, ed25519_sign, open_sealed
from levi.read_list import extend_list, read_list
from levi.recovery_key import format_recovery_key, parse_recovery_key, recovery_keys
from levi.session_secret import format_secret, parse_secret


class Wrong(Exception):
    """Something else came out than the case says."""


def same(found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{found!r} instead of {expected!r}")


def message(v: dict) -> None:
    key, number = parse_secret(v["session_secret"]), int(v["sequence_number"])
    content = open_message(key, v["session_id"], number, v)
    same(content, v.get("content"))
    sealed = seal_message(key, v["session_id"], number, content, from_base64(v["content_nonce"]))
    same(sealed["content_encrypted"], v["content_encrypted"])


def message_v2(v: dict) -> None:
    epoch, nonce = parse_nonce(v["content_nonce"])
    key = epoch_message_key(parse_secret(v["session_secret"]), v["session_id"], epoch, from_base64(v["epoch_secret"]))
    number = int(v["sequence_number"])
    opened = open_message_v2(key, v["session_id"], number, v)
    same(opened, Opened(v.get("content"), v.get("order") == "late"))
    if "padding" in v:
        form = Form(v["padding"], opened.is_late)
        sealed = seal_message_v2(key, v["session_id"], number, opened.content, form, nonce)
        same(sealed, {name: v[name] for name in ("content_encrypted", "content_nonce")})


def session_secret(v: dict) -> None:
    key = parse_secret(v["text"])
    same(to_base64(key), v.get("key"))
    same(format_secret(key), v["text"])


def envelope(v: dict) -> None:
    ids = Ids(v["user_id"], v["session_id"], v["sender_device_id"], v["recipient_device_id"])
    secret = open_envelope(v, ids, v["sender_public_key"], v["recipient_private_key"])
    same(secret, v.get("session_secret"))


def device_key(v: dict) -> None:
    same(to_base64(parse_device_key(v["public_key"])), v["public_key"])
    seal_envelope("sess_", Ids("", "", "", ""), to_base64(bytes([7]) * 32), v["public_key"])
    if "private_key" in v:
        same(device_key_of(v["private_key"]), v["public_key"])


def at_rest(v: dict) -> None:
    """Never leaves the device that wrote it, so the package has no function for it."""
    wrapped = from_base64(v["wrapped"])
    check(len(wrapped) >= NONCE_BYTES + TAG_BYTES, "truncated", "shorter than nonce and tag")
    place = b"levi/at-rest/v1" + lp(v["table"]) + lp(v["row_key"]) + lp(v["column"])
    opened = open_sealed(from_base64(v["database_key"]), wrapped[:NONCE_BYTES], place, wrapped[NONCE_BYTES:])
    same(to_base64(opened), v.get("plain"))


def device_list(v: dict) -> None:
    genesis = from_base64(v["genesis"])
    if "pinned" in v:
        devices = extend_list(read_list(v["user_id"], genesis, v["pinned"]), v["rows"])
    else:
        devices = read_list(v["user_id"], genesis, v["rows"])
    same(described(devices), v.get("list"))
    if "skipped" in v:
        same(why_skipped(devices, v["rows"][-1]), v["skipped"])
    # What was accepted is read again as it was stored, which is what a device does at its start.
    stored = [link.row() for link in devices.chain]
    same(described(read_list(v["user_id"], genesis, stored)), v.get("list"))


def described(devices: DeviceList) -> dict:
    return {
        "head": to_base64(devices.head),
        "slot": devices.slot,
        "epoch": devices.epoch,
        "commitments": [
            {"epoch": rotation.epoch, "commitment": to_base64(rotation.commitment)} for rotation in devices.rotations
        ],
        "verify": devices.verify_code(),
        "members": [
            {
                "id": known.member.id,
                "member_type": known.member.type,
                "name": known.member.name,
                "fingerprint": known.member.fingerprint(),
                "active": known.removed is None,
            }
            for known in devices.members
        ],
    }


def why_skipped(devices: DeviceList, row: dict) -> str:
    try:
        devices.accept(SignedEntry.from_row(row))
    except LeviError as error:
        return error.code
    return "accepted"


def keyring(v: dict) -> None:
    devices = read_list(v["user_id"], from_base64(v["genesis"]), v["rows"])
    same(described(devices), v["list"])
    keys = MemberKeys(signing=b"", envelope=b"", keyring=from_base64(v["recipient_seed"]))
    opened = open_keyring(v, devices, v["recipient_id"], keys)
    same([secret and to_base64(secret) for secret in opened], v.get("secrets"))


def pairing(v: dict) -> None:
    with named("code"):
        keys = pairing_keys(v["user_id"], parse_pairing_code(v["code"]))
    messages = v["messages"]
    with named("request"):
        member, fresh = open_request(keys, v["user_id"], messages["request"])
    same(keys.row_id, messages["id"])
    same(to_base64(member.encode()), messages["member"])
    same(to_base64(fresh), messages["fresh"])
    with named("answer"):
        own = Member.read(Reader(from_base64(messages["member"])))
        answer = Join(v["user_id"], v["code"], own, fresh).open_answer(messages["answer"])
    same((to_base64(answer.genesis), to_base64(answer.head)), (messages["genesis"], messages["head"]))
    same((answer.slot, to_base64(answer.entry)), (messages["slot"], messages["entry"]))
    cosignature = ed25519_sign(from_base64(messages["ed25519_seed"]), answer.entry)
    same(to_base64(cosignature), messages["cosignature"])


@contextmanager
def named(what: str) -> Iterator[None]:
    """The words of pairing.json also say which of the three was refused."""
    try:
        yield
    except LeviError as error:
        raise LeviError(f"{what}-{error.code}", str(error)) from None


def recovery_key(v: dict) -> None:
    key = parse_recovery_key(v["text"])
    seeds = recovery_keys(key)
    public = seeds.public_keys()
    found = {
        "key": key,
        "ed25519_seed": seeds.signing,
        "x25519_private_key": seeds.envelope,
        "xwing_seed": seeds.keyring,
        "ed25519_public_key": public.signing,
        "x25519_public_key": public.envelope,
        "xwing_public_key": public.keyring,
    }
    same({name: to_base64(value) for name, value in found.items()}, v.get("keys"))
    same(parse_recovery_key(format_recovery_key(key)), key)


@dataclass(frozen=True)
class File:
    """`accepted` is the word of the cases that must pass, and `inputs` are the fields of such a case of which every
    change must be noticed; with `rows` also those of the rows that the list is made of."""

    accepted: str
    check: Callable[[dict], None]
    inputs: tuple[str, ...]
    rows: bool = False


FILES = {
    "message.json": File(
        "opens", message, ("session_secret", "session_id", "content_encrypted", "content_nonce")
    ),
    "message-v2.json": File(
        "opens", message_v2, ("session_secret", "session_id", "epoch_secret", "content_encrypted", "content_nonce")
    ),
    "session-secret.json": File("parses", session_secret, ("text",)),
    "envelope.json": File(
        "opens",
        envelope,
        ("user_id", "session_id", "sender_device_id", "recipient_device_id", "sender_public_key")
        + ("recipient_private_key", "ephemeral_public_key", "encrypted_secret"),
    ),
    "device-key.json": File("accepted", device_key, ()),
    "at-rest.json": File("opens", at_rest, ("database_key", "table", "row_key", "column", "wrapped")),
    "device-list.json": File("reads", device_list, ("user_id", "genesis"), rows=True),
    "keyring.json": File(
        "opens", keyring, ("user_id", "genesis", "recipient_id", "recipient_seed", "enc", "sealed"), rows=True
    ),
    "pairing.json": File("pairs", pairing, ("user_id", "code", "messages.request", "messages.answer")),
    "recovery-key.json": File("parses", recovery_key, ("text",)),
}


def rows_of_the_list(v: dict) -> list[int]:
    """The rows of the list that the case ends with. A change of any other row is no change of the list."""
    chain = [link.row() for link in read_list(v["user_id"], from_base64(v["genesis"]), v["rows"]).chain]
    return [at for at, row in enumerate(v["rows"]) if row in chain]
