"""What is heard of several channels: their mean, or one of them if they cancel in it."""

import numpy as np

MIXED = -1
"""In the place of a channel: the mean of all."""

_CANCELS = 0.1  # of the power that independent channels would keep in their mean


def heard(block: np.ndarray, channel: int) -> np.ndarray:
    """Returns one channel of [T, channels], or their mean: [T]."""
    if block.shape[1] == 1:
        return block[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # what is infinite stays so
        return block.mean(axis=1) if channel == MIXED else block[:, channel]


class Balance:
    """Adds up the power of channels and of their mean, to say which is to be heard."""

    def __init__(self) -> None:
        """Has heard nothing yet."""
        self._count, self._sums, self._squares = 0, np.zeros(1), np.zeros(1)

    def add(self, block: np.ndarray) -> None:
        """Hears so much more, [T, channels]."""
        wide = np.column_stack([block, block.mean(axis=1)]).astype(np.float64)
        self._count += len(wide)
        self._sums, self._squares = self._sums + wide.sum(axis=0), self._squares + np.square(wide).sum(axis=0)

    def channel(self) -> int:
        """Returns `MIXED`, or the channel of the greatest power if the channels cancel in their mean."""
        count = max(1, self._count)
        *powers, mixed = (self._squares / count - np.square(self._sums / count)).tolist()
        if not powers:
            return MIXED
        # The mean of n independent channels keeps 1 / n^2 of the sum of their powers.
        return int(np.argmax(powers)) if mixed < _CANCELS * sum(powers) / len(powers) ** 2 else MIXED
