"""What processes tell each other, tried by one of several: `python -m tests.shares HOST:PORT COUNT INDEX`."""

import sys
import time
from collections.abc import Callable

import numpy as np

from jaxtriplet import parallel
from jaxtriplet.parallel import shares


def refused(work: Callable[[], object]) -> str:
    """Returns with which words all processes refuse something."""
    try:
        work()
    except (ValueError, OSError) as error:
        return str(error) if shares.SHARED in error.__notes__ else f"not known to all: {error}"
    raise AssertionError("it was not refused")


def work(processes: shares.Processes, failing: int | None) -> list[tuple[int, int]]:
    """Does a task more in each process than in the one before; one of them may fail at its first."""
    seen: list[tuple[int, int]] = []
    with processes.rounds(lambda done, total: seen.append((done, total))) as show:
        for done in range(1, processes.index + 3):
            time.sleep(0.1)
            if processes.index == failing:
                raise OSError("a disk is full")
            show(done, processes.index + 2)
    return seen


def main(coordinator: str, count: str, index: str) -> None:
    """Tries all, as one process."""
    shares.ROUND, shares._MOST = 0.15, 1 << 10
    parallel.initialize(coordinator, int(count), int(index))
    these = shares.here()
    assert (these.count, these.index) == (int(count), int(index))
    first = these.index == 0

    for size in (0, 1, 700, 5_000):  # the longest one in several blocks
        data = [np.random.default_rng(one).bytes(size * one) for one in range(these.count)]
        assert these.gather(data[these.index]) == data
    owners = these.share(np.arange(7))
    assert these.gather(owners.tobytes()) == [owners.tobytes()] * these.count
    assert np.ptp(np.bincount(owners, weights=np.arange(7))) <= 6  # nobody has more than one task's worth above others

    assert these.agree(lambda: these.index) == these.index
    assert these.by_first(lambda: "done") == ("done" if first else None)
    these.require_alike(("same", 1), "these")
    words = refused(lambda: these.require_alike(min(these.index, 1), "the numbers"))
    assert words == "the numbers are not the same in process 0 and process 1", words

    def one_fails() -> None:
        if not first:
            raise ValueError("no such folder")

    words = refused(lambda: these.agree(one_fails))
    assert words == ("process 1 cannot go on, and says why" if first else "no such folder"), words
    words = refused(lambda: work(these, failing=1))
    assert words == ("process 1 cannot go on, and says why" if first else "a disk is full"), words
    seen = work(these, failing=None)
    assert seen[-1] == (5, 5), seen
    assert [*seen] == sorted(seen, key=lambda one: one[0]), seen
    print("told")


if __name__ == "__main__":
    main(*sys.argv[1:])
