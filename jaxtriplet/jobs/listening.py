"""What the jobs on recordings share: hearing a folder under a bar, and naming what cannot be used."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from jaxtriplet import _files
from jaxtriplet.data import Problem, Recordings, recordings, recordings_of
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.jobs.progress import Bar
from jaxtriplet.parallel.shares import ALONE, Processes

SHOWN = 20  # so many lines fit on a screen
_REMEDY = "put back a copy of it, or have `train --resume` write it again"


@contextmanager
def progress(words: str, *, quiet: bool, compiles: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Shows on standard error how many files are done, once there is something to show.

    Args:
        words: What is done.
        quiet: Whether to show nothing.
        compiles: Whether an encoder is compiled first.

    Yields:
        A function of how much is done and how much there is, as `progress_fn` takes it.
    """
    with Bar(words, "file", quiet=quiet, delay=0.5) as bar:
        if compiles:
            bar.doing("compiling")
        yield bar.to


def listen(
    folder: str | Path,
    *,
    paths: Sequence[str] = (),
    labelled: bool = True,
    known: bool = False,
    allow_outside: bool = False,
    words: str = "recordings",
    processes: Processes = ALONE,
    quiet: bool,
) -> Recordings:
    """Reads what a folder holds, and says on standard error what cannot be used.

    Args:
        folder: The folder.
        paths: The files in it to read, of nobody knows whom; none for all.
        labelled: Whether the folder says who speaks.
        known: Whether it must, so that there is no doing without.
        allow_outside: Whether Kaldi's `wav.scp` may name files outside the folder.
        words: What is read, for the bar.
        processes: Who shares the reading; the first of them speaks.
        quiet: Whether to show no progress.

    Returns:
        The recordings.

    Raises:
        ValueError: There is no recording that can be used, or the processes see different ones.
    """
    whole = partial(recordings, folder, labelled=labelled, allow_outside=allow_outside)
    with progress(words, quiet=quiet or processes.index > 0) as show:
        try:
            read = partial(recordings_of, folder, paths) if paths else whole
            index = read(progress_fn=show, processes=processes)
        except ValueError as error:
            hinted = labelled and not (known or paths) and lacks_speakers(error)
            raise ValueError(f"{error}{'; with `labelled=False`, any tree of folders will do' * hinted}") from error
    if not processes.index:
        name_problems(index.problems, len(index))
    return index


def lacks_speakers(error: ValueError) -> bool:
    """Returns whether a folder cannot be used for want of who speaks, and of no other hint."""
    words = str(error)
    return "`" not in words and (" lies " in words or "utt2spk" in words)


def name_problems(problems: Sequence[Problem], used: int) -> None:
    """Says on standard error which recordings are left out, and why.

    Args:
        problems: What is left out.
        used: How many are not.
    """
    for problem in problems[:SHOWN]:
        warn(f"{problem.path}: {problem.reason}")
    if len(problems) > SHOWN:
        warn(f"... and {len(problems) - SHOWN} more")
    if problems:
        files = "1 file" if len(problems) == 1 else f"{len(problems):,} files"
        warn(f"{files} left out, {used:,} recordings used")


def problems_as_json(problems: Sequence[Problem]) -> dict[str, Any]:
    """Returns what is left out as figures, for `metrics.json`.

    >>> problems_as_json([Problem("s1/a.wav", "no audio")])
    {'num_left_out': 1, 'left_out': [{'path': 's1/a.wav', 'reason': 'no audio'}]}
    """
    return {"num_left_out": len(problems), "left_out": [problem._asdict() for problem in problems]}


def threshold_of(run: str | Path, judged: str | None = None, name: str = "threshold") -> float | None:
    """Returns the score at which training found both errors equal.

    Args:
        run: The folder of the run.
        judged: Whose pairs it must be of, such as "development"; None for those that there are.
        name: Which: "threshold" of the cosine of embeddings, or "backend_threshold".

    Returns:
        The threshold; None if there is none.

    Raises:
        ValueError: The figures of the run are damaged.
    """
    path = Path(run) / "metrics.json"
    found = _files.read_json(path, _REMEDY) if path.exists() else {}
    threshold = found.get(name)
    if threshold is not None and not (type(threshold) in (int, float) and math.isfinite(threshold)):
        raise ValueError(f"{path} is damaged (its {name.replace('_', ' ')} is {threshold!r}); {_REMEDY}")
    return threshold if judged in (None, found.get("judged")) else None


def speakers_of_training(folders: Iterable[str | Path]) -> set[str]:
    """Returns the names of those whom runs were trained on, as far as their data.json tells.

    Args:
        folders: The folders of the runs.

    Raises:
        ValueError: What a run says of its data is damaged.
    """
    names = set[str]()
    for path in (Path(folder) / "data.json" for folder in folders):
        training = (_files.read_json(path, _REMEDY) if path.exists() else {}).get("training") or {}
        speakers = training.get("speakers", []) if isinstance(training, dict) else None
        if not (isinstance(speakers, list) and all(isinstance(one, str) for one in speakers)):
            raise ValueError(f"{path} is damaged (it does not say who speaks); {_REMEDY}")
        names.update(speakers)
    return names
