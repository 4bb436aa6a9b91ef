"""Soft maxima over the positives and the negatives of an anchor, or of a pair."""

from collections.abc import Callable

import numpy as np

from .distances import cosine, inner_product, relu, softplus, unit
from .softmax import log_sum_exp
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs, positives_of


def multi_similarity(labels: np.ndarray, x: np.ndarray, alpha: float, beta: float, base: float) -> Terms:
    """One term per row that has a positive or a negative."""
    terms = mining_terms(labels, x, distance_matrix(x, inner_product))
    for i in range(len(labels)):
        pulled = [-alpha * (np.dot(x[i], x[p]) - base) for p in positives_of(labels, i)]
        pushed = [beta * (np.dot(x[i], x[n]) - base) for n in negatives_of(labels, i)]
        if pulled or pushed:
            terms.add(i, softplus(log_sum_exp(pulled)) / alpha + softplus(log_sum_exp(pushed)) / beta)
    return terms


def circle(
    labels: np.ndarray, x: np.ndarray, margin: float, scale: float, *, held: tuple[np.ndarray, float] | None = None
) -> Terms:
    """One term per row that has a positive and a negative.

    The weights of the pairs have no gradient: `held` is the rows and the margin that they are made of, if those differ
    from the ones given, as they do in differences.
    """
    terms = mining_terms(labels, x, distance_matrix(x, inner_product))
    rows, relaxed = (x, margin) if held is None else held
    for i in range(len(labels)):
        pulled, pushed = [], []
        for p in positives_of(labels, i):
            weight = relu(1 + relaxed - np.dot(rows[i], rows[p]))
            pulled.append(-scale * weight * (np.dot(x[i], x[p]) - (1 - margin)))
        for n in negatives_of(labels, i):
            weight = relu(np.dot(rows[i], rows[n]) + relaxed)
            pushed.append(scale * weight * (np.dot(x[i], x[n]) - margin))
        if pulled and pushed:
            terms.add(i, softplus(log_sum_exp(pulled) + log_sum_exp(pushed)))
    return terms


def lifted_structure(labels: np.ndarray, x: np.ndarray, margin: float, *, distance: Callable) -> Terms:
    """One term per (anchor, positive) that has a negative, against the negatives of both."""
    d = distance_matrix(x, distance)
    terms = mining_terms(labels, x, d)
    for i, p in positive_pairs(labels):
        negatives = negatives_of(labels, i)
        if negatives:
            near = log_sum_exp([margin - d[side, n] for side in (i, p) for n in negatives])
            terms.add(i, relu(near + d[i, p]) ** 2 / 2)
    return terms


def angle(x: np.ndarray, y: np.ndarray) -> float:
    """The angle of two vectors, to the last digit where they are alike; of two too short ones, about a right angle."""
    if np.linalg.norm(x) <= 1e-6 and np.linalg.norm(y) <= 1e-6:
        return np.arccos(np.dot(x, y))
    return 2 * np.arctan2(np.linalg.norm(unit(x) - unit(y)), np.linalg.norm(unit(x) + unit(y)))


def tuplet_margin(labels: np.ndarray, x: np.ndarray, margin: float, scale: float) -> Terms:
    """One term per (anchor, positive) of an anchor that has a negative: by cosines, the positive's angle lessened."""
    terms = mining_terms(labels, x, distance_matrix(x, cosine))
    for i, p in positive_pairs(labels):
        negatives = [scale * np.dot(unit(x[i]), unit(x[n])) for n in negatives_of(labels, i)]
        if negatives:
            terms.add(i, softplus(log_sum_exp(negatives) - scale * np.cos(angle(x[i], x[p]) - margin)))
    return terms
