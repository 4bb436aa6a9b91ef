"""The page about one training run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet.metrics import Judgement
from jaxtriplet.pages import page
from jaxtriplet.pages.figures import FIGURES, require
from jaxtriplet.pages.page import Section
from jaxtriplet.pages.wording import Told

_NEEDED = (
    *("equal_error_rate", "min_dcf", "threshold", "false_acceptance_rate", "false_rejection_rate", "purity", "nmi"),
    *("misclassification_rate", "num_trials", "num_speakers"),
)


def run_page(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    judgement: Judgement,
    figures: Mapping[str, Any] | None = None,
    label_names: Mapping[int, str] | Sequence[str] | None = None,
    untrained: ArrayLike | None = None,
    more: Iterable[Section] = (),
    chosen: int | None = None,
) -> Path:
    """Write `report.html` about a run: its figures in words, its course, its scores and a map of its embeddings.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        config: The run's settings, mappings inside them included, as they are or as `wording.Told`; `loss`, if it is
            among them and a string or has a `name`, goes into the title, and `backend` likewise into the text.
        history: The run's course, a row a step: `step` and any of `loss`, `equal_error_rate` (0 to 1),
            `fraction_active`, `fraction_wrong` (0 to 1) and `gradient_norm`. May be empty.
        judgement: What `metrics.judge` or `judge_unseen` returned; nothing of it is computed again.
        figures: What else to list, by name.
        label_names: `label_names[label]` is the name to show; None shows the labels.
        untrained: Embeddings of the same utterances before training, [N, D], to be shown beside them; or None.
        more: Sections of the caller's own, after the course of the training.
        chosen: After which update the weights were kept, if its equal error rate chose it among others: marked on the
            course. None if they are those of the last update.

    Returns:
        The path of the page.

    Raises:
        ValueError: A figure or the name of a label is missing, or the scores have no curve.
    """
    require(judgement.figures, _NEEDED, "metrics.judge")
    names = _names(judgement.labels, label_names)
    steps = {row["step"] for row in history}
    return page.write(
        folder,
        "run.html",
        figures={**judgement.figures, **(figures or {})},
        meanings=FIGURES,
        settings=config,
        judgement=judgement,
        loss=_named(config, "loss"),
        backend=_named(config, "backend") or "none",
        chosen=chosen,
        # Test utterances are not looked at on the way.
        watched="training" if judgement.judged == "test" else judgement.judged,
        history=history,
        gap=int(max(steps)) - len(steps) if steps else 0,
        recorded=set().union(*history),
        names=names,
        untrained=untrained,
        more=more,
    )


def _named(config: Mapping[str, Any], section: str) -> str:
    """Returns a word of the settings, "" if it is not there: a section itself, or its name."""
    found = config.get(section)
    found = found.get("name") if isinstance(found, Mapping) else found
    return "" if found is None else found.value if isinstance(found, Told) else str(found)


def _names(labels: np.ndarray, label_names: Mapping[int, str] | Sequence[str] | None) -> list[str]:
    if label_names is None:
        return [str(label) for label in labels]
    try:
        return [str(label_names[label]) for label in labels.tolist()]
    except (KeyError, IndexError) as error:
        raise ValueError(f"label_names has no name for one of the labels {np.unique(labels).tolist()}") from error
