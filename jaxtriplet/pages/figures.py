"""What the figures of every page are called, how they are written, and what they mean."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

PERCENT, NUMBER, COUNT = "{:.2%}".format, "{:.4f}".format, "{:,}".format

AS_NORM = "as_norm_"
"""What the names of figures after AS-norm begin with."""


class Figure(NamedTuple):
    """What there is to know of a figure.

    Attributes:
        title: What it is called on a page.
        style: From its value to what is shown.
        meaning: What it tells, a sentence.
    """

    title: str
    style: Callable[[Any], str]
    meaning: str


def _interval(bounds: Iterable[float]) -> str:
    return " to ".join(map(PERCENT, bounds))


FIGURES: Mapping[str, Figure] = {
    "equal_error_rate": Figure(
        "equal error rate",
        PERCENT,
        "Share of wrong decisions where the threshold rejects same-speaker pairs as often as it accepts "
        "different-speaker pairs; 0% is perfect, 50% is chance.",
    ),
    "equal_error_rate_interval": Figure(
        "95% interval of it",
        _interval,
        "Where 95% of the equal error rates lie when speakers (or, where they are not known, trials) are drawn anew.",
    ),
    "min_dcf": Figure(
        "minDCF",
        NUMBER,
        "Cost of the decisions at the best threshold when one trial in a hundred has the claimed speaker; "
        "0 is perfect, 1 is no better than rejecting everybody.",
    ),
    "min_dcf_0.05": Figure("minDCF at 0.05", NUMBER, "The same, with one trial in twenty of the claimed speaker."),
    "threshold": Figure("threshold", NUMBER, "Cosine score from which a pair is accepted."),
    "development_threshold": Figure(
        "development threshold",
        NUMBER,
        "Cosine score from which a trial is accepted, chosen in training on development speakers.",
    ),
    "false_acceptance_rate": Figure(
        "false acceptance rate", PERCENT, "Share of different-speaker pairs that this threshold accepts."
    ),
    "false_rejection_rate": Figure(
        "false rejection rate", PERCENT, "Share of same-speaker pairs that this threshold rejects."
    ),
    "accuracy": Figure(
        "identification accuracy",
        PERCENT,
        "Share of test utterances whose nearest speaker, by the mean of the training utterances, is the right one.",
    ),
    "purity": Figure(
        "cluster purity", PERCENT, "Share of the utterances that belong to the commonest speaker of their cluster."
    ),
    "nmi": Figure(
        "normalised mutual information",
        NUMBER,
        "How much clusters tell about speakers and the other way round; 0 is nothing, 1 is everything.",
    ),
    "misclassification_rate": Figure(
        "misclassification rate",
        PERCENT,
        "Share of the utterances outside their speaker's cluster, with one cluster for each speaker.",
    ),
    "num_clusters": Figure("clusters", COUNT, "How many speakers the recordings seem to be of."),
    "estimated_by": Figure("found by", str, "How their number was found."),
    "silhouette": Figure("silhouette", NUMBER, "How much nearer recordings are to their own cluster than to others."),
    "bootstrap_over": Figure("drawn anew", str, "What the intervals draw."),
    "num_trials": Figure("trials", COUNT, "Pairs that were scored."),
    "num_target_trials": Figure("same-speaker trials", COUNT, "Those of one speaker."),
    "num_trials_left_out": Figure("trials left out", COUNT, "Trials of recordings that cannot be used."),
    "num_speakers": Figure("speakers", COUNT, "How many speakers there truly are."),
    "num_recordings": Figure("recordings", COUNT, "Recordings that were embedded."),
    "num_left_out": Figure("recordings left out", COUNT, "Recordings that cannot be used."),
    "judged": Figure("judged on", str, "What utterances these are the figures of."),
    "step": Figure("update", COUNT, "The update after which the weights were kept."),
    "training_seconds": Figure("seconds", str, "How long training took, with the embedding of what is judged."),
}
"""Every figure of every page, by its name; where a page means something else by it, that page's table says what."""

_OF_SCORES = {
    **{name: FIGURES[name] for name in ("equal_error_rate", "equal_error_rate_interval", "min_dcf", "min_dcf_0.05")},
    "threshold": Figure("equal-error threshold", NUMBER, "Score at which both errors are equal on these very trials."),
}
EVALUATION: Mapping[str, Figure] = {
    **FIGURES,
    **_OF_SCORES,
    **{AS_NORM + name: one._replace(title=f"{one.title}, after AS-norm") for name, one in _OF_SCORES.items()},
}
"""`FIGURES`, as the page of an evaluation means them."""

_MERGED = "Mean cosine down to which two clusters were taken for one speaker."
CLUSTERING: Mapping[str, Figure] = {**FIGURES, "threshold": Figure("threshold", NUMBER, _MERGED)}
"""`FIGURES`, as the page of a clustering means them."""


def require(figures: Mapping[str, Any], names: Iterable[str], source: str) -> None:
    """Refuse figures among which one is missing.

    Args:
        figures: By name.
        names: What must be among them.
        source: Where they should come from, for the message.

    Raises:
        ValueError: One is missing.

    >>> require({"purity": 1.0}, ["purity", "nmi"], "metrics.judge")
    Traceback (most recent call last):
    ...
    ValueError: figures lack nmi; pass those of metrics.judge
    """
    if missing := [name for name in names if name not in figures]:
        raise ValueError(f"figures lack {', '.join(missing)}; pass those of {source}")
