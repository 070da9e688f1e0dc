"""Checks the package against docs/vectors: every case has the outcome that it names, and no case that passes does so
after a change of one byte.

    python -m tests.vectors [DIRECTORY]
"""

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from levi.encoding import from_base64, to_base64
from levi.errors import LeviError

from .checks import FILES, File, Wrong, rows_of_the_list

TEXT = {"text", "code", "session_secret", "table", "row_key", "column"}


def judge(file: File, vector: dict) -> str | None:
    """What is wrong, if anything."""
    error = outcome(file, vector)
    if vector["expected"] != file.accepted:
        found = (error.code, error.group) if isinstance(error, LeviError) else repr(error)
        expected = (vector["expected"], vector["group"] if "group" in vector else getattr(error, "group", None))
        return None if found == expected else f"{found} instead of {expected}"
    if error is not None:
        return f"must pass, but {error!r}"
    paths = [name.split(".") for name in file.inputs]
    if file.rows:
        paths += [["rows", at, column] for at in rows_of_the_list(vector) for column in signed_columns(vector["rows"][at])]
    for path in paths:
        for changed in changes(vector, path):
            # A bug in the package does not count as a refusal.
            if not isinstance(error := outcome(file, changed), (LeviError, Wrong)):
                return f"a change in {path} led to {error!r}"
    return None


def outcome(file: File, vector: dict) -> Exception | None:
    try:
        file.check(vector)
    except Exception as error:
        return error
    return None


def signed_columns(row: dict) -> list[str]:
    return [column for column in ("entry", "signature", "cosignature") if row[column] is not None]


def changes(vector: dict, path: list) -> Iterator[dict]:
    """The case with its field at `path` changed: the first, a middle and the last byte, or one character of text."""
    value = vector
    for key in path:
        value = value[key]
    is_text = path[-1].endswith("_id") or path[-1] in TEXT
    for changed in changed_text(value) if is_text else changed_bytes(value):
        changed_vector = copy.deepcopy(vector)
        parent = changed_vector
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = changed
        yield changed_vector


def changed_text(text: str) -> list[str]:
    """Another character of the alphabet that the text has, past any prefix."""
    at = max(len(text) - 8, 0)
    at += text[at : at + 1] == "-"
    return [text[:at] + ("3" if text[at : at + 1] == "2" else "2") + text[at + 1 :]]


def changed_bytes(value: str) -> Iterator[str]:
    prefix, encoded = re.fullmatch(r"(v2:\d+:)?(.*)", value).groups()
    data = from_base64(encoded)
    for at in (0, len(data) // 2, len(data) - 1):
        # Not a bit that X25519 ignores in a private key.
        changed = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        yield (prefix or "") + to_base64(changed)


def main(directory: Path) -> int:
    passed = failed = 0
    for path in sorted(directory.glob("*.json")):
        vectors = json.loads(path.read_text("utf-8"))["vectors"]
        for vector in vectors:
            problem = judge(FILES[path.name], vector)
            passed, failed = passed + (problem is None), failed + (problem is not None)
            if problem is not None:
                print(f"{path.name}: {vector['name']}: {problem}", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    sys.exit(main(arguments[0] if arguments else Path(__file__).resolve().parents[3] / "docs" / "vectors"))
