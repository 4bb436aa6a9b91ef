"""What the files of a folder hold, remembered between runs: to read thousands of files takes minutes."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxtriplet import _files
from jaxtriplet.data.inspection import Content, inspect
from jaxtriplet.parallel.shares import ALONE, Processes

_VERSION = 2  # to be raised when `inspect` learns to see more
_log = logging.getLogger(__name__)

Stamp = tuple[int, int]
"""Time of the last change (ns) and size (bytes) of a file; both 0 if there is none."""
_Known = dict[str, tuple[Stamp, Content]]


def contents(
    root: Path,
    paths: Sequence[str],
    *,
    cache_dir: str | Path | None = None,
    progress_fn: Callable[[int, int], None] | None = None,
    processes: Processes = ALONE,
) -> list[Content]:
    """Says what each file holds, reading those that are new or have changed since the last time.

    Args:
        root: A folder.
        paths: Files, relative to the folder or absolute.
        cache_dir: Where to remember; None for `jaxtriplet` in `$XDG_CACHE_HOME` or `~/.cache`.
        progress_fn: Called as `progress_fn(done, total)` after each file that is read.
        processes: Who shares the reading; each remembers what all have read.

    Returns:
        The content of each file, in the order of the paths.

    Raises:
        ValueError: The processes see different files.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxtriplet.data.contents import contents
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     contents(pathlib.Path("/nowhere"), ["a.wav"], cache_dir=cache)[0].problem
        'no such file'
    """
    cache = _cache_file(root, cache_dir)
    stamps = {path: _stamp(root / path) for path in paths}
    processes.require_alike(stamps, f"the files in {root} (names, sizes, times of change)")
    known = _load(cache)
    fresh = np.array([path in known and known[path][0] == stamp for path, stamp in stamps.items()], bool)
    tells, unknown = _tells(processes, fresh, np.array([size for _, size in stamps.values()], np.int64))
    new = [path for path, is_mine in zip(stamps, tells & ~fresh, strict=True) if is_mine]
    pool = ThreadPoolExecutor(os.cpu_count())  # libsndfile decodes without holding Python's lock
    try:
        with processes.rounds(progress_fn) as show:
            found = pool.map(lambda path: inspect(root / path), new)
            for done, (path, content) in enumerate(zip(new, found, strict=True), 1):
                known[path] = stamps[path], content
                show(done, len(new))
        if processes.count > 1:
            told = {path: known[path][1] for path, is_mine in zip(stamps, tells & unknown, strict=True) if is_mine}
            for one in processes.gather(json.dumps(told).encode()):
                known |= {path: _one(*stamps[path], *content) for path, content in json.loads(one).items()}
    finally:  # an interrupted look at a large folder goes on from here
        pool.shutdown(cancel_futures=True)
        if not fresh.all():
            _save(cache, known)
    return [known[path][1] for path in paths]


def _tells(processes: Processes, fresh: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns of which files this process tells the others what they hold, and which files some do not know.

    Args:
        processes: They.
        fresh: Which files this process knows already, [N].
        sizes: Of the files, [N], in bytes.

    Returns:
        Both [N] bool; a file that nobody knows is told of by who is to read it.
    """
    knows = np.stack([np.frombuffer(one, bool) for one in processes.gather(fresh.tobytes())])
    teller, nobody = knows.argmax(0), ~knows.any(0)
    teller[nobody] = processes.share(sizes[nobody])
    return np.asarray(teller == processes.index), np.asarray(~knows.all(0))


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except (OSError, ValueError):  # a name may be too long, or none that a file can have
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _cache_file(root: Path, cache_dir: str | Path | None) -> Path | None:
    folder = _files.cache_folder() if cache_dir is None else Path(cache_dir)
    return folder and folder / f"recordings-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"


def _load(cache: Path | None) -> _Known:
    if cache is None:
        return {}
    try:
        stored = json.loads(cache.read_text(encoding="utf-8"))
        if stored["version"] != _VERSION:
            return {}
        if stored["sha256"] != _checksum(stored["files"]):
            raise ValueError("its checksum does not fit")
        return {path: _one(*numbers) for path, numbers in stored["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        _log.warning("%s cannot be read and is made anew: %r", cache, error)
        return {}


def _one(time: int, size: int, *content: Any) -> tuple[Stamp, Content]:
    found = Content(*content)
    return (time, size), found._replace(silences=tuple((begin, end) for begin, end in found.silences))


def _checksum(files: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _save(cache: Path | None, known: _Known) -> None:
    if cache is None:
        return
    files = {path: [*stamp, *content] for path, (stamp, content) in known.items()}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with _files.replacing(cache) as file:  # other runs see the old one or the new one, never a half
            json.dump({"version": _VERSION, "sha256": _checksum(files), "files": files}, file)
    except OSError as error:
        _log.warning("%s cannot be written, so the next run reads every file again: %s", cache, error)
