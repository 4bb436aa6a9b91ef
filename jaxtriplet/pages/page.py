"""One HTML page with pictures in it, which needs neither a network nor a script to be read."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from jaxtriplet import _files
from jaxtriplet.metrics import det_curve
from jaxtriplet.pages import figures as tables, panels, pictures, wording

_FOLDER = Path(__file__).parent
_LIGHT = (_FOLDER / "style.css").read_text(encoding="utf-8").partition("}")[0]
VARIABLES = {colour: name for name, colour in re.findall(r"(--\w+): (#[0-9a-f]{6});", _LIGHT)}
"""The CSS variable for each colour of the pictures: the first rule of the style sheet, read backwards."""
_COLOURS = re.compile(rf"(?<=: )({'|'.join(VARIABLES)})(?=[;\"])")

_TEMPLATES = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {**tables.STYLES, "in_words": wording.in_words, "name_in_words": wording.name_in_words}


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        heading: Its heading, plain text; "" for none.
        pictures: What `picture` returned, side by side as far as there is room.
    """

    heading: str
    pictures: Sequence[Markup]


def write(
    folder: str | Path,
    template: str,
    *,
    figures: Mapping[str, Any],
    meanings: Mapping[str, tables.Figure],
    settings: Mapping[str, Any],
    **data: Any,
) -> Path:
    """Write `report.html`; one that is there is replaced.

    Args:
        folder: Where to write; made if it is not there.
        template: A file in `templates`, which extends `page.html`.
        figures: All figures, by name; those without a meaning are listed as they are, and the rows of `left_out`
            (each a `path` and a `reason`) in a table of their own.
        meanings: What they are.
        settings: What was asked for, in words or as it is; each mapping inside has a table of its own.
        **data: What the template asks for beside this.

    Returns:
        The path of the page.
    """
    html = _TEMPLATES.get_template(f"templates/{template}").render(
        figures=figures, meanings=meanings, settings=settings, **data
    )
    path = Path(folder) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _files.replacing(path) as file:
        file.write(html)
    return path


def picture(draw: Callable[..., None], caption: str, *, height: float = 4.3, **data: Any) -> Markup:
    """Return a picture as HTML, its colours those of the page.

    Args:
        draw: Draws it on the axes that it is given.
        caption: Plain text, or `Markup`; another one for each picture of a page.
        height: In inches; the width is 5.4.
        **data: What `draw` takes beside the axes.
    """
    words = escape(caption).striptags()
    # Text stays text, and the salt keeps the ids of two pictures on one page apart.
    with matplotlib.rc_context({**pictures.THEME, "svg.fonttype": "none", "svg.hashsalt": words}):
        figure = Figure(figsize=(5.4, height), layout="constrained")
        draw(figure.subplots(), **data)
        buffer = StringIO()
        with warnings.catch_warnings():
            # Names may be in any script: the reader's browser has fonts for what Matplotlib's own one lacks.
            warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from|Matplotlib currently does not support")
            figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue().partition("<svg")[2]
    svg = re.sub(r' id="[A-Za-z2.]+_\d+"', "", svg)
    svg = _COLOURS.sub(lambda colour: f"var({VARIABLES[colour[0]]})", svg)
    # Matplotlib has escaped every text in the picture, and the template escapes the rest.
    template = _TEMPLATES.get_template("templates/picture.html")
    return Markup(template.render(svg=Markup(svg), words=words, caption=caption))


_TEMPLATES.globals |= {
    "picture": picture,
    "pictures": pictures,
    "det_curve": det_curve,
    "laid_out": panels.laid_out,
    "table_of_clusters": panels.table_of_clusters,
    "sections": wording.sections,
}
