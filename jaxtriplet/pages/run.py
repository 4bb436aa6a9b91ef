"""The page about one training run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from jaxtriplet.metrics import Judgement
from jaxtriplet.pages import page, panels, pictures
from jaxtriplet.pages.figures import FIGURES, require
from jaxtriplet.pages.page import Section

_COURSE = (
    ("loss", "loss", 1.0, "The loss of every training batch."),
    (
        "equal_error_rate",
        "equal error rate (%)",
        100.0,
        "Equal error rate over the pairs of <em>{}</em> utterances, from time to time.",
    ),
    (
        "fraction_active",
        "active terms (%)",
        100.0,
        "Share of the loss's terms that still ask for a change; at zero there is nothing left to learn from.",
    ),
    ("gradient_norm", "gradient norm", 1.0, "Length of the gradient; repeated jumps hint at too high a learning rate."),
)
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
) -> Path:
    """Write `report.html` about a run: its figures in words, its course, its scores and a map of its embeddings.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        config: The run's settings, mappings inside them included; `loss`, if it is among them and a string or has a
            `name`, goes into the title.
        history: The run's course, a row a step: `step` and any of `loss`, `equal_error_rate` (0 to 1),
            `fraction_active` (0 to 1) and `gradient_norm`. May be empty.
        judgement: What `metrics.judge` or `judge_unseen` returned; nothing of it is computed again.
        figures: What else to list, by name.
        label_names: `label_names[label]` is the name to show; None shows the labels.
        untrained: Embeddings of the same utterances before training, [N, D], to be shown beside them; or None.
        more: Sections of the caller's own, after the course of the training.

    Returns:
        The path of the page.

    Raises:
        ValueError: A figure or the name of a label is missing, or the scores have no curve.
    """
    found, total = judgement.figures, len(judgement.labels)
    require(found, _NEEDED, "metrics.judge")
    names = _names(judgement.labels, label_names)
    loss = config.get("loss")
    loss = loss.get("name") if isinstance(loss, Mapping) else loss
    return page.write(
        folder,
        "run.html",
        sections=[
            *_course(history, judgement.judged),
            *more,
            _verification(judgement),
            _embeddings(judgement, names, untrained),
        ],
        figures={**found, **(figures or {})},
        meanings=FIGURES,
        settings=config,
        loss=loss,
        judgement=judgement,
        identified=round(found.get("accuracy", 0) * total),
        grouped=round((1 - found["misclassification_rate"]) * total),
    )


def _names(labels: np.ndarray, label_names: Mapping[int, str] | Sequence[str] | None) -> list[str]:
    if label_names is None:
        return [str(label) for label in labels]
    try:
        return [str(label_names[label]) for label in labels.tolist()]
    except (KeyError, IndexError) as error:
        raise ValueError(f"label_names has no name for one of the labels {np.unique(labels).tolist()}") from error


def _course(history: Sequence[Mapping[str, float]], judged: str) -> Iterator[Section]:
    # In training, test utterances are not looked at.
    watched = "training" if judged == "test" else judged
    drawn = [
        page.picture(
            partial(pictures.draw_history, history=history, key=key, ylabel=ylabel, scale=scale),
            Markup(caption).format(watched),
            height=2.7,
        )
        for key, ylabel, scale, caption in _COURSE
        if any(key in row for row in history)
    ]
    if drawn:
        yield Section("Training", drawn)


def _verification(judgement: Judgement) -> Section:
    figures = judgement.figures
    drawn = panels.verification(
        judgement.scores,
        judgement.same,
        rate=figures["equal_error_rate"],
        threshold=figures["threshold"],
        # Whoever is identified was enrolled, by the utterances that the threshold comes from.
        origin="from training pairs" if "accuracy" in figures else "from these pairs themselves",
        operating_point=(figures["false_acceptance_rate"], figures["false_rejection_rate"]),
        of=f"pairs of {judgement.judged} utterances",
    )
    return Section("Same speaker or not?", drawn)


def _embeddings(judgement: Judgement, names: Sequence[str], untrained: ArrayLike | None) -> Section:
    after = judgement.embeddings
    stages = {"": after} if untrained is None else {" before training": untrained, " after it": after}
    maps = [
        panels.embedding_maps(shown, {"speaker": names}, of=f"{judgement.judged} utterances{when}")
        for when, shown in stages.items()
    ]
    counts = panels.confusion(judgement.labels, judgement.clusters, names, of="Utterances")
    return Section("The embeddings", [*chain(*maps), *counts])
