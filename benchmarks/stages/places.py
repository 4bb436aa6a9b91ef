"""Where results go: nothing that is there is replaced without being told."""

import tempfile
from pathlib import Path


class TakenError(ValueError):
    """Something else is at the place."""


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder, which is not made yet.

    Args:
        folder: The folder.
        overwrite: Whether it may hold something.

    Raises:
        TakenError: It is a file, or below one, or it holds something and may not.
        OSError: It cannot be read.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise TakenError(f"{place} is a file, not a folder")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise TakenError(f"{folder} is not empty; name another folder, or add --overwrite to replace the results in it")


def check_file(file: Path, *, overwrite: bool) -> None:
    """Refuses a file that is there and may not be.

    Raises:
        TakenError: It is.
    """
    if file.is_dir():
        raise TakenError(f"{file} is a folder, not a file")
    if file.exists() and not overwrite:
        raise TakenError(f"{file} is there already; move it, or add --overwrite to replace it")


def make(folder: Path) -> None:
    """Makes a folder, if it is not there, and tries whether it can be written.

    Raises:
        OSError: It cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
