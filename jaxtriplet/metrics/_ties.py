"""What a ranking is worth where references are tied: the mean over all orders of the tied ones, in closed form.

A ranking falls into groups of references at one distance. Of a group of `size`, of which `hits` are relevant, with
`nearer` references before it, `hits_before` of them relevant, the reference at place j is relevant with probability
`hits / size`, and then the mean number of relevant ones up to it is
`hits_before + 1 + (j - 1) (hits - 1) / (size - 1)`. Groups without relevant references are worth nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


class Groups(NamedTuple):
    """Groups of references at one distance that hold relevant ones, [G] each, by query and then by distance."""

    query: _Ints
    nearer: _Ints
    size: _Ints
    hits_before: _Ints
    hits: _Ints

    def firsts(self) -> "Groups":
        """Returns the nearest group of each query."""
        at = np.unique(self.query, return_index=True)[1]
        return Groups(*(np.take(part, at) for part in self))


def of_nearest(distances: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Groups:
    """Returns the groups of rankings [Q, K], nearest first; the last group of each may go on beyond them."""
    width = distances.shape[1]
    starts = np.ones(distances.shape, bool)
    starts[:, 1:] = distances[:, 1:] != distances[:, :-1]
    ends = np.full(distances.shape, width)
    ends[:, :-1] = np.where(starts[:, 1:], np.arange(1, width), width)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    upto = np.concatenate([np.zeros((len(distances), 1), np.int64), np.cumsum(relevant, axis=1)], axis=1)
    before, after = upto[:, :-1], np.take_along_axis(upto, ends, axis=1)
    query, at = np.nonzero(starts & (after > before))
    before, after = before[query, at], after[query, at]
    return Groups(query, at, ends[query, at] - at, before, after - before)


def of_row(distances: NDArray[np.floating], relevant: NDArray[np.floating]) -> Groups:
    """Returns the groups of one ranking [N], in order, given the distances of its relevant references."""
    values, hits = np.unique(relevant, return_counts=True)
    nearer, upto = (np.asarray(np.searchsorted(distances, values, side)) for side in ("left", "right"))
    return Groups(np.zeros(len(values), np.int64), nearer, upto - nearer, np.cumsum(hits) - hits, hits)


def joined(parts: list[Groups]) -> Groups:
    """Returns the groups of several queries together, numbered in order."""
    queries = np.repeat(np.arange(len(parts)), [len(part.query) for part in parts])
    return Groups(*map(np.concatenate, zip(*parts, strict=True)))._replace(query=queries)


def recall_at_k(groups: Groups, positives: _Ints, k: int) -> _Floats:
    """Returns the probability that a relevant reference is among the k nearest, for each query."""
    first = groups.firsts()
    drawn = np.clip(k - first.nearer, 0, first.size)
    none = np.ones(len(drawn))
    # Of how many are drawn, each is another one that is not relevant.
    for one in range(drawn.max(initial=0)):
        left = np.maximum(first.size - first.hits - one, 0) / np.maximum(first.size - one, 1)
        none *= np.where(one < drawn, left, 1)
        if not none[one < drawn].any():
            break
    return _per_query(first, 1 - none, positives)


def mean_reciprocal_rank(groups: Groups, positives: _Ints) -> _Floats:
    """Returns the mean inverse of the place of the first relevant reference, for each query."""
    first = groups.firsts()
    cases, which = np.unique(np.stack([first.nearer, first.size, first.hits], axis=1), axis=0, return_inverse=True)
    values = np.array([_inverse_of_first(*case) for case in cases])
    return _per_query(first, values[which.ravel()] if len(values) else np.zeros(0), positives)


def _inverse_of_first(nearer: int, size: int, hits: int) -> float:
    places = np.arange(size - hits + 1)  # how many of the group, none of them relevant, may come first
    none = np.cumprod(np.concatenate([[1.0], 1 - hits / (size - places[:-1])]))
    return float(np.sum(none * hits / (size - places) / (nearer + places + 1)))


def r_precision(groups: Groups, positives: _Ints) -> _Floats:
    """Returns the mean share of relevant references among the R nearest, R being how many there are."""
    depth = positives[groups.query]
    return _per_query(groups, _hits_within(groups, depth) / depth, positives)


def _hits_within(groups: Groups, depth: _Ints) -> _Floats:
    return groups.hits * np.clip(depth - groups.nearer, 0, groups.size) / groups.size


def map_at_r(groups: Groups, positives: _Ints) -> _Floats:
    """Returns the mean, over R places, of the precision at each that is relevant among the R nearest."""
    depth = positives[groups.query]
    start, upto = np.minimum(groups.nearer, depth), np.minimum(groups.nearer + groups.size, depth)
    inverses = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, 1 + positives.max(initial=0)))])
    inverse = inverses[upto] - inverses[start]  # the sum of 1 / place
    earlier = (upto - start) - (start + 1) * inverse  # that of (j - 1) / place
    more = (groups.hits - 1) / np.maximum(groups.size - 1, 1)
    precisions = groups.hits / groups.size * ((groups.hits_before + 1) * inverse + more * earlier)
    return _per_query(groups, precisions / depth, positives)


def ndcg(groups: Groups, positives: _Ints, k: int) -> _Floats:
    """Returns the normalised discounted cumulative gain of the k nearest, a relevant reference being worth 1."""
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    gained = gains[np.minimum(groups.nearer + groups.size, k)] - gains[np.minimum(groups.nearer, k)]
    best = gains[np.minimum(positives, k)][groups.query]
    return _per_query(groups, groups.hits / groups.size * gained / best, positives)


def _per_query(groups: Groups, values: _Floats, positives: _Ints) -> _Floats:
    return np.bincount(groups.query, values, minlength=len(positives)).astype(np.float64)
