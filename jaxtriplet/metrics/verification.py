"""Speaker verification: do two utterances come from one speaker?

A trial is a pair of utterances with a score, higher meaning more alike, and the truth `same`. A decision accepts the
trial where `score >= threshold`. A *target* trial has one speaker, an *impostor* trial two.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sklearn_metrics

from jaxtriplet import _checks

from ._inputs import checked_trials, finite_rows, is_number, labelled_rows
from ._points import of_cosine
from .backends import Backend


class DetCurve(NamedTuple):
    """Error rates at every distinct threshold, thresholds rising from "accept all" to "reject all".

    Attributes:
        false_acceptance: Share of impostor trials accepted, [K], falling from 1 to 0.
        false_rejection: Share of target trials rejected, [K], rising from 0 to 1.
        thresholds: Thresholds, [K], in the scores' unit; the last one is infinity.
    """

    false_acceptance: NDArray[np.float64]
    false_rejection: NDArray[np.float64]
    thresholds: NDArray[np.float64]


class RocCurve(NamedTuple):
    """Rates of acceptance at every distinct threshold, thresholds falling from "reject all" to "accept all".

    Attributes:
        false_acceptance: Share of impostor trials accepted, [K], rising from 0 to 1.
        true_acceptance: Share of target trials accepted, [K], rising from 0 to 1.
        thresholds: Thresholds, [K], in the scores' unit; the first one is infinity.
    """

    false_acceptance: NDArray[np.float64]
    true_acceptance: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def area(self) -> float:
        """The area below the curve, 0 to 1: how often a target scores above an impostor, a tie counting half."""
        return float(np.trapezoid(self.true_acceptance, self.false_acceptance))


class ErrorRates(NamedTuple):
    """Error rates of the decisions at one threshold.

    Attributes:
        false_acceptance: Share of impostor trials accepted, 0 to 1.
        false_rejection: Share of target trials rejected, 0 to 1.
    """

    false_acceptance: float
    false_rejection: float


def pair_scores(
    embeddings: ArrayLike, labels: ArrayLike, *, backend: Backend | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    r"""Score every unordered pair of utterances by the cosine of its embeddings, or by a back-end.

    $$s_{ij} = \frac{\langle e_i, e_j \rangle}{\|e_i\| \, \|e_j\|}, \quad i < j$$

    Args:
        embeddings: One row an utterance, [N, D]; any length (a row of zeros scores 0 with everything).
        labels: Speakers, [N].
        backend: What scores; `embeddings` are layer vectors then. None: cosine.

    Returns:
        `scores` [N (N - 1) / 2], cosines from -1 to 1, and `same` of that shape, True where both utterances have one
        speaker; in the order (0, 1), (0, 2), ..., (1, 2), ...

    Raises:
        ValueError: The shapes do not match, or an embedding is not finite.

    >>> pair_scores([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]], [4, 4, 7])
    (array([1., 0., 0.]), array([ True, False, False]))
    """
    if backend is not None:
        _check(backend)
        return backend.pair_scores(embeddings, labels)
    rows, ids = labelled_rows(embeddings, labels)
    return of_cosine(rows).pairs(ids)


def trial_scores(
    embeddings: ArrayLike, first: ArrayLike, second: ArrayLike, *, backend: Backend | None = None
) -> NDArray[np.float64]:
    r"""Score trials by the cosine of their embeddings, or by a back-end.

    $$s_i = \frac{\langle e_{a_i}, e_{b_i} \rangle}{\|e_{a_i}\| \, \|e_{b_i}\|}$$

    Args:
        embeddings: One row a recording, [N, D]; any length (a row of zeros scores 0 with everything).
        first: Recording of the enrolment of each trial, [T] integers: a row, from 0.
        second: Recording of the test of each trial, [T].
        backend: What scores; `embeddings` are layer vectors then. None: cosine.

    Returns:
        Scores, [T]: cosines from -1 to 1, or what the back-end says.

    Raises:
        ValueError: The shapes do not match, a recording is not among the rows, or an embedding is not finite.

    >>> trial_scores([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]], [0, 0], [1, 2])
    array([1., 0.])
    """
    _check(backend)
    points = of_cosine(finite_rows(embeddings)) if backend is None else backend.points(embeddings)
    return points.trials(first, second)


def _check(backend: Backend | None) -> None:
    if backend is not None:
        _checks.given("backend", backend, Backend, "one of `metrics.backends.fit`, or None for the cosine")


def roc_curve(scores: ArrayLike, same: ArrayLike) -> RocCurve:
    """Trade false acceptances against true acceptances over all thresholds.

    Wraps scikit-learn's `roc_curve`. Equal scores are accepted together: they make one step, of both rates.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].

    Returns:
        The curve; no two of its thresholds accept the same trials.

    Raises:
        ValueError: As in `det_curve`.

    >>> curve = roc_curve([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    >>> curve.false_acceptance, curve.true_acceptance, curve.area
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]), 0.875)

    Reference:
        Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 2006.
    """
    scores, same = checked_trials(scores, same)
    return RocCurve(*sklearn_metrics.roc_curve(same, scores, drop_intermediate=False))


def det_curve(scores: ArrayLike, same: ArrayLike) -> DetCurve:
    """Trade false acceptances against false rejections over all thresholds.

    The curve of `roc_curve`, seen from the other end: scikit-learn's own `det_curve` leaves both ends out. Equal scores
    are accepted together: they make one step, of both rates.

    Args:
        scores: Scores of the trials, [T], higher is more alike; computed with in float64.
        same: Truth, bool [T].

    Returns:
        The curve; no two of its thresholds accept the same trials.

    Raises:
        ValueError: A shape is wrong, a score is not finite, or there is no target or no impostor trial.

    >>> curve = det_curve([0.9, 0.4, 0.1], [True, True, False])
    >>> curve.false_acceptance, curve.false_rejection
    (array([1., 0., 0., 0.]), array([0. , 0. , 0.5, 1. ]))

    Reference:
        Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    false_acceptance, true_acceptance, thresholds = roc_curve(scores, same)
    return DetCurve(false_acceptance[::-1], 1.0 - true_acceptance[::-1], thresholds[::-1])


