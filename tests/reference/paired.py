"""Losses over triplets that are given."""

from collections.abc import Callable

import numpy as np

from .distances import inner_product, relu
from .terms import Terms


def triplet(triplets: np.ndarray, margin: float, *, distance: Callable, hinge: Callable = relu) -> Terms:
    """One term per triplet [3, D] of anchor, positive and negative."""
    terms = Terms(len(triplets), norms=[np.linalg.norm(row) for rows in triplets for row in rows])
    for i, (anchor, positive, negative) in enumerate(triplets):
        terms.positive.append(distance(anchor, positive))
        terms.negative.append(distance(anchor, negative))
        terms.add(i, hinge(terms.positive[-1] - terms.negative[-1] + margin))
    return terms


def deep_speaker(triplets: np.ndarray, margin: float) -> Terms:
    """The same by inner products: relu(<a, n> - <a, p> + margin)."""
    return triplet(triplets, margin, distance=inner_product)
