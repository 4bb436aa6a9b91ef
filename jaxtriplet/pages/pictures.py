"""Pictures of a training run and of embeddings, each drawn on a Matplotlib Axes that the caller owns.

>>> from matplotlib.figure import Figure
>>> ax = Figure().subplots()
>>> draw_det_curve(ax, [1.0, 0.1, 0.0], [0.0, 0.1, 1.0], equal_error_rate=0.1)
>>> ax.get_xlabel()
'false acceptance rate (%)'
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

# Paul Tol's "muted" scheme (2021), its sand darkened: nine colours that colour-blind readers tell apart.
PALETTE = ("#332288", "#cc6677", "#117733", "#ddaa33", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499")
SAME, DIFFERENT, NEUTRAL = "#0077bb", "#cc3311", "#6e7781"
INK, GRID, PAPER = "#1f2328", "#d8dee4", "#fefefe"
MARKERS = "osD^vPX*<>ph"

_STYLE = Path(__file__).with_name("theme.mplstyle")
THEME: Mapping[Any, Any] = MappingProxyType(rc_params_from_file(_STYLE, use_default_template=False))
"""Settings for `matplotlib.rc_context` under which the pictures look as they do in the report."""


def draw_history(
    ax: Axes,
    history: Iterable[Mapping[str, float]],
    key: str,
    ylabel: str,
    *,
    scale: float = 1.0,
    chosen: int | None = None,
) -> None:
    """Draw one quantity of a training run against the step; many values get a moving average on top.

    Args:
        ax: Where to draw.
        history: Rows with `step` and, on all or some of them, `key`; values that are not finite are left out.
        key: Which quantity.
        ylabel: Its name with the unit.
        scale: What to multiply it with, 100 for percent.
        chosen: After which update the weights were kept, if that is to be marked: a line, and a point where there is a
            value.
    """
    rows = [(row["step"], scale * row[key]) for row in history if np.isfinite(row.get(key, np.nan))]
    steps, values = np.asarray(rows, float).reshape(-1, 2).T
    if len(steps) < 60:
        ax.plot(steps, values, color=SAME, marker="o", markersize=4)
    else:
        ax.plot(steps, values, color=SAME, alpha=0.3, linewidth=0.8, label="each step")
        # A twentieth of the run smooths the noise of single batches and keeps every trend that matters.
        smooth = uniform_filter1d(values, max(2, len(values) // 20))
        ax.plot(steps, smooth, color=SAME, linewidth=2, label="moving average")
    if chosen is not None:
        ax.axvline(chosen, color=INK, linestyle="--", linewidth=1.2, label=f"kept: update {chosen:,}")
        ax.plot(steps[steps == chosen], values[steps == chosen], "D", color=INK, markersize=7, clip_on=False)
    if ax.get_legend_handles_labels()[1]:
        legend_above(ax, columns=1 if chosen is not None and len(steps) < 60 else 3)
    if values.size and values.min() >= 0:
        # From zero up, so that a flat line is seen to be flat; a line of zeros has no scale of its own.
        top = 1.1 * values.max() or 1.0
        ax.set_ylim(-0.03 * top, top)
    ax.set(xlabel="training step", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def draw_features(ax: Axes, features: ArrayLike, *, hop: float = 0.01) -> None:
    """Draw log-mel features: time to the right, frequency upwards.

    Args:
        ax: Where to draw.
        features: Frames, [N, F].
        hop: Time from one frame to the next in seconds.
    """
    frames = np.asarray(features)
    shape = (0, hop * frames.shape[0], 0, frames.shape[1])
    # The loudest hundredth would leave everything else dark.
    low, high = np.quantile(frames, [0.02, 0.98])
    ax.imshow(frames.T, origin="lower", aspect="auto", cmap="magma", extent=shape, vmin=low, vmax=high)
    ax.grid(visible=False)
    ax.set(xlabel="seconds", ylabel="mel band")


def draw_score_histogram(
    ax: Axes, scores: ArrayLike, same: ArrayLike, *, threshold: float | None = None, xlabel: str = "cosine score"
) -> None:
    """Draw how the scores of same-speaker and different-speaker pairs are spread, each kind adding up to 100 %.

    The scale is logarithmic: a good encoder errs in thin tails, beside peaks many times their height.

    Args:
        ax: Where to draw.
        scores: Scores of the trials, [T].
        same: True for pairs of one speaker, bool [T].
        threshold: Drawn as a line: pairs to its right are accepted.
        xlabel: What the scores are.
    """
    scores, same = np.asarray(scores), np.asarray(same)
    edges = np.histogram_bin_edges(scores, bins=60)
    for chosen, colour, name in ((same, SAME, "same speaker"), (~same, DIFFERENT, "different speakers")):
        share = 100 * np.histogram(scores[chosen], edges)[0] / max(1, chosen.sum())
        ax.stairs(share, edges, fill=True, color=colour, alpha=0.35)
        ax.stairs(share, edges, color=colour, linewidth=1.5, label=f"{name} ({chosen.sum():,} pairs)")
    if threshold is not None:
        ax.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.3f}")
    ax.set(xlabel=xlabel, ylabel="share of the pairs of a kind (%)", yscale="log", ylim=(0.01, 130))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    legend_above(ax)


def draw_det_curve(
    ax: Axes,
    false_acceptance: ArrayLike,
    false_rejection: ArrayLike,
    *,
    equal_error_rate: float,
    operating_point: tuple[float, float] | None = None,
) -> None:
    """Draw false rejections against false acceptances, both on a normal-deviate scale.

    Normally distributed scores give a straight line. A rate of 0 or 1 has no place on this scale, so the curve stops
    short of it, and a point outside the axes is drawn at their edge.

    Args:
        ax: Where to draw.
        false_acceptance: Rates from 0 to 1, [K].
        false_rejection: Rates from 0 to 1, [K].
        equal_error_rate: Marked on the diagonal.
        operating_point: (false acceptance, false rejection) at the threshold in use, marked.

    Reference:
        Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    low, high = det_axes(ax, [equal_error_rate])
    rates = np.stack([np.asarray(false_acceptance, float), np.asarray(false_rejection, float)])
    curve = norm.ppf(rates[:, ((rates > 0) & (rates < 1)).all(axis=0)])
    ax.plot(*curve, color=SAME, linewidth=2)
    if not curve.size:
        words = "no curve: at every threshold\none of the rates is 0 or 100%"
        ax.text(0.5, 0.75, words, transform=ax.transAxes, ha="center")
    _mark(ax, (equal_error_rate, equal_error_rate), (low, high), "o", DIFFERENT, f"equal error {equal_error_rate:.2%}")
    if operating_point is not None:
        accepted, rejected = operating_point
        label = f"threshold: {accepted:.2%} accepted,\n{rejected:.2%} rejected falsely"
        _mark(ax, operating_point, (low, high), "D", INK, label)
    legend_above(ax)


