"""A reader with a device list refuses messages of version 1 after those of version 2, and those of an older epoch after
those of a newer one: else a removed device could go on writing behind newer rows."""

from collections.abc import Callable

from .errors import check


class EpochOrder:
    """Where the epochs of one session begin: by epoch the lowest sequence number. Version 1 is epoch 0, and begins nothing;
    nor does a late message, because those with higher numbers may rightly be older, nor an epoch that is none of the
    list's, because a recovery has cut it off."""

    def __init__(self, is_epoch: Callable[[int], bool]) -> None:
        self._is_epoch = is_epoch
        self._lowest: dict[int, int] = {}

    def check(self, epoch: int, number: int) -> None:
        """Refuses as `stale-epoch` where a newer epoch begins before the message."""
        newer = any(other > epoch and lowest < number for other, lowest in self._lowest.items())
        check(not newer, "stale-epoch", "an earlier message of the session has a newer epoch")

    def note(self, epoch: int, number: int) -> None:
        """A message of version 2 that was opened and is not late."""
        if self._is_epoch(epoch):
            self._lowest[epoch] = min(number, self._lowest.get(epoch, number))
