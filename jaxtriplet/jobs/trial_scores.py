"""The scores of trials by a run, as they are and after AS-norm, and their mean over several runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxtriplet import metrics
from jaxtriplet.data import Recordings, Trials
from jaxtriplet.jobs.hearing import Hearing
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.jobs.trials import Chosen
from jaxtriplet.pages.figures import AS_NORM

Scores = Mapping[str, np.ndarray]
"""Scores of T trials, [T], by the prefix of their figures: "" as they are, `AS_NORM` after AS-norm."""


class Normalizing(NamedTuple):
    """How AS-norm is done.

    Attributes:
        others: Recordings of others to measure against; None for the run's own cohort.
        top: How many of them, those nearest to a recording.
    """

    others: Recordings | None
    top: int


class ByRun(NamedTuple):
    """What a run makes of recordings.

    Attributes:
        run: The run.
        trials: The scores of the trials that are judged.
        one_session: Those of the trials that are judged apart, if there are any.
        development: Those of the trials to calibrate on, if there are any.
        embeddings: Of the recordings that are judged, [N, E], of unit length, if they are asked for.
    """

    run: SpeechRun
    trials: Scores
    one_session: Scores | None
    development: Scores | None
    embeddings: np.ndarray | None


def by_run(
    run: SpeechRun,
    judged: Chosen,
    development: Chosen | None,
    normalizing: Normalizing | None,
    *,
    embeds: bool,
    hearing: Hearing,
) -> ByRun | None:
    """Hears recordings, and scores trials: None in other processes than the first.

    Args:
        run: The run, whose back-end is fitted.
        judged: What is judged.
        development: What to calibrate on, if anything.
        normalizing: How AS-norm is done, if it is asked for.
        embeds: Whether to return embeddings.
        hearing: Who hears them.
    """
    rows = hearing.rows(run, judged.recordings, "embedding")
    cohort = developing = None
    if normalizing is not None:
        others = normalizing.others
        cohort = run.cohort if others is None else hearing.rows(run, others, "cohort")
    if development is not None:
        developing = hearing.rows(run, development.recordings, "calibration")

    def score() -> ByRun:
        assert normalizing is None or cohort is not None  # it was looked for, and what was fitted just now has one
        scores = partial(_scores, run, cohort, 0 if normalizing is None else normalizing.top)
        developed = None
        if development is not None and developing is not None:
            developed = scores(developing, development.trials)
        apart = None if judged.one_session is None else scores(rows, judged.one_session)
        embeddings = run.embedded(rows) if embeds else None
        return ByRun(run, scores(rows, judged.trials), apart, developed, embeddings)

    return hearing.processes.by_first(score)


def _scores(run: SpeechRun, cohort: np.ndarray | None, top: int, rows: np.ndarray, trials: Trials) -> Scores:
    pairs, backend = (trials.first, trials.second), run.backend
    scores = {"": metrics.trial_scores(rows, *pairs, backend=backend)}
    if cohort is not None:
        scores[AS_NORM] = metrics.adaptive_s_norm(rows, *pairs, cohort, top=top, backend=backend)
    return scores


def mean(of_runs: Sequence[Scores]) -> Scores:
    """Returns the mean of the scores of the same trials by several runs; {} of no run."""
    return {prefix: np.mean([scores[prefix] for scores in of_runs], axis=0) for prefix in of_runs[0]} if of_runs else {}
