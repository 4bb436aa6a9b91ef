"""A disk that is full when it comes to a file."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import pytest

from jaxtriplet import _files


def full_at(patch: pytest.MonkeyPatch, name: str) -> None:
    """Lets every file be written but those of a name, for which there is no space left."""
    replacing = _files.replacing

    def until_then(path: Path, mode: str = "w") -> AbstractContextManager[IO[Any]]:
        if path.name == name:
            raise OSError(28, "No space left on device")
        return replacing(path, mode)

    patch.setattr(_files, "replacing", until_then)
