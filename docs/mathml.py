"""Formulas as MathML: browsers draw it themselves, without a script from elsewhere, in the colour of the text."""

import re
from typing import Any

from docutils import nodes
from latex2mathml import converter
from sphinx.application import Sphinx

# As fences, since bars by themselves are set like relations, with room on both sides.
_LENGTH = re.compile(r"(?<![\\A-Za-z])\|([^|\\]+)\|")


def _drawn(node: nodes.Element, display: str) -> str:
    return str(converter.convert(_LENGTH.sub(r"\\left|\1\\right|", node.astext()), display=display))


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_drawn(node, "inline"))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_drawn(node, "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
