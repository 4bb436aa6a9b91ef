"""Each loss has a page, with all its parts and the numbers of its signature, and the index names every one."""

import importlib
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from jaxtriplet import jobs, losses
from jaxtriplet.cli.train import train
from jaxtriplet.losses import registry

DOCS = Path(__file__).parent.parent / "docs"
PARTS = ["When to choose it", "Numbers", "Notes", "Cost", "Example", "Training with it", "Reference", "API"]
PAGES = {file.stem: file.read_text() for file in sorted((DOCS / "losses").glob("*.md"))}
every_loss = pytest.mark.parametrize("one", registry.LOSSES.values(), ids=registry.LOSSES)


def part(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@every_loss
def test_the_page_of_a_loss_has_every_part(one: registry.Loss) -> None:
    page = PAGES[one.name]
    assert page.startswith(f"# {one.name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == PARTS
    before = page.split("\n## ")[0]
    assert before.count("$$") == 2
    assert re.search(rf"^!\[.{{10,}}\]\(pictures/{one.name}\.svg\)$", before, re.MULTILINE)
    assert "**Not**" in part(page, "When to choose it")
    assert blocks(part(page, "Example"), "python")
    assert blocks(part(page, "Training with it"), "sh") or blocks(part(page, "Training with it"), "python")
    assert f".. autofunction:: jaxtriplet.{one.name}\n" in part(page, "API")


@every_loss
def test_the_page_has_the_numbers_and_options_of_the_signature(one: registry.Loss) -> None:
    told = set(re.findall(r"`(\w+=[^`]+)`", part(PAGES[one.name], "Numbers") + part(PAGES[one.name], "Notes")))
    for name, default in (one.numbers | one.options).items():
        shown = default.__name__ if callable(default) else f'"{default}"' if isinstance(default, str) else default
        assert f"{name}={shown}" in told


@every_loss
def test_the_reference_is_the_docstrings(one: registry.Loss) -> None:
    titles = [
        " ".join(re.sub(r"[{}]", "", title).split())
        for title in re.findall(r"^  title = (.*),$", PAGES[one.name], re.M)
    ]
    told = " ".join((one.function.__doc__ or "").split("Reference:")[1].split()).lower()
    assert titles
    assert [title for title in titles if title.split(":")[0].lower() in told]


def test_every_public_loss_is_on_a_page_and_in_the_index() -> None:
    told = [name for page in PAGES.values() for name in re.findall(r"autofunction:: jaxtriplet\.(\w+)$", page, re.M)]
    assert sorted(told) == sorted(losses.__all__)
    tree = blocks(PAGES["index"], r"\{toctree\}")[0].split()
    assert sorted(name for name in tree if name[0] != ":" and name != "1") == sorted(PAGES.keys() - {"index"})


def test_there_is_a_picture_of_every_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    panels = importlib.import_module("scenes").PANELS
    assert set(registry.LOSSES) == panels.keys() - {"combining"}
    assert {f"{name}.svg" for name in panels} == {path.name for path in (DOCS / "losses" / "pictures").iterdir()}


def test_a_picture_tells_pulls_from_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    pictures = importlib.import_module("pictures")
    assert pictures.picture("triplet") == (pictures.FOLDER / "triplet.svg").read_text()
    moves, meets = pictures.arrows(pictures.PANELS["triplet"][0])
    # Three anchors, positives and negatives: of the second and the third triplet, a pull and a push of equal strength.
    assert (meets[[1, 2], [4, 5]] > 0).all()
    assert (meets[[1, 2], [7, 8]] < 0).all()
    assert meets[0, 3] == meets[0, 6] == 0
    assert not moves[[0, 3, 6]].any()


def commands() -> list[str]:
    pages = [*PAGES.values(), (DOCS / "choosing.md").read_text()]
    lines = {
        line.split("#")[0].strip() for page in pages for block in blocks(page, "sh") for line in block.splitlines()
    }
    return sorted(lines)


@pytest.mark.parametrize("line", commands())
def test_the_command_line_takes_what_pages_say(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Any] = []
    monkeypatch.setattr(jobs, "train", lambda config, **asked: trained.append(config) or SimpleNamespace(figures=None))
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("jaxtriplet", "train")
    done = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(trained) == 1
