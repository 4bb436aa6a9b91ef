"""One HTML page with pictures in it, which needs neither a network nor a script to be read."""

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from io import StringIO
from pathlib import Path
from string import Template

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxtriplet.pages import pictures as plots

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


def write_page(path: str | Path, title: str, sections: Iterable[str]) -> Path:
    """Write a page; one that is there is replaced.

    Args:
        path: Where to write; its folder is made if it is not there.
        title: In plain text.
        sections: The page below its title, as HTML.

    Returns:
        The path.
    """
    path = Path(path)
    body = "\n".join((f"<h1>{escape(title)}</h1>", *sections))
    page = PAGE.substitute(title=escape(title), light=_variables(dict.fromkeys(DARK)), dark=_variables(DARK), body=body)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def figure(draw: Callable[[Axes], None], caption: str, *, height: float = 4.3) -> str:
    """Return a picture as HTML, its colours those of the page.

    Args:
        draw: Draws it on the axes that it is given.
        caption: In HTML.
        height: In inches; the width is 5.4.
    """
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


def grid(figures: Iterable[str]) -> str:
    """Return figures side by side, as many as there is room for."""
    return f'<div class="grid">{"".join(figures)}</div>'


def table(rows: Iterable[str]) -> str:
    """Return a table of rows in HTML."""
    return f'<div class="table"><table>{"".join(rows)}</table></div>'


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Return a row of (value, name), the values in large print."""
    return (
        f'<div class="tiles">{"".join(f"<div class=tile><b>{v}</b><span>{n}</span></div>" for v, n in figures)}</div>'
    )


def _variable(colour: str) -> str:
    named = {plots.PAPER: "--paper", plots.INK: "--ink", plots.GRID: "--grid"}
    return named.get(colour, f"--c{colour[1:]}")


def _variables(table: Mapping[str, str | None]) -> str:
    return " ".join(f"{_variable(colour)}: {shown or colour};" for colour, shown in table.items())
