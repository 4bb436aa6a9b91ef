"""What wrong decisions cost, at the best threshold and at one that was chosen before."""

import math

import numpy as np
from numpy.typing import ArrayLike

from ._inputs import is_number, require_probability
from .verification import det_curve, error_rates


def min_dcf(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    p_target: float = 0.01,
    cost_miss: float = 1.0,
    cost_false_alarm: float = 1.0,
) -> float:
    r"""Compute the normalised detection cost at the best threshold.

    $$\min_t \frac{C_m \, p \, \mathrm{FRR}(t) + C_f (1 - p) \, \mathrm{FAR}(t)}{\min(C_m \, p, C_f (1 - p))}$$

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].
        p_target: Prior probability p of a target trial, between 0 and 1.
        cost_miss: Cost of a false rejection.
        cost_false_alarm: Cost of a false acceptance.

    Returns:
        The cost, 0 (no errors) to 1 (no better than deciding without looking).

    Raises:
        ValueError: As in `det_curve`, or the prior is not between 0 and 1, or a cost is not positive and finite.

    >>> min_dcf([0.9, 0.4, 0.6, 0.1], [True, True, False, False])
    0.5

    Reference:
        NIST, "The NIST year 2010 speaker recognition evaluation plan", 2010.
    """
    miss, false_alarm = _weights(p_target, cost_miss, cost_false_alarm)
    curve = det_curve(scores, same)
    cost = miss * curve.false_rejection + false_alarm * curve.false_acceptance
    return float(np.min(cost) / min(miss, false_alarm))


def actual_dcf(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    threshold: float | None = None,
    p_target: float = 0.01,
    cost_miss: float = 1.0,
    cost_false_alarm: float = 1.0,
) -> float:
    r"""Compute the normalised detection cost at a threshold that was not chosen on these trials.

    $$\frac{C_m \, p \, \mathrm{FRR}(t) + C_f (1 - p) \, \mathrm{FAR}(t)}{\min(C_m \, p, C_f (1 - p))}$$

    where $t$ is `threshold` or, of scores that are log-likelihood ratios (as after `calibrate`), Bayes' threshold

    $$t = \ln \frac{C_f (1 - p)}{C_m \, p}$$

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].
        threshold: Accept where `score >= threshold`; None: the scores are log-likelihood ratios (natural logarithm).
        p_target: Prior probability p of a target trial, between 0 and 1.
        cost_miss: Cost of a false rejection.
        cost_false_alarm: Cost of a false acceptance.

    Returns:
        The cost: `min_dcf` or more, and above 1 where deciding without looking would be better.

    Raises:
        ValueError: As in `min_dcf`, or the threshold is NaN.

    >>> actual_dcf([5.0, 0.5, 1.0, -6.0], [True, True, False, False])
    0.5
    >>> actual_dcf([5.0, 0.5, 1.0, -6.0], [True, True, False, False], p_target=0.5)
    0.5

    Reference:
        As in `min_dcf`.
    """
    miss, false_alarm = _weights(p_target, cost_miss, cost_false_alarm)
    rates = error_rates(scores, same, math.log(false_alarm / miss) if threshold is None else threshold)
    return (miss * rates.false_rejection + false_alarm * rates.false_acceptance) / min(miss, false_alarm)


def _weights(p_target: float, cost_miss: float, cost_false_alarm: float) -> tuple[float, float]:
    """What a rate of false rejections and one of false acceptances cost, or what is wrong with the numbers."""
    require_probability("p_target", p_target)
    if not all(is_number(cost) and 0 < cost < math.inf for cost in (cost_miss, cost_false_alarm)):
        raise ValueError(f"costs must be positive; got cost_miss={cost_miss}, cost_false_alarm={cost_false_alarm}")
    p_target = float(p_target)
    return float(cost_miss) * p_target, float(cost_false_alarm) * (1 - p_target)
