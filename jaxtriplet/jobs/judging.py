"""What is judged of scored trials: errors, their interval, costs, and what scores are worth as likelihood ratios."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import metrics
from jaxtriplet.jobs.calibrating import Development
from jaxtriplet.jobs.retrieving import retrieved
from jaxtriplet.jobs.trial_scores import ByRun, Scores, mean
from jaxtriplet.jobs.trials import Chosen
from jaxtriplet.metrics import Calibration

LEVEL = 0.95
PRIORS = {"": 0.01, "_0.05": 0.05}
"""Shares of target trials that costs are of, by the end of their figures' names."""


class Verdict(NamedTuple):
    """What is found of trials.

    Attributes:
        figures: The figures.
        scores: Scores of the trials.
        one_session: Scores of the trials that are judged apart; None if none are.
        ratios: The natural logarithms of likelihood ratios that the scores are or, if calibrated, stand for.
        calibrations: What has made them of scores, by the prefix of these.
    """

    figures: dict[str, Any]
    scores: Scores
    one_session: Scores | None
    ratios: Scores
    calibrations: Mapping[str, Calibration]


def judge(
    judged: Chosen,
    heard: Sequence[ByRun],
    development: Development | None,
    *,
    draws: int,
    threshold: float | None,
) -> Verdict:
    """Judges scored trials.

    Args:
        judged: The trials.
        heard: Their scores by each run; by the embeddings, if they come along, each recording is looked up.
        development: What to calibrate on, if anything.
        draws: Draws of the bootstrap.
        threshold: What training chose for scores as they are, if it did.

    Raises:
        ValueError: No calibration can be fitted.
    """
    same, scores = judged.trials.same, mean([one.trials for one in heard])
    apart = mean([one.one_session for one in heard if one.one_session is not None])
    calibrations, ratios = dict[str, Calibration](), dict[str, np.ndarray]()
    figures = {**_errors(same, scores, judged.sides, draws, threshold), **_apart(same, scores, apart)}
    if development is not None:
        calibrations = development.fit(mean([one.development for one in heard if one.development is not None]))
        ratios = {prefix: one.apply(scores[prefix]) for prefix, one in calibrations.items()}
        figures |= development.figures
    elif (backend := heard[0].run.backend) is not None and backend.has_scores:
        ratios = {"": scores[""]}
        figures["calibrated_on"] = "nothing"
    for prefix, own in ratios.items():
        figures |= {prefix + name: value for name, value in _worth(same, own, calibrations.get(prefix)).items()}
    embeddings = [one.embeddings for one in heard if one.embeddings is not None]
    if embeddings and judged.speakers is not None:
        figures |= retrieved(np.concatenate(embeddings, axis=1), judged.speakers)
    return Verdict(figures, scores, apart or None, ratios, calibrations)


def _errors(
    same: np.ndarray, scores: Scores, sides: np.ndarray | None, draws: int, threshold: float | None
) -> dict[str, Any]:
    """Returns error rates and costs; speakers are drawn if both sides' are known, else trials."""
    figures: dict[str, Any] = {}
    count = None if sides is None else len(np.unique(sides))
    few = count is not None and count < metrics.MIN_SPEAKERS
    for prefix, own in scores.items():
        found: dict[str, Any] = {"equal_error_rate": metrics.equal_error_rate(own, same)}
        if not few:
            interval = metrics.bootstrap_interval(own, same, sides, level=LEVEL, draws=draws)
            found["equal_error_rate_interval"] = list(interval)
        for end, p_target in PRIORS.items():
            found[f"min_dcf{end}"] = metrics.min_dcf(own, same, p_target=p_target)
        found["min_cllr"] = metrics.min_cllr(own, same)
        found["threshold"] = metrics.equal_error_threshold(own, same)
        figures |= {prefix + name: value for name, value in found.items()}
    if threshold is not None:
        rates = metrics.error_rates(scores[""], same, threshold)
        figures |= {
            "development_threshold": threshold,
            "false_acceptance_rate": rates.false_acceptance,
            "false_rejection_rate": rates.false_rejection,
        }
    if few:
        figures["no_interval"] = f"too few speakers for an interval: {count}, fewer than {metrics.MIN_SPEAKERS}"
    else:
        figures["bootstrap_over"] = "trials" if count is None else "speakers"
    if count is not None:
        figures["num_speakers"] = count
    return figures | {"num_trials": len(same), "num_target_trials": int(same.sum())}


def _apart(same: np.ndarray, scores: Scores, apart: Scores) -> dict[str, Any]:
    """Returns the errors of same-speaker trials of one session, [M], among the different-speaker trials there are."""
    figures: dict[str, Any] = {}
    for prefix, own in apart.items():
        strangers = scores[prefix][~same]
        both, truth = np.concatenate([own, strangers]), np.arange(len(own) + len(strangers)) < len(own)
        if len(own):
            figures[f"{prefix}same_session_equal_error_rate"] = metrics.equal_error_rate(both, truth)
            figures[f"{prefix}same_session_min_dcf"] = metrics.min_dcf(both, truth)
    return figures


def _worth(same: np.ndarray, ratios: np.ndarray, calibration: Calibration | None) -> dict[str, float]:
    """Returns what log-likelihood ratios, [T], cost those who take them at their word."""
    figures = {"cllr": metrics.cllr(ratios, same)}
    for end, p_target in PRIORS.items():
        figures[f"actual_dcf{end}"] = metrics.actual_dcf(ratios, same, p_target=p_target)
    if calibration is not None:
        figures |= {"calibration_scale": calibration.scale, "calibration_offset": calibration.offset}
    return figures
