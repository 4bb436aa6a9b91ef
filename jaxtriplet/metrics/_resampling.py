"""Equal error rates of trials that are drawn anew, a thousand times, without going through all of them each time.

Weights of trials are whole numbers, whose sums float64 holds exactly: what is summed first makes no difference.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._inputs import is_nan

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

_LEAF = 2048  # trials that are few enough to be weighed one by one for every draw
_COUNTS = 1 << 22  # counts of speakers at once: 32 MiB
_NAMES = 1 << 16  # names at once, which are Python's


class _Ranking(NamedTuple):
    """Trials from the lowest score to the highest.

    Attributes:
        order: The trials, [T].
        starts: The place in `order` of the first trial of each distinct score, and T, [K + 1].
    """

    order: Integers
    starts: Integers

    def middle(self, start: int, stop: int) -> int:
        """Return the distinct score, from start + 1 to before stop, that best halves the trials from one to another."""
        half = (self.starts[start] + self.starts[stop]) // 2
        return min(max(int(np.searchsorted(self.starts, half)), start + 1), stop - 1)


def rank(scores: Floats) -> _Ranking:
    """Sort trials by their scores, equal ones joined."""
    order = np.argsort(scores)
    ranked = scores[order]
    return _Ranking(order, np.concatenate([[0], np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, [len(ranked)]]))


def crossing(shares: Floats) -> Floats:
    """Return where false rejections and false acceptances are equally frequent, on lines between operating points.

    Args:
        shares: Share of the targets and of the impostors below each operating point, [2, K, D]: at the first, fewer are
            rejected than accepted, and at the last not.

    Returns:
        The equal error rates, [D].
    """
    rejected, accepted = shares[0], 1.0 - shares[1]
    after = np.argmax(rejected >= accepted, axis=0)
    low, high = (np.stack([rejected, accepted])[:, place, np.arange(len(after))] for place in (after - 1, after))
    gap = low[1] - low[0]
    return low[1] + (high[1] - low[1]) * (gap / (gap + high[0] - high[1]))  # a whole step is exactly that


class _Trials(NamedTuple):
    """Trials by their scores, each a pair of speakers: what brings it as often as the product of their counts.

    Attributes:
        ranking: Where the distinct scores begin.
        rows: The first speaker of S, and S more for an impostor trial, [T] in the order of the scores.
        columns: The second speaker; the last one, who is there once, where there is no second, [T].
    """

    ranking: _Ranking
    rows: Integers
    columns: Integers

    def weights(self, start: int, stop: int, counts: Floats) -> Floats:
        """Return how many targets and impostors each draw has from a distinct score to before another, [2, D]."""
        part = slice(*self.ranking.starts[[start, stop]])
        size = len(counts)
        pairs = (self.rows[part], self.columns[part])
        table = sparse.coo_array((np.ones(len(pairs[0])), pairs), shape=(2 * size, size)).tocsr()
        return np.einsum("ksd,sd->kd", (table @ counts).reshape(2, *counts.shape), counts)

    def running(self, start: int, stop: int, counts: Floats) -> Floats:
        """Return `weights` from a distinct score to before each up to another, [2, stop - start + 1, D]."""
        places = self.ranking.starts[start : stop + 1]
        part, size, width = slice(places[0], places[-1]), len(counts), stop - start
        impostor, first = np.divmod(self.rows[part], size)
        rows = impostor * width + np.repeat(np.arange(width), np.diff(places))
        joined = sparse.coo_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(2 * width, len(rows)))
        weights = joined.tocsr() @ (counts[first] * counts[self.columns[part]])
        return np.pad(np.cumsum(weights.reshape(2, width, -1), axis=1), ((0, 0), (1, 0), (0, 0)))

    def rates(self, counts: Floats, totals: Floats) -> Floats:
        """Return the equal error rate of each draw, by halving the scores where it must lie.

        Args:
            counts: How often each speaker is drawn, and 1 for the one who stands for none, [S + 1, D].
            totals: How many targets and impostors there are, [2, D].

        Returns:
            The rates, [D].
        """
        rates = np.empty(counts.shape[1])
        # From a distinct score to before another: the draws whose rate is there, and what they have below either end.
        ranges = [(0, len(self.ranking.starts) - 1, np.arange(len(rates)), np.zeros_like(totals), totals)]
        while ranges:
            start, stop, draws, below, until = ranges.pop()
            own, all_of = counts[:, draws], totals[:, draws]
            if stop - start == 1:
                rates[draws] = crossing(np.stack([below, until], axis=1) / all_of[:, None])
            elif np.diff(self.ranking.starts[[start, stop]]) <= _LEAF:
                points = below[:, None] + self.running(start, stop, own)
                rates[draws] = crossing(points / all_of[:, None])
            else:
                middle = self.ranking.middle(start, stop)
                halfway = below + self.weights(start, middle, own)
                rejected, impostors = halfway / all_of
                lower = rejected >= 1.0 - impostors
                ranges += [
                    (*part, draws[of], low[:, of], high[:, of])
                    for part, of, low, high in (
                        ((start, middle), lower, below, halfway),
                        ((middle, stop), ~lower, halfway, until),
                    )
                    if of.any()
                ]
        return rates


def numbered(names: NDArray[np.generic]) -> tuple[int, NDArray[np.int32]]:
    """How many different names there are, and each one's place among these when they are sorted."""
    flat, places, known = names.reshape(-1), np.empty(names.size, np.int32), dict[object, int]()
    for start in range(0, len(flat), _NAMES):  # all at once, millions of strings would fill the memory
        part = flat[start : start + _NAMES].tolist()
        places[start : start + _NAMES] = [known.setdefault(name, len(known)) for name in part]
    if unnamed := sum(map(is_nan, known)):
        raise ValueError(f"{unnamed} of the speakers are NaN, which names nobody")
    ranks = np.empty(len(known), np.int32)
    ranks[[known[name] for name in sorted(known, key=lambda name: (str(type(name)), name))]] = np.arange(len(known))
    return len(known), ranks[places].reshape(names.shape)


