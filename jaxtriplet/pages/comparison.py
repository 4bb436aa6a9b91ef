"""The page about several runs beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from jaxtriplet.pages import overlays, page
from jaxtriplet.pages.figures import AS_NORM, EVALUATION, require

_OF_SCORES = {
    "equal_error_rate": min,
    "equal_error_rate_interval": None,
    "min_dcf": min,
    "min_dcf_0.05": min,
    "min_cllr": min,
    "cllr": min,
    "actual_dcf": min,
    "actual_dcf_0.05": min,
    "same_session_equal_error_rate": min,
    "same_session_min_dcf": min,
}
COMPARED = {
    **_OF_SCORES,
    "backend_equal_error_rate": min,
    "untrained_equal_error_rate": None,
    "accuracy": max,
    "purity": max,
    "nmi": max,
    "misclassification_rate": min,
    **{AS_NORM + name: best for name, best in _OF_SCORES.items()},
    "recall_at_1": max,
    "recall_at_5": max,
    "recall_at_10": max,
    "r_precision": max,
    "map_at_r": max,
    "mean_reciprocal_rank": max,
    "compared_by": None,
    "step": None,
    "training_seconds": None,
}
"""The figures that are set beside each other, in their order, each with what picks the best of a few; None: nothing."""
_OF_LOSSES = {"loss", "margin", "temperature", "scale", "hinge", "centers", "class_sample", "memory", "outputs"}
NOTHING = "-"
"""What stands where a run has no such figure."""


class Column(NamedTuple):
    """A figure of all runs.

    Attributes:
        name: Its name.
        title: What it is called.
        values: What is shown of each run.
        best: Whether that is the best there is; of none, if all are alike.
    """

    name: str
    title: str
    values: list[str]
    best: list[bool]


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the figures that runs are compared by, of those that any of them has.

    Args:
        rows: The figures of each run, by name.

    >>> columns([{"purity": 0.5, "step": 7}, {"purity": 0.75}])[0]
    Column(name='purity', title='cluster purity', values=['50.00%', '75.00%'], best=[False, True])
    """
    found = []
    for name, pick in COMPARED.items():
        own = [row.get(name) for row in rows]
        known, meaning = [value for value in own if value is not None], EVALUATION[name]
        if known:
            best = pick(known) if pick and len({*known}) > 1 else None
            values = [NOTHING if value is None else meaning.style(value) for value in own]
            found.append(Column(name, meaning.title, values, [best is not None and value == best for value in own]))
    return found


def comparison_page(
    folder: str | Path,
    *,
    runs: Mapping[str, Mapping[str, Any]],
    same: ArrayLike,
    scores: Mapping[str, Mapping[str, ArrayLike]],
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    differing: Mapping[str, Sequence[Any]],
    figures: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Path:
    """Write `report.html` about several runs: their figures in a table, their courses and trade-offs over each other.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        runs: The figures of each run, `equal_error_rate` among them, by the run's name.
        same: Truth of the trials that all were judged on, bool [T].
        scores: By the prefix of their figures ("" as they are, `AS_NORM` after normalisation), scores of each run, [T].
        histories: The courses of those that have one, a row a step.
        differing: What differs in the settings of the runs: a value for each, by name.
        figures: What holds for all: `baseline`, the run that others are set against, `differences`, rows with `words`
            on each, `num_trials`, and `bootstrap_over` or `no_interval`; others are listed.
        settings: What was asked for.

    Returns:
        The path of the page.

    Raises:
        ValueError: A figure is missing, or the scores have no curve.
    """
    require(figures, ("baseline", "differences", "num_trials"), "jobs.compare")
    for row in runs.values():
        require(row, [prefix + "equal_error_rate" for prefix in scores], "jobs.compare")
    return page.write(
        folder,
        "comparison.html",
        figures={name: value for name, value in figures.items() if name != "differences"},
        meanings=EVALUATION,
        settings=settings,
        runs=runs,
        columns=columns(list(runs.values())),
        differences=figures["differences"],
        same=same,
        scores=scores,
        rates={
            prefix: {name: runs[name][f"{prefix}equal_error_rate"] for name in own} for prefix, own in scores.items()
        },
        histories=histories,
        recorded=set().union(*(row for history in histories.values() for row in history)),
        chosen={
            name: runs[name]["step"]
            for name in histories
            if runs[name].get("judged") == "development" and "step" in runs[name]
        },
        differing=differing,
        other_losses=not _OF_LOSSES.isdisjoint(differing),
        nothing=NOTHING,
        overlays=overlays,
    )
