"""The results as Markdown, and the picture: how many times the products a loss takes, by the batch."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxtriplet.tools.words import table
from stages.session import Session

Rows = list[dict[str, Any]]


def write(session: Session) -> None:
    """Writes `results.md`, and `results.png` if there is something to draw and something to draw it with."""
    results = session.results
    named = results.get("card", {}).get("card", {"kind": session.device.device_kind})
    lines = [f"# {named['kind']}", "", facts(named), ""]
    for stage, found in results.items():
        lines += [f"## {stage}, {found.get('seconds', '?')} s", ""]
        lines += [f"{word}: {found[word]}\n" for word in ("skipped", "failed", "folder") if word in found]
        lines += PARTS.get(stage, lambda found: [])(found)
    (session.out / "results.md").write_text("\n".join(lines) + "\n")
    if rows := [row for row in results.get("losses", {}).get("rows", []) if "times_products" in row]:
        try:
            draw(session, rows, named["kind"])
        except ImportError as error:
            session.say(f"no picture: {error}")


def facts(found: Mapping[str, Any]) -> str:
    """Returns facts with their names in one line."""
    return "; ".join(f"{name} {value}" for name, value in found.items())


def _card(found: Mapping[str, Any]) -> list[str]:
    rows = found.get("products", [])
    columns = ("size", "precision", "one_ms", "tflops", "three_ms", "largest_error", "failed")
    return [facts(found.get("limits", {})), "", *listed(rows, columns)]


def _numerics(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        return row.get("failed") or f"{row['value_error']:.1e} / {row['gradient_error']:.1e}"

    note = "Largest relative error against float64 of the value / of the gradient, to its largest number."
    return [note, "", *pivot(found.get("rows", []), ("loss",), ("dtype", "precision"), cell)]


def _losses(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        if "failed" in row:
            return row["failed"]
        ratio = f" ({row['times_products']:.2f})" if "times_products" in row else ""
        return f"{short(row['ms'])}{ratio}"

    def memory(row: Mapping[str, Any]) -> str:
        return "" if row.get("needs_mib") is None else f"{row['needs_mib']:,.0f} MiB, {row['compile_s']:.1f} s"

    rows = [row for row in found.get("rows", []) if row["variant"]]
    by = ("loss", "batch_size", "dim")
    ours = "Milliseconds of value + gradient (times the three products in the same precision)."
    beside = "Memory beside the arguments, by the compiler's plan, and seconds of compiling, many at a time."
    return [ours, "", *pivot(rows, by, ("variant",), cell), beside, "", *pivot(rows, by, ("variant",), memory)]


def _tiles(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        return row["failed"] if "failed" in row else f"{short(row['ms'])} ({row['needs_mib'] or 0:,.0f} MiB)"

    return ["Milliseconds by the numbers in a tile.", "", *pivot(found.get("rows", []), _BATCH, ("numbers",), cell)]


def _update(found: Mapping[str, Any]) -> list[str]:
    columns = ("shape", "loss", "precision", "ms", "needs_mib", "donated", "compile_s", "loss_at_the_end", "failed")
    return listed(found.get("rows", []), columns)


def _profile(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, one in found.items():
        if isinstance(one, Mapping):
            known = {key: value for key, value in one.items() if key not in ("kernels", "turns")}
            lines += [f"### {name}", "", facts(known), "", *listed(one.get("kernels", []), ("kernel", "us", "runs"))]
    return lines


_BATCH = ("loss", "batch_size")
PARTS = {
    "card": _card,
    "numerics": _numerics,
    "losses": _losses,
    "tiles": _tiles,
    "update": _update,
    "profile": _profile,
}


def listed(rows: Rows, columns: Iterable[str]) -> list[str]:
    """Returns a table with these columns, without those that are empty."""
    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    return [table([shown, *([short(row.get(name)) for name in shown] for row in rows)]), ""] if rows else []


def pivot(rows: Rows, by: tuple[str, ...], across: tuple[str, ...], cell: Any) -> list[str]:
    """Returns a table with a line for each of `by`, and a column for each of `across`."""
    columns = list(dict.fromkeys(tuple(row[name] for name in across) for row in rows))
    lines: dict[tuple[Any, ...], dict[tuple[Any, ...], str]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in by), {})[tuple(row[name] for name in across)] = cell(row)
    headings = [" x ".join(by), *(" ".join(map(str, column)) for column in columns)]
    shown = [[" x ".join(map(str, key)), *(line.get(column, "") for column in columns)] for key, line in lines.items()]
    return [table([headings, *shown]), ""] if rows else []


def short(value: Any) -> str:
    """Returns a cell: of a number, as many digits as say something."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value).replace("|", "\\|")


def draw(session: Session, rows: Rows, card: str) -> None:
    """Draws a panel for each precision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    for ax, fast in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        mine = [row for row in rows if row["variant"].startswith("fast") == fast and "products" not in row["variant"]]
        for loss, variant in dict.fromkeys((row["loss"], row["variant"]) for row in mine):
            points = sorted(
                (row["batch_size"], row["times_products"])
                for row in mine
                if (row["loss"], row["variant"], row["dim"]) == (loss, variant, mine[0]["dim"])
            )
            style = ":" if variant == "textbook" else "--" if "max_class_size" in variant else "-"
            ax.plot(*zip(*points, strict=True), style, marker="o", label=f"{loss}, {variant}")
        ax.set(xscale="log", yscale="log", xlabel="rows in the batch", title=f"{'fast' if fast else 'exact'}, {card}")
        ax.set_ylabel("times the three products of that precision")
        ax.axhline(1, color="grey", linewidth=0.8)
        if mine:
            ax.legend(fontsize=6)
    figure.savefig(session.out / "results.png", dpi=130)
