"""Prints a session that another device wrote: one JSON line per message, in order.

    python read.py SESSION_ID > session.ndjson

Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD, and this device: LEVI_DEVICE_FILE as
clients/javascript/examples/pair.mjs printed it, or without a device list LEVI_DEVICE_ID and LEVI_DEVICE_PRIVATE_KEY
(X25519, base64).
Exit codes: 0 all read, 1 nothing could be read, 2 some rows could not be opened (each named on stderr).
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from account import Account
from device import ListedDevice, TableDevice
from levi.envelope import Ids, open_envelope
from levi.epoch_order import EpochOrder
from levi.errors import LeviError
from levi.message import open_message
from levi.message_v2 import epoch_message_key, is_version_2, open_message_v2, parse_nonce
from levi.session_secret import parse_secret

PAGE = 500
Device = ListedDevice | TableDevice


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise RuntimeError("usage: python read.py SESSION_ID")
    account = Account()
    file = os.environ.get("LEVI_DEVICE_FILE")
    device = ListedDevice(account, Path(file)) if file else TableDevice(account)
    session = account.one("agent_coding_sessions", select="id,device_id", id=f"eq.{arguments[0]}")
    if session is None:
        raise RuntimeError("this user has no session with that id")
    key = session_key(account, device, session)
    exit_code, order = 0, EpochOrder(device.is_epoch)
    for row in messages(account, session["id"]):
        try:
            content = opened(device, key, session["id"], row, order)
        except LeviError as error:  # one bad row must not hide the others
            print(f"read: message {row['sequence_number']} could not be opened: {error.code}", file=sys.stderr)
            exit_code = 2
            continue
        line = {"sequence_number": row["sequence_number"], "content": content}
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.buffer.write(text.encode("utf-8") + b"\n")
    return exit_code


def opened(device: Device, key: bytes, session_id: str, row: dict, order: EpochOrder) -> str:
    number = row["sequence_number"]
    epoch = parse_nonce(row["content_nonce"])[0] if is_version_2(row["content_nonce"]) else 0
    if device.has_list:
        order.check(epoch, number)
    if epoch == 0:
        return open_message(key, session_id, number, row)
    epoch_key = epoch_message_key(key, session_id, epoch, device.epoch_secret(epoch))
    message = open_message_v2(epoch_key, session_id, number, row)
    if not message.is_late:
        order.note(epoch, number)
    return message.content


def session_key(account: Account, device: Device, session: dict) -> bytes:
    envelope = account.one(
        "agent_coding_session_secrets",
        select="ephemeral_public_key,encrypted_secret,sender_device_id",
        session_id=f"eq.{session['id']}",
        device_id=f"eq.{device.id}",
    )
    if envelope is None:
        raise RuntimeError("this device has no envelope for the session; share the session with it first")
    # Either the device in the row or the session's device may have sealed it: a row that another device wrote first
    # keeps that device when the session's device writes it again without one.
    senders = dict.fromkeys((envelope["sender_device_id"] or session["device_id"], session["device_id"]))
    failure: LeviError | None = None
    for sender_id in senders:
        ids = Ids(account.user_id, session["id"], sender_id, device.id)
        try:
            return parse_secret(open_envelope(envelope, ids, device.sender_key(sender_id), device.private_key))
        except LeviError as error:  # the first error is the more useful one
            failure = failure or error
    raise failure or RuntimeError("the session has no device")


def messages(account: Account, session_id: str) -> Iterator[dict]:
    """Pages by cursor, not by offset, so that rows that arrive meanwhile shift nothing."""
    last = -1
    while page := account.select(
        "agent_coding_session_messages",
        select="sequence_number,content_encrypted,content_nonce",
        session_id=f"eq.{session_id}",
        sequence_number=f"gt.{last}",
        order="sequence_number",
        limit=str(PAGE),
    ):
        yield from page
        # The server may return fewer rows than requested, so only an empty page is the end.
        last = page[-1]["sequence_number"]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Exception as error:
        print(f"read: {error or type(error).__name__}", file=sys.stderr)
        sys.exit(1)