def equal_error_rate(scores: ArrayLike, same: ArrayLike) -> float:
    """Compute the rate at which false acceptances and false rejections are equally frequent.

    The operating points are joined by straight lines (only tied scores make a line that is not parallel to an axis),
    and the result is where this path meets `false_acceptance = false_rejection`.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].

    Returns:
        The rate, 0 (targets all above impostors) to 1 (all below); chance is 0.5.

    Raises:
        ValueError: As in `det_curve`.

    >>> equal_error_rate([0.9, 0.4, 0.6, 0.1], [True, True, False, False])
    0.5

    Reference:
        Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    curve = det_curve(scores, same)
    # The difference rises strictly: every step of the threshold turns down at least one more trial.
    return float(np.interp(0.0, curve.false_rejection - curve.false_acceptance, curve.false_acceptance))


def equal_error_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """Choose the threshold at which false acceptance and false rejection rates lie closest together.

    All thresholds between two neighbouring scores decide alike; of that interval this is the middle, so that targets
    and impostors which do not overlap are parted half-way. Where two intervals are equally good, it is the lower one.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].

    Returns:
        The threshold, in the scores' unit; accept where `score >= threshold`.

    Raises:
        ValueError: As in `det_curve`.

    >>> equal_error_threshold([0.9, 0.5, 0.25], [True, True, False])
    0.375
    """
    false_acceptance, false_rejection, thresholds = det_curve(scores, same)
    best = int(np.argmin(np.abs(false_rejection - false_acceptance)))
    if best == 0:
        return float(thresholds[0])
    below, above = thresholds[best - 1 : best + 1]
    middle = below + (above - below) / 2
    # Between neighbouring floating-point numbers there is no middle.
    return float(middle if middle > below else above)


def error_rates(scores: ArrayLike, same: ArrayLike, threshold: float) -> ErrorRates:
    """Count the wrong decisions at a given threshold.

    Args:
        scores: Scores of the trials, [T], higher is more alike.
        same: Truth, bool [T].
        threshold: Accept where `score >= threshold`.

    Returns:
        The false acceptance and false rejection rates.

    Raises:
        ValueError: As in `det_curve`, or the threshold is NaN.

    >>> error_rates([0.9, 0.4, 0.6, 0.1], [True, True, False, False], 0.5)
    ErrorRates(false_acceptance=0.5, false_rejection=0.5)
    """
    scores, same = checked_trials(scores, same)
    if not is_number(threshold):
        raise ValueError(f"threshold must be a number; got {_checks.seen(threshold)}")
    if math.isnan(threshold):
        raise ValueError("the threshold is NaN")
    accepted = scores >= threshold
    return ErrorRates(float(np.mean(accepted[~same])), float(np.mean(~accepted[same])))
