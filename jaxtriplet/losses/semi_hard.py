"""Semi-hard: negatives that are farther than the positive. Both meanings in use: TensorFlow Addons', and FaceNet's."""

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, engine, reductions, rows
from jaxtriplet._types import AxisName, DistanceFn, ReduceFn, Stats, Terms
from jaxtriplet.distances import squared_euclidean


@_checks.jit_with_labels("reduce_fn", "axis_name", "has_aux", "negatives", "distance_fn")
def semi_hard(
    labels: jax.Array,
    embeddings: jax.Array,
    margin: float | jax.Array = 1.0,
    *,
    where: jax.Array | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: bool = False,
    negatives: str = "hardest",
    distance_fn: DistanceFn = squared_euclidean,
) -> jax.Array | tuple[jax.Array, Stats]:
    r"""Semi-hard triplet loss.

    $$\operatorname{mean}_{(a, p)} \; [d_{ap} - d_{an} + m]_+$$

    With `negatives="hardest"`, as in TensorFlow Addons: a term for each anchor and positive (another row of its label),
    with the nearest negative that is farther than the positive, $d_{an} > d_{ap}$; where there is none, the farthest
    negative.

    With `negatives="all"`, as FaceNet's paper words it: a term for each triplet with $d_{ap} < d_{an} < d_{ap} + m$.
    All of these are above zero, so that `mean` and `mean_active` agree.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D], usually of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        margin: The gap m that the negative should keep, in units of the distance.
        where: Booleans [B]; False rows are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each anchor's sum, [B].
        axis_name: Mapped axes over which the batch is spread: these rows are anchors, those of all devices candidates,
            and every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; distances are those of all positive and all negative pairs.
        negatives: "hardest" or "all"; static.
        distance_fn: A pairwise distance; static.

    Returns:
        The loss, a scalar of at least float32; with `has_aux`, the loss and its `Stats`.

    Raises:
        ValueError: The shapes, types, functions or words do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1, 1]), jnp.array([[0.0], [1.0], [1.5], [3.0]])
        >>> float(semi_hard(labels, embeddings, 1.0))  # only 2.25 - 2.25 + 1 is above zero, of four pairs
        0.25
        >>> float(semi_hard(labels, embeddings, 2.0, negatives="all"))  # 1 - 2.25 + 2 and 2.25 - 4 + 2
        0.5

    Reference:
        Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015.
    """
    _checks.option("negatives", negatives, _RULES)
    _checks.functions(reduce_fn=reduce_fn, distance_fn=distance_fn)
    anchors, candidates = rows.split(labels, embeddings, where, axis_name)
    margin = _checks.scalar("margin", margin, anchors.values.dtype)
    found = engine.mine(_RULES[negatives], anchors, candidates, margin, distance_fn)
    return reductions.conclude(found, reduce_fn, axis_name, has_aux)


def _hardest(tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    farthest, at_farthest = engine.largest(tile.distances, tile.negative)

    def with_positive(distance: jax.Array) -> engine.Mined:
        beyond = tile.negative & (tile.distances > distance[None, :])
        nearest, at_nearest = engine.smallest(tile.distances, beyond)
        any_beyond = jnp.isfinite(nearest)
        negative = jnp.where(any_beyond, nearest, farthest)
        terms, slope = engine.hinge(jax.nn.relu, distance - negative + margin, jnp.isfinite(negative))
        chosen = jnp.where(any_beyond[None, :], at_nearest, at_farthest)
        return engine.Mined(terms, jnp.where(chosen, -slope[None, :], 0))

    return engine.over_positives(tile, with_positive)


def _all(tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    def with_positive(distance: jax.Array) -> engine.Mined:
        band = tile.negative & (tile.distances > distance[None, :]) & (tile.distances < (distance + margin)[None, :])
        count = jnp.sum(band, axis=0, dtype=margin.dtype)
        total = jnp.sum((distance + margin)[None, :] - tile.distances, axis=0, where=band)
        return engine.Mined(Terms(total, count, count), -band.astype(margin.dtype))

    return engine.over_positives(tile, with_positive)


_RULES = {"hardest": _hardest, "all": _all}
