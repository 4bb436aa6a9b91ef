"""Both meanings of semi-hard."""

from collections.abc import Callable

import numpy as np

from .distances import relu
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs


def hardest(labels: np.ndarray, embeddings: np.ndarray, margin: float, *, distance: Callable) -> Terms:
    """One term per (anchor, positive): against the nearest negative beyond the positive, else the farthest of all."""
    d = distance_matrix(embeddings, distance)
    terms = mining_terms(labels, embeddings, d)
    for a, p in positive_pairs(labels):
        negatives = [d[a, n] for n in negatives_of(labels, a)]
        if not negatives:
            continue
        beyond = [x for x in negatives if x > d[a, p]]
        terms.add(a, relu(d[a, p] - (min(beyond) if beyond else max(negatives)) + margin))
    return terms


def every(labels: np.ndarray, embeddings: np.ndarray, margin: float, *, distance: Callable) -> Terms:
    """One term per triplet inside the band d_ap < d_an < d_ap + margin, as the FaceNet paper words it."""
    d = distance_matrix(embeddings, distance)
    terms = mining_terms(labels, embeddings, d)
    for a, p in positive_pairs(labels):
        for n in negatives_of(labels, a):
            if d[a, p] < d[a, n] < d[a, p] + margin:
                terms.add(a, d[a, p] - d[a, n] + margin)
    return terms
