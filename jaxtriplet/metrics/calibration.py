"""Log-likelihood ratios: what they are worth, and how scores become such.

A log-likelihood ratio (natural logarithm) says how many times likelier a target trial has such a score than an impostor
trial has, so that whoever knows prior and costs knows the threshold. The measures are those of the BOSARIS toolkit.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from ._inputs import checked_trials, require_finite, require_probability, scores_of

Floats = NDArray[np.float64]

_STEPS = 100  # Newton's method takes ten
_EXACT = 1e-12  # below it, rounding hides whether a step has made the cost less; the next one is exact


class Calibration(NamedTuple):
    """A line from scores to log-likelihood ratios.

    Attributes:
        scale: What a score is multiplied by, above 0.
        offset: What is added then.
    """

    scale: float
    offset: float

    def apply(self, scores: ArrayLike) -> Floats:
        """Return scores as log-likelihood ratios.

        Args:
            scores: Scores of the kind that the line was found for, of any shape.

        Returns:
            Natural logarithms of likelihood ratios, float64, of that shape.

        Raises:
            ValueError: A score is not finite.

        >>> Calibration(scale=4.0, offset=-1.0).apply([0.5, 0.0])
        array([ 1., -1.])
        """
        scores = scores_of(scores)
        require_finite(scores)
        return self.scale * scores + self.offset


def cllr(log_likelihood_ratios: ArrayLike, same: ArrayLike) -> float:
    r"""Compute the cost of log-likelihood ratios over all priors, in bits.

    $$\frac{1}{2 \ln 2} \left( \frac{1}{|T|} \sum_{i \in T} \ln(1 + e^{-l_i})
    + \frac{1}{|I|} \sum_{i \in I} \ln(1 + e^{l_i}) \right)$$

    over target trials T and impostor trials I.

    Args:
        log_likelihood_ratios: Of the trials, [T], natural logarithms.
        same: Truth, bool [T].

    Returns:
        The cost: 0 at best, 1 for ratios that say nothing (all 0), above it for those that mislead.

    Raises:
        ValueError: As in `det_curve`.

    >>> cllr([0.0, 0.0], [True, False])
    1.0
    >>> round(cllr([3.0, 1.0, -2.0, -4.0], [True, True, False, False]), 4)
    0.1828

    Reference:
        Brümmer, du Preez, "Application-independent evaluation of speaker detection", 2006.
    """
    ratios, same = checked_trials(log_likelihood_ratios, same)
    return _cllr(_doubt(ratios[same]).mean(), _doubt(-ratios[~same]).mean())


def min_cllr(scores: ArrayLike, same: ArrayLike) -> float:
    """Compute the least `cllr` that scores can have, whatever rising function makes log-likelihood ratios of them.

    The function is that of the pool-adjacent-violators algorithm; equal scores are pooled from the start, as one score
    has one ratio. Where only targets or only impostors lie, it is infinite, and costs nothing.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].

    Returns:
        The cost, 0 (targets all above impostors) to 1 bit (the order says nothing). It depends on the order alone.

    Raises:
        ValueError: As in `det_curve`.

    >>> min_cllr([0.9, 0.8, 0.2, 0.1], [True, True, False, False])
    0.0
    >>> min_cllr([0.1, 0.2, 0.8, 0.9], [True, True, False, False])
    1.0

    Reference:
        As in `cllr`; Brümmer, de Villiers, "The BOSARIS toolkit user guide", 2011.
    """
    scores, same = checked_trials(scores, same)
    order = np.argsort(scores)
    ranked = scores[order]
    starts = np.append(0, np.flatnonzero(ranked[1:] != ranked[:-1]) + 1)
    trials = np.diff(starts, append=len(scores))
    targets = np.add.reduceat(same[order], starts, dtype=np.int64)
    pools = isotonic_regression(targets / trials, weights=trials).blocks[:-1]
    of_targets, of_impostors = (np.add.reduceat(counts, pools) for counts in (targets, trials - targets))
    shares = of_targets / of_targets.sum(), of_impostors / of_impostors.sum()
    with np.errstate(divide="ignore"):
        ratios = np.log(shares[0]) - np.log(shares[1])
    # A share of 0 would be multiplied by an infinite cost.
    costs = [
        share[share > 0] @ _doubt(ratio[share > 0]) for share, ratio in zip(shares, (ratios, -ratios), strict=True)
    ]
    return _cllr(*costs)


def calibrate(scores: ArrayLike, same: ArrayLike, *, p_target: float = 0.5) -> Calibration:
    r"""Find the line from scores to log-likelihood ratios, by prior-weighted logistic regression.

    $$\min_{a, b} \frac{p}{|T|} \sum_{i \in T} \ln(1 + e^{-(a s_i + b + \lambda)})
    + \frac{1 - p}{|I|} \sum_{i \in I} \ln(1 + e^{a s_i + b + \lambda}), \quad \lambda = \ln \frac{p}{1 - p}$$

    over target trials T and impostor trials I, of other speakers than those who are judged.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].
        p_target: Prior p, between 0 and 1, near which the ratios shall be best: of costs that differ, the effective one
            C_m p / (C_m p + C_f (1 - p)). How many of these trials are targets does not matter.

    Returns:
        The line, whose results are log-likelihood ratios whatever the prior is.

    Raises:
        ValueError: As in `det_curve`, or p_target is not between 0 and 1, or there is no such line: all scores are
            equal, targets and impostors do not overlap, or targets score lower.

    >>> line = calibrate([2.0, 0.5, 1.0, -1.0], [True, True, False, False])
    >>> line.apply([2.0, -1.0]).round(2)
    array([ 1.93, -2.47])

    Reference:
        As in `min_cllr`; `train_linear_calibration` there.
    """
    require_probability("p_target", p_target)
    scores, same = checked_trials(scores, same)
    targets, impostors = scores[same], scores[~same]
    if scores.min() == scores.max():
        raise ValueError("all scores are equal, so that no line makes log-likelihood ratios of them")
    if impostors.max() <= targets.min():
        raise ValueError(
            "no target scores below an impostor, so that the best scale is infinite; calibrate on trials that overlap"
        )
    scale, offset = _line(scores, same, p_target) if targets.max() > impostors.min() else (-np.inf, np.inf)
    if scale <= 0:
        raise ValueError(
            f"targets score lower than impostors on the whole (the best scale is {scale:.3g}); is higher more alike?"
        )
    if not np.isfinite(scale):
        raise ValueError(f"scores of up to {np.abs(scores).max():.3g} are too small: no float is their scale")
    return Calibration(scale, offset)


def _line(scores: Floats, same: NDArray[np.bool_], p_target: float) -> tuple[float, float]:
    """The scale and offset of logistic regression, by Newton's method."""
    unit = float(np.abs(scores).max())
    center, spread = np.mean(scores / unit), np.std(scores / unit)  # neither of which may leave the range of floats
    z, sign, log_odds = (scores / unit - center) / spread, np.where(same, 1.0, -1.0), logit(p_target)
    weights = np.where(same, p_target / same.sum(), (1 - p_target) / (~same).sum()) / min(p_target, 1 - p_target)

    def cost(line: Floats) -> float:
        return float(weights @ _doubt(sign * (line[0] * z + line[1] + log_odds)))

    line = np.zeros(2)
    for _ in range(_STEPS):
        wrong = expit(-sign * (line[0] * z + line[1] + log_odds))
        slopes, bends = weights * sign * wrong, weights * wrong * (1 - wrong)
        uphill = -np.array([slopes @ z, slopes.sum()])
        mixed = bends @ z
        step = np.linalg.solve([[bends @ z**2, mixed], [mixed, bends.sum()]], uphill)
        gain = float(uphill @ step)  # twice what the step is worth
        while gain > _EXACT and cost(line - step) > cost(line):
            step /= 2
        line = line - step
        if gain <= _EXACT**2:
            with np.errstate(over="ignore"):
                return float(line[0] / spread / unit), float(line[1] - line[0] * center / spread)
    raise ValueError(f"logistic regression did not converge in {_STEPS} steps of Newton's method")


def _doubt(ratios: Floats) -> Floats:
    """What a log-likelihood ratio costs where the truth is a target, ln(1 + e^-l)."""
    return np.logaddexp(0.0, -ratios)


def _cllr(of_targets: float, of_impostors: float) -> float:
    return float((of_targets + of_impostors) / (2 * np.log(2)))
