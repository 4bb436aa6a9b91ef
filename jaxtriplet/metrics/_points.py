"""Recordings as points between which every score is an inner product less what either has of its own."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxtriplet import _checks

from ._inputs import unit_rows

_BLOCK = 1 << 20  # numbers of either side, or scores, at once: 8 MiB, which a processor's cache nearly holds


class Points(NamedTuple):
    """N recordings, of which any two score <v_i, v_j> - (q_i + q_j) + offset.

    Attributes:
        vectors: v, [N, E].
        own: q, [N].
        offset: What every score has.
        bound: Largest size of a score, which rounding errors are not let past: 1 for cosines.
    """

    vectors: NDArray[np.float64]
    own: NDArray[np.float64]
    offset: float
    bound: float

    def between(self, others: "Points") -> NDArray[np.float64]:
        """Return the score of each of these with each of others, [N, M]."""
        scores = self.vectors @ others.vectors.T
        scores -= self.own[:, None] + others.own
        scores += self.offset
        return self._bounded(scores)

    def trials(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
        """Return the scores [T] of trials of two rows each, or say in plain words what is wrong with these."""
        wants = "first and second must be integers of shape [T], as many of each"
        sides = [_checks.hosted(side, wants) for side in (first, second)]
        if sides[0].shape != sides[1].shape:
            raise ValueError(f"{wants}; got shapes {sides[0].shape} and {sides[1].shape}")
        pairs = np.stack(sides)
        if pairs.ndim != 2 or not np.issubdtype(pairs.dtype, np.integer):
            raise ValueError(
                f"first and second must be integers of shape [T]; got {pairs.dtype} of shape {pairs.shape[1:]}"
            )
        count, dim = self.vectors.shape
        if pairs.size and not (pairs.min() >= 0 and pairs.max() < count):
            raise ValueError(f"trials name rows {pairs.min()} to {pairs.max()}, but there are {count} embeddings")
        scores, size = np.empty(pairs.shape[1]), max(1, _BLOCK // max(1, dim))
        for start in range(0, len(scores), size):
            a, b = pairs[:, start : start + size]
            products = np.einsum("td,td->t", self.vectors[a], self.vectors[b])
            scores[start : start + size] = products - (self.own[a] + self.own[b]) + self.offset
        return self._bounded(scores)

    def pairs(self, labels: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the scores of all pairs of rows, [N (N - 1) / 2], and which of them are of one label."""
        count = len(labels)
        scores, size = np.empty(count * (count - 1) // 2), max(1, _BLOCK // max(1, count))
        same, done = np.empty(len(scores), np.bool_), 0
        for start in range(0, count - 1, size):
            block = self.part(start, start + size).between(self.part(start, count))
            for row, of_row in enumerate(block[: count - 1 - start]):
                after = slice(done, done := done + count - 1 - start - row)
                scores[after] = of_row[row + 1 :]
                same[after] = labels[start + row + 1 :] == labels[start + row]
        return scores, same

    def part(self, start: int, stop: int) -> "Points":
        """Return the recordings from one to before another."""
        return self._replace(vectors=self.vectors[start:stop], own=self.own[start:stop])

    def _bounded(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(scores, -self.bound, self.bound, out=scores)


def of_cosine(rows: NDArray[np.float64]) -> Points:
    """Return rows [N, D] of any length, which score by their cosine; a row of zeros scores 0 with all."""
    return Points(unit_rows(rows), np.zeros(len(rows)), 0.0, 1.0)
