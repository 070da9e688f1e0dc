"""What Levi refuses, and why."""


class LeviError(Exception):
    """`code` is a word of docs/vectors, such as "forged", for programs; the text is for people. Neither holds a secret."""

    def __init__(self, code: str, message: str, group: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.group = group  # the number of the group that is mistyped, from 1


def check(holds: object, code: str, message: str, group: int | None = None) -> None:
    """Raises a LeviError unless `holds`."""
    if not holds:
        raise LeviError(code, message, group)
