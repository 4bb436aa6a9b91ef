"""Files that are there whole or not at all, and checksums that notice what has become of them since."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

DRAFT = ".jaxtriplet-draft"
"""The end of a draft's name, which nobody else gives to a file."""
_ORBAX = re.compile(r"(weights|[0-9]+)\.orbax-checkpoint-tmp(-[0-9]+)?")
"""The drafts of what is written with Orbax: weights, and checkpoints after so many steps."""
SUMS = "SHA256SUMS"
"""The file of a sealed folder's checksums: `cd FOLDER; sha256sum --check SHA256SUMS` reads it too."""


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a draft beside a file, which takes its place when it is whole and on the disk.

    Args:
        path: The file; one that is there stays as it is if an error comes.
        mode: "w" for text in UTF-8, "wb" for bytes.

    Yields:
        The draft.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}{DRAFT}")  # one for each process that writes
    try:
        with naming(path), draft.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    settle(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an error of the system the name of the file that is written: that of a full disk has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_json(path: Path, content: Any) -> None:
    """Writes a readable JSON file, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2) + "\n")


def write_arrays(path: Path, **arrays: Any) -> None:
    """Writes an .npz file, whole or not at all; as a zip file, it has a checksum of each array."""
    with replacing(path, "wb") as file:
        np.savez(file, **arrays)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Args:
        path: The file.
        remedy: What to do if it is damaged.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return read_object(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from None


def read_object(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file; a ValueError says what else there is, and not where."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    if not text.strip():
        raise ValueError("it is empty")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("it is no object")
    return content


def settle(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system can tell."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folder.
        return
    try:
        os.fsync(handle)
    except OSError:  # Some file systems of a network have nothing to wait for.
        pass
    finally:
        os.close(handle)


def leftovers(folder: Path) -> list[Path]:
    """Returns what a process that was killed has left in a folder: drafts of files, and of Orbax's folders."""
    return [*folder.glob(f".*{DRAFT}"), *(path for path in folder.glob("*.orbax*") if _ORBAX.fullmatch(path.name))]


def clear(folder: Path) -> None:
    """Removes what a process that was killed has left in a folder."""
    for path in leftovers(folder):
        remove(path)


def remove(path: Path) -> None:
    """Removes a file, a folder or a link, not what the link leads to; one that is not there is as good as removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cache_folder() -> Path | None:
    """Returns the folder of what is kept to save time: `jaxtriplet` in `$XDG_CACHE_HOME` or `~/.cache`.

    Returns:
        The folder, which need not be there; None for a user who has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return None if base.startswith("~") else Path(base) / "jaxtriplet"


def sha256(path: Path) -> str:
    """Returns the checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, *, but: Collection[str] = ()) -> None:
    """Writes the checksums of all files in a folder into it.

    Args:
        folder: The folder.
        but: The names of files to leave out.
    """
    lines = [f"{sha256(folder / name)}  {name}\n" for name in _names(folder, but)]
    with replacing(folder / SUMS) as file:
        file.writelines(lines)


def sum_of(path: Path) -> Path:
    """Returns where the checksum of a file is that is no part of a sealed folder: beside it."""
    return path.with_name(f"{path.name}.sha256")


def seal_file(path: Path) -> None:
    """Writes the checksum of a file beside it, as `sha256sum --check` reads it."""
    with replacing(sum_of(path)) as file:
        file.write(f"{sha256(path)}  {path.name}\n")


def check_file(path: Path) -> None:
    """Checks a file by the checksum that `seal_file` has written beside it; one that has none passes.

    Args:
        path: The file.

    Raises:
        ValueError: It is not what was written.
    """
    sums = sum_of(path)
    if sums.exists() and sums.read_bytes() != f"{sha256(path)}  {path.name}\n".encode():
        raise ValueError(f"{path} is not what was written: it has another checksum than {sums.name} says")


def flaw(folder: Path, *, but: Collection[str] = ()) -> str | None:
    """Returns what is wrong with a folder that was sealed, None if nothing is.

    Args:
        folder: The folder.
        but: The names of files that were left out.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = pathlib.Path(name)
        ...     folder.joinpath("weights").write_bytes(b"1234") and seal(folder)
        ...     before = flaw(folder)
        ...     folder.joinpath("weights").write_bytes(b"1235") and before, flaw(folder)
        (None, 'weights is not what was written')
    """
    try:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return f"{SUMS} is missing"
    except (OSError, ValueError):
        return f"{SUMS} cannot be read"
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = _names(folder, but)
    for name in sorted({*sums, *there}):
        if name not in there:
            return f"{name} is missing"
        if name not in sums:
            return f"{SUMS} lacks {name}"
        if sha256(folder / name) != sums[name]:
            return f"{name} is not what was written"
    return None if sums else f"{SUMS} is empty"


def _names(folder: Path, but: Collection[str]) -> list[str]:
    """Returns the files in a folder, relative to it; hidden ones are somebody else's."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in {SUMS, *but} and not name.rpartition("/")[2].startswith("."))
