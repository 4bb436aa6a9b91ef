"""The job `embed`: every recording of a folder, in one file; interrupted, it goes on where it stopped."""

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _files
from jaxtriplet.data import Recordings
from jaxtriplet.jobs import listening, lock, runs
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.jobs.scoring import Comparison
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.speech import embed_batches

SAVE_SECONDS = 10.0  # of work that a crash may cost


class Embedded(NamedTuple):
    """What `embed` made.

    Attributes:
        file: Where it is written.
        figures: `num_recordings`, `num_resumed` (embedded by an earlier call that was interrupted), `embedding_dim`,
            `hours`, `num_speakers` where these are known, `num_left_out` and `left_out`, and `file`.
        recordings: The recordings, N of them.
        embeddings: Of each recording, [N, E], of unit length.
    """

    file: Path
    figures: dict[str, Any]
    recordings: Recordings
    embeddings: np.ndarray


def embed(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    backend: str | None = None,
    backend_layer: str | None = None,
    fit_on: str | Path | None = None,
    crops: int = 0,
    crop_seconds: float = 4.0,
    labelled: bool = True,
    allow_outside: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Embedded:
    """Embeds every recording of a folder, of any length, into one file.

    The file holds `embeddings` [N, E], `paths` [N] (relative to `data`) and, where the folder tells who speaks,
    `labels` [N] and `speakers` [S]: recording i is of speakers[labels[i]]. Of Kaldi's folders it also holds the names,
    `utterances` [N]. Silences of 0.3 s and more weigh nothing, and what is longer than 10 s without them is the mean of
    windows. What is done is kept in `<out>.partial` meanwhile: after an interruption, the same call goes on from there.

    Args:
        run: The folder of a finished run on recordings.
        data: The folder of the recordings.
        out: The file, which ends in .npz.
        backend: How to compare recordings, as `evaluate` takes it: by cosines of these embeddings.
        backend_layer: Likewise.
        fit_on: Likewise.
        crops: Likewise.
        crop_seconds: Likewise.
        labelled: Whether `data` says who speaks.
        allow_outside: Whether Kaldi's `wav.scp` may name files outside `data`.
        overwrite: Whether the file may be there already, and what another encoder has begun may go.
        quiet: Whether to show no progress on standard error.

    Returns:
        The embeddings, and of which recordings they are.

    Raises:
        ValueError: The run, the recordings or the file cannot be used, or another encoder has begun the file.

    Example:
        >>> from jaxtriplet import jobs
        >>> jobs.embed("runs/mine", "recordings", "embeddings.txt")
        Traceback (most recent call last):
        ...
        ValueError: `out` must end in .npz; got embeddings.txt
    """
    if Path(out).suffix != ".npz":
        raise ValueError(f"`out` must end in .npz; got {out}")
    file = runs.choose_file(out, overwrite=overwrite)
    comparison = Comparison(backend, backend_layer, fit_on, crops, crop_seconds).checked()
    encoder = comparison.load(run)
    known = comparison.recordings(allow_outside=allow_outside, quiet=quiet)
    with lock.writing(file.with_name(f".{file.name}.lock"), file):
        runs.choose_file(file, overwrite=overwrite)  # once more, now that nobody else writes it
        made_by = fingerprint(Path(run), comparison)
        parts = Parts(file.with_name(f"{file.name}.partial"), made_by, overwrite=overwrite)
        index = listening.listen(data, labelled=labelled, allow_outside=allow_outside, quiet=quiet)
        encoder = comparison.fit(encoder, known, quiet=quiet)
        rows, kept = embed_in_parts(encoder, index, parts, quiet=quiet)
        embeddings = encoder.embedded(rows)
        speakers = {"labels": index.labels, "speakers": np.array(index.speakers)} if labelled else {}
        utterances = {} if index.names is index.paths else {"utterances": index.names}
        _files.write_arrays(file, embeddings=embeddings, paths=index.paths, **speakers, **utterances)
        parts.remove()
    figures = {
        "num_recordings": len(index),
        "num_resumed": kept,
        "embedding_dim": embeddings.shape[1],
        "hours": round(float(index.seconds.sum()) / 3600, 4),
        **({"num_speakers": len(index.speakers)} if labelled else {}),
        **listening.problems_as_json(index.problems),
        "file": str(file),
    }
    return Embedded(file, figures, index, embeddings)


class Parts:
    """A folder of what is embedded so far, beside the file that it is for.

    Args:
        folder: The folder; it is made when there is something to keep.
        made_by: What tells the run from others.
        overwrite: Whether what another run has left there may go.

    Raises:
        ValueError: The folder holds what another run has embedded, or it is none of `embed`'s.
    """

    def __init__(self, folder: Path, made_by: str, *, overwrite: bool) -> None:
        """Looks at what is there."""
        self._folder, self._made_by = folder, made_by
        begun_by = folder / "run.txt"
        if begun_by.is_file() and begun_by.read_bytes() == made_by.encode():
            return
        is_folder = folder.is_dir()
        held = {*folder.iterdir()} - {*_files.leftovers(folder)} if is_folder else set[Path]()
        if folder.exists() and not (is_folder and held <= {*self._own()} and (begun_by in held or not held)):
            raise ValueError(f"{folder} is not `embed`'s own; name another `out`")
        if held and not overwrite:
            raise ValueError(f"{folder} was begun with another encoder; remove it, or add `overwrite=True`")
        self.remove()

    def read(self, index: Recordings) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the row of each recording that is embedded and has not changed since, and its embedding."""
        stamps, row = _stamps(index), {name: place for place, name in enumerate(index.names.tolist())}
        for path in sorted(self._folder.glob("*.npz")):
            for name, stamp, embedding in _rows(path):
                place = row.get(str(name))
                if place is not None and np.array_equal(stamps[place], stamp):
                    yield place, embedding

    def add(self, index: Recordings, embeddings: np.ndarray) -> None:
        """Keeps the embeddings of some recordings."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "run.txt").exists():
            with _files.replacing(self._folder / "run.txt") as file:
                file.write(self._made_by)
        number = 1 + max((int(path.stem) for path in self._folder.glob("[0-9]*.npz")), default=-1)
        _files.write_arrays(
            self._folder / f"{number:06}.npz", paths=index.names, stamps=_stamps(index), embeddings=embeddings
        )

    def remove(self) -> None:
        """Removes what is kept, and the folder if nothing else is in it."""
        for path in self._own():
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _own(self) -> list[Path]:
        """Returns what `embed` has written; last, what tells that it has."""
        kept = [*self._folder.glob("[0-9]*.npz"), *_files.leftovers(self._folder)]
        return [*(path for path in kept if path.is_file()), self._folder / "run.txt"]


def embed_in_parts(run: SpeechRun, index: Recordings, parts: Parts, *, quiet: bool) -> tuple[np.ndarray, int]:
    """Hears what is not in the parts yet, and adds it to them.

    Args:
        run: The encoder.
        index: The recordings.
        parts: What is done, and where to put the rest.
        quiet: Whether to show no progress.

    Returns:
        What `run.rows` gives, in the order of the index, [N, P], and how many of them were done before.
    """
    found = dict(parts.read(index))
    if kept := len(found):
        print(f"jaxtriplet: goes on after {kept} of {len(index)} recordings", file=sys.stderr)
    missing = np.setdiff1d(np.arange(len(index)), list(found))
    new: dict[int, np.ndarray] = {}
    saved = time.monotonic()
    with listening.progress("embedding", quiet=quiet) as show:
        more = index.take(missing)
        heard = embed_batches(run.model, more, layer=run.layer, excerpts=run.excerpts) if len(missing) else ()
        for rows, embeddings in heard:
            new |= zip(missing[rows].tolist(), embeddings, strict=True)
            show(len(found) + len(new), len(index))
            if time.monotonic() - saved >= SAVE_SECONDS:
                parts.add(index.take(list(new)), np.stack(list(new.values())))
                found, new, saved = found | new, {}, time.monotonic()
    found |= new
    return np.stack([found[row] for row in range(len(index))]), kept


def fingerprint(run: Path, comparison: Comparison) -> str:
    """Returns what tells the vectors of an encoder from others: a hash of config, weights, and what is asked."""
    digest = hashlib.sha256((run / "config.json").read_bytes())
    if comparison != Comparison():
        digest.update(repr(comparison._replace(fit_on=None)).encode())  # what is fitted changes no vector
    for path in sorted((run / "weights").rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(run)).encode() + path.read_bytes())
    return digest.hexdigest()


def _stamps(index: Recordings) -> np.ndarray:
    """Returns the time of the last change (ns) and the size (bytes) of each file, and where in it to listen, [N, 4]."""
    status = [(index.root / path).stat() for path in index.paths.tolist()]
    stamps = np.array([(one.st_mtime_ns, one.st_size) for one in status], np.int64)
    return np.column_stack([stamps, index.starts, index.frames])


def _rows(path: Path) -> list[tuple[Any, Any, Any]]:
    """Returns the paths, stamps and embeddings of a part; what is damaged is told, removed and so made again."""
    try:
        with path.open("rb") as file, np.load(file) as part:
            columns = [part[name] for name in ("paths", "stamps", "embeddings")]
            return list(zip(*columns, strict=True))
    except OSError:
        raise
    except Exception:  # of zip files and arrays, there are many, and their words are for programmers
        warn(f"{path} is damaged and removed, and its recordings are embedded again")
        path.unlink()
        return []
