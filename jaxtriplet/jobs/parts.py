"""What is embedded so far, kept in a folder beside the file that it is for: by one process or by several."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from jaxtriplet import _files
from jaxtriplet.data import Recordings
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.parallel.shares import ALONE, Processes

SIGHT = 60.0
"""Seconds after which a host has seen what another one has written into a folder that they share."""


class Parts:
    """A folder of what is embedded so far, beside the file that it is for.

    Args:
        folder: The folder; it is made when there is something to keep.
        made_by: What tells the run from others.
        overwrite: Whether what another run has left there may go.
        processes: Who adds to it; each makes one of these. The first of them alone reads it.

    Raises:
        ValueError: The folder holds what another run has embedded, it is none of `embed`'s, or some process does not
            see it.
    """

    def __init__(self, folder: Path, made_by: str, *, overwrite: bool, processes: Processes = ALONE) -> None:
        """Looks at what is there."""
        self._folder, self._made_by, self._processes = folder, made_by, processes
        processes.by_first(lambda: self._look(overwrite=overwrite))
        if processes.count > 1:
            processes.by_first(self._begin)
            processes.agree(lambda: self._await(["run.txt"]))

    def _look(self, *, overwrite: bool) -> None:
        folder = self._folder
        begun_by = folder / "run.txt"
        if begun_by.is_file() and begun_by.read_bytes() == self._made_by.encode():
            return
        is_folder = folder.is_dir()
        held = {*folder.iterdir()} - {*_files.leftovers(folder)} if is_folder else set[Path]()
        if folder.exists() and not (is_folder and held <= {*self._own()} and (begun_by in held or not held)):
            raise ValueError(f"{folder} is not `embed`'s own; name another `out`")
        if held and not overwrite:
            raise ValueError(f"{folder} was begun with another encoder; remove it, or add `overwrite=True`")
        self.remove()

    def read(self, index: Recordings) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the row of each recording that is embedded and has not changed since, and its embedding."""
        stamps, row = _stamps(index), {name: place for place, name in enumerate(index.names.tolist())}
        for path in sorted(self._folder.glob("*.npz")):
            for name, stamp, embedding in _rows(path):
                place = row.get(str(name))
                if place is not None and np.array_equal(stamps[place], stamp):
                    yield place, embedding

    def add(self, index: Recordings, embeddings: np.ndarray) -> str:
        """Keeps the embeddings of some recordings, in a file of this process's own, and returns its name."""
        self._begin()
        number = 1 + max((int(path.stem.rpartition("-")[2]) for path in self._folder.glob("[0-9]*.npz")), default=-1)
        whose = f"{self._processes.index:03}-" if self._processes.count > 1 else ""
        name = f"{whose}{number:06}.npz"
        _files.write_arrays(self._folder / name, paths=index.names, stamps=_stamps(index), embeddings=embeddings)
        return name

    def meet(self, added: Sequence[str]) -> None:
        """Waits until the first process sees what all have added.

        Args:
            added: The names of what this one has.

        Raises:
            ValueError: It does not; in every process.
        """
        told = [name for one in self._processes.gather(json.dumps(added).encode()) for name in json.loads(one)]
        self._processes.by_first(lambda: self._await(told))

    def remove(self) -> None:
        """Removes what is kept, and the folder if nothing else is in it."""
        for path in self._own():
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "run.txt").exists():
            with _files.replacing(self._folder / "run.txt") as file:
                file.write(self._made_by)

    def _await(self, names: Sequence[str]) -> None:
        """Waits for files of other hosts, of whose folders this one may have an older view."""
        until = time.monotonic() + SIGHT
        while lost := [name for name in names if not (self._folder / name).is_file()]:
            if time.monotonic() > until:
                raise ValueError(
                    f"process {self._processes.index} does not see {self._folder / lost[0]}, which another one has "
                    "written; `out` must lie in a folder that every process sees"
                )
            time.sleep(0.2)

    def _own(self) -> list[Path]:
        """Returns what `embed` has written; last, what tells that it has."""
        kept = [*self._folder.glob("[0-9]*.npz"), *_files.leftovers(self._folder)]
        return [*(path for path in kept if path.is_file()), self._folder / "run.txt"]


def _stamps(index: Recordings) -> np.ndarray:
    """Returns the time of the last change (ns) and the size (bytes) of each file, and where in it to listen, [N, 4]."""
    status = [(index.root / path).stat() for path in index.paths.tolist()]
    stamps = np.array([(one.st_mtime_ns, one.st_size) for one in status], np.int64)
    return np.column_stack([stamps, index.starts, index.frames])


def _rows(path: Path) -> list[tuple[Any, Any, Any]]:
    """Returns the paths, stamps and embeddings of a part; what is damaged is told, removed and so made again."""
    try:
        with path.open("rb") as file, np.load(file) as part:
            columns = [part[name] for name in ("paths", "stamps", "embeddings")]
            return list(zip(*columns, strict=True))
    except OSError:
        raise
    except Exception:  # of zip files and arrays, there are many, and their words are for programmers
        warn(f"{path} is damaged and removed, and its recordings are embedded again")
        path.unlink()
        return []
