"""An index of the recordings in a folder: who speaks, in which session, for how long."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.data import kaldi
from jaxtriplet.data.contents import contents
from jaxtriplet.data.entry import Entry, Problem
from jaxtriplet.data.inspection import Content
from jaxtriplet.data.layouts import LAYOUT, entries, piece_of
from jaxtriplet.data.sound import Piece, Sound
from jaxtriplet.parallel.shares import ALONE, Processes


@dataclasses.dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of known speakers.

    Attributes:
        root: The folder.
        paths: Files, [N] strings, relative to `root` or absolute: `root / path` opens either.
        speakers: Names of the speakers, sorted.
        labels: Speaker of each recording, [N] int32: a place in `speakers`.
        sessions: Session of each recording, [N] int32 from 0. Two speakers share none, and recordings that lie
            directly in a speaker's folder are one session.
        frames: Samples of each recording, [N] int64, at its own rate.
        sample_rates: [N] int32, in hertz.
        problems: The recordings that were found and left out.
        pieces: Where in its file each recording begins, what it is called, and where it is silent; () for whole files
            that are never silent for long.
    """

    root: Path
    paths: np.ndarray
    speakers: tuple[str, ...]
    labels: np.ndarray
    sessions: np.ndarray
    frames: np.ndarray
    sample_rates: np.ndarray
    problems: tuple[Problem, ...] = ()
    pieces: tuple[Piece, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def seconds(self) -> np.ndarray:
        """Duration of each recording, [N] float64."""
        return self.frames / self.sample_rates

    @property
    def starts(self) -> np.ndarray:
        """Where in its file each recording begins, [N] int64, in samples."""
        return np.array([piece.start for piece in self.pieces] or [0] * len(self), np.int64)

    @property
    def names(self) -> np.ndarray:
        """What each recording is called, [N] strings, no two alike: its path, or the name of Kaldi's utterance."""
        if not any(piece.name for piece in self.pieces):
            return self.paths
        return np.array([piece.name or path for piece, path in zip(self.pieces, self.paths.tolist(), strict=True)])

    def samples(self, sample_rate: int) -> np.ndarray:
        """Returns how many samples are heard of each recording at a rate in hertz, [N] int64."""
        heard = np.asarray(self.frames * sample_rate // self.sample_rates, np.int64)
        for row, piece in enumerate(self.pieces):
            if piece.start or piece.silences:
                heard[row] = self.sound(row).length(sample_rate)
        return heard

    def sound(self, row: int) -> Sound:
        """Returns what is heard of a recording: all but long silences.

        Args:
            row: Its place in the index.
        """
        piece = self.pieces[row] if self.pieces else Piece()
        stretches = piece.stretches(int(self.frames[row]))
        path, rate = self.root / self.paths[row], int(self.sample_rates[row])
        return Sound(path, rate, piece.start, piece.channel, stretches)

    def take(self, rows: ArrayLike) -> Self:
        """Returns an index of some recordings alone, with labels and sessions numbered anew.

        Args:
            rows: Places in this index, [M] integers.

        Returns:
            M recordings, without problems.
        """
        places = np.arange(len(self))[np.asarray(rows)]
        chosen, labels = _numbered(self.labels[places])
        return dataclasses.replace(
            self,
            paths=self.paths[places],
            speakers=tuple(self.speakers[i] for i in chosen),
            labels=labels,
            sessions=_numbered(self.sessions[places])[1],
            frames=self.frames[places],
            sample_rates=self.sample_rates[places],
            problems=(),
            pieces=tuple(self.pieces[row] for row in places.tolist()) if self.pieces else (),
        )


def recordings(
    folder: str | Path,
    *,
    labelled: bool = True,
    allow_outside: bool = False,
    cache_dir: str | Path | None = None,
    progress_fn: Callable[[int, int], None] | None = None,
    processes: Processes = ALONE,
) -> Recordings:
    """Reads every recording of a folder once through, and returns an index of those that can be used.

    The folder holds `<speaker>/[<session>/]<utterance>.wav` (the layout of VoxCeleb), with any ending that stands for
    audio, or the files `wav.scp`, `utt2spk` and, if files are cut into pieces, `segments` of Kaldi (paths relative to
    the folder or absolute; commands are refused, never run). Hidden files are passed over. Links in the tree are
    followed, each file and folder once. What was learnt is remembered outside the folder, for as long as the time and
    the size of a file stay the same.

    Args:
        folder: The folder.
        labelled: False for recordings of nobody knows whom: any tree of folders, one nameless speaker.
        allow_outside: Whether `wav.scp` may name files that lie outside the folder.
        cache_dir: Where to remember; None for `jaxtriplet` in `$XDG_CACHE_HOME` or `~/.cache`.
        progress_fn: Called as `progress_fn(done, total)` after each file that is read.
        processes: Who shares the reading, `parallel.shares.here()`; each calls this, and gets the same index.

    Returns:
        The recordings; `problems` names each file that cannot be used.

    Raises:
        ImportError: If soundfile is not installed.
        ValueError: If there is no such folder, it has another layout, or no file in it can be used; or the processes
            see different files.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, soundfile
        >>> from jaxtriplet.data import recordings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("ada", "bob"):
        ...         pathlib.Path(folder, name).mkdir()
        ...         soundfile.write(f"{folder}/{name}/hello.wav", np.sin(np.arange(8000.0)), 16000)
        ...     found = recordings(folder, cache_dir=f"{folder}/.cache")
        >>> found.speakers, found.labels.tolist(), found.seconds.tolist(), found.problems
        (('ada', 'bob'), [0, 1], [0.5, 0.5], ())
    """
    _checks.given("folder", folder, str | os.PathLike, "the path of a folder")
    root = Path(folder)

    def look() -> tuple[list[Entry], list[Problem]]:
        if not root.is_dir():
            raise ValueError(f"{root}: {'a file, not a folder' if root.exists() else 'no such folder'}")
        return entries(root, labelled=labelled, allow_outside=allow_outside)

    return _read(root, look, cache_dir, progress_fn, processes)


def recordings_of(
    root: str | Path,
    paths: Iterable[str],
    *,
    cache_dir: str | Path | None = None,
    progress_fn: Callable[[int, int], None] | None = None,
    processes: Processes = ALONE,
) -> Recordings:
    """Returns an index of files by name, all of one nameless speaker: what to embed, say for a list of trials.

    Args:
        root: The folder that the paths are relative to.
        paths: Files, or names of utterances in Kaldi's folder; their order is kept.
        cache_dir: As `recordings` takes it.
        progress_fn: As `recordings` takes it.
        processes: As `recordings` takes it.

    Returns:
        The recordings; `problems` names each file that cannot be used.

    Raises:
        ImportError: If soundfile is not installed.
        ValueError: If no file can be used, or the processes see different files.

    Example:
        >>> import tempfile
        >>> from jaxtriplet.data import recordings_of
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recordings_of(folder, ["a.wav"], cache_dir=folder)
        Traceback (most recent call last):
        ...
        ValueError: ... no recording that can be used; the first of 1: a.wav: no such file
    """
    _checks.given("root", root, str | os.PathLike, "the path of a folder")
    if isinstance(paths, str | os.PathLike):
        raise ValueError(f"paths must be a list of files; got {str(paths)!r}; as a list, [{str(paths)!r}]")
    root, paths = Path(root), list(paths)

    def look() -> tuple[list[Entry], list[Problem]]:
        utterances = kaldi.by_name(root, allow_outside=True)
        return [utterances.get(path) or Entry(path) for path in paths], []

    return _read(root, look, cache_dir, progress_fn, processes)


def _read(
    root: Path,
    look: Callable[[], tuple[list[Entry], list[Problem]]],
    cache_dir: str | Path | None,
    progress_fn: Callable[[int, int], None] | None,
    processes: Processes,
) -> Recordings:
    """Returns an index of what is listed, the same in every process."""
    listed, problems = processes.agree(look)
    processes.require_alike((listed, problems), f"the recordings that {root} names")
    paths = [entry.path for entry in listed]
    found = contents(root, paths, cache_dir=cache_dir, progress_fn=progress_fn, processes=processes)
    return processes.agree(lambda: _index(root, listed, problems, found))


def _index(root: Path, listed: Sequence[Entry], problems: Iterable[Problem], found: Sequence[Content]) -> Recordings:
    usable, problems = [], [*problems]
    for entry, content in zip(listed, found, strict=True):
        piece, count, reason = piece_of(entry, content)
        if reason:
            problems.append(Problem(entry.path if entry.times is None else entry.name, reason))
        else:
            usable.append((entry.path, entry.speaker, entry.session, count, content.sample_rate, piece))
    if not usable:
        first = f"; the first of {len(problems)}: {': '.join(problems[0])}" if problems else _others(root)
        raise ValueError(f"{root} holds no recording that can be used{first}")
    paths, speakers, sessions, frames, sample_rates, pieces = zip(*usable, strict=True)
    names, labels = _numbered(speakers)
    return Recordings(
        root,
        np.array(paths),
        tuple(names.tolist()),
        labels,
        _numbered(sessions)[1],
        np.array(frames, np.int64),
        np.array(sample_rates, np.int32),
        tuple(problems),
        pieces,
    )


def _others(root: Path) -> str:
    """Returns what a folder holds in place of recordings."""
    names = [name for _, _, files in os.walk(root) for name in files if not name.startswith(".")]
    if not names:
        return f": it is empty; expected {LAYOUT}"
    endings = sorted({os.path.splitext(name)[1] or name for name in names})
    more = " and others" if len(endings) > 5 else ""
    return f": of {len(names):,} files, none ends as audio does ({', '.join(endings[:5])}{more}); expected {LAYOUT}.wav"


def _numbered(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values in order, and the place of each value among them, int32."""
    distinct, places = np.unique(values, return_inverse=True)
    return distinct, places.astype(np.int32)
