"""One page about one training run: `report.html`, which needs neither a network nor a script to be read."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from . import plots
from .clustering import agglomerative
from .metrics import det_curve, matched_counts, pair_scores

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
    "threshold": ("threshold", NUMBER, "Cosine score from which a pair is accepted, chosen on training pairs alone."),
    "false_acceptance_rate": (
        "false acceptance rate",
        PERCENT,
        "Share of different-speaker test pairs that this threshold accepts.",
    ),
    "false_rejection_rate": (
        "false rejection rate",
        PERCENT,
        "Share of same-speaker test pairs that this threshold rejects.",
    ),
    "accuracy": (
        "identification accuracy",
        PERCENT,
        "Share of test utterances whose nearest speaker, by the mean of the training utterances, is the right one.",
    ),
    "purity": (
        "cluster purity",
        PERCENT,
        "Share of test utterances that belong to the commonest speaker of their cluster.",
    ),
    "nmi": (
        "normalised mutual information",
        NUMBER,
        "How much clusters tell about speakers and the other way round; 0 is nothing, 1 is everything.",
    ),
    "misclassification_rate": (
        "misclassification rate",
        PERCENT,
        "Share of test utterances outside their speaker's cluster, with one cluster for each speaker.",
    ),
    "num_trials": ("trials", COUNT, "Pairs of test utterances that were scored."),
    "num_speakers": ("speakers", COUNT, "Speakers among the test utterances."),
}

HISTORY = (
    ("loss", "loss", 1.0, "The loss of every training batch."),
    (
        "equal_error_rate",
        "equal error rate (%)",
        100.0,
        "Equal error rate over the pairs of <em>training</em> utterances, from time to time.",
    ),
    (
        "fraction_active",
        "active terms (%)",
        100.0,
        "Share of the loss's terms that still ask for a change; at zero there is nothing left to learn from.",
    ),
    ("gradient_norm", "gradient norm", 1.0, "Length of the gradient; repeated jumps hint at too high a learning rate."),
)

_DARK_PALETTE = ("#8f83e6", "#e0868f", "#3fb068", "#ddbb55", "#88ccee", "#d05c98", "#55c4b4", "#b8b84a", "#cc77bb")
DARK = {
    plots.PAPER: "#161b22",
    plots.INK: "#e6edf3",
    plots.GRID: "#30363d",
    plots.NEUTRAL: "#8b949e",
    plots.SAME: "#4aa8e8",
    plots.DIFFERENT: "#ff7b5c",
    **dict(zip(plots.PALETTE, _DARK_PALETTE, strict=True)),
}
"""Every colour of the pictures, and what stands for it on a dark page."""

MAX_POINTS = 1000  # t-SNE takes some five seconds for so many, and more points hide each other.
MAX_CONFUSION = 30  # Wider tables of counts cannot be read.

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --back: #f6f8fa; $light }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; $dark } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 70rem; background: var(--back); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
p { max-width: 46rem; margin: .5rem 0; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); margin: 1.5rem 0; }
.tile, figure, .table { background: var(--paper); border: 1px solid var(--grid); border-radius: .6rem; }
.tile { padding: .9rem 1.1rem; }
.tile b { display: block; font-size: 1.8rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span, figcaption, th small { color: var(--ink); opacity: .75; font-size: .9rem; }
figure { margin: 0; padding: 1rem; display: flex; flex-direction: column; justify-content: space-between; }
/* A layout that changes the ticks it made room for pushes the axis label over the edge: show it there. */
figure svg { width: 100%; height: auto; overflow: visible; }
figure text { font-family: inherit !important; }
figcaption { margin-top: .5rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem 1rem; border-top: 1px solid var(--grid); }
tr:first-child > * { border-top: 0; }
th { font-weight: 600; }
th small { display: block; font-weight: 400; }
td { text-align: right; font-variant-numeric: tabular-nums; }
td code { font-size: .9rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; } figure, .tile, tr { break-inside: avoid; } }
</style>
</head>
<body>
$body
</body>
</html>
""")


