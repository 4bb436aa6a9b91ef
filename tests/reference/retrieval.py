"""Figures of retrieval by their definitions, place by place, and as the mean over every order of tied references."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np


def orders(distances: Sequence[float], relevant: Sequence[bool]) -> Iterator[list[bool]]:
    """Which places of a ranking are relevant, in every order of tied references; as often as each comes about."""
    groups = [[r for d, r in zip(distances, relevant, strict=True) if d == value] for value in sorted(set(distances))]
    chosen = [itertools.combinations(range(len(group)), sum(group)) for group in groups]
    for parts in itertools.product(*chosen):
        yield [place in part for part, group in zip(parts, groups, strict=True) for place in range(len(group))]


def of_ranking(relevant: Sequence[bool], ks: Sequence[int], ndcg_at: int) -> dict[str, float]:
    """The figures of one ranking, of whose places some are relevant."""
    number = sum(relevant)
    average = gained = best = 0.0
    for place in range(1, len(relevant) + 1):
        if relevant[place - 1] and place <= number:
            average += sum(relevant[:place]) / place / number
        if place <= ndcg_at:
            gained += relevant[place - 1] / math.log2(place + 1)
            best += (place <= number) / math.log2(place + 1)
    return {
        **{f"recall_at_{k}": float(any(relevant[:k])) for k in ks},
        "precision_at_1": float(relevant[0]),
        "r_precision": sum(relevant[:number]) / number,
        "map_at_r": average,
        "ndcg": gained / best,
        "mean_reciprocal_rank": 1 / (1 + list(relevant).index(True)),
    }


def figures(distances: np.ndarray, relevant: np.ndarray, ks: Sequence[int], ndcg_at: int) -> dict[str, float]:
    """The means over queries [Q, N] with a relevant reference, each over every order of its ranking."""
    found = []
    for row, wanted in zip(distances.tolist(), relevant.tolist(), strict=True):
        if not any(wanted):
            continue
        each = [of_ranking(order, ks, ndcg_at) for order in orders(row, wanted)]
        found.append({name: math.fsum(one[name] for one in each) / len(each) for name in each[0]})
    return {name: math.fsum(one[name] for one in found) / len(found) for name in found[0]}


def without_themselves(square: np.ndarray) -> np.ndarray:
    """A matrix [N, N - 1] of what each row has with the others."""
    return square[~np.eye(len(square), dtype=bool)].reshape(len(square), -1)
