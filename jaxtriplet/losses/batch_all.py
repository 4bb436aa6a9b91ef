"""Batch-all: every triplet of the batch."""

import jax

from jaxtriplet import _checks, engine, reductions
from jaxtriplet.distances import euclidean
from jaxtriplet.engine import outcome as stats
from jaxtriplet.engine import rows
from jaxtriplet.types import AxisName, DistanceFn, ReduceFn, Stats


@_checks.jit_with_labels("reduce_fn", "axis_name", "has_aux", "block_size", "distance_fn")
def batch_all(
    labels: jax.Array,
    embeddings: jax.Array,
    margin: float | jax.Array = 0.2,
    *,
    where: jax.Array | None = None,
    reduce_fn: ReduceFn | None = reductions.mean_active,
    axis_name: AxisName = None,
    has_aux: bool = False,
    block_size: int | None = None,
    distance_fn: DistanceFn = euclidean,
) -> jax.Array | tuple[jax.Array, Stats]:
    r"""Batch-all triplet loss.

    $$\operatorname{mean}_{(a, p, n):\, \text{term} > 0} \; [d_{ap} - d_{an} + m]_+$$

    A term for each triplet of an anchor, another row of its label, and a row of another label; the mean is over the
    terms above zero, so that the many solved triplets do not drown the rest.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D], usually of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        margin: The gap m that every negative should keep, in units of the distance.
        where: Booleans [B]; False rows are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each anchor's sum, [B].
        axis_name: Mapped axes over which the batch is spread: these rows are anchors, those of all devices candidates,
            and every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; distances are those of all positive and all negative pairs.
        block_size: How many anchors to mine at a time, None for a good number; memory grows with it; static.
        distance_fn: A pairwise distance; static.

    Returns:
        The loss, a scalar of at least float32; with `has_aux`, the loss and its `Stats`.

    Raises:
        ValueError: The shapes, types or functions do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [1.0], [1.5]])
        >>> round(float(batch_all(labels, embeddings, 0.2)), 4)  # of relu(1 - 1.5 + 0.2) and relu(1 - 0.5 + 0.2)
        0.7

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017; first in
        Ding, Lin, Wang and Chao, "Deep feature learning with relative distance comparison", 2015.
    """
    _checks.block_size(block_size)
    _checks.functions(reduce_fn=reduce_fn, distance_fn=distance_fn)
    anchors, candidates = rows.split(labels, embeddings, where, axis_name)
    margin = _checks.scalar("margin", margin, anchors.values.dtype)
    found = engine.mine(_rule, anchors, candidates, margin, distance_fn, each=reduce_fn is None, block_size=block_size)
    return stats.conclude(found, reduce_fn, axis_name, has_aux)


def _rule(tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    weights, active = engine.triplets(tile, margin)
    return engine.linear(tile, margin, weights, active, valid=tile.num_positives * tile.num_negatives)
