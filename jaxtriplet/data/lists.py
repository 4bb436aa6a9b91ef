"""Lists that come as text files: their lines, and where the files that they name may lie."""

import os
from collections.abc import Iterable
from pathlib import Path


def lines(path: str | Path) -> list[tuple[int, str]]:
    r"""Returns the lines of a text that are not blank, and their numbers, from 1.

    Windows' line ends and byte-order mark are no part of them.

    Args:
        path: The text, in UTF-8.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text in UTF-8.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     text = pathlib.Path(folder, "trials.txt")
        ...     _ = text.write_bytes(b"\xef\xbb\xbf1 a.wav b.wav\r\n\r\n0 a.wav c.wav")
        ...     lines(text)
        [(1, '1 a.wav b.wav'), (3, '0 a.wav c.wav')]
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path} is no text: it holds zero bytes")
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


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
    outside = [name for name in names if not _is_below(real, Path(root, name))]
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
