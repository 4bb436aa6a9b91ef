"""The figures of a run's updates as TensorBoard reads them: event files, made of the history in its folder."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jaxtriplet import _files
from jaxtriplet.jobs.history import read_history


class EventFiles:
    """Writes the figures of each update into tensorboard/ in the folder of a run, by their names.

    Event files can only grow, and a run that was stopped repeats the updates after its newest checkpoint. So a run that
    goes on writes all of them anew, from metrics.jsonl, before the first that it makes itself.

    Args:
        folder: The folder of the run, in which metrics.jsonl is written before this is told of an update.

    Raises:
        ImportError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        """Imports what writes them."""
        self._library, self._folder, self._writer = library(), folder, None

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Writes the figures after so many updates.

        Args:
            step: How many updates.
            figures: Their figures by name.
        """
        if self._writer is None:
            self._writer = self._begun(step)
        self._write(self._writer, step, figures)

    def _begun(self, step: int) -> Any:
        """Returns a writer that has what happened before a step."""
        place = place_in(self._folder)
        remove(self._folder)
        with _files.naming(place):
            writer = self._library.SummaryWriter(str(place))
            for row in read_history(self._folder / "metrics.jsonl"):
                if (earlier := int(row.pop("step"))) < step:
                    self._write(writer, earlier, row)
        return writer

    @staticmethod
    def _write(writer: Any, step: int, figures: Mapping[str, float]) -> None:
        for name, figure in figures.items():
            writer.add_scalar(name, figure, step)


def place_in(folder: Path) -> Path:
    """Returns where the event files of a run are.

    Args:
        folder: The folder of the run.

    Raises:
        ValueError: There is a link or a file: what a link leads to may be shared, and event files in it of other runs.
    """
    place = folder / "tensorboard"
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        kind = "link" if place.is_symlink() else "file"
        raise ValueError(f"{place} is a {kind}, and event files need a folder of their own: move it elsewhere")
    return place


def remove(folder: Path) -> None:
    """Removes the event files of a run, and their folder if it holds nothing else; a link stays as it is.

    Args:
        folder: The folder of the run.
    """
    place = folder / "tensorboard"
    if place.is_symlink() or not place.is_dir():
        return
    for file in place.glob("events.out.tfevents.*"):
        _files.remove(file)
    if not any(place.iterdir()):
        place.rmdir()


def library() -> Any:
    """Imports what writes event files.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module("tensorboardX")
    except ImportError as error:
        raise ImportError('event files need tensorboardX: pip install "jaxtriplet[tensorboard]"') from error
