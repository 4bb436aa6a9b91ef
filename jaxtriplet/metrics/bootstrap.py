"""How far the equal error rate would move with other speakers: intervals by drawing anew what was measured."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import checked_trials

Weights = NDArray[np.int64]


class Interval(NamedTuple):
    """Bounds that an estimate of the same quality falls between.

    Attributes:
        low: The lower bound.
        high: The upper bound.
    """

    low: float
    high: float


def bootstrap_interval(
    scores: ArrayLike,
    same: ArrayLike,
    speakers: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    r"""Compute an interval for the equal error rate, by the percentile bootstrap over speakers or over trials.

    Trials of one speaker err together, so that drawing trials as if they were independent gives an interval that is
    much too narrow. With `speakers`, as many of these are drawn as there are, with replacement: drawn $c_s$ times, a
    speaker brings the trials of its own $c_s$ times, and a trial of two speakers counts

    $$w_{st} = c_s \, c_t$$

    times. With a handful of speakers even this interval is too narrow. A draw without targets or without impostors
    has no equal error rate, and is drawn again.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].
        speakers: Speaker of either recording of each trial, [T, 2], named in any way; None draws trials.
        level: Share of the draws that the interval holds, between 0 and 1.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        The quantiles (1 - level) / 2 and (1 + level) / 2 of the equal error rates drawn.

    Raises:
        ValueError: As in `det_curve`, or the shape of `speakers` does not match, there is one speaker alone, or `level`
            or `draws` is out of range.

    >>> bootstrap_interval([0.9, 0.8, 0.1, 0.2], [True, True, False, False], [[0, 0], [1, 1], [0, 1], [1, 0]])
    Interval(low=0.0, high=0.0)

    Reference:
        Bolle, Ratha, Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap", 2004; Owen,
        Eckles, "Bootstrapping data arrays of arbitrary order", 2012 (products of weights).
    """
    scores, same = checked_trials(scores, same)
    if not 0 < level < 1 or draws < 1:
        raise ValueError(f"level must lie between 0 and 1, and draws be at least 1; got {level} and {draws}")
    # The order of the trials is the same in every draw: they are sorted once.
    order = np.argsort(scores, kind="stable")
    starts = np.unique(scores[order], return_index=True)[1]
    rates = [_equal_error_rate(same[order], weights[order], starts) for weights in _draws(speakers, same, draws, seed)]
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(low, high)


def _draws(speakers: ArrayLike | None, same: NDArray[np.bool_], draws: int, seed: int) -> Iterator[Weights]:
    """How often each trial counts in each draw of speakers, or of trials; a draw without either kind does not count."""
    total = len(same)
    size, first, second = total, np.arange(total), np.arange(total)
    if speakers is not None:
        if np.shape(speakers) != (total, 2):
            raise ValueError(f"speakers of {total} trials must have shape [{total}, 2]; got {np.shape(speakers)}")
        names, places = np.unique(np.asarray(speakers), return_inverse=True)
        if len(names) < 2:
            raise ValueError("all trials are of one speaker, so no speakers can be drawn")
        size, (first, second) = len(names), places.reshape(total, 2).T
    rng = np.random.default_rng(seed)
    while draws:
        counts = np.bincount(rng.integers(size, size=size), minlength=size)
        weights = counts[first] * np.where(first == second, 1, counts[second])
        if weights[same].any() and weights[~same].any():
            draws -= 1
            yield weights


def _equal_error_rate(same: NDArray[np.bool_], weights: Weights, starts: NDArray[np.intp]) -> float:
    """The equal error rate of trials in the order of their scores, each counted so often.

    Args:
        same: Truth, [T].
        weights: How often each counts, [T].
        starts: The first trial of each distinct score.
    """
    rejected, accepted = (
        np.append(0, np.cumsum(np.add.reduceat(np.where(kind, weights, 0), starts))) for kind in (same, ~same)
    )
    false_rejection, false_acceptance = rejected / rejected[-1], 1.0 - accepted / accepted[-1]
    return float(np.interp(0.0, false_rejection - false_acceptance, false_acceptance))
