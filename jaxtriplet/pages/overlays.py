"""Pictures of several runs over each other, told apart by colour, by line and by mark.

>>> from matplotlib.figure import Figure
>>> ax = Figure().subplots()
>>> draw_courses(ax, {"a": [{"step": 1, "loss": 2.0}], "b": [{"step": 1, "loss": 1.0}]}, "loss", "loss")
>>> [text.get_text() for text in ax.get_legend().get_texts()]
['a', 'b']
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d
from scipy.stats import norm

from jaxtriplet.metrics import det_curve
from jaxtriplet.pages import pictures

_LINES = ("-", "--", "-.", ":")
_WIDEST = 26  # characters of a name, so that two stand side by side
_SHOWN = 56  # characters of a name that have room in a line


def draw_courses(
    ax: Axes,
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    key: str,
    ylabel: str,
    *,
    scale: float = 1.0,
    chosen: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Draw one quantity of several trainings against the step; many values as a moving average.

    Args:
        ax: Where to draw.
        histories: By the name of a run, rows with `step` and, on all or some of them, `key`; values that are not finite
            are left out, and so are runs without any.
        key: Which quantity.
        ylabel: Its name with the unit.
        scale: What to multiply it with, 100 for percent.
        chosen: After which update the weights of a run were kept, where that is to be marked.
    """
    top = 0.0
    for (name, history), style in zip(histories.items(), _styles(), strict=False):
        rows = [(row["step"], scale * row[key]) for row in history if np.isfinite(row.get(key, np.nan))]
        steps, values = np.asarray(rows, float).reshape(-1, 2).T
        if not values.size:
            continue
        many = len(values) >= 60
        if many:
            values = uniform_filter1d(values, max(2, len(values) // 20))
        every = max(1, len(values) // 8)
        ax.plot(steps, values, label=_short(name), linewidth=1.8, markersize=5, markevery=every, **style)
        if (kept := steps == chosen.get(name, np.nan)).any():
            ax.plot(steps[kept], values[kept], color=style["color"], marker=style["marker"], markersize=11, alpha=0.6)
        top = max(top, values.max()) if values.min() >= 0 else np.nan
    if top > 0:  # from zero up, unless something is below it
        ax.set_ylim(-0.03 * top, 1.1 * top)
    ax.set(xlabel="training step", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    pictures.legend_above(ax, columns=_columns(histories))


def draw_det_curves(
    ax: Axes, scores: Mapping[str, ArrayLike], same: ArrayLike, *, equal_error_rates: Mapping[str, float]
) -> None:
    """Draw the detection error trade-offs of several scores of the same trials, their equal error rates marked.

    Args:
        ax: Where to draw.
        scores: Scores of the trials by the name of a run, [T] each.
        same: Truth, bool [T].
        equal_error_rates: By the same names.

    Reference:
        As of `pictures.draw_det_curve`.
    """
    low, high = pictures.det_axes(ax, list(equal_error_rates.values()))
    for (name, own), style in zip(scores.items(), _styles(), strict=False):
        rates = np.stack(det_curve(own, same)[:2])
        points = norm.ppf(rates[:, ((rates > 0) & (rates < 1)).all(axis=0)])
        # A millionth point is not seen, but would be written.
        steps = np.unique(np.round(points * 400), axis=1, return_index=True)[1]
        marker, place = style.pop("marker"), np.clip(norm.ppf(equal_error_rates[name]), low, high)
        ax.plot(*points[:, np.sort(steps)], linewidth=1.8, **style)
        label = f"{_short(name)}: {equal_error_rates[name]:.2%}"
        ax.plot(place, place, marker=marker, markersize=8, clip_on=False, label=label, **style)
    pictures.legend_above(ax, columns=_columns(scores))


def legend_height(names: Mapping[str, Any]) -> float:
    """Return how many inches the legend of such names takes above a picture."""
    return 0.22 * -(-len(names) // _columns(names))


def _styles() -> Iterator[dict[str, Any]]:
    """Colour, line and mark of each run: of any nine, no two colours; of any four, no two lines."""
    number = 0
    while True:
        yield {
            "color": pictures.PALETTE[number % len(pictures.PALETTE)],
            "linestyle": _LINES[number % len(_LINES)],
            "marker": pictures.MARKERS[number % len(pictures.MARKERS)],
        }
        number += 1


def _columns(names: Mapping[str, Any]) -> int:
    return 2 if max(map(len, names)) <= _WIDEST - len(": 00.00%") else 1


def _short(name: str) -> str:
    """The name with its middle left out, if it is long: what distinguishes names is at their ends."""
    half = (_SHOWN - 1) // 2
    return name if len(name) <= _SHOWN else f"{name[:half]}…{name[-half:]}"