def by_speaker(
    scored: Sequence[Floats], same: NDArray[np.bool_], size: int, sides: NDArray[np.int32], draws: int, seed: int
) -> Floats:
    """Draw speakers with replacement, and return the equal error rates of the trials that they bring.

    Args:
        scored: One or several score vectors of the same trials, [T] each, which are drawn alike.
        same: Truth, [T].
        size: Number of speakers.
        sides: The speaker of either side, from 0, [T, 2].
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        A row for each score vector, [V, draws].
    """
    rows = sides[:, 0] + np.where(same, 0, size + 1).astype(np.int32)
    columns = np.where(sides[:, 0] == sides[:, 1], size, sides[:, 1]).astype(np.int32)
    ranked = [_Trials(one, rows[one.order], columns[one.order]) for one in map(rank, scored)]
    rng, found = np.random.default_rng(seed), [np.empty((len(scored), 0))]
    while draws:
        counts = np.ones((size + 1, min(draws, max(1, _COUNTS // size))))
        for column in counts.T:
            column[:-1] = np.bincount(rng.integers(size, size=size), minlength=size)
        totals = ranked[0].weights(0, len(ranked[0].ranking.starts) - 1, counts)
        whole = totals.all(axis=0)  # the others lack targets or impostors
        found.append(np.stack([one.rates(counts[:, whole], totals[:, whole]) for one in ranked]))
        draws -= int(whole.sum())
    return np.concatenate(found, axis=1)


class _Chunks(NamedTuple):
    """Trials in chunks of much the same size, between scores of one vector.

    Attributes:
        steps: Which of the distinct scores each trial has, [T].
        chunks: In which chunk it is, [T].
        cuts: The distinct scores where chunks begin, and the end, [C + 1].
    """

    steps: Integers
    chunks: Integers
    cuts: Integers

    def only(self, chunk: int) -> bool:
        """Whether a chunk holds one score alone."""
        return bool(self.cuts[chunk + 1] - self.cuts[chunk] == 1)


def _chunked(scores: Floats, number: int) -> _Chunks:
    order, starts = rank(scores)
    steps = np.empty_like(order)
    steps[order] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    cuts = np.unique(np.searchsorted(starts, np.linspace(0, len(scores), number + 1)))
    return _Chunks(steps, np.searchsorted(cuts, steps, side="right") - 1, cuts)


def by_trial(scored: Sequence[Floats], same: NDArray[np.bool_], draws: int, seed: int) -> Floats:
    """Draw trials with replacement, and return the equal error rates of those drawn; arguments as of `by_speaker`.

    As many trials as there are fall on cells (targets or impostors, in one chunk of each score vector) and, in cells
    where a rate may lie, on the trials of these: which together is a draw of trials, though most are never looked at.
    """
    # About as many cells as trials in a chunk.
    number = round(len(same) ** (1 / (1 + len(scored))))
    rates = _drawn([_chunked(one, number) for one in scored], same, np.random.default_rng(seed))
    return np.stack(list(islice(rates, draws)), axis=1)


def _drawn(vectors: Sequence[_Chunks], same: NDArray[np.bool_], rng: np.random.Generator) -> Iterator[list[float]]:
    kind = (~same).astype(np.intp)
    keys = [kind, *(one.chunks for one in vectors)]
    members = np.lexsort(keys)
    keys = [one[members] for one in keys]
    firsts = np.append(0, np.flatnonzero(np.any([np.diff(one) for one in keys], axis=0)) + 1)
    sizes = np.diff(firsts, append=len(same))
    kinds, *cells = [one[firsts] for one in keys]  # of each cell, its chunk of each vector
    del keys
    while True:
        counts = rng.multinomial(len(same), sizes / len(same))
        totals = np.bincount(kinds, counts, minlength=2)[:, None]
        if not totals.all():
            continue
        coarse = [_below(kinds, own, len(one.cuts) - 1, counts) for one, own in zip(vectors, cells, strict=True)]
        held = [int(np.argmax(one[0] >= 1.0 - one[1])) - 1 for one in (below / totals for below in coarse)]
        # Of a chunk of one score no more need be known.
        looked = [own == at for one, own, at in zip(vectors, cells, held, strict=True) if not one.only(at)]
        inner = np.flatnonzero(np.any(looked, axis=0)) if looked else np.empty(0, np.intp)
        often = counts[inner]
        drawn = members[np.repeat(firsts[inner], often) + rng.integers(np.repeat(sizes[inner], often))]
        rates = []
        for one, below, at in zip(vectors, coarse, held, strict=True):
            mine, (start, stop) = drawn[one.chunks[drawn] == at], one.cuts[at : at + 2]
            points = below[:, at, None] + _below(kind[mine], one.steps[mine] - start, stop - start)
            points[:, -1] = below[:, at + 1]
            rates.append(float(crossing((points / totals)[..., None])[0]))
        yield rates


def _below(kind: Integers, places: Integers, width: int, counts: Integers | None = None) -> Floats:
    """How many targets and impostors, counted so often, lie before each place and before the end, [2, width + 1]."""
    found = np.bincount(kind * width + places, counts, minlength=2 * width).reshape(2, width)
    return np.pad(np.cumsum(found, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
