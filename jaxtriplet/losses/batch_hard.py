"""Batch-hard: each anchor against its farthest positive and its nearest negative."""

import functools

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, engine, reductions
from jaxtriplet.distances import euclidean
from jaxtriplet.engine import outcome as stats
from jaxtriplet.engine import rows
from jaxtriplet.types import AxisName, DistanceFn, HingeFn, ReduceFn, Stats


@_checks.jit_with_labels("reduce_fn", "axis_name", "has_aux", "block_size", "distance_fn", "hinge_fn")
def batch_hard(
    labels: jax.Array,
    embeddings: jax.Array,
    margin: float | jax.Array = 0.2,
    *,
    where: jax.Array | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: bool = False,
    block_size: int | None = None,
    distance_fn: DistanceFn = euclidean,
    hinge_fn: HingeFn = jax.nn.relu,
) -> jax.Array | tuple[jax.Array, Stats]:
    r"""Batch-hard triplet loss.

    $$\operatorname{mean}_a \; h(\max_p d_{ap} - \min_n d_{an} + m)$$

    A term for each anchor that has a positive (another row of its label) and a negative (a row of another label).
    `hinge_fn=jax.nn.softplus` is the paper's soft margin.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D], usually of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        margin: The gap m that the nearest negative should keep, in units of the distance.
        where: Booleans [B]; False rows are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each anchor's term, [B].
        axis_name: Mapped axes over which the batch is spread: these rows are anchors, those of all devices candidates,
            and every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; distances are those of all positive and all negative pairs.
        block_size: How many anchors to mine at a time, None for a good number; memory grows with it; static.
        distance_fn: A pairwise distance; static.
        hinge_fn: An elementwise hinge h; static.

    Returns:
        The loss, a scalar of at least float32; with `has_aux`, the loss and its `Stats`.

    Raises:
        ValueError: The shapes, types or functions do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [1.0], [1.5]])
        >>> round(float(batch_hard(labels, embeddings, 0.2)), 4)  # (relu(1 - 1.5 + 0.2) + relu(1 - 0.5 + 0.2)) / 2
        0.35

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    """
    _checks.block_size(block_size)
    _checks.functions(reduce_fn=reduce_fn, distance_fn=distance_fn, hinge_fn=hinge_fn)
    anchors, candidates = rows.split(labels, embeddings, where, axis_name)
    margin = _checks.scalar("margin", margin, anchors.values.dtype)
    rule = functools.partial(_rule, hinge_fn)
    found = engine.mine(rule, anchors, candidates, margin, distance_fn, each=reduce_fn is None, block_size=block_size)
    return stats.conclude(found, reduce_fn, axis_name, has_aux)


def _rule(hinge_fn: HingeFn, tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    farthest, positive = engine.largest(tile.distances, tile.positive)
    nearest, negative = engine.smallest(tile.distances, tile.negative)
    is_term = jnp.isfinite(farthest) & jnp.isfinite(nearest)
    terms, slope = engine.hinge(hinge_fn, farthest - nearest + margin, is_term)
    picks = engine.Picks(jnp.stack([positive, negative]), jnp.stack([slope, -slope]))
    return engine.Mined(terms, slope, picks)
