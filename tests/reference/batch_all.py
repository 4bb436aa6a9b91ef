"""Every valid triplet."""

from collections.abc import Callable

import numpy as np

from .distances import relu
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs


def batch_all(labels: np.ndarray, embeddings: np.ndarray, margin: float, *, distance: Callable) -> Terms:
    """One term per (anchor, positive, negative)."""
    d = distance_matrix(embeddings, distance)
    terms = mining_terms(labels, embeddings, d)
    for a, p in positive_pairs(labels):
        for n in negatives_of(labels, a):
            terms.add(a, relu(d[a, p] - d[a, n] + margin))
    return terms
