"""The largest batch that fits."""

import sys
from collections.abc import Callable

from jaxtriplet.tools.fits.compiler import Compiled

# The answer leaves at most so much of the memory unused, and the guess aims at the middle of that.
UNUSED = 0.05
# Memory is close to linear in the rows, but not so close that one could tell of any number.
GROWTH = 40
TRIES = 12

Probe = Callable[[int], Compiled]


def largest(probe: Probe, asked: int, found: Compiled, *, unit: int, memory: int) -> tuple[int, Compiled | None]:
    """Finds the largest batch that fits, by compiling few.

    A line through the peak memory of two batches tells about where the memory ends; that batch is compiled too, and
    with what is learned the line is drawn again, until a batch fits and leaves little unused.

    Args:
        probe: Compiles the program for a batch of so many rows.
        asked: The rows of the batch that is compiled already.
        found: What became of it.
        unit: Of which number of rows a batch is a multiple.
        memory: The bytes of a device that a program may use.

    Returns:
        The rows of the batch, 0 if none fits, and what the compiler says of it. It is compiled, and within some percent
        of the largest: with that much more memory unused, another guess would have been made.
    """
    known = {asked: found}
    for _ in range(TRIES):
        rows = _guess(known, unit, memory)
        if rows in (0, *known):
            break
        known[rows] = probe(rows)
    best = max((rows for rows in known if known[rows].fits), default=0)
    return best, known.get(best)


def _guess(known: dict[int, Compiled], unit: int, memory: int) -> int:
    """Returns the next batch to compile; one that is known, or 0, if there is none."""
    fitting = sorted(rows for rows in known if known[rows].fits)
    too_large = min((rows for rows in known if not known[rows].fits), default=sys.maxsize)
    if fitting and known[fitting[-1]].peak_bytes >= (1 - UNUSED) * memory:
        return fitting[-1]
    if not fitting:
        # What a refusal says is needed may not be all, so aim well below.
        rows = int(too_large * min(0.5, 0.5 * memory / known[too_large].peak_bytes))
    elif len(fitting) == 1:
        rows = fitting[0] // 2 if fitting[0] >= 2 * unit else 2 * fitting[0]
    else:
        rows = _along_line(known, fitting[-2], fitting[-1], memory)
    if rows >= too_large:
        between, middle = _along_line(known, fitting[-1], too_large, memory), (fitting[-1] + too_large) // 2
        rows = between if middle < between < too_large else middle
    # Finer than a percent, and a number that reads well.
    rows -= rows % (unit * 2 ** max(0, (rows // unit).bit_length() - 8))
    return max(rows, fitting[-1]) if len(fitting) > 1 else rows


def _along_line(known: dict[int, Compiled], first: int, second: int, memory: int) -> int:
    slope = (known[second].peak_bytes - known[first].peak_bytes) / (second - first)
    goal, most = (1 - UNUSED / 2) * memory, GROWTH * second
    return min(most, round(second + (goal - known[second].peak_bytes) / slope)) if slope > 0 else most
