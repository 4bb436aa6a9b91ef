"""`runs/latest`, which leads to the newest run that was given no folder of its own."""

import os
import re
from contextlib import suppress
from pathlib import Path

from jaxtriplet import _files

LATEST = Path("runs", "latest")
_OURS = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
"""The names that `runs.choose` gives: what leads elsewhere, or is no link, is somebody's own."""


def point_at(folder: Path) -> str | None:
    """Lets `latest` beside the folder of a run lead to it: a link or, where the system makes none, a text.

    Args:
        folder: The folder, with a name by the time.

    Returns:
        Why it does not: what a user has put there stays. None if it does.
    """
    link = folder.parent / LATEST.name
    if os.path.lexists(link) and _led_to(link) is None:
        return f"{link} is your own, so it stays as it is, and does not lead to {folder}"
    draft = link.with_name(f".{link.name}.{os.getpid()}{_files.DRAFT}")
    try:
        with suppress(OSError):
            draft.symlink_to(folder.name, target_is_directory=True)
        if not draft.is_symlink():
            draft.write_text(f"{folder.name}\n", encoding="utf-8")
        os.replace(draft, link)
    except OSError as error:  # a run is worth more than its second name
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        return f"{link} cannot be made to lead to {folder}: {error}"
    return None


def resolved(path: Path) -> Path:
    """Returns the folder that a link or text of `point_at` leads to; any other path as it is.

    Args:
        path: What was named as the folder of a run.

    Example:
        >>> resolved(Path("runs/mine"))
        PosixPath('runs/mine')
    """
    name = _led_to(path)
    return path if name is None else path.parent / name


def _led_to(path: Path) -> str | None:
    """Returns the name of the run that `latest` leads to; None if this is not it."""
    if path.name != LATEST.name:
        return None
    name = ""
    with suppress(OSError, ValueError):
        if path.is_symlink():
            name = os.readlink(path)
        elif path.is_file() and path.stat().st_size < 64:
            name = path.read_text(encoding="utf-8").strip()
    return name if _OURS.fullmatch(name) else None
