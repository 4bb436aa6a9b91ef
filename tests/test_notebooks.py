"""The notebooks run from top to bottom, and what is committed is what such a run leaves.

`python tests/test_notebooks.py` runs them and writes their outputs anew.
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("notebooks")

ROOT = Path(__file__).parent.parent
LOSSES, SPEAKERS = NAMES = ("01_losses", "02_train_speakers")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# A Unix path from its root, or a Windows drive; but no web address, fraction, vowel or closing tag of HTML.
ABSOLUTE_PATH = re.compile(r"(?<![\w/<.:)])/\w[\w.-]*/\w|\b[A-Za-z]:\\\w")


def path_of(name: str) -> Path:
    return ROOT / "notebooks" / f"{name}.ipynb"


def committed(name: str) -> NotebookNode:
    return nbformat.read(path_of(name), as_version=4)


def fresh(name: str) -> NotebookNode:
    """Runs a notebook in an empty folder: its outputs, but no trace of when and on what it ran."""
    notebook = committed(name)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", record_timing=False, coalesce_streams=True)
    # The kernel imports this checkout, wherever it runs.
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as folder:
        # As a user runs it: on one device, and optimised, since it trains for longer than it compiles.
        client.execute(cwd=folder, env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "XLA_FLAGS": ""})
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def outputs(notebook: NotebookNode) -> list[list[NotebookNode]]:
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def kind(output: NotebookNode) -> str:
    """The name of a stream, the media types of all else."""
    return output.get("name") or " ".join(sorted(output.data))


def kinds(notebook: NotebookNode) -> list[list[str]]:
    return [[kind(output) for output in cell] for cell in outputs(notebook)]


def printed(notebook: NotebookNode) -> str:
    return "\n".join(output.text for cell in outputs(notebook) for output in cell if output.output_type == "stream")


# The second one trains, twice.
@pytest.mark.parametrize("name", [LOSSES, pytest.param(SPEAKERS, marks=pytest.mark.exhaustive)])
def test_a_run_leaves_what_is_committed(name: str) -> None:
    # One test, since every worker that has a part of it would run the notebook.
    run = fresh(name)
    assert kinds(run) == kinds(committed(name))
    # A warning would be "stderr", a picture that failed "text/plain" alone, its complaint a Traceback on "stdout".
    assert {one for cell in kinds(run) for one in cell} == {"stdout", "image/png text/plain"}
    assert "Traceback" not in printed(run)
    if name == LOSSES:
        now, then = (np.array(re.findall(r"\d+\.\d+", printed(each)), float) for each in (run, committed(name)))
        np.testing.assert_allclose(now, then, rtol=0, atol=0.0011)  # one in the last of three digits printed


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_file_is_clean_and_small(name: str) -> None:
    notebook = committed(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(kinds(notebook))
    assert notebook.metadata == METADATA
    assert not any(cell.metadata for cell in notebook.cells)
    assert path_of(name).stat().st_size < 400_000
    words = "\n".join([printed(notebook), *(cell.source for cell in notebook.cells)])
    assert ABSOLUTE_PATH.search(words) is None


@pytest.mark.parametrize("words", ["saved /home/ann/runs/1", "C:\\Users\\ann", "'/tmp/x'", "x=/usr/lib/x"])
def test_paths_are_recognised(words: str) -> None:
    assert ABSOLUTE_PATH.search(words)


@pytest.mark.parametrize("words", ["https://doi.org/10.24432/C5NS47", "1 / 2 and/or 3/4", "</b>", "$L / x$ /ae/."])
def test_what_is_no_path_is_left_alone(words: str) -> None:
    assert ABSOLUTE_PATH.search(words) is None


if __name__ == "__main__":
    for name in NAMES:
        nbformat.write(fresh(name), path_of(name))
