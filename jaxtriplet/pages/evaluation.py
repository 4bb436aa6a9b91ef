"""What `evaluate` shows: its page, and what each figure means."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet.cli import recorded
from jaxtriplet.data import Problem, Trials
from jaxtriplet.pages import report

AS_NORM = "as_norm_"
"""What the figures after normalisation begin with."""


class Scored(NamedTuple):
    """Trials that could be scored.

    Attributes:
        trials: The trials, places being those of the embeddings.
        scores: Scores by the prefix of their figures: "" for cosine, and "as_norm_" if there is a cohort; [T] each.
        problems: The recordings that could not be used.
        left_out: How many trials they take with them.
    """

    trials: Trials
    scores: Mapping[str, np.ndarray]
    problems: tuple[Problem, ...]
    left_out: int


def sections(figures: Mapping[str, Any], scored: Scored, settings: Mapping[str, Any]) -> Iterator[str]:
    """Returns the page below its title.

    Args:
        figures: The content of `metrics.json`.
        scored: The trials.
        settings: What was asked for.
    """
    low, high = figures["equal_error_rate_interval"]
    yield (
        f"<p>Two recordings are compared by the cosine of their embeddings, in {figures['num_trials']:,} trials. With "
        f"the threshold set so that both kinds of error are equally frequent, "
        f"<strong>{figures['equal_error_rate']:.2%}</strong> of the same-speaker trials are rejected and as many of "
        f"the different-speaker trials are accepted; drawing {figures['bootstrap_over']} anew, 95% of these rates lie "
        f"between {low:.2%} and {high:.2%}.</p>"
    )
    for prefix, scores in scored.scores.items():
        yield f"<h2>{'After AS-norm' if prefix else 'Cosine scores'}</h2>"
        developed = not prefix and "development_threshold" in figures
        yield report.verification(
            scores,
            scored.trials.same,
            rate=figures[f"{prefix}equal_error_rate"],
            threshold=figures["development_threshold" if developed else f"{prefix}threshold"],
            origin="from development speakers" if developed else "where both errors are equal on these very trials",
            operating_point=(
                (figures["false_acceptance_rate"], figures["false_rejection_rate"]) if developed else None
            ),
            of="trials",
            unit="normalised score" if prefix else "cosine score",
        )
    yield from recorded.closing(figures, MEANINGS, scored.problems, settings)


def _interval(bounds: list[float]) -> str:
    return "{:.2%} to {:.2%}".format(*bounds)


_RATE, _COST = report.MEANINGS["equal_error_rate"], report.MEANINGS["min_dcf"]
_OWN: Mapping[str, Any] = {
    "equal_error_rate": _RATE,
    "equal_error_rate_interval": (
        "95% interval of it",
        _interval,
        "Where 95% of the equal error rates lie when speakers (or, where they are not known, trials) are drawn anew.",
    ),
    "min_dcf": _COST,
    "min_dcf_0.05": ("minDCF at 0.05", report.NUMBER, "The same, with one trial in twenty of the claimed speaker."),
    "threshold": ("equal-error threshold", report.NUMBER, "Score at which both errors are equal on these very trials."),
}
MEANINGS: Mapping[str, Any] = {
    **_OWN,
    **{AS_NORM + name: (f"{title}, after AS-norm", style, words) for name, (title, style, words) in _OWN.items()},
    "development_threshold": (
        "development threshold",
        report.NUMBER,
        "Cosine score from which a trial is accepted, chosen in training on development speakers.",
    ),
    "false_acceptance_rate": ("false acceptance rate", report.PERCENT, "Of different-speaker trials, there."),
    "false_rejection_rate": ("false rejection rate", report.PERCENT, "Of same-speaker trials, there."),
    "bootstrap_over": ("drawn anew", str, "What the intervals draw."),
    "num_speakers": ("speakers", report.COUNT, "Speakers in the trials."),
    "num_trials": ("trials", report.COUNT, "Pairs of recordings that were scored."),
    "num_target_trials": ("same-speaker trials", report.COUNT, "Those of one speaker."),
    "num_recordings": ("recordings", report.COUNT, "Recordings that were embedded."),
    "num_trials_left_out": ("trials left out", report.COUNT, "Trials of recordings that cannot be used."),
    "num_left_out": ("recordings left out", report.COUNT, "Recordings that cannot be used."),
}
"""The title of each figure, how it is written, and what it means."""
