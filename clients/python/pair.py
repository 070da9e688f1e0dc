"""Adds a device to the user's signed list, with the code that `levi pair` shows on another one.

    python pair.py CODE NAME > device.json       then LEVI_DEVICE_FILE=device.json python read.py SESSION_ID

CODE may be `-`: it is then read from standard input, after the fingerprint was shown.

Environment: SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, LEVI_EMAIL, LEVI_PASSWORD. The file that it prints holds the
device's private keys.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

from account import Account
from device import list_rows
from levi.encoding import to_base64
from levi.errors import LeviError, check
from levi.keys import MemberKeys
from levi.member import DEVICE, Member, check_name
from levi.pairing import Answer, Join

T = TypeVar("T")

POLL_SECONDS = 1
# As long as a code is valid.
LONGEST_SECONDS = 600


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        raise RuntimeError("usage: python pair.py CODE NAME > device.json")
    typed, name = arguments
    check_name(name)
    account, keys = Account(), MemberKeys.new()
    member = Member(str(uuid.uuid4()), DEVICE, name, keys.public_keys())
    print(f"Compare on the other device: {name}, {member.fingerprint()}", file=sys.stderr, flush=True)
    join = Join(account.user_id, sys.stdin.readline().strip() if typed == "-" else typed, member)
    register(account, member)
    answer, rows = pair(account, join, keys)
    private = {name: to_base64(getattr(keys, name)) for name in ("signing", "envelope", "keyring")}
    pin = {"genesis": to_base64(answer.genesis), "rows": rows}
    print(json.dumps({"device": {"id": member.id, "keys": private}, "pin": pin}))
    return 0


def register(account: Account, member: Member) -> None:
    """The row of `devices`, by which envelopes are found."""
    row = {"id": member.id, "user_id": account.user_id, "name": member.name, "device_type": "desktop"}
    key = {"public_key": to_base64(member.keys.envelope), "is_active": True}
    account.upsert("devices", "id", [row | key])


def pair(account: Account, join: Join, keys: MemberKeys) -> tuple[Answer, list[dict]]:
    """Asks, and cosigns the entry that the other device would add. Returns its answer, and the list with this device."""
    request = {"user_id": account.user_id, "id": join.row_id, "request": join.request()}
    account.upsert("levi_pairings", "user_id,id", [request])
    answer = join.open_answer(until(lambda: answer_of(account, join)))
    cosignature = join.cosign(answer, list_rows(account), keys)
    account.upsert("levi_pairings", "user_id,id", [request | {"cosignature": cosignature}])
    return answer, until(lambda: rows_with(join, answer, list_rows(account)))


def answer_of(account: Account, join: Join) -> str | None:
    row = account.one("levi_pairings", select="answer", id=f"eq.{join.row_id}")
    check(row, "refused", "the other device did not add this one; show a new code")
    return row["answer"]


def rows_with(join: Join, answer: Answer, rows: list[dict]) -> list[dict] | None:
    """The rows, once this device is on the list that they make."""
    try:
        join.finish(answer, rows)
    except LeviError as error:
        if error.code == "not-added":
            return None
        raise
    return rows


def until(ask: Callable[[], T | None]) -> T:
    """Asks again and again, as long as a code is valid."""
    for _ in range(0, LONGEST_SECONDS, POLL_SECONDS):
        if found := ask():
            return found
        time.sleep(POLL_SECONDS)
    raise LeviError("expired", "the pairing code has expired; show a new one")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LeviError, RuntimeError, OSError) as error:
        print(f"pair: {error}", file=sys.stderr)
        sys.exit(1)
