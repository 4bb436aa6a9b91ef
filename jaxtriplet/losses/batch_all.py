"""Batch-all: every triplet of the batch."""

from __future__ import annotations

from typing import Literal

import jax
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.distances import euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Memory, Precision, ReduceFn


@loss(term="each triplet")
def batch_all(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 0.2,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean_active,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    max_class_size: int | None = None,
    distance_fn: DistanceFn = euclidean,
) -> jax.Array:
    r"""Batch-all triplet loss.

    $$\operatorname{mean}_{(a, p, n):\, \text{term} > 0} \; [d_{ap} - d_{an} + m]_+$$

    A term for each triplet of an anchor, another row of its label, and a row of another label; the mean is over the
    terms above zero, so that the many solved triplets do not drown the rest.

    Args:
        margin: The gap m that every negative should keep, in units of the distance.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [1.0], [1.5]])
        >>> round(float(batch_all(labels, embeddings, 0.2)), 4)  # of relu(1 - 1.5 + 0.2) and relu(1 - 0.5 + 0.2)
        0.7

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017; first in
        Ding, Lin, Wang and Chao, "Deep feature learning with relative distance comparison", 2015.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    given = (_RULE, anchors, candidates, margin, distance_fn)
    found = engine.mine(
        *given, each=reduce_fn is None, block_size=block_size, precision=precision, max_class_size=max_class_size
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _every(tile: engine.Tile, active: jax.Array) -> jax.Array:
    del active
    return tile.num_positives * tile.num_negatives


_RULE = engine.triplets(_every)
