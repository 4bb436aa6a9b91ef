"""What the commands about recordings share: options, listening, embedding, and words about what cannot be used."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
import numpy as np

from jaxtriplet.data import Problem, Recordings, recordings
from jaxtriplet.jobs.progress import progress

SHOWN = 20  # so many lines fit on a screen

RUN = click.argument("run", type=click.Path(path_type=Path))
DATA = click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of the recordings.")
UNLABELLED = click.option("--unlabelled", is_flag=True, help="Any tree of folders will do: nobody knows who speaks.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Write over what is there.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
QUIET = click.option("--quiet", is_flag=True, help="No progress bar.")


class EmbedsRecordings(Protocol):
    """What the commands ask of a run on recordings."""

    def embed_recordings(self, index: Recordings, progress_fn: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Returns an embedding of each recording, [N, E]."""
        ...


def out_folder(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the option of a command for the folder of its results."""
    words = f"Folder for the results.  [default: runs/{command}-<time>]"
    return click.option("--out", type=click.Path(path_type=Path), help=words)


def listen(folder: Path, *, labelled: bool, quiet: bool) -> Recordings:
    """Reads what a folder holds, and says what cannot be used.

    Args:
        folder: The folder.
        labelled: Whether it says who speaks.
        quiet: Whether to show no progress.

    Returns:
        The recordings.

    Raises:
        ValueError: There is no recording that can be used.
    """
    try:
        with progress("recordings", quiet=quiet) as show:
            index = recordings(folder, labelled=labelled, progress_fn=show)
    except ValueError as error:
        hint = "; with --unlabelled, any tree of folders will do" if labelled and folder.is_dir() else ""
        raise ValueError(f"{error}{hint}") from error
    name_problems(index.problems, len(index))
    return index


def embed(run: EmbedsRecordings, index: Recordings, *, quiet: bool, words: str = "embedding") -> np.ndarray:
    """Embeds recordings under a bar; [N, E]."""
    with progress(words, quiet=quiet) as show:
        return run.embed_recordings(index, show)


def threshold_of(run: Path, judged: str | None = None) -> float | None:
    """Returns the score at which training found both errors equal.

    Args:
        run: The folder of the run.
        judged: Whose pairs it must be of, such as "development"; None for those that there are.

    Returns:
        The threshold; None if there is none.
    """
    path = run / "metrics.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    return found.get("threshold") if judged in (None, found.get("judged")) else None


def name_problems(problems: Sequence[Problem], used: int) -> None:
    """Says on standard error which recordings are left out, and why.

    Args:
        problems: What is left out.
        used: How many are not.
    """
    for problem in problems[:SHOWN]:
        print(f"jaxtriplet: {problem.path}: {problem.reason}", file=sys.stderr)
    if len(problems) > SHOWN:
        print(f"jaxtriplet: ... and {len(problems) - SHOWN} more", file=sys.stderr)
    if problems:
        files = "1 file" if len(problems) == 1 else f"{len(problems):,} files"
        print(f"jaxtriplet: {files} left out, {used:,} recordings used", file=sys.stderr)


def problems_as_json(problems: Sequence[Problem]) -> dict[str, Any]:
    """Returns what is left out as figures, for `metrics.json`."""
    return {"num_left_out": len(problems), "left_out": [problem._asdict() for problem in problems]}
