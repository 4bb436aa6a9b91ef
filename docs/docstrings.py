"""Docstrings as the site wants them: their formulas in dollars become directives, and what is not ours is left out."""

import re
from typing import Any

from sphinx.application import Sphinx

_BLOCK = re.compile(r"^( *)\$\$(.+?)\$\$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<![\w$])\$([^$\n]+(?:\n[^$\n]+)?)\$(?![\w$])")


def _formulas(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    del app, what, name, obj, options
    text = _BLOCK.sub(lambda found: f"{found[1]}.. math:: {' '.join(found[2].split())}\n", "\n".join(lines))
    text = _INLINE.sub(lambda found: f":math:`{' '.join(found[1].split())}`", text)
    lines[:] = text.split("\n")


def _is_left_out(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    del app, what, name, skip, options
    if type(obj).__name__ == "_tuplegetter":  # a field of a NamedTuple: its class says what it is
        return True
    module = getattr(obj, "__module__", None)
    return True if module is not None and not str(module).startswith("jaxtriplet") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Listens before napoleon does, which makes other text of the sections."""
    app.connect("autodoc-process-docstring", _formulas, priority=400)
    app.connect("autodoc-skip-member", _is_left_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
