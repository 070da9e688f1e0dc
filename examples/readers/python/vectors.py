"""Checks this reader against docs/vectors: every case, including those that must fail.

    python vectors.py [DIRECTORY]
"""

import json
import sys
from pathlib import Path

from nacl import bindings

import levi

GOOD = {"opens", "parses", "accepted"}


def ids(v: dict) -> levi.Ids:
    return levi.Ids(v["user_id"], v["session_id"], v["sender_device_id"], v["recipient_device_id"])


class Wrong(Exception):
    """Something else came out than the vector says."""


def same(found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{found!r} instead of {expected!r}")


def message(v: dict) -> None:
    key, number = levi.parse_secret(v["session_secret"]), int(v["sequence_number"])
    content = levi.open_message(key, v["session_id"], number, v)
    same(content, v.get("content"))
    nonce = levi.from_base64(v["content_nonce"])
    sealed = levi.seal_message(key, v["session_id"], number, content, nonce)
    same(sealed["content_encrypted"], v["content_encrypted"])


def session_secret(v: dict) -> None:
    key = levi.parse_secret(v["text"])
    same(levi.to_base64(key), v.get("key"))
    same(levi.format_secret(key), v["text"])


def envelope(v: dict) -> None:
    secret = levi.open_envelope(v, ids(v), v["sender_public_key"], v["recipient_private_key"])
    levi.parse_secret(secret)
    same(secret, v.get("session_secret"))


def device_key(v: dict) -> None:
    sender = levi.to_base64(bytes([7]) * 32)
    levi.seal_envelope("sess_", levi.Ids("", "", "", ""), sender, v["public_key"])
    if "private_key" in v:
        same(levi.public_key_of(v["private_key"]), v["public_key"])


def at_rest(v: dict) -> None:
    """Never leaves the device that wrote it, so levi.py has no function for it."""
    wrapped = levi.from_base64(v["wrapped"])
    place = b"levi/at-rest/v1" + levi.lp(v["table"]) + levi.lp(v["row_key"]) + levi.lp(v["column"])
    key = levi.from_base64(v["database_key"], 32)
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(wrapped[24:], place, wrapped[:24], key)
    same(levi.to_base64(opened), v.get("plain"))


CHECKS = {
    "message.json": message,
    "session-secret.json": session_secret,
    "envelope.json": envelope,
    "device-key.json": device_key,
    "at-rest.json": at_rest,
}


def judge(file: str, vector: dict) -> str | None:
    """What is wrong, if anything."""
    expected, error = vector["expected"], None
    try:
        CHECKS[file](vector)
    except Exception as caught:  # any refusal will do; which one it was is looked at below
        error = caught
    if expected in GOOD:
        return error and f'must be "{expected}", but {error!r}'
    if error is None:
        return f"must be refused ({expected})"
    # A wrong answer or a bug in this file does not count as a refusal.
    slip = isinstance(error, (Wrong, KeyError, NameError, AttributeError))
    return f"must be refused ({expected}), but {error!r}" if slip else None


# Version 2 and the signed device list, which these readers of version 1 know nothing of.
NOT_FOR_READERS = {"device-list.json", "keyring.json", "message-v2.json", "pairing.json", "recovery-key.json"}


def main(directory: Path) -> int:
    passed = failed = 0
    for path in sorted(directory.glob("*.json")):
        if path.name in NOT_FOR_READERS:
            continue
        for vector in json.loads(path.read_text("utf-8"))["vectors"]:
            problem = judge(path.name, vector)
            passed, failed = passed + (problem is None), failed + (problem is not None)
            if problem is not None:
                print(f"{path.name}: {vector['name']}: {problem}", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(arguments[0] if arguments else Path(__file__).resolve().parents[3] / "docs" / "vectors"))
