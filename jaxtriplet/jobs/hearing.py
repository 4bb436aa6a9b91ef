"""Who hears the recordings that are judged: one process, or several that share them and keep what is done."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtriplet.data import Recordings
from jaxtriplet.jobs import listening, lock, notes
from jaxtriplet.jobs.embedding import embed_in_parts, fingerprint
from jaxtriplet.jobs.parts import Parts
from jaxtriplet.jobs.scoring import Comparison
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.parallel.shares import ALONE, Processes


class Hearing(NamedTuple):
    """Who hears recordings, and where what is done is kept.

    Attributes:
        quiet: Whether to show no progress.
        processes: Who shares the work.
        folder: Where each kind of recordings has a folder of parts; None to keep nothing.
        made_by: What tells the run that hears them from others.
        overwrite: Whether what another run has left there may go.
    """

    quiet: bool
    processes: Processes = ALONE
    folder: Path | None = None
    made_by: str = ""
    overwrite: bool = False

    def by(self, number: int, run: str | Path, comparison: Comparison) -> "Hearing":
        """Returns the same for one of several runs.

        Args:
            number: Which of them it is.
            run: Its folder.
            comparison: How it compares recordings.

        Raises:
            ValueError: The processes do not see the same run.
        """
        if self.folder is None:
            return self
        made_by = fingerprint(run, comparison, self.processes)
        return self._replace(folder=self.folder / str(number), made_by=made_by)

    def rows(self, run: SpeechRun, index: Recordings, words: str) -> np.ndarray:
        """Returns what a run compares recordings by.

        Args:
            run: The run.
            index: The recordings, N of them.
            words: What is done, for the bar, and for the name of the parts' folder.

        Returns:
            A row a recording, [N, P]; in other processes than the first, none.
        """
        if self.folder is None:
            with listening.progress(words, quiet=self.quiet, compiles=True) as show:
                return run.rows(index, show)
        parts = Parts(self.folder / words, self.made_by, overwrite=self.overwrite, processes=self.processes)
        return embed_in_parts(run, index, parts, processes=self.processes, words=words, quiet=self.quiet)[0]


@contextmanager
def hearing_for(
    folder: Path, processes: Processes, *, distributed: bool, overwrite: bool, quiet: bool
) -> Iterator[Hearing]:
    """Keeps what several processes have heard beside a folder of results until these are written, and goes on from it.

    Args:
        folder: The folder, which need not be there.
        processes: Who shares the work.
        distributed: Whether there may be others; one process alone goes on from what is kept, and keeps nothing else.
        overwrite: Whether what another run has left there may go.
        quiet: Whether to show no progress.

    Raises:
        ValueError: Somebody else is at work.
    """
    kept = folder.with_name(f"{folder.name}.partial")
    if not distributed and not kept.is_dir():
        yield Hearing(quiet)
        return
    with ExitStack() as held:
        alone = lock.writing(folder.with_name(f".{folder.name}.lock"), folder)
        processes.by_first(lambda: held.enter_context(alone), doing="begin")
        with notes.resumable():
            yield Hearing(quiet, processes, kept, overwrite=overwrite)
        processes.by_first(lambda: _forget(kept))


def _forget(kept: Path) -> None:
    """Removes the parts, and the folders that they were in if there is nothing else."""
    for begun_by in sorted(kept.glob("*/*/run.txt")):
        Parts(begun_by.parent, begun_by.read_text(), overwrite=False).remove()
        with suppress(OSError):
            begun_by.parent.parent.rmdir()
    with suppress(OSError):
        kept.rmdir()
