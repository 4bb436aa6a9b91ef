"""The site, built strictly: complete, and nothing in it comes from elsewhere. Needs the extra `docs`."""

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from ..documented import public_names

ROOT = Path(__file__).parent.parent.parent
FROM_ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//[^"]+"[^>]*stylesheet|@import"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    place = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(place / "html")]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return place / "html"


def test_every_public_name_is_in_it(site: Path) -> None:
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    entries = {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}
    assert public_names() - entries == set()


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    assert [page.name for page in pages if FROM_ELSEWHERE.search(page.read_text(encoding="utf-8"))] == []


def test_search_finds_words_without_a_server(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")  # a script: pages that were opened as files may not fetch
    for word in ("semi_hard", "margin", "verif"):
        assert word in index


def test_every_picture_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for source in re.findall(r'<img[^>]+src="([^"]+)"', text):
            assert source.startswith("data:") or (page.parent / source).is_file(), f"{page.name}: {source}"
        assert re.search(r'<img(?![^>]*alt="[^"]+)', text) is None, f"{page.name} has a picture without words"
