"""Writes a session as a device of its own: reads {"sequence_number"?, "content"} lines, seals, upserts.

    python write.py SESSION_ID REPOSITORY_ID < session.ndjson

Environment as for read.py. The device, the repository and the session are registered if they are not there yet,
and every active device of the user gets an envelope. Prints one JSON line with what was written.
"""

import json
import sys
from collections.abc import Iterable

from account import Account, setting
from levi.envelope import Ids, device_key_of, seal_envelope
from levi.message import seal_message
from levi.session_secret import new_secret, parse_secret

BATCH = 50


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise RuntimeError("usage: python write.py SESSION_ID REPOSITORY_ID < session.ndjson")
    # PostgreSQL returns ids in lower case, and the id is part of what is sealed.
    session_id, repository_id = (argument.lower() for argument in arguments)
    account = Account()
    device_id = setting("LEVI_DEVICE_ID").lower()
    register(account, device_id, repository_id, session_id)
    secret = new_secret()
    devices = distribute(account, secret, device_id, session_id)
    messages = send(account, parse_secret(secret), session_id, sys.stdin.buffer)
    print(json.dumps({"session_id": session_id, "devices": devices, "messages": messages}))


def register(account: Account, device_id: str, repository_id: str, session_id: str) -> None:
    """Parents before children, because the foreign keys and the policies require them."""
    device = {"name": "Python example", "device_type": "desktop", "is_active": True}
    key = {"public_key": device_key_of(setting("LEVI_DEVICE_PRIVATE_KEY"))}
    account.upsert("devices", "id", [{"id": device_id, "user_id": account.user_id} | device | key])
    ours = {"user_id": account.user_id, "device_id": device_id, "status": "active", "is_worktree": False}
    folder = {"name": "example", "local_path": f"/example/{repository_id}"}
    account.upsert("repositories", "id", [{"id": repository_id} | ours | folder])
    account.upsert("agent_coding_sessions", "id", [{"id": session_id, "repository_id": repository_id} | ours])


def distribute(account: Account, secret: str, device_id: str, session_id: str) -> int:
    devices = account.select(
        "devices",
        select="id,public_key",
        user_id=f"eq.{account.user_id}",
        is_active="eq.true",
        public_key="not.is.null",
    )
    envelopes = []
    for device in devices:
        ids = Ids(account.user_id, session_id, device_id, device["id"])
        sealed = seal_envelope(secret, ids, setting("LEVI_DEVICE_PRIVATE_KEY"), device["public_key"])
        # This device owns the session. An explicit null overwrites the sender in an existing row.
        row = {"session_id": session_id, "device_id": device["id"], "sender_device_id": None}
        envelopes.append(row | sealed)
    account.upsert("agent_coding_session_secrets", "session_id,device_id", envelopes)
    return len(devices)


def send(account: Account, key: bytes, session_id: str, lines: Iterable[bytes]) -> int:
    number, written, batch = 0, 0, []

    def flush() -> None:
        nonlocal written, batch
        if batch:
            account.upsert("agent_coding_session_messages", "session_id,sequence_number", batch)
        written, batch = written + len(batch), []

    for line in filter(bytes.strip, lines):
        message = json.loads(line)
        number = message.get("sequence_number", number)
        sealed = seal_message(key, session_id, number, message["content"])
        batch.append({"session_id": session_id, "sequence_number": number} | sealed)
        number += 1
        if len(batch) == BATCH:
            flush()
    flush()
    return written


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        print(f"write: {error or type(error).__name__}", file=sys.stderr)
        sys.exit(1)
