"""A reader with a device list refuses messages of version 1 after those of version 2, and those of an older epoch after
those of a newer one: else a removed device could go on writing behind newer rows."""

from .errors import check


class EpochOrder:
    """What was read of one session: by epoch the lowest sequence number. Version 1 is epoch 0."""

    def __init__(self) -> None:
        self._lowest: dict[int, int] = {}

    def check(self, epoch: int, number: int) -> None:
        """Refuses as `stale-epoch` where a message before this one has a newer epoch."""
        newer = any(other > epoch and lowest < number for other, lowest in self._lowest.items())
        check(not newer, "stale-epoch", "an earlier message of the session has a newer epoch")

    def note(self, epoch: int, number: int) -> None:
        """A message that was opened."""
        self._lowest[epoch] = min(number, self._lowest.get(epoch, number))
