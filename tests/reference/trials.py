"""Normalised scores, resampled error rates and costs of log-likelihood ratios, trial by trial in float64."""

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


def drawn_rates(scores: np.ndarray, same: np.ndarray, speakers: np.ndarray, draws: int, seed: int = 0) -> list[float]:
    """Equal error rates of draws of speakers, each of which weighs every trial and goes through all thresholds."""
    names, sides = np.unique(speakers, return_inverse=True)
    first, second = sides.reshape(speakers.shape).T
    rng, rates = np.random.default_rng(seed), []
    while len(rates) < draws:
        counts = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = counts[first] * np.where(first == second, 1, counts[second])
        if weights[same].any() and weights[~same].any():
            rates.append(weighted_rate(scores, same, weights))
    return rates


def weighted_rate(scores: np.ndarray, same: np.ndarray, weights: np.ndarray) -> float:
    """The equal error rate of trials that count so often, between the operating points of all distinct scores."""
    thresholds = [*np.unique(scores).tolist(), math.inf]
    rejected, accepted = (
        np.array([weights[kind & beyond].sum() for beyond in sides]) / weights[kind].sum()
        for kind, sides in (
            (same, [scores < threshold for threshold in thresholds]),
            (~same, [scores >= threshold for threshold in thresholds]),
        )
    )
    return float(np.interp(0.0, rejected - accepted, accepted))


def cllr(ratios: Sequence[float], same: Sequence[bool]) -> float:
    """The cost of log-likelihood ratios in bits: log2(1 + 1/LR) of a target, log2(1 + LR) of an impostor."""
    targets = [math.log2(1 + math.exp(-ratio)) for ratio, target in zip(ratios, same, strict=True) if target]
    impostors = [math.log2(1 + math.exp(ratio)) for ratio, target in zip(ratios, same, strict=True) if not target]
    return (sum(targets) / len(targets) + sum(impostors) / len(impostors)) / 2


def min_cllr(scores: Sequence[float], same: Sequence[bool]) -> float:
    """The cost after neighbouring scores have been pooled until the share of targets rises from pool to pool."""
    pools: list[list[int]] = []  # targets and impostors of each
    for score in sorted(set(scores)):
        kinds = [target for other, target in zip(scores, same, strict=True) if other == score]
        pools.append([sum(kinds), len(kinds) - sum(kinds)])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            targets, impostors = pools.pop()
            pools[-1] = [pools[-1][0] + targets, pools[-1][1] + impostors]
    all_targets, all_impostors = (sum(pool[kind] for pool in pools) for kind in (0, 1))
    bits = 0.0
    for targets, impostors in pools:
        if targets:
            bits += targets / all_targets * math.log2(1 + (impostors / all_impostors) / (targets / all_targets))
        if impostors:
            bits += impostors / all_impostors * math.log2(1 + (targets / all_targets) / (impostors / all_impostors))
    return bits / 2