def write_report(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    metrics: Mapping[str, float],
    embeddings: ArrayLike,
    labels: ArrayLike,
    label_names: Mapping[int, str] | Sequence[str] | None = None,
) -> Path:
    """Write `report.html` about a run: its figures in words, its course, its scores and a map of its embeddings.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        config: The run's settings; `loss`, if among them, goes into the title.
        history: The run's course, a row a step: `step` and any of `loss`, `equal_error_rate` (of training pairs, 0 to
            1), `fraction_active` (0 to 1) and `gradient_norm`. May be empty.
        metrics: What `evaluation.judge` returned; other figures are listed without an explanation.
        embeddings: Embeddings of the test utterances, [N, D].
        labels: Their speakers, [N].
        label_names: `label_names[label]` is the name to show; None shows the labels.

    Returns:
        The path of the report.

    Raises:
        ValueError: A metric or the name of a label is missing, or the embeddings cannot be scored.
    """
    if missing := [name for name in MEANINGS if name not in metrics]:
        raise ValueError(f"metrics lack {', '.join(missing)}; pass what evaluation.judge returned")
    names = _names(np.asarray(labels), label_names)
    title = "Speaker embeddings" + (f" trained with {config['loss']}" if "loss" in config else "")
    sections = (
        f"<h1>{escape(title)}</h1>",
        *_headline(metrics, len(names)),
        *_course(history),
        *_verification(metrics, embeddings, labels),
        *_embeddings(embeddings, labels, names),
        "<h2>All figures</h2>",
        _table(_metric_row(name, value) for name, value in metrics.items()),
        "<h2>Settings</h2>",
        _table(_setting_row(name, value) for name, value in config.items()),
    )
    page = PAGE.substitute(
        title=escape(title), light=_variables(dict.fromkeys(DARK)), dark=_variables(DARK), body="\n".join(sections)
    )
    path = Path(folder) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _names(labels: np.ndarray, label_names: Mapping[int, str] | Sequence[str] | None) -> list[str]:
    if label_names is None:
        return [str(label) for label in labels]
    try:
        return [str(label_names[label]) for label in labels.tolist()]
    except (KeyError, IndexError) as error:
        raise ValueError(f"label_names has no name for one of the labels {np.unique(labels).tolist()}") from error


def _headline(metrics: Mapping[str, float], num_utterances: int) -> Iterator[str]:
    error = PERCENT(metrics["equal_error_rate"])
    right, speakers = round(metrics["accuracy"] * num_utterances), COUNT(metrics["num_speakers"])
    grouped = round((1 - metrics["misclassification_rate"]) * num_utterances)
    yield (
        f"<p>Two test utterances are compared by the cosine of their embeddings. With the threshold set so that both "
        f"kinds of error are equally frequent, <strong>{error}</strong> of the same-speaker pairs are rejected and "
        f"{error} of the different-speaker pairs are accepted ({COUNT(metrics['num_trials'])} pairs, {speakers} "
        f"speakers). The nearest training speaker is the right one for <strong>{COUNT(right)} of "
        f"{COUNT(num_utterances)}</strong> utterances, and clustering without labels puts "
        f"<strong>{COUNT(grouped)}</strong> of them with their own speaker.</p>"
    )
    tiles = ("equal_error_rate", "min_dcf", "accuracy", "purity")
    shown = ((MEANINGS[name][1](metrics[name]), MEANINGS[name][0]) for name in tiles)
    yield f'<div class="tiles">{"".join(f"<div class=tile><b>{v}</b><span>{n}</span></div>" for v, n in shown)}</div>'


def _course(history: Sequence[Mapping[str, float]]) -> Iterator[str]:
    present = [panel for panel in HISTORY if any(panel[0] in row for row in history)]
    if present:
        yield "<h2>Training</h2>"
        draw = partial(plots.draw_history, history=history)
        yield _grid(
            _figure(partial(draw, key=key, ylabel=name, scale=scale), caption, height=2.7)
            for key, name, scale, caption in present
        )


