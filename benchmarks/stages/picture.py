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
    batches = sorted({(row["batch_size"], row["dim"]) for row in rows if row["variant"] in COLOURS})
    if not batches:
        return False
    losses = [*dict.fromkeys(row["loss"] for row in rows)]
    figure = Figure(figsize=(2.5 + 4.5 * len(batches), 1.6 + 0.75 * len(losses)), layout="constrained")
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for ax, (size, dim) in zip(panels, batches, strict=True):
        _panel(ax, [row for row in rows if (row["batch_size"], row["dim"]) == (size, dim)], losses)
        ax.set(title=f"{size:,} rows of {dim} numbers", xlabel="ms of value + gradient, logarithmic")
    panels[0].set_yticks(range(len(losses)), losses)
    panels[0].invert_yaxis()
    handles = {name: handle for ax in panels for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    order = [name for name in (*COLOURS, *LINES) if name in handles]
    named = [f"three {name}" if name in LINES else name for name in order]
    figure.legend([handles[name] for name in order], named, loc="outside lower center", ncols=4, frameon=False)
    if kind := results.get("card", {}).get("card", {}).get("kind"):
        figure.suptitle(kind)
    figure.savefig(path, dpi=110)
    return True


def _panel(ax: Any, rows: list[dict[str, Any]], losses: list[str]) -> None:
    """Draws the bars of one batch, and the products as lines beside each loss."""
    shown = [name for name in COLOURS if any(row["variant"] == name for row in rows)]
    height = 0.8 / max(len(shown), 1)
    for name, style in LINES.items():
        beside = [row for row in rows if row["variant"] == name]
        at = [losses.index(row["loss"]) for row in beside]
        if beside:
            ends = ([one - 0.45 for one in at], [one + 0.45 for one in at])
            ax.vlines([row["ms"] for row in beside], *ends, "black", style, linewidth=1.2, label=name, zorder=3)
    for place, name in enumerate(shown):
        mine = [row for row in rows if row["variant"] == name]
        at = [losses.index(row["loss"]) - 0.4 + (place + 0.5) * height for row in mine]
        bars = ax.barh(at, [row["ms"] for row in mine], 0.9 * height, color=COLOURS[name], label=name)
        ax.bar_label(bars, fmt="{:.3g}", padding=2, fontsize=7)
    ax.set_xscale("log")
    ax.margins(x=0.12)
