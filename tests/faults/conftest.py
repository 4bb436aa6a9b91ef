"""The run that is disturbed; each file has its own, since each may have a worker of its own."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from jaxtriplet import _files
from jaxtriplet.jobs import training
from tests.faults.disturbed import WORDS


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a run is half of what a run of six updates takes."""

    def page(folder: Path, **_: Any) -> None:
        with _files.replacing(folder / "report.html") as file:
            file.write("<html>")

    monkeypatch.setattr(training.pages, "run_page", page)


@pytest.fixture
def base(base_folder: Path, call: Any) -> Path:
    """A run of six updates with checkpoints after four and six, not to be changed."""
    if not base_folder.exists():
        assert call(*WORDS, "--out", base_folder).status == 0
    return base_folder


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base") / "run"


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    """A copy of it, elsewhere."""
    return Path(shutil.copytree(base, tmp_path / "moved" / "run"))
