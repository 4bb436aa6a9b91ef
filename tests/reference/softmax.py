"""Softmax losses within a batch: each row picks its positives out among the other rows."""

from collections.abc import Callable

import numpy as np

from .distances import inner_product, softplus
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs, positives_of


def log_sum_exp(exponents: list[float]) -> float:
    """The logarithm of the sum of exponentials; minus infinity of nothing."""
    return np.logaddexp.reduce(np.array(exponents, float))


def supervised_contrastive(labels: np.ndarray, x: np.ndarray, temperature: float) -> Terms:
    """One term per row that has a positive: each positive among all other rows, averaged outside of the logarithm."""
    terms = mining_terms(labels, x, distance_matrix(x, inner_product))
    for i in range(len(labels)):
        logits = {j: np.dot(x[i], x[j]) / temperature for j in range(len(labels)) if j != i}
        positives = positives_of(labels, i)
        if positives:
            everything = log_sum_exp(list(logits.values()))
            terms.add(i, sum(everything - logits[p] for p in positives) / len(positives))
    return terms


def nt_xent(labels: np.ndarray, x: np.ndarray, temperature: float, *, decoupled: bool = False) -> Terms:
    """One term per (anchor, positive) of an anchor that has a negative: the positive alone against the negatives."""
    terms = mining_terms(labels, x, distance_matrix(x, inner_product))
    for i, p in positive_pairs(labels):
        negatives = [np.dot(x[i], x[n]) / temperature for n in negatives_of(labels, i)]
        if negatives:
            beyond = log_sum_exp(negatives) - np.dot(x[i], x[p]) / temperature
            terms.add(i, beyond if decoupled else softplus(beyond))
    return terms


def nca(labels: np.ndarray, x: np.ndarray, scale: float, *, distance: Callable) -> Terms:
    """One term per row that has a positive: the share of the positives among all other rows."""
    d = distance_matrix(x, distance)
    terms = mining_terms(labels, x, d)
    for i in range(len(labels)):
        positives = positives_of(labels, i)
        if positives:
            everything = log_sum_exp([-scale * d[i, j] for j in range(len(labels)) if j != i])
            terms.add(i, everything - log_sum_exp([-scale * d[i, p] for p in positives]))
    return terms
