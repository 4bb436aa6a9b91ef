"""How far the equal error rate would move with other speakers: intervals by drawing anew what was measured."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxtriplet import _checks

from . import _resampling
from ._inputs import checked_trials, is_number
from .verification import equal_error_rate

MIN_SPEAKERS = 5  # of fewer, what is drawn anew says next to nothing of others


class Interval(NamedTuple):
    """Bounds that an estimate of the same quality falls between.

    Attributes:
        low: The lower bound.
        high: The upper bound.
    """

    low: float
    high: float


class Difference(NamedTuple):
    """How far two equal error rates of the same trials lie apart.

    Attributes:
        estimate: The first rate less the second, -1 to 1: below 0 where the first is better.
        low: Lower bound of the interval.
        high: Upper bound; where 0 lies between the bounds, these trials do not tell the two apart.
        share_lower: Share of the draws in which the first rate is the lower one, those in which both are equal counted
            half.
    """

    estimate: float
    low: float
    high: float
    share_lower: float


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

    times. With a handful of speakers even this interval is too narrow; with fewer than `MIN_SPEAKERS` it is refused.
    A draw without targets or without impostors has no equal error rate, and is drawn again. Millions of trials take
    seconds: they are sorted once, and most of them are never weighed one by one.

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
        ValueError: As in `det_curve`, or the shape of `speakers` or what they say does not match `same`, there are
            fewer than `MIN_SPEAKERS`, or `level` or `draws` is out of range.

    >>> speakers = [[0, 0], [1, 1], [2, 2], [0, 3], [1, 4], [2, 3]]
    >>> scores, same = [0.9, 0.8, 0.3, 0.5, 0.2, 0.1], [True, True, True, False, False, False]
    >>> bootstrap_interval(scores, same, speakers, draws=200)
    Interval(low=0.0, high=0.5)

    Reference:
        Bolle, Ratha, Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap", 2004; Owen,
        Eckles, "Bootstrapping data arrays of arbitrary order", 2012 (products of weights).
    """
    (rates,) = _drawn([scores], same, speakers, level, draws, seed)
    return _interval(rates, level)


def bootstrap_difference(
    first: ArrayLike,
    second: ArrayLike,
    same: ArrayLike,
    speakers: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Difference:
    """Compare the equal error rates of two score vectors of the same trials, by the paired bootstrap.

    Both are judged on the same speakers (or trials), drawn as in `bootstrap_interval`: what is hard for both falls out
    of the difference, which is known better than either rate.

    Args:
        first: Scores of the trials, [T], higher is more alike.
        second: Other scores of them, [T], of any scale.
        same: Truth, bool [T].
        speakers: Speaker of either recording of each trial, [T, 2], named in any way; None draws trials.
        level: Share of the draws that the interval holds, between 0 and 1.
        draws: Number of draws.
        seed: Of the draws.

    Returns:
        The difference, with the quantiles (1 - level) / 2 and (1 + level) / 2 of those drawn.

    Raises:
        ValueError: As in `bootstrap_interval`, of either score vector.

    >>> same = [True, True, True, False, False, False]
    >>> bootstrap_difference([0.9, 0.8, 0.7, 0.1, 0.2, 0.3], [0.9, 0.8, 0.1, 0.7, 0.2, 0.3], same, draws=200)
    Difference(estimate=-0.333..., low=-1.0, high=0.0, share_lower=0.8...)

    Reference:
        As in `bootstrap_interval`; Bisani, Ney, "Bootstrap estimates for confidence intervals in ASR performance
        evaluation", 2004 ("probability of improvement" is `share_lower`).
    """
    rates = _drawn([first, second], same, speakers, level, draws, seed)
    low, high = _interval(rates[0] - rates[1], level)
    share = np.mean(rates[0] < rates[1]) + np.mean(rates[0] == rates[1]) / 2
    return Difference(equal_error_rate(first, same) - equal_error_rate(second, same), low, high, float(share))


def _interval(values: NDArray[np.float64], level: float) -> Interval:
    return Interval(*np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist())


def _drawn(
    scored: Sequence[ArrayLike], same: ArrayLike, speakers: ArrayLike | None, level: float, draws: int, seed: int
) -> NDArray[np.float64]:
    """The equal error rates of each score vector in each draw, [V, draws], or what is wrong with the input."""
    trials = [checked_trials(scores, same) for scores in scored]
    vectors, truth = [scores for scores, _ in trials], trials[0][1]
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")
    _checks.positive_integer("draws", draws)
    _checks.whole_number("seed", seed)
    if speakers is None:
        return _resampling.by_trial(vectors, truth, draws, seed)
    names = np.asarray(speakers)
    if names.shape != (len(truth), 2):
        raise ValueError(f"speakers of {len(truth)} trials must have shape [{len(truth)}, 2]; got {names.shape}")
    size, sides = _resampling.numbered(names)
    if size < MIN_SPEAKERS:
        raise ValueError(f"too few speakers for an interval: {size}; at least {MIN_SPEAKERS} are needed")
    if wrong := np.sum((sides[:, 0] == sides[:, 1]) != truth):
        raise ValueError(f"same and speakers contradict each other: who speaks in {wrong} of {len(truth)} trials?")
    return _resampling.by_speaker(vectors, truth, size, sides, draws, seed)