def _verification(metrics: Mapping[str, float], embeddings: ArrayLike, labels: ArrayLike) -> Iterator[str]:
    scores, same = pair_scores(embeddings, labels)
    curve = det_curve(scores, same)
    draw_scores = partial(plots.draw_score_histogram, scores=scores, same=same, threshold=metrics["threshold"])
    draw_det = partial(
        plots.draw_det_curve,
        false_acceptance=curve.false_acceptance,
        false_rejection=curve.false_rejection,
        equal_error_rate=metrics["equal_error_rate"],
        operating_point=(metrics["false_acceptance_rate"], metrics["false_rejection_rate"]),
    )
    yield "<h2>Same speaker or not?</h2>"
    yield _grid(
        (
            _figure(
                draw_scores,
                "Scores of all pairs of test utterances, each kind adding up to 100%, on a logarithmic scale that "
                "shows the rare errors too. Pairs right of the dashed line are accepted; it is from training pairs.",
            ),
            _figure(
                draw_det,
                "Detection error trade-off: what a stricter threshold saves in false acceptances it costs in false "
                "rejections. Nearer to the lower left corner is better; both axes are normal deviates.",
            ),
        )
    )


def _embeddings(embeddings: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Iterator[str]:
    rows, total = np.asarray(embeddings), len(names)
    chosen = np.linspace(0, total - 1, min(total, MAX_POINTS)).astype(int)
    points, method = plots.project(rows[chosen])
    draw_map = partial(plots.draw_embedding_map, points=points, names=[names[i] for i in chosen], method=method)
    kept = f"{COUNT(len(chosen))} of {COUNT(total)}" if len(chosen) < total else f"All {COUNT(total)}"
    hint = " Near points are alike; distances between far groups mean little." if method == "t-SNE" else ""
    figures = [_figure(draw_map, f"{kept} test utterances laid out in the plane by {method}, by speaker.{hint}")]
    speakers, first = np.unique(labels, return_index=True)
    if len(speakers) <= MAX_CONFUSION:
        counts = matched_counts(labels, agglomerative(rows, len(speakers)))
        draw_counts = partial(plots.draw_confusion, counts=counts, names=[names[i] for i in first])
        caption = "Utterances of every speaker in every cluster, clusters in the order of the best match: off the "
        figures.append(_figure(draw_counts, caption + "diagonal lie the misplaced ones."))
    yield "<h2>The embeddings</h2>"
    yield _grid(figures)


def _figure(draw: Callable[[Axes], None], caption: str, *, height: float = 4.3) -> str:
    words = re.sub("<[^>]+>", "", caption)
    # Text stays text, and the salt keeps the ids of two pictures on one page apart.
    with matplotlib.rc_context({**plots.THEME, "svg.fonttype": "none", "svg.hashsalt": words}):
        figure = Figure(figsize=(5.4, height), layout="constrained")
        draw(figure.subplots())
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1)
    svg = re.sub(r' id="[A-Za-z2.]+_\d+"', "", svg)
    svg = re.sub(
        "(?<=: )#[0-9a-f]{6}", lambda colour: f"var({_variable(colour[0])})" if colour[0] in DARK else colour[0], svg
    )
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _grid(figures: Iterable[str]) -> str:
    return f'<div class="grid">{"".join(figures)}</div>'


def _variable(colour: str) -> str:
    named = {plots.PAPER: "--paper", plots.INK: "--ink", plots.GRID: "--grid"}
    return named.get(colour, f"--c{colour[1:]}")


def _variables(table: Mapping[str, str | None]) -> str:
    return " ".join(f"{_variable(colour)}: {shown or colour};" for colour, shown in table.items())


def _metric_row(name: str, value: float) -> str:
    title, style, meaning = MEANINGS.get(name, (name, str, ""))
    return f"<tr><th>{escape(title)}<small>{meaning}</small></th><td>{escape(style(value))}</td></tr>"


def _setting_row(name: str, value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"<tr><th>{escape(name)}</th><td><code>{escape(shown)}</code></td></tr>"


def _table(rows: Iterable[str]) -> str:
    return f'<div class="table"><table>{"".join(rows)}</table></div>'
