"""What is written runs as printed, and leads where it says: README, pages of `docs`, the reference of the site."""

import importlib
import re
from pathlib import Path

import jax
import pytest

import jaxtriplet as jt

from .documented import DOCUMENTED, HIDDEN

ROOT = Path(__file__).parent.parent
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
MADE = ("docs/house", "docs/notebooks", "docs/benchmarks")  # by the site, where it was built: copies
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
    if not path.relative_to(ROOT).as_posix().startswith(MADE)
)
WITH_PROGRAMS = [page for page in PAGES if PROGRAM.search((ROOT / page).read_text(encoding="utf-8"))]


@pytest.fixture
def as_users_have_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """An empty folder, and JAX without the strict modes of the tests."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize(
    "page",
    [page if page == "README.md" else pytest.param(page, marks=pytest.mark.exhaustive) for page in WITH_PROGRAMS],
)
def test_the_programs_of_a_page_run_one_after_the_other(page: str) -> None:
    names: dict[str, object] = {"__name__": page}
    for program in PROGRAM.findall((ROOT / page).read_text(encoding="utf-8")):
        exec(compile(program, page, "exec"), names)


def test_the_readme_has_a_program() -> None:
    assert "README.md" in WITH_PROGRAMS


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_part_of_the_package_is_in_the_reference_or_said_to_be_internal() -> None:
    entries = {path.stem for path in Path(jt.__file__).parent.iterdir() if path.suffix in {"", ".py"}}
    public = {name for name in entries if not name.startswith("_")}
    documented = {module.removeprefix("jaxtriplet.").split(".")[0] for module in DOCUMENTED}
    assert public == (documented | HIDDEN.keys()) - {"jaxtriplet", "memory"}
    pages = "\n".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/api/*.md"))
    for module in DOCUMENTED:
        importlib.import_module(module)
        assert re.search(rf"module:: {re.escape(module)}$", pages, re.MULTILINE) or module == "jaxtriplet.losses"
