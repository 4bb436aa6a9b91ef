"""Exact metric-learning losses for JAX: pure, jitted, masked, and the same on one device and on many.

>>> import jax.numpy as jnp
>>> import jaxtriplet
>>> labels = jnp.array([0, 0, 1, 1])
>>> embeddings = jaxtriplet.l2_normalize(jnp.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]]))
>>> round(float(jaxtriplet.semi_hard(labels, embeddings, margin=1.0)), 4)
0.6
"""

from jaxtriplet import distances, losses, masks, parallel, reductions
from jaxtriplet.losses import (
    batch_all,
    batch_hard,
    deep_speaker,
    ge2e,
    ge2e_similarity,
    kl_hinge,
    semi_hard,
    siamese_kl_hinge,
    triplet,
)
from jaxtriplet.numerics import l2_normalize
from jaxtriplet.types import Stats

__version__ = "0.1.0"

__all__ = [
    "Stats",
    "batch_all",
    "batch_hard",
    "deep_speaker",
    "distances",
    "ge2e",
    "ge2e_similarity",
    "kl_hinge",
    "l2_normalize",
    "losses",
    "masks",
    "parallel",
    "reductions",
    "semi_hard",
    "siamese_kl_hinge",
    "triplet",
]
