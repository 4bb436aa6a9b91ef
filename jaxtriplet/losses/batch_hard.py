"""Batch-hard: each anchor against its farthest positive and its nearest negative."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.distances import euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, HingeFn, Memory, Precision, ReduceFn


@loss(term="each anchor: farthest positive, nearest negative; `hinge_fn=jax.nn.softplus` is the soft margin")
def batch_hard(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 0.2,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    distance_fn: DistanceFn = euclidean,
    hinge_fn: HingeFn = jax.nn.relu,
) -> jax.Array:
    r"""Batch-hard triplet loss.

    $$\operatorname{mean}_a \; h(\max_p d_{ap} - \min_n d_{an} + m)$$

    A term for each anchor that has a positive (another row of its label) and a negative (a row of another label).
    `hinge_fn=jax.nn.softplus` is the paper's soft margin.

    Args:
        margin: The gap m that the nearest negative should keep, in units of the distance.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [1.0], [1.5]])
        >>> round(float(batch_hard(labels, embeddings, 0.2)), 4)  # (relu(1 - 1.5 + 0.2) + relu(1 - 0.5 + 0.2)) / 2
        0.35

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    rule, each = functools.partial(_rule, hinge_fn), reduce_fn is None
    given = (rule, anchors, candidates, margin, distance_fn)
    found = engine.mine(*given, each=each, block_size=block_size, precision=precision, keeps=engine.PICKS_KEEP)
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _rule(hinge_fn: HingeFn, tile: engine.Tile, margin: jax.Array) -> engine.Picks:
    _, positive = engine.largest(tile.distances, tile.positive)
    _, negative = engine.smallest(tile.distances, tile.negative)

    def mined(distances: jax.Array) -> engine.Mined:
        farthest, nearest = distances
        is_term = (tile.num_positives > 0) & (tile.num_negatives > 0)
        terms, slope = engine.hinge(hinge_fn, farthest - nearest + margin, is_term)
        return engine.Mined(terms, slope, jnp.stack([slope, -slope]))

    return engine.Picks(jnp.stack([positive, negative]), mined)
