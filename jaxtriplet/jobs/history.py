"""The figures of all updates of a run, in a file with a line for each."""

import json
import os
from pathlib import Path
from typing import Self

from jaxtriplet import _files
from jaxtriplet.jobs.meeting import warn

Row = dict[str, float | int]


class History:
    """The figures of all updates, in a file; in memory they would grow with the run.

    Args:
        path: The file.
        after: After how many updates the run goes on; what a run that was stopped did later is done again.
        writes: Whether this process writes it.
    """

    def __init__(self, path: Path, *, after: int, writes: bool) -> None:
        """Leaves out what is done again, and what cannot be read: a checkpoint is of use without its figures too."""
        self._path, self._file = path, None
        if writes:
            content = path.read_bytes() if path.exists() else b""
            rows = {step: line for line in content.splitlines(keepends=True) if 0 < (step := _step(line)) <= after}
            if lost := after - len(rows):
                which = f"{lost:,} of the first {after:,} updates"
                warn(f"{path} lacks the figures of {which}: the run goes on, with a gap in its curves")
            kept = b"".join(rows[step] for step in sorted(rows))
            if kept != content:
                with _files.replacing(path, "wb") as file:
                    file.write(kept)
            self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    def add(self, row: Row) -> None:
        """Adds the figures of an update."""
        if self._file is not None:
            with _files.naming(self._path):
                self._file.write(f"{json.dumps(row)}\n".encode())

    def settle(self) -> None:
        """Waits until they are on the disk: a checkpoint is of use only with the figures before it."""
        if self._file is not None:
            with _files.naming(self._path):
                os.fsync(self._file.fileno())

    def rows(self) -> list[Row]:
        """Returns them all: a gap is where a file that was damaged has lost some."""
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]


def read_history(path: Path) -> list[Row]:
    """Returns the figures of a run's updates as far as they can be read; none if there is no such file.

    Args:
        path: The file.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    rows = [json.loads(line) for line in lines if _step(line)]
    if lost := len(lines) - len(rows):
        warn(f"{path}: {lost:,} of {len(lines):,} lines cannot be read, which leaves a gap in its curves")
    return rows


def _step(line: bytes) -> int:
    """Returns the update whose figures a line holds, 0 for a line that is cut or damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return 0
    whole = isinstance(row, dict) and all(type(value) in (int, float) for value in row.values())
    step = row.get("step") if whole and line.endswith(b"\n") else None
    return step if isinstance(step, int) else 0
