"""Normalised scores and resampled error rates, trial by trial in float64."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def adaptive_s_norm(
    rows: np.ndarray,
    trials: Sequence[tuple[int, int]],
    cohort: np.ndarray,
    top: int,
    score: Callable[[Any, Any], float] = cosine,
) -> list[float]:
    """AS-norm: each trial against the `top` cohort rows nearest to either side of it."""
    normalised = []
    for sides in trials:
        alike = score(*(rows[side] for side in sides))
        total = 0.0
        for side in sides:
            nearest = sorted(score(rows[side], other) for other in cohort)[-top:]
            mean = sum(nearest) / len(nearest)
            deviation = math.sqrt(sum((x - mean) ** 2 for x in nearest) / len(nearest))
            total += (alike - mean) / deviation
        normalised.append(total / 2)
    return normalised


def resampled(trials: Sequence[tuple[float, bool, str, str]], drawn: Sequence[str]) -> list[tuple[float, bool]]:
    """Scores and truths of the trials of drawn speakers, each copy of a speaker paired with each of another."""
    result = []
    for score, same, first, second in trials:
        for one in drawn:
            if first == second:
                result += [(score, same)] * (one == first)
            else:
                result += [(score, same) for other in drawn if (one, other) == (first, second)]
    return result