def det_axes(ax: Axes, equal_error_rates: Sequence[float]) -> tuple[float, float]:
    """Give both axes the normal-deviate scale of error rates, in percent, and draw the diagonal.

    Args:
        ax: Where to draw.
        equal_error_rates: Rates that must find room. Three decades are shown; better than 0.2 % gets a fourth, worse
            than 25 % the upper half.

    Returns:
        The lowest and the highest deviate.
    """
    lowest = 0.00005 if min(equal_error_rates) < 0.002 else 0.0005
    highest = 0.6 if max(equal_error_rates) < 0.25 else 0.995
    low, high = map(float, norm.ppf([lowest, highest]))
    ax.plot([low, high], [low, high], color=NEUTRAL, linewidth=0.8, linestyle=":")
    fine, coarse = (0.0001, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6), (0.001, 0.02, 0.1, 0.4, 0.8, 0.98)
    ticks = [tick for tick in (fine if highest == 0.6 else coarse) if tick > lowest]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(norm.ppf(ticks), [f"{100 * tick:g}" for tick in ticks])
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set(xlabel="false acceptance rate (%)", ylabel="false rejection rate (%)")
    return low, high


def project(embeddings: ArrayLike) -> tuple[NDArray[np.float64], str]:
    """Lay embeddings out in the plane: by t-SNE, or by PCA where there are too few or no differences for it.

    Args:
        embeddings: One row an utterance, [N, D], N at least 2; only their directions count.

    Returns:
        Points [N, 2], without a unit, and the name of the method; the same input gives the same points.

    Reference:
        van der Maaten, Hinton, "Visualizing data using t-SNE", JMLR 2008.

    >>> project([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])[1]
    'PCA'
    """
    rows = normalize(np.asarray(embeddings, np.float64))
    if rows.shape[1] == 1:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    if rows.std(axis=0).max() < 1e-6:
        # Equal but for rounding errors, which PCA would blow up into a picture.
        return np.zeros((len(rows), 2)), "PCA"
    if len(rows) < 20:
        return PCA(2).fit_transform(rows), "PCA"
    # 30 neighbours is the method's own default, but it has to stay well below the number of points.
    tsne = TSNE(perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", random_state=0)
    # Its threads wait for each other in a busy loop: beside other work, two took 16 times as long as one.
    with threadpool_limits(1):
        return np.asarray(tsne.fit_transform(rows), np.float64), "t-SNE"


def draw_embedding_map(ax: Axes, points: ArrayLike, names: Sequence[str], *, method: str) -> None:
    """Draw embeddings laid out in the plane, a colour and a marker for every speaker.

    Args:
        ax: Where to draw.
        points: Positions from `project`, [N, 2].
        names: The speaker of every point, N strings.
        method: What laid them out, for the axes.
    """
    points, speakers = np.asarray(points), np.asarray(names)
    for i, name in enumerate(dict.fromkeys(names)):
        own = points[speakers == name]
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        ax.scatter(own[:, 0], own[:, 1], s=16, alpha=0.8, linewidths=0, color=colour, marker=marker)
        distance = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        # Above the speaker's points, but for the stray ones.
        core = own[distance <= np.quantile(distance, 0.8)]
        place = (core[:, 0].mean(), core[:, 1].max())
        box = {"boxstyle": "round,pad=0.1", "facecolor": PAPER, "alpha": 0.7, "linewidth": 0}
        ax.annotate(
            name, place, xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", fontsize="small", bbox=box
        )
    ax.set(xlabel=f"{method}, first axis (no unit)", ylabel=f"{method}, second axis (no unit)", xticks=[], yticks=[])
    ax.margins(0.06)


def draw_confusion(ax: Axes, counts: ArrayLike, names: Sequence[str], *, clusters: Sequence[str] | None = None) -> None:
    """Draw how many utterances of every speaker lie in every cluster, the shade by share of the speaker.

    Args:
        ax: Where to draw.
        counts: Utterances [S, C], a row a speaker and a column a cluster, as `metrics.matched_counts` gives them.
        names: The speakers, S strings.
        clusters: The clusters, C strings; None to number them from 1.
    """
    counts = np.asarray(counts)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    shade = LinearSegmentedColormap.from_list("shade", [(*to_rgb(SAME), 0.0), (*to_rgb(SAME), 0.6)])
    ax.pcolormesh(shares, cmap=shade, vmin=0, vmax=1, edgecolors=GRID, linewidth=0.5)
    for row, column in np.argwhere(counts):
        ax.text(column + 0.5, row + 0.5, f"{counts[row, column]}", ha="center", va="center", fontsize="small")
    rows, columns = (np.arange(n) + 0.5 for n in counts.shape)
    ax.set_yticks(rows, names)
    ax.set_xticks(columns, [str(n + 1) for n in range(counts.shape[1])] if clusters is None else clusters)
    ax.set(xlabel="cluster", ylabel="speaker", aspect="equal")
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.invert_yaxis()


def draw_silhouettes(ax: Axes, tried: Mapping[int, float]) -> None:
    """Draw the mean silhouette against the number of clusters, the highest marked.

    Args:
        ax: Where to draw.
        tried: Silhouettes by number of clusters, at least one.
    """
    best = max(tried, key=lambda count: tried[count])
    ax.plot(list(tried), list(tried.values()), color=SAME, marker="o", markersize=3)
    ax.plot(best, tried[best], "D", color=DIFFERENT, markersize=7, label=f"{best} clusters")
    ax.set(xlabel="clusters", ylabel="mean silhouette (no unit)")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    ax.legend(loc="best")


def _mark(
    ax: Axes, point: tuple[float, float], limits: tuple[float, float], marker: str, colour: str, label: str
) -> None:
    x, y = np.clip(norm.ppf(point), *limits)
    ax.plot(x, y, marker, color=colour, markersize=8, clip_on=False, label=label)


def legend_above(ax: Axes, *, columns: int = 2) -> None:
    """Draw the legend above the axes, where it hides nothing.

    Args:
        ax: Where to draw.
        columns: How many names stand side by side.
    """
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize="small", columnspacing=1.0)
