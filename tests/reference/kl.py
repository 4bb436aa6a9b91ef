"""The KL hinge losses: over all pairs of a batch, and over pairs that are given."""

from collections.abc import Callable

import numpy as np

from .distances import divergence, kl, relu
from .terms import Terms


def kl_hinge(
    labels: np.ndarray, x: np.ndarray, margin: float, *, hinge: Callable = relu, from_logits: bool = True
) -> Terms:
    """One term per unordered pair i < j, both directions of it, each hinged where the classes differ."""
    k = kl if from_logits else divergence
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in x])
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            there, back = k(x[i], x[j]), k(x[j], x[i])
            same = labels[i] == labels[j]
            (terms.positive if same else terms.negative).append(there + back)
            terms.add(i, there + back if same else hinge(margin - there) + hinge(margin - back))
    return terms


def siamese_kl_hinge(
    same: np.ndarray,
    pairs: np.ndarray,
    margin: float,
    *,
    symmetric: bool = True,
    hinge: Callable = relu,
    from_logits: bool = True,
) -> Terms:
    """One term per given pair [2, C]; `same` may be any number from 0 to 1."""
    k = kl if from_logits else divergence
    terms = Terms(len(same), norms=[np.linalg.norm(row) for pair in pairs for row in pair])
    for i, (x, y) in enumerate(pairs):
        directions = [k(x, y), k(y, x)] if symmetric else [k(x, y)]
        (terms.positive if same[i] else terms.negative).append(sum(directions))
        terms.add(i, same[i] * sum(directions) + (1 - same[i]) * sum(hinge(margin - d) for d in directions))
    return terms
