"""Pairs, those of one class and those of two each with a hinge of their own; and pairs against a boundary."""

from collections.abc import Callable

import numpy as np

from .distances import relu
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs


def contrastive(
    labels: np.ndarray, x: np.ndarray, margin: float, *, positive_margin: float = 0.0, distance: Callable
) -> Terms:
    """One term per ordered pair of two rows; those of one class are of kind 0, those of two of kind 1."""
    d = distance_matrix(x, distance)
    terms = mining_terms(labels, x, d)
    for a, p in positive_pairs(labels):
        terms.add(a, relu(d[a, p] - positive_margin), kind=0)
    for a in range(len(labels)):
        for n in negatives_of(labels, a):
            terms.add(a, relu(margin - d[a, n]), kind=1)
    return terms


def margin_based(
    labels: np.ndarray, x: np.ndarray, margin: float, boundary: float | np.ndarray, *, distance: Callable
) -> Terms:
    """Two terms per triplet: how far the positive is beyond the boundary less a margin, and the negative within both.

    The boundary, in the paper beta, is one number, or one for each class.
    """
    d = distance_matrix(x, distance)
    terms = mining_terms(labels, x, d)
    for a, p in positive_pairs(labels):
        beta = boundary if np.ndim(boundary) == 0 else boundary[labels[a]]
        for n in negatives_of(labels, a):
            terms.add(a, relu(d[a, p] - beta + margin))
            terms.add(a, relu(beta - d[a, n] + margin))
    return terms
