"""Back-ends of runs: fitted on recordings whose speakers are known, and tried on those that were left out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxtriplet import metrics
from jaxtriplet.data import Recordings
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.parallel.shares import ALONE, Processes

COHORT = 500
"""How many recordings are kept for AS-norm, at most: more than it looks at, and no more than some megabytes."""
MOST = 2000
"""So many recordings that are left out are scored, at most: their pairs are hundreds of thousands."""


class Known(NamedTuple):
    """What a back-end is fitted on: a layer of recordings whose speakers are known.

    Attributes:
        rows: The layer, [M, P]: of N recordings as they are, then of the same at other speeds.
        labels: Their speakers, [M]; at each speed, everybody is somebody else.
        size: N.
    """

    rows: np.ndarray
    labels: np.ndarray
    size: int

    def of(self, speakers: np.ndarray) -> "Known":
        """Returns what is known of some speakers, [S] bool, at any speed."""
        chosen = speakers[self.labels % len(speakers)]
        return Known(self.rows[chosen], self.labels[chosen], int(np.sum(chosen[: self.size])))


def hear(
    run: SpeechRun,
    index: Recordings,
    speeds: Sequence[float],
    progress_fn: Callable[[int, int], None] | None = None,
    *,
    processes: Processes = ALONE,
) -> Known:
    """Returns what there is to fit a back-end on.

    Args:
        run: The encoder, and the layer of it that is compared.
        index: Recordings of many speakers.
        speeds: At which speeds to hear them, 1 first.
        progress_fn: Called as `progress_fn(done, total)` after each batch of them.
        processes: Who shares the work.
    """
    rows, labels, count = list[np.ndarray](), list[np.ndarray](), len(index)
    for place, speed in enumerate(speeds):

        def show(done: int, _: int, begun: int = place * count) -> None:
            if progress_fn is not None:
                progress_fn(begun + done, len(speeds) * count)

        rows.append(run.rows(index, show, speed=speed, processes=processes))
        labels.append(index.labels + place * len(index.speakers))
    return Known(np.concatenate(rows), np.concatenate(labels), count)


def fitted(run: SpeechRun, kind: str, known: Known) -> SpeechRun:
    """Returns a run with a back-end for the layer by which it compares recordings.

    Args:
        run: The run.
        kind: One of `metrics.backends.KINDS`.
        known: What to fit it on, and to take the cohort from.
    """
    return run._replace(backend=_fit(run, kind, known), cohort=known.rows[spread(known.size, COHORT)])


def _fit(run: SpeechRun, kind: str, known: Known) -> metrics.Backend:
    within, between = run.config.backend.backend_within, run.config.backend.backend_between
    return metrics.backends.fit(kind, known.rows, known.labels, within=within, between=between)


def spread(count: int, most: int) -> np.ndarray:
    """Returns which of so many to take if they are too many: places from the first to the last, evenly spread."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


class LeftOut(NamedTuple):
    """Pairs of recordings, scored by back-ends that were fitted on other speakers.

    Attributes:
        cosines: Of their embeddings, [T].
        scores: The back-end's, [T].
        same: Whether both are of one speaker, [T].
    """

    cosines: np.ndarray
    scores: np.ndarray
    same: np.ndarray


def left_out(run: SpeechRun, known: Known, folds: int = 5) -> LeftOut | None:
    """Scores speakers by back-ends that were fitted on others, as strangers will be: by its own it knows everybody.

    Args:
        run: A run with a back-end.
        known: What that was fitted on.
        folds: Into how many parts to divide the speakers, at most.

    Returns:
        The pairs within each part; None if there are too few speakers, or none of them has two recordings there.
    """
    assert run.backend is not None
    speakers = 1 + int(known.labels[: known.size].max())
    folds = min(folds, speakers // 2)
    found = []
    for fold in range(folds if folds > 1 else 0):
        held = np.arange(speakers) % folds == fold
        mine, others = known.of(held), known.of(~held)
        chosen = spread(mine.size, MOST // folds)
        rows, labels = mine.rows[chosen], mine.labels[chosen]
        if len(np.unique(labels)) == len(labels):
            continue
        try:
            backend = _fit(run, run.backend.kind, others)
        except ValueError:  # of what is left, nothing can be learnt
            return None
        cosines, same = metrics.pair_scores(backend.embed(rows), labels)
        found.append((cosines, backend.pair_scores(rows, labels)[0], same))
    return LeftOut(*map(np.concatenate, zip(*found, strict=True))) if found else None
