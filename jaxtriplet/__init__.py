"""Exact metric-learning losses for JAX: pure, jitted, masked, and the same on one device and on many.

>>> import jax.numpy as jnp
>>> import jaxtriplet
>>> labels = jnp.array([0, 0, 1, 1])
>>> embeddings = jaxtriplet.l2_normalize(jnp.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]]))
>>> round(float(jaxtriplet.semi_hard(labels, embeddings, margin=1.0)), 4)
0.6
"""

import typing as _typing

from jaxtriplet import _checks, distances, losses, masks, parallel, reductions, types
from jaxtriplet.engine import memory
from jaxtriplet.losses import *  # noqa: F403 (every loss is jaxtriplet's own name too)
from jaxtriplet.numerics import l2_normalize
from jaxtriplet.types import Stats

__version__ = "0.2.0"

__all__ = [
    "Stats",
    "distances",
    "l2_normalize",
    "losses",
    "masks",
    "memory",
    "parallel",
    "reductions",
    "types",
]
__all__ += losses.__all__

if not _typing.TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        raise AttributeError(_checks.lacks(__name__, name, __all__))
