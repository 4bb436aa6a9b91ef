"""The job `embed`: every recording of a folder, in one file; interrupted, it goes on where it stopped."""

import hashlib
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _files
from jaxtriplet.data import Recordings
from jaxtriplet.jobs import listening, lock, notes, runs
from jaxtriplet.jobs.meeting import meet_to_share, say
from jaxtriplet.jobs.parts import Parts
from jaxtriplet.jobs.scoring import Comparison
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.parallel.shares import ALONE, Processes, known
from jaxtriplet.speech import embed_batches

SAVE_SECONDS = 10.0  # of work that a crash may cost
PASSES = 3  # over what is missing: once, and again if a part is damaged meanwhile or a recording changes


class Embedded(NamedTuple):
    """What `embed` made.

    Attributes:
        file: Where it is written.
        figures: `num_recordings`, `num_resumed` (embedded by an earlier call that was interrupted), `embedding_dim`,
            `hours`, `num_speakers` where these are known, `num_left_out` and `left_out`, and `file`; None in a process
            that leaves the file to process 0.
        recordings: The recordings, N of them.
        embeddings: Of each recording, [N, E], of unit length; None likewise.
    """

    file: Path
    figures: dict[str, Any] | None
    recordings: Recordings
    embeddings: np.ndarray | None


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
    distributed: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Embedded:
    """Embeds every recording of a folder, of any length, into one file.

    The file holds `embeddings` [N, E], `paths` [N] (relative to `data`) and, where the folder tells who speaks,
    `labels` [N] and `speakers` [S]: recording i is of speakers[labels[i]]. Of Kaldi's folders it also holds the names,
    `utterances` [N]. Silences of 0.3 s and more weigh nothing, and what is longer than 10 s without them is the mean of
    windows. What is done is kept in `<out>.partial` meanwhile: after an interruption, the same call goes on from there,
    in as many processes as you like.

    With `distributed=True`, several processes share the recordings; each reads and embeds some of them, and process 0
    writes the file. All of them see the same recordings, and the same folder of `out`.

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
        distributed: Whether this is one of several processes, which all call this with the same arguments.
        coordinator: host:port of process 0; None for what SLURM, Open MPI or Kubernetes tell.
        num_processes: How many processes there are; None likewise.
        process_id: Which of them this is, from 0; None likewise.

    Returns:
        The embeddings, and of which recordings they are.

    Raises:
        ValueError: The run, the recordings or the file cannot be used, another encoder has begun the file, or the
            processes do not see the same.

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
    processes = meet_to_share(
        file, distributed=distributed, coordinator=coordinator, num_processes=num_processes, process_id=process_id
    )
    processes.require_alike((comparison, labelled, allow_outside, overwrite), "the options")
    encoder = processes.agree(lambda: comparison.load(run))
    known = comparison.recordings(allow_outside=allow_outside, processes=processes, quiet=quiet)
    with ExitStack() as held:

        def begin() -> None:
            held.enter_context(lock.writing(file.with_name(f".{file.name}.lock"), file))
            runs.choose_file(file, overwrite=overwrite)  # once more, now that nobody else writes it

        processes.by_first(begin, doing="begin")
        made_by = fingerprint(run, comparison, processes)
        parts = Parts(file.with_name(f"{file.name}.partial"), made_by, overwrite=overwrite, processes=processes)
        index = listening.listen(data, labelled=labelled, allow_outside=allow_outside, processes=processes, quiet=quiet)
        encoder = comparison.fit(encoder, known, processes=processes, quiet=quiet)
        with notes.resumable():
            rows, kept = embed_in_parts(encoder, index, parts, processes=processes, quiet=quiet)

        def write() -> Embedded:
            embeddings = encoder.embedded(rows)
            speakers = {"labels": index.labels, "speakers": np.array(index.speakers)} if labelled else {}
            utterances = {} if index.names is index.paths else {"utterances": index.names}
            _files.write_arrays(file, embeddings=embeddings, paths=index.paths, **speakers, **utterances)
            parts.remove()
            return Embedded(file, _figures(index, file, embeddings, kept, labelled=labelled), index, embeddings)

        return processes.by_first(write) or Embedded(file, None, index, None)


def _figures(index: Recordings, file: Path, embeddings: np.ndarray, kept: int, *, labelled: bool) -> dict[str, Any]:
    return {
        "num_recordings": len(index),
        "num_resumed": kept,
        "embedding_dim": embeddings.shape[1],
        "hours": round(float(index.seconds.sum()) / 3600, 4),
        **({"num_speakers": len(index.speakers)} if labelled else {}),
        **listening.problems_as_json(index.problems),
        "file": str(file),
    }


def embed_in_parts(
    run: SpeechRun,
    index: Recordings,
    parts: Parts,
    *,
    processes: Processes = ALONE,
    words: str = "embedding",
    quiet: bool,
) -> tuple[np.ndarray, int]:
    """Hears what is not in the parts yet, and adds it to them.

    Args:
        run: The encoder.
        index: The recordings.
        parts: What is done, and where to put the rest.
        processes: Who shares the work.
        words: What is done, for the bar.
        quiet: Whether to show no progress.

    Returns:
        What `run.rows` gives, in the order of the index, [N, P], and how many of them were done before; other
        processes than the first get no rows, [0, 0].
    """
    found: dict[int, np.ndarray] = {}

    def look() -> np.ndarray:
        if len(found) < len(index):
            found.update(parts.read(index))
        return np.setdiff1d(np.arange(len(index)), list(found)).astype(np.int64)

    missing = _told(processes, look)
    kept, passes = len(index) - len(missing), 0
    if kept and not processes.index:
        print(f"jaxtriplet: goes on after {kept} of {len(index)} recordings", file=sys.stderr)
    while len(missing):
        passes += 1
        if passes > PASSES:
            name = index.names[missing[0]]
            raise known(ValueError(f"{len(missing)} recordings, such as {name}, change while they are embedded"))
        parts.meet(_embed_share(run, index, missing, parts, found, processes, words=words, quiet=quiet))
        missing = _told(processes, look)
    if processes.index:
        return np.zeros((0, 0), np.float32), kept
    return np.stack([found[row] for row in range(len(index))]), kept


def _embed_share(
    run: SpeechRun,
    index: Recordings,
    missing: np.ndarray,
    parts: Parts,
    found: dict[int, np.ndarray],
    processes: Processes,
    *,
    words: str,
    quiet: bool,
) -> list[str]:
    """Embeds what this process is to do of the rows that are missing, and returns which parts that are."""
    mine = missing
    if processes.count > 1:
        mine = missing[processes.share(index.samples(run.sample_rate)[missing]) == processes.index]
        hours = index.seconds[mine].sum() / 3600
        say(f"embeds {len(mine):,} of {len(missing):,} recordings, {hours:.2f} h")
    new: dict[int, np.ndarray] = {}
    added, before, done = list[str](), len(index) - len(missing), 0

    def save() -> None:
        added.append(parts.add(index.take(list(new)), np.stack(list(new.values()))))
        if not processes.index:
            found.update(new)
        new.clear()

    heard = embed_batches(run.model, index.take(mine), layer=run.layer, excerpts=run.excerpts) if len(mine) else ()
    with (
        listening.progress(words, quiet=quiet or processes.index > 0, compiles=bool(len(mine))) as bar,
        processes.rounds(lambda done, _: bar(before + done, len(index))) as show,
    ):
        saved = time.monotonic()
        try:
            for rows, embeddings in heard:
                new |= zip(mine[rows].tolist(), embeddings, strict=True)
                done += len(rows)
                if new and time.monotonic() - saved >= SAVE_SECONDS:
                    save()
                    saved = time.monotonic()
                show(done, len(mine))
        finally:  # whatever ends this, what is done is kept
            if new:
                save()
    return added


def _told(processes: Processes, work: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns what the first process has found, int64, in each."""
    found = processes.by_first(work)
    return np.frombuffer(processes.gather(b"" if found is None else found.tobytes())[0], np.int64)


def fingerprint(run: str | Path, comparison: Comparison, processes: Processes) -> str:
    """Returns what tells the vectors of an encoder from others: a hash of config, weights, and what is asked.

    Args:
        run: The folder of the run.
        comparison: How it compares recordings.
        processes: Who uses it.

    Raises:
        ValueError: They do not see the same run.
    """
    made_by = processes.agree(lambda: _fingerprint(Path(run), comparison))
    processes.require_alike(made_by, f"config and weights of {run}")
    return made_by


def _fingerprint(run: Path, comparison: Comparison) -> str:
    digest = hashlib.sha256((run / "config.json").read_bytes())
    if comparison != Comparison():
        digest.update(repr(comparison._replace(fit_on=None)).encode())  # what is fitted changes no vector
    for path in sorted((run / "weights").rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(run)).encode() + path.read_bytes())
    return digest.hexdigest()
