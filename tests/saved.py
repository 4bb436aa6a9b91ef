"""A run as training leaves it, with weights that nobody has trained."""

from pathlib import Path

from jaxtriplet import _files
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.sources.source import Run


def save(folder: Path, run: Run) -> None:
    """Writes `config.json` and the weights of a run into a folder."""
    _files.write_json(folder / "config.json", run.config.nested())
    runs.save_weights(folder, run)
