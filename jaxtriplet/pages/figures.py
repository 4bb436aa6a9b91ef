"""What the figures of every page are called, how they are written, and what they mean; `figures.toml` says it."""

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtriplet.pages import wording

AS_NORM = "as_norm_"
"""What the names of figures after AS-norm begin with."""


class Figure(NamedTuple):
    """What there is to know of a figure.

    Attributes:
        title: What it is called on a page.
        style: From its value to what is shown.
        meaning: What it tells, a sentence.
    """

    title: str
    style: Callable[[Any], str]
    meaning: str


def _written(form: str) -> Callable[[Any], str]:
    """Returns a style: a form for numbers, and words for what is none."""
    return lambda value: form.format(value) if value is not None and math.isfinite(value) else wording.in_words(value)


STYLES: Mapping[str, Callable[[Any], str]] = {
    "percent": _written("{:.2%}"),
    "number": _written("{:.4f}"),
    "count": _written("{:,}"),
    "interval": lambda bounds: "{:.2%} to {:.2%}".format(*bounds),
    "seconds": _written("{:,.1f} s"),
    "text": wording.in_words,
}
"""How a figure is written, by the word for it in `figures.toml` and, as a filter, in the templates."""


def _style(row: Mapping[str, Any]) -> Callable[[Any], str]:
    words: Mapping[str, str] = row.get("words", {})
    return (lambda value: words.get(value, str(value))) if words else STYLES[row["style"]]


_READ = {
    page: {name: Figure(row["title"], _style(row), row["meaning"]) for name, row in rows.items()}
    for page, rows in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}

FIGURES = _READ["any"]
"""Every figure of every page, by its name; where a page means something else by it, that page's table says what."""

_OF_TRIALS = FIGURES | _READ["evaluation"]
_OF_SCORES = (
    "equal_error_rate",
    "equal_error_rate_interval",
    "min_dcf",
    "min_dcf_0.05",
    "min_cllr",
    "threshold",
    "cllr",
    "actual_dcf",
    "actual_dcf_0.05",
    "calibration_scale",
    "calibration_offset",
    "same_session_equal_error_rate",
    "same_session_min_dcf",
)
EVALUATION = _OF_TRIALS | {
    AS_NORM + name: _OF_TRIALS[name]._replace(title=f"{_OF_TRIALS[name].title}, after AS-norm") for name in _OF_SCORES
}
"""`FIGURES`, as the page of an evaluation means them."""

CLUSTERING = FIGURES | _READ["clustering"]
"""`FIGURES`, as the page of a clustering means them."""


def require(figures: Mapping[str, Any], names: Iterable[str], source: str) -> None:
    """Refuse figures among which one is missing.

    Args:
        figures: By name.
        names: What must be among them.
        source: Where they should come from, for the message.

    Raises:
        ValueError: One is missing.

    >>> require({"purity": 1.0}, ["purity", "nmi"], "metrics.judge")
    Traceback (most recent call last):
    ...
    ValueError: figures lack nmi; pass those of metrics.judge
    """
    if missing := [name for name in names if name not in figures]:
        raise ValueError(f"figures lack {', '.join(missing)}; pass those of {source}")
