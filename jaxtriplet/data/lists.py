"""Lists that come as text files: their lines, and where the files that they name may lie."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Reads the lines of a text that are not blank, one after the other: a list may hold millions.

    Windows' line ends and byte-order mark are no part of them.

    Args:
        path: The text, in UTF-8.

    Yields:
        The number of a line, from 1, and the line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text in UTF-8.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = pathlib.Path(folder, "trials.txt")
        ...     _ = text.write_bytes(b"\xef\xbb\xbf1 a.wav b.wav\r\n\r\n0 a.wav c.wav")
        ...     list(lines(text))
        [(1, '1 a.wav b.wav'), (3, '0 a.wav c.wav')]
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise ValueError(f"{path} is no text: it holds zero bytes")
                if not line.isspace():
                    yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        start, byte = _first_odd_byte(path, error)
        raise ValueError(f"{path} is no text in UTF-8: byte {start} is {byte:#04x}") from error


def _first_odd_byte(path: str | Path, error: UnicodeDecodeError) -> tuple[int, int]:
    """Returns where in a file the first byte lies that is not UTF-8, and the byte: the error counts from some block."""
    try:
        Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as whole:
        error = whole
    return error.start, error.object[error.start]


def require_inside(root: str | Path, names: Iterable[str], source: str | Path) -> None:
    """Checks that a list from elsewhere names no files but those of a folder.

    Neither an absolute path nor `..` may lead out of it, not even behind a link. Links in the folder may: it is not the
    list that put them there.

    Args:
        root: The folder.
        names: Files, relative to the folder or absolute.
        source: The list.

    Raises:
        ValueError: If one lies elsewhere; the message says which, and how to allow it.

    Example:
        >>> require_inside("/data", ["a.wav", "b/../c.wav", "/data/d.wav", "../e.wav"], "trials.txt")
        Traceback (most recent call last):
        ...
        ValueError: trials.txt names 1 file outside /data: ../e.wav; `allow_outside=True` reads such files, too
    """
    real = Path(os.path.realpath(root))
    # Without either, a name goes down from the folder, through links or not.
    leading = (name for name in names if ".." in name or os.path.isabs(name))
    outside = [name for name in leading if not _is_below(real, Path(root, name))]
    if outside:
        files = f"1 file outside {root}" if len(outside) == 1 else f"{len(outside):,} files outside {root}, the first"
        raise ValueError(f"{source} names {files}: {outside[0]}; `allow_outside=True` reads such files, too")


def _is_below(real: Path, path: Path) -> bool:
    """Returns whether a path lies in a folder, or goes down from there, through links or not."""
    for place in (path, *path.parents):
        if Path(os.path.realpath(place)).is_relative_to(real):
            return True
        if place.name == "..":  # what is named before it is not on the way
            return False
    return False
