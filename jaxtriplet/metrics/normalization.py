"""Scores measured against a cohort of strangers, so that one threshold fits recordings of all kinds."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._inputs import finite_rows
from ._points import Points, of_cosine
from .backends import Backend

_BLOCK = 1 << 24  # scores at once: 128 MiB


def adaptive_s_norm(
    embeddings: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    cohort: ArrayLike,
    *,
    top: int = 300,
    backend: Backend | None = None,
) -> NDArray[np.float64]:
    r"""Score trials relative to how alike either recording is to the strangers who are most alike to it.

    $$s' = \frac{1}{2} \left( \frac{s - \mu_e}{\sigma_e} + \frac{s - \mu_t}{\sigma_t} \right)$$

    where $s$ is the cosine, or the score of a back-end; $\mu_e$ and $\sigma_e$ are mean and (population) standard
    deviation of the `top` highest scores between the enrolment recording and the cohort, and $\mu_t$ and $\sigma_t$
    those of the test recording.

    Args:
        embeddings: One row a recording, [N, D]; any length.
        first: Recording of the enrolment of each trial, [T]: a row.
        second: Recording of the test of each trial, [T]: a row.
        cohort: Embeddings of speakers who are in no trial, such as those trained on, [C, D].
        top: Number of cohort recordings to measure against, at least 2; all of them, if there are fewer.
        backend: What scores; `embeddings` and `cohort` are layer vectors then. None: cosine.

    Returns:
        Normalised scores, [T], without a unit.

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, `top` or the cohort is smaller than 2, or a
            recording is equally like all that it is measured against.

    >>> cohort = [[0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]]
    >>> adaptive_s_norm([[1.0, 0.0], [0.8, 0.6]], [0], [1], cohort, top=2).round(4)
    array([0.8889])

    Reference:
        Karam, Campbell, Dehak, "Towards reduced false-alarms using cohorts", 2011; Matejka et al., "Analysis of score
        normalization in multilingual speaker recognition", 2017 ("AS-norm 1" there).
    """
    rows, others = finite_rows(embeddings), finite_rows(cohort, name="cohort embeddings")
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"embeddings have {rows.shape[1]} dimensions, the cohort's {others.shape[1]}")
    if min(top, len(others)) < 2:
        raise ValueError(f"at least 2 cohort recordings are needed to measure against; got top={top} of {len(others)}")
    seen = of_cosine if backend is None else backend.points
    points = seen(rows)
    mean, deviation = _nearest(points, seen(others), min(top, len(others)))
    scores = points.trials(first, second)
    enrolment, test = ((scores - mean[side]) / deviation[side] for side in (np.asarray(first), np.asarray(second)))
    return 0.5 * (enrolment + test)


def _nearest(rows: Points, cohort: Points, top: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each row's highest scores with the cohort, [N] each."""
    count, size = len(rows.own), max(1, _BLOCK // len(cohort.own))
    highest = np.concatenate(
        [
            np.partition(rows.part(start, start + size).between(cohort), -top, axis=1)[:, -top:]
            for start in range(0, count, size)
        ]
    )
    deviation = highest.std(axis=1)
    # Scores of equal rows differ by rounding errors, which are no measure.
    if (alike := np.sum(deviation < 1e-9)) > 0:
        raise ValueError(f"{alike} of {count} recordings are equally like all {top} cohort recordings nearest them")
    return highest.mean(axis=1), deviation
