"""The picture: bars of what a call of each loss takes, beside the three products that no loss can do without."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {
    "exact": "#1f5fa8",
    "exact, max_class_size": "#6fa3d8",
    "fast": "#e08a1e",
    "fast, max_class_size": "#f0c08a",
    "bfloat16 rows, fast": "#7a4fa3",
    "textbook": "#9a9a9a",
}
"""Of the bars, in their order."""
LINES = {"products": "-", "fast products": "--", "bfloat16 products": ":"}


def draw(results: Mapping[str, Mapping[str, Any]], path: Path) -> bool:
    """Draws a panel for each batch that losses were measured with.

    Args:
        results: Of each stage, as `results.json` holds them.
        path: Of the picture.

    Returns:
        Whether there was anything to draw.

    Raises:
        ImportError: matplotlib is not there.
    """
    from matplotlib.figure import Figure

    rows = [row for stage in ("losses", "large") for row in results.get(stage, {}).get("rows", []) if "ms" in row]
    batches = sorted({(row["batch_size"], row["dim"]) for row in rows if row["variant"] in [*COLOURS][:-1]})
    if not batches:
        return False
    losses = [*dict.fromkeys(row["loss"] for row in rows)]
    figure = Figure(figsize=(2.5 + 4.5 * len(batches), 1.6 + 0.75 * len(losses)), layout="constrained")
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for ax, (size, dim) in zip(panels, batches, strict=True):
        _panel(ax, [row for row in rows if (row["batch_size"], row["dim"]) == (size, dim)], losses)
        ax.set(title=f"{size:,} rows of {dim} numbers", xlabel="ms of value + gradient")
    panels[0].set_yticks(range(len(losses)), losses)
    panels[0].invert_yaxis()
    handles = {name: handle for ax in panels for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    order = [name for name in (*COLOURS, *(f"three {line}" for line in LINES)) if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside lower center", ncols=4, frameon=False)
    if kind := results.get("card", {}).get("card", {}).get("kind"):
        figure.suptitle(kind)
    figure.savefig(path, dpi=110)
    return True


def _panel(ax: Any, rows: list[dict[str, Any]], losses: list[str]) -> None:
    """Draws bars of one batch, and the products as lines beside each loss; what is far longer is cut, and says so."""
    limit = 1.2 * max(row["ms"] for row in rows if row["variant"] != "textbook")
    for name, style in LINES.items():
        beside = [row for row in rows if row["variant"] == name]
        at = [losses.index(row["loss"]) for row in beside]
        if beside:
            ends = ([one - 0.45 for one in at], [one + 0.45 for one in at])
            ax.vlines(
                [row["ms"] for row in beside], *ends, "black", style, linewidth=1, label=f"three {name}", zorder=3
            )
    for place, loss in enumerate(losses):
        mine = {row["variant"]: row["ms"] for row in rows if row["loss"] == loss}
        shown = [name for name in COLOURS if name in mine]
        for number, name in enumerate(shown):
            bar = ax.barh(
                place - 0.4 + 0.8 * (number + 0.5) / len(shown),
                min(mine[name], limit),
                0.72 / len(shown),
                color=COLOURS[name],
                label=name,
            )
            long = mine[name] > limit
            words = f"{mine[name]:.3g}" + (" ms, cut" if long else "")
            background = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            # From the end of the bar, in points.
            ax.bar_label(bar, [words], padding=-60 if long else 3, fontsize=8, bbox=background, zorder=4)
    ax.set_xlim(0, limit)
