"""The farthest positive against the nearest negative."""

from collections.abc import Callable

import numpy as np

from .distances import relu
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs


def batch_hard(
    labels: np.ndarray, embeddings: np.ndarray, margin: float, *, distance: Callable, hinge: Callable = relu
) -> Terms:
    """One term per anchor that has a positive and a negative."""
    d = distance_matrix(embeddings, distance)
    terms = mining_terms(labels, embeddings, d)
    for a in range(len(labels)):
        positives = [d[a, p] for anchor, p in positive_pairs(labels) if anchor == a]
        negatives = [d[a, n] for n in negatives_of(labels, a)]
        if positives and negatives:
            terms.add(a, hinge(max(positives) - min(negatives) + margin))
    return terms
