"""One page about one training run: `report.html`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet.metrics import det_curve, matched_counts, pair_scores
from jaxtriplet.metrics.agglomerative import agglomerative
from jaxtriplet.pages import page
from jaxtriplet.pages import pictures as plots

PERCENT, NUMBER, COUNT = "{:.2%}".format, "{:.4f}".format, "{:,}".format

MEANINGS: Mapping[str, tuple[str, Callable[[float], str], str]] = {
    "equal_error_rate": (
        "equal error rate",
        PERCENT,
        "Share of wrong decisions where the threshold rejects same-speaker pairs as often as it accepts "
        "different-speaker pairs; 0% is perfect, 50% is chance.",
    ),
    "min_dcf": (
        "minDCF",
        NUMBER,
        "Cost of the decisions at the best threshold when one trial in a hundred has the claimed speaker; "
        "0 is perfect, 1 is no better than rejecting everybody.",
    ),
    "threshold": ("threshold", NUMBER, "Cosine score from which a pair is accepted."),
    "false_acceptance_rate": (
        "false acceptance rate",
        PERCENT,
        "Share of different-speaker pairs that this threshold accepts.",
    ),
    "false_rejection_rate": (
        "false rejection rate",
        PERCENT,
        "Share of same-speaker pairs that this threshold rejects.",
    ),
    "accuracy": (
        "identification accuracy",
        PERCENT,
        "Share of test utterances whose nearest speaker, by the mean of the training utterances, is the right one.",
    ),
    "purity": (
        "cluster purity",
        PERCENT,
        "Share of the utterances that belong to the commonest speaker of their cluster.",
    ),
    "nmi": (
        "normalised mutual information",
        NUMBER,
        "How much clusters tell about speakers and the other way round; 0 is nothing, 1 is everything.",
    ),
    "misclassification_rate": (
        "misclassification rate",
        PERCENT,
        "Share of the utterances outside their speaker's cluster, with one cluster for each speaker.",
    ),
    "num_trials": ("trials", COUNT, "Pairs of utterances that were scored."),
    "num_speakers": ("speakers", COUNT, "Speakers among these utterances."),
}

HISTORY = (
    ("loss", "loss", 1.0, "The loss of every training batch."),
    (
        "equal_error_rate",
        "equal error rate (%)",
        100.0,
        "Equal error rate over the pairs of <em>{judged}</em> utterances, from time to time.",
    ),
    (
        "fraction_active",
        "active terms (%)",
        100.0,
        "Share of the loss's terms that still ask for a change; at zero there is nothing left to learn from.",
    ),
    ("gradient_norm", "gradient norm", 1.0, "Length of the gradient; repeated jumps hint at too high a learning rate."),
)

MAX_POINTS = 1000  # t-SNE takes some five seconds for so many, and more points hide each other.
MAX_CONFUSION = 30  # Wider tables of counts cannot be read.


def write_report(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Any],
    embeddings: ArrayLike,
    labels: ArrayLike,
    label_names: Mapping[int, str] | Sequence[str] | None = None,
    untrained: ArrayLike | None = None,
    more: Iterable[str] = (),
) -> Path:
    """Write `report.html` about a run: its figures in words, its course, its scores and a map of its embeddings.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        config: The run's settings; `loss`, if among them, goes into the title.
        history: The run's course, a row a step: `step` and any of `loss`, `equal_error_rate` (0 to 1),
            `fraction_active` (0 to 1) and `gradient_norm`. May be empty.
        metrics: What `evaluation.judge` or `judge_unseen` returned; other figures are listed without an explanation,
            but for `judged`, a word for what was judged if it was not "test" utterances.
        embeddings: Embeddings of the judged utterances, [N, D].
        labels: Their speakers, [N].
        label_names: `label_names[label]` is the name to show; None shows the labels.
        untrained: Embeddings of the same utterances before training, [N, D], to be shown beside them; or None.
        more: Sections of the caller's own, HTML, after the course of the training.

    Returns:
        The path of the report.

    Raises:
        ValueError: A metric or the name of a label is missing, or the embeddings cannot be scored.
    """
    if missing := [name for name in MEANINGS if name not in metrics and name != "accuracy"]:
        raise ValueError(f"metrics lack {', '.join(missing)}; pass what evaluation.judge returned")
    names = _names(np.asarray(labels), label_names)
    title = "Speaker embeddings" + (f" trained with {config['loss']}" if "loss" in config else "")
    sections = (
        *_headline(metrics, len(names)),
        *_course(history, metrics.get("judged", "training")),
        *more,
        *_verification(metrics, embeddings, labels),
        *_embeddings(embeddings, labels, names, metrics.get("judged", "test"), untrained),
        "<h2>All figures</h2>",
        figures(metrics, MEANINGS),
        "<h2>Settings</h2>",
        settings(config),
    )
    return page.write_page(Path(folder) / "report.html", title, sections)


def _names(labels: np.ndarray, label_names: Mapping[int, str] | Sequence[str] | None) -> list[str]:
    if label_names is None:
        return [str(label) for label in labels]
    try:
        return [str(label_names[label]) for label in labels.tolist()]
    except (KeyError, IndexError) as error:
        raise ValueError(f"label_names has no name for one of the labels {np.unique(labels).tolist()}") from error


def _headline(metrics: Mapping[str, Any], num_utterances: int) -> Iterator[str]:
    error, speakers = PERCENT(metrics["equal_error_rate"]), COUNT(metrics["num_speakers"])
    # Of speakers who were not trained on, there is nothing to identify by.
    right = round(metrics.get("accuracy", 0) * num_utterances)
    identified = (
        f"The nearest training speaker is the right one for <strong>{COUNT(right)} of {COUNT(num_utterances)}</strong> "
        "utterances. "
    )
    grouped = round((1 - metrics["misclassification_rate"]) * num_utterances)
    yield (
        f"<p>Two {metrics.get('judged', 'test')} utterances are compared by the cosine of their embeddings. "
        f"With the threshold set so that both "
        f"kinds of error are equally frequent, <strong>{error}</strong> of the same-speaker pairs are rejected and "
        f"{error} of the different-speaker pairs are accepted ({COUNT(metrics['num_trials'])} pairs, {speakers} "
        f"speakers). {identified if 'accuracy' in metrics else ''}Clustering without labels puts "
        f"<strong>{COUNT(grouped)} of {COUNT(num_utterances)}</strong> with their own speaker.</p>"
    )
    names = ("equal_error_rate", "min_dcf", "accuracy", "purity")
    shown = ((MEANINGS[name][1](metrics[name]), MEANINGS[name][0]) for name in names if name in metrics)
    yield page.tiles(shown)


def _course(history: Sequence[Mapping[str, float]], judged: str) -> Iterator[str]:
    present = [panel for panel in HISTORY if any(panel[0] in row for row in history)]
    if present:
        yield "<h2>Training</h2>"
        draw = partial(plots.draw_history, history=history)
        yield page.grid(
            page.figure(partial(draw, key=key, ylabel=name, scale=scale), caption.format(judged=judged), height=2.7)
            for key, name, scale, caption in present
        )


def verification(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    rate: float,
    threshold: float,
    origin: str,
    operating_point: tuple[float, float] | None = None,
    of: str = "pairs of test utterances",
    unit: str = "cosine score",
) -> str:
    """Return pictures of scores, as HTML: how they are spread, and what a threshold trades.

    Args:
        scores: Scores of the trials, [T].
        same: Truth, bool [T].
        rate: The equal error rate.
        threshold: Drawn into the scores.
        origin: Where the threshold comes from, after "it is".
        operating_point: (false acceptance, false rejection) at the threshold, marked.
        of: What was scored.
        unit: What the scores are.
    """
    curve = det_curve(scores, same)
    draw_scores = partial(plots.draw_score_histogram, scores=scores, same=same, threshold=threshold, xlabel=unit)
    draw_det = partial(
        plots.draw_det_curve,
        false_acceptance=curve.false_acceptance,
        false_rejection=curve.false_rejection,
        equal_error_rate=rate,
        operating_point=operating_point,
    )
    return page.grid(
        (
            page.figure(
                draw_scores,
                f"Scores of all {of}, each kind adding up to 100%, on a logarithmic scale that "
                f"shows the rare errors too. Pairs right of the dashed line are accepted; it is {origin}.",
            ),
            page.figure(
                draw_det,
                "Detection error trade-off: what a stricter threshold saves in false acceptances it costs in false "
                "rejections. Nearer to the lower left corner is better; both axes are normal deviates.",
            ),
        )
    )


def embedding_map(embeddings: ArrayLike, names: Sequence[str], *, of: str = "test utterances", by: str) -> str:
    """Return a picture of embeddings laid out in the plane, as HTML.

    Args:
        embeddings: One row an utterance, [N, D].
        names: What each is marked with, N strings.
        of: What the utterances are.
        by: What the names are, such as "speaker".
    """
    rows, total = np.asarray(embeddings), len(names)
    chosen = np.linspace(0, total - 1, min(total, MAX_POINTS)).astype(int)
    points, method = plots.project(rows[chosen])
    draw_map = partial(plots.draw_embedding_map, points=points, names=[names[i] for i in chosen], method=method)
    kept = f"{COUNT(len(chosen))} of {COUNT(total)}" if len(chosen) < total else f"All {COUNT(total)}"
    hint = " Near points are alike; distances between far groups mean little." if method == "t-SNE" else ""
    return page.figure(draw_map, f"{kept} {of} laid out in the plane by {method}, by {by}.{hint}")


def confusion(labels: ArrayLike, clusters: ArrayLike, names: Sequence[str], *, of: str = "Utterances") -> str:
    """Return a picture of clusters against speakers, as HTML; nothing, if there are too many to be read.

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N].
        names: The speaker of every utterance, N strings.
        of: What the utterances are.
    """
    first = np.unique(labels, return_index=True)[1]
    counts = matched_counts(labels, clusters)
    if max(counts.shape) > MAX_CONFUSION:
        return ""
    draw_counts = partial(plots.draw_confusion, counts=counts, names=[names[i] for i in first])
    caption = f"{of} of every speaker in every cluster, clusters in the order of the best match: off the diagonal lie "
    return page.figure(draw_counts, caption + "the misplaced ones.")


def _verification(metrics: Mapping[str, Any], embeddings: ArrayLike, labels: ArrayLike) -> Iterator[str]:
    judged = metrics.get("judged", "test")
    scores, same = pair_scores(embeddings, labels)
    yield "<h2>Same speaker or not?</h2>"
    yield verification(
        scores,
        same,
        rate=metrics["equal_error_rate"],
        threshold=metrics["threshold"],
        origin="from training pairs" if judged == "test" else "from these pairs themselves",
        operating_point=(metrics["false_acceptance_rate"], metrics["false_rejection_rate"]),
        of=f"pairs of {judged} utterances",
    )


def _embeddings(
    embeddings: ArrayLike, labels: ArrayLike, names: Sequence[str], judged: str, untrained: ArrayLike | None
) -> Iterator[str]:
    clusters = agglomerative(embeddings, len(np.unique(labels)))
    yield "<h2>The embeddings</h2>"
    stages = {"": embeddings} if untrained is None else {" before training": untrained, " after it": embeddings}
    maps = [
        embedding_map(shown, names, of=f"{judged} utterances{when}", by="speaker") for when, shown in stages.items()
    ]
    yield page.grid((*maps, confusion(labels, clusters, names)))


def figures(metrics: Mapping[str, Any], meanings: Mapping[str, tuple[str, Callable[[Any], str], str]]) -> str:
    """Return a table of figures, as HTML, each with its title and what it means; others are listed as they are."""
    return page.table(_metric_row(value, *meanings.get(name, (name, str, ""))) for name, value in metrics.items())


def settings(config: Mapping[str, Any]) -> str:
    """Return a table of settings, as HTML."""
    return page.table(_setting_row(name, value) for name, value in config.items())


def _metric_row(value: Any, title: str, style: Callable[[Any], str], meaning: str) -> str:
    return f"<tr><th>{escape(title)}<small>{meaning}</small></th><td>{escape(style(value))}</td></tr>"


def _setting_row(name: str, value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"<tr><th>{escape(name)}</th><td><code>{escape(shown)}</code></td></tr>"
