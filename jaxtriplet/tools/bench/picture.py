"""The picture of a benchmark: time against the batch and against the class, memory against the batch."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxtriplet.pages import pictures
from jaxtriplet.tools.bench import plan
from jaxtriplet.tools.bench.contenders import CONTENDERS
from jaxtriplet.tools.bench.race import Result

Slopes = Mapping[str, tuple[Callable[[Any], Any], float]]
"""How the cost may grow, and through which of our points that is drawn: from 0, the first, to 1."""

_BY_SIZE: Slopes = {"∝ B² K": (np.square, 1.0), "∝ B² log B": (lambda size: np.square(size) * np.log(size), 1.0)}
_BY_ROWS: Slopes = {"∝ B C": (np.asarray, 1.0)}
# Small classes cost little beside the products, and the largest are sorted: in between K shows.
_BY_CLASS: Slopes = {"∝ B² K": (np.asarray, 0.6), "∝ B² log B": (np.ones_like, 1.0)}


class Panel(NamedTuple):
    """What is drawn along one axis of the sweep."""

    x: str
    """The field of the settings that varies."""
    fixed: tuple[str, int]
    """The other field, and its value."""
    y: str
    """The figure, in units of `unit`."""
    xlabel: str
    ylabel: str
    slopes: Slopes
    with_weights: Slopes = MappingProxyType({})
    """The slopes of losses with class weights."""
    unit: int = 1
    base: int = 10
    """Of the ticks of y."""


def draw(results: Sequence[Result], rows_per_class: int, device: str = "cpu") -> Figure:
    """Draws a column for each loss.

    Args:
        results: All settings with their outcomes.
        rows_per_class: K of the panels against B.
        device: Where it was measured.

    Returns:
        The figure.
    """
    size, kept = f"rows in the batch, B (K = {rows_per_class})", ("rows_per_class", rows_per_class)
    classes, at = f"rows of each class, K (B = {plan.SWEEP_CLASSES_AT:,})", ("batch_size", plan.SWEEP_CLASSES_AT)
    memory = "peak memory of the process, MiB" if device == "cpu" else f"peak memory of the {device.upper()}, MiB"
    panels = (
        Panel("batch_size", kept, "wall", size, "seconds", _BY_SIZE, _BY_ROWS),
        Panel("rows_per_class", at, "wall", classes, "seconds", _BY_CLASS),
        Panel("batch_size", kept, "peak", size, memory, {}, unit=2**20, base=2),
    )
    losses = list(dict.fromkeys(setting.loss for setting, _ in results))
    with matplotlib.rc_context({**pictures.THEME, "figure.facecolor": pictures.PAPER}):
        figure = Figure(figsize=(5.2 * len(losses), 4 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), len(losses), sharey="row", squeeze=False)
        for loss, column in zip(losses, axes.T, strict=True):
            for panel, ax in zip(panels, column, strict=True):
                draw_panel(ax, panel, [one for one in results if one[0].loss == loss])
                ax.set_visible(bool(ax.lines))  # Two views have no classes.
                ax.set_ylabel(panel.ylabel if loss == losses[0] else "")
            column[0].set_title(loss)
        named = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in axes.flat]
        handles = {text: handle for pairs in named for handle, text in pairs}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    return figure


def draw_panel(ax: Axes, panel: Panel, results: Sequence[Result]) -> None:
    """Draws one quantity of all contenders against one size, both logarithmic; who failed has no point.

    Args:
        ax: Where to draw.
        panel: What against what.
        results: The settings of a loss.
    """
    points: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for setting, outcomes in sorted(results, key=lambda result: getattr(result[0], panel.x) or 0):
        for outcome in outcomes:
            fixed, x = getattr(setting, panel.fixed[0]), getattr(setting, panel.x)
            if fixed in (panel.fixed[1], None) and x and (value := outcome.figure(panel.y)):
                points[outcome.contender].append((x, value / panel.unit))
    if len(points["jaxtriplet"]) > 1:
        x, y = np.array(points["jaxtriplet"]).T
        slopes = panel.with_weights if any(setting.classes for setting, _ in results) else panel.slopes
        for (words, (growth, place)), style in zip(slopes.items(), ("--", ":"), strict=False):
            at = round(place * (len(x) - 1))
            ax.plot(x, y[at] * growth(x) / growth(x)[at], style, color=pictures.NEUTRAL, linewidth=1.2, label=words)
    for name, colour, marker in zip(CONTENDERS, pictures.PALETTE, pictures.MARKERS, strict=False):
        if points[name]:
            ax.plot(*np.array(points[name]).T, color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=panel.base)
    ax.set_xlabel(panel.xlabel)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.minorticks_off()
