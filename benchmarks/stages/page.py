"""The results as Markdown: what was measured in tables, and what was not in a line."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jaxtriplet.tools.words import table
from stages.session import LATE

Rows = list[dict[str, Any]]
MOST = 12
"""Names of what is missing that a line holds."""


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the page.

    Args:
        results: Of each stage, as `results.json` holds them.
    """
    named = results.get("card", {}).get("card", {})
    lines = [f"# {named.get('kind', 'An accelerator')}", "", facts(named), ""]
    for stage, found in results.items():
        if "skipped" not in found:
            lines += [f"## {stage}, {found.get('seconds', '?')} s", ""]
            lines += [f"{word}: {found[word]}\n" for word in ("failed", "folder") if word in found]
            lines += PARTS.get(stage, lambda found: [])(found)
    if skipped := [stage for stage, found in results.items() if "skipped" in found]:
        lines += [f"No time was left for the stages {', '.join(skipped)}.", ""]
    return "\n".join(lines)


def facts(found: Mapping[str, Any]) -> str:
    """Returns facts with their names in one line."""
    return "; ".join(f"{name} {value}" for name, value in found.items())


def _card(found: Mapping[str, Any]) -> list[str]:
    return [facts(found.get("limits", {})), "", *_products(found)]


def _products(found: Mapping[str, Any]) -> list[str]:
    rows, missing = measured(found.get("products", []), ("size",), ("precision",))
    return [*listed(rows, ("size", "precision", "one_ms", "tflops", "three_ms", "largest_error", "failed")), *missing]


def _numerics(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        return row.get("failed") or f"{row['value_error']:.1e} / {row['gradient_error']:.1e}"

    note = "Largest relative error against float64 of the value / of the gradient, to its largest number."
    return pivots(found.get("rows", []), ("loss",), ("dtype", "precision"), {note: cell})


def _losses(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        if "failed" in row:
            return row["failed"]
        ratio = f" ({row['times_products']:.2f})" if "times_products" in row else ""
        return f"{short(row['ms'])}{ratio}"

    def memory(row: Mapping[str, Any]) -> str:
        if row.get("needs_mib") is None:
            return ""
        return f"{row['needs_mib']:,.0f}" + (f", {row['compile_s']:.1f} s" if "compile_s" in row else "")

    cells = {
        "Milliseconds of value + gradient (times the three products in the same precision).": cell,
        "MiB beside the arguments, by the compiler's plan, and seconds of compiling, a few at a time.": memory,
    }
    return pivots(found.get("rows", []), ("loss", "batch_size", "dim"), ("variant",), cells)


def _tiles(found: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any]) -> str:
        return row["failed"] if "failed" in row else f"{short(row['ms'])} ({row['needs_mib'] or 0:,.0f} MiB)"

    note = "Milliseconds by the numbers in a tile."
    return pivots(found.get("rows", []), ("loss", "batch_size"), ("numbers",), {note: cell})


def _large(found: Mapping[str, Any]) -> list[str]:
    return [*_losses(found), *_tiles({"rows": found.get("tiles", [])}), *_products(found)]


def _update(found: Mapping[str, Any]) -> list[str]:
    rows, missing = measured(found.get("rows", []), ("shape", "loss"), ("precision",))
    columns = ("shape", "loss", "precision", "ms", "needs_mib", "donated", "compile_s", "loss_at_the_end", "failed")
    return [*listed(rows, columns), *missing]


def _profile(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, one in found.items():
        if isinstance(one, Mapping):
            known = {key: value for key, value in one.items() if key not in ("kernels", "turns")}
            lines += [f"### {name}", "", facts(known), "", *listed(one.get("kernels", []), ("kernel", "us", "runs"))]
    return lines


PARTS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "card": _card,
    "numerics": _numerics,
    "losses": _losses,
    "tiles": _tiles,
    "large": _large,
    "update": _update,
    "profile": _profile,
}


def measured(rows: Rows, by: tuple[str, ...], across: tuple[str, ...]) -> tuple[Rows, list[str]]:
    """Returns the rows without those that there was no time for, and a line that tells of these, if there are any."""
    late: dict[str, list[str]] = {}
    whole: dict[str, int] = {}
    for row in rows:
        name, cell = (" x ".join(str(row[word]) for word in words) for words in (by, across))
        whole[name] = whole.get(name, 0) + 1
        if row.get("failed") == LATE:
            late.setdefault(name, []).append(cell)
    parts = [name if len(cells) == whole[name] else f"{name} ({', '.join(cells)})" for name, cells in late.items()]
    parts[MOST:] = [f"{len(parts) - MOST} more"] if parts[MOST:] else []
    line = [f"No time was left for: {'; '.join(parts)}.", ""] if parts else []
    return [row for row in rows if row.get("failed") != LATE], line


def pivots(rows: Rows, by: tuple[str, ...], across: tuple[str, ...], cells: Mapping[str, Any]) -> list[str]:
    """Returns a table for each kind of cell, under its words, and the line of what is missing."""
    shown, missing = measured(rows, by, across)
    tables = [line for words, cell in cells.items() for line in (words, "", *pivot(shown, by, across, cell))]
    return [*(tables if shown else []), *missing]


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
