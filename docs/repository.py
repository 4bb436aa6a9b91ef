"""What lies in the repository beside `docs`: some joins the site as pages, and links to the rest lead to the source.

So a link is written as a reader of the repository needs it, `../examples/own_loss.py`, and is right on the site too.
"""

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).parent.parent
SOURCE = "https://github.com/jaxtriplet/jaxtriplet/blob/main/"
_ELSEWHERE = {"README.md": "index.md", "jaxtriplet/engine/README.md": "engine.md"}
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")


def brought() -> dict[str, str]:
    """Returns the files that join the site: where each lies in the repository, and where in `docs`."""
    found = {name: f"house/{name.lower()}" for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
    for pattern in ("notebooks/*.ipynb", "benchmarks/*.md", "benchmarks/*.png"):
        names = (path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
        found |= {name: name for name in names}
    return found


def redirected(text: str, page: str, origin: str) -> str:
    """Returns the text of a page with its links as the site has them.

    Args:
        text: Markdown, or a notebook.
        page: Where on the site it lies, from `docs`.
        origin: Where it lies in the repository, from the root: what its links start from.
    """
    pages = _ELSEWHERE | brought()

    def lead(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[2]))
        if target in pages or target.startswith("docs/"):
            place = pages.get(target, target.removeprefix("docs/"))
            return f"{found[1]}{posixpath.relpath(place, posixpath.dirname(page) or '.')}{found[3] or ''}"
        return f"{found[1]}{SOURCE}{target}" if (ROOT / target).exists() else found[0]

    return _LINK.sub(lead, text)


def _bring(app: Sphinx, config: Config) -> None:
    del config
    for origin, page in brought().items():
        place = Path(app.srcdir) / page
        place.parent.mkdir(exist_ok=True)
        content = (ROOT / origin).read_bytes()
        if not place.exists() or place.read_bytes() != content:  # what is older than the site is not read again
            place.write_bytes(content)


def _redirect(app: Sphinx, name: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(name)).relative_to(app.srcdir).as_posix()
    origins = {place: origin for origin, place in brought().items()}
    source[0] = redirected(source[0], page, origins.get(page, f"docs/{page}"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Listens where pages are found and where they are read."""
    app.connect("config-inited", _bring)
    app.connect("source-read", _redirect)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
