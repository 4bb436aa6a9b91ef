"""The picture of a benchmark: time against the batch and against the class, memory against the batch."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from jaxtriplet.pages import pictures
from jaxtriplet.tools.bench import plan
from jaxtriplet.tools.bench.contenders import CONTENDERS
from jaxtriplet.tools.bench.plan import Setting
from jaxtriplet.tools.bench.race import Outcome, Result


class Panel(NamedTuple):
    """One axis of the sweep, and what is drawn along it."""

    x: Callable[[Setting], int]
    y: Callable[[Outcome], float | None]
    xlabel: str
    ylabel: str
    kept: Callable[[Setting], bool]
    """Which settings lie on it."""
    slopes: dict[str, tuple[Callable[[Any], Any], float]]
    """How the cost should grow along it, and through which of our points that is drawn: from 0, the first, to 1."""
    base: int = 10
    """Of the ticks of y."""


# Batch-hard looks at every distance once, whatever K is.
_LOSSES_OVER_PAIRS = ("semi-hard", "batch-all")


def _panels(rows_per_class: int) -> tuple[Panel, ...]:
    by_size = Panel(
        lambda setting: setting.batch_size,
        lambda outcome: outcome.wall,
        f"rows in the batch, B (K = {rows_per_class})",
        "seconds",
        lambda setting: setting.rows_per_class == rows_per_class,
        {"∝ B² K": (np.square, 1.0), "∝ B² log B": (lambda size: np.square(size) * np.log(size), 1.0)},
    )
    by_class = Panel(
        lambda setting: setting.rows_per_class,
        lambda outcome: outcome.wall,
        f"rows of each class, K (B = {plan.SWEEP_CLASSES_AT:,})",
        "seconds",
        lambda setting: setting.batch_size == plan.SWEEP_CLASSES_AT,
        # Small classes cost little beside the products, and the largest are sorted: in between K shows.
        {"∝ B² K": (np.asarray, 0.6), "∝ B² log B": (np.ones_like, 1.0)},
    )
    memory = by_size._replace(
        y=lambda outcome: outcome.peak and outcome.peak / 2**20,
        ylabel="peak memory of the process, MiB",
        slopes={},
        base=2,
    )
    return by_size, by_class, memory


def draw(results: Sequence[Result], rows_per_class: int) -> Figure:
    """Draws a column for each loss.

    Args:
        results: All settings with their outcomes.
        rows_per_class: K of the panels against B.

    Returns:
        The figure.
    """
    panels = _panels(rows_per_class)
    losses = list(dict.fromkeys(setting.loss for setting, _ in results))
    with matplotlib.rc_context({**pictures.THEME, "figure.facecolor": pictures.PAPER}):
        figure = Figure(figsize=(5.2 * len(losses), 4 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), len(losses), sharey="row", squeeze=False)
        for panel, line in zip(panels, axes, strict=True):
            for loss, ax in zip(losses, line, strict=True):
                kept = [one for one in results if one[0].loss == loss and panel.kept(one[0])]
                slopes = panel.slopes if loss in _LOSSES_OVER_PAIRS else {}
                draw_panel(ax, panel._replace(slopes=slopes), kept)
        for loss, ax in zip(losses, axes[0], strict=True):
            ax.set_title(loss)
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
        named = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in axes.flat]
        handles = {text: handle for pairs in named for handle, text in pairs}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    return figure


def draw_panel(ax: Axes, panel: Panel, results: Sequence[Result]) -> None:
    """Draws one quantity of all contenders against one size, both logarithmic; who failed has no point.

    Args:
        ax: Where to draw.
        panel: What against what.
        results: The settings along the axis.
    """
    ordered = sorted(results, key=lambda result: panel.x(result[0]))
    ours = list(_points(panel, ordered, "jaxtriplet"))
    for (words, (growth, place)), style in zip(panel.slopes.items(), ("--", ":"), strict=False):
        if len(ours) > 1:
            x, y = np.array(ours, float).T
            at = round(place * (len(x) - 1))
            ax.plot(x, y[at] * growth(x) / growth(x)[at], style, color=pictures.NEUTRAL, linewidth=1.2, label=words)
    for index, name in enumerate(CONTENDERS):
        if points := list(_points(panel, ordered, name)):
            colour, marker = pictures.PALETTE[index], pictures.MARKERS[index]
            ax.plot(*np.array(points).T, color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=panel.base)
    ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())


def _points(panel: Panel, results: Sequence[Result], contender: str) -> Iterator[tuple[int, float]]:
    for setting, outcomes in results:
        for outcome in outcomes:
            if outcome.contender == contender and (value := panel.y(outcome)):
                yield panel.x(setting), value


def save(figure: Figure, path: Path) -> None:
    """Writes the picture; the ending of the path says in which format."""
    figure.savefig(path, dpi=130, facecolor=pictures.PAPER)
