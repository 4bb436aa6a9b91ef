"""The figures of all updates of a run, in a file with a line for each."""

import json
import os
from itertools import count, takewhile
from pathlib import Path
from typing import Self

from jaxtriplet import _files

Row = dict[str, float | int]


class History:
    """The figures of all updates, in a file; in memory they would grow with the run.

    Args:
        path: The file.
        after: After how many updates the run goes on; what a run that was stopped did later is done again.
        writes: Whether this process writes it.
    """

    def __init__(self, path: Path, *, after: int, writes: bool) -> None:
        """Leaves out what is done again."""
        self._path, self._file = path, None
        if writes:
            lines = path.read_bytes().splitlines(keepends=True)[:after] if after else []
            path.touch()
            os.truncate(path, sum(map(len, lines)))  # rather than written anew: a kill may come at any moment
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
        """Returns them all."""
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    @staticmethod
    def known(path: Path) -> int:
        """Returns of how many updates a file holds the figures, from the first one on and without a gap.

        Args:
            path: The file, which need not be there.
        """
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return sum(1 for _ in takewhile(bool, map(_is_row, count(1), lines)))


def _is_row(step: int, line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and bool(json.loads(line)["step"] == step)
    except (ValueError, TypeError, KeyError):
        return False
