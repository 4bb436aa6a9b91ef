"""Semi-hard: negatives that are farther than the positive. Both meanings in use: TensorFlow Addons', and FaceNet's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.distances import squared_euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Memory, Precision, ReduceFn, Terms

_Sums = tuple[jax.Array, jax.Array]
"""Each anchor's sum of terms, and number of active ones."""


@loss(
    term="each (anchor, positive): with the nearest negative farther than the positive, else the farthest",
    also={'negatives="all"': "each triplet with d_ap < d_an < d_ap + margin"},
)
def semi_hard(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    max_class_size: int | None = None,
    negatives: Literal["hardest", "all"] = "hardest",
    distance_fn: DistanceFn = squared_euclidean,
) -> jax.Array:
    r"""Semi-hard triplet loss.

    $$\operatorname{mean}_{(a, p)} \; [d_{ap} - d_{an} + m]_+$$

    With `negatives="hardest"`, as in TensorFlow Addons: a term for each anchor and positive (another row of its label),
    with the nearest negative that is farther than the positive, $d_{an} > d_{ap}$; where there is none, the farthest
    negative.

    With `negatives="all"`, as FaceNet's paper words it: a term for each triplet with $d_{ap} < d_{an} < d_{ap} + m$.
    All of these are above zero, so that `mean` and `mean_active` agree.

    Args:
        margin: The gap m that the negative should keep, in units of the distance.
        negatives: "hardest" or "all"; static.

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
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    given = (_RULES[negatives], anchors, candidates, margin, distance_fn)
    found = engine.mine(
        *given, each=reduce_fn is None, block_size=block_size, precision=precision, max_class_size=max_class_size
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _opponents(tile: engine.Tile) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    """Returns a function from a positive's distance to its negative's, and in which row that is, [anchor]."""
    farthest, last = engine.largest(tile.distances, tile.negative)
    negatives = jnp.where(tile.negative, tile.distances, -jnp.inf)

    def opponent(distance: jax.Array) -> tuple[jax.Array, jax.Array]:
        nearest, first = engine.smallest(negatives, negatives > distance[None, :])
        is_beyond = jnp.isfinite(nearest)
        return jnp.where(is_beyond, nearest, farthest), jnp.where(is_beyond, first, last)

    return opponent


def _of_few(tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    opponent, nothing = _opponents(tile), jnp.zeros_like(margin)

    def visit(found: _Sums, weights: jax.Array, positive: engine.Positives) -> Any:
        total, active = found
        distance, row = opponent(positive.distance)
        violation = positive.distance - distance + margin
        is_active = positive.exists & (tile.num_negatives > 0) & ~(violation <= 0)  # which is true of NaN, inf less inf
        weight = is_active.astype(active.dtype)
        added = ((row, -weight), (positive.row, weight))
        return (total + jnp.where(is_active, violation, 0), active + weight), weights, added

    sums, weights = engine.over_positives(tile, visit, (nothing, nothing))
    return _mined(tile, weights, *sums)


def _picks(tile: engine.Tile, margin: jax.Array) -> engine.Picks:
    opponent, positives = _opponents(tile), engine.side_by_side(tile)
    rows = [opponent(distance)[1] for distance in positives.distance]

    def mined(distances: jax.Array) -> engine.Mined:
        near, far = jnp.split(distances, 2)
        violation = near - far + margin[None, :]
        is_active = positives.exists & (tile.num_negatives > 0)[None, :] & ~(violation <= 0)
        weight = is_active.astype(violation.dtype)
        total, active = jnp.sum(jnp.where(is_active, violation, 0), axis=0), jnp.sum(weight, axis=0)
        return _mined(tile, jnp.concatenate([weight, -weight]), total, active)

    return engine.Picks(jnp.concatenate([positives.row, *(row[None, :] for row in rows)]), mined)


def _mined(tile: engine.Tile, weights: jax.Array, total: jax.Array, active: jax.Array) -> engine.Mined:
    valid = jnp.where(tile.num_negatives > 0, tile.num_positives, 0)
    return engine.Mined(Terms(total, valid, active), active, weights)


def _of_many(tile: engine.Tile, margin: jax.Array) -> engine.Mined:
    farthest, last = engine.largest(tile.distances, tile.negative)
    column = engine.sort(tile, tile.distances, positives_first=False)
    nearest = jax.lax.cummin(jnp.where(column.negative, column.keys, jnp.inf), axis=0, reverse=True)
    negative = jnp.where(jnp.isfinite(nearest), nearest, farthest[None, :])
    violation = column.keys - negative + margin[None, :]
    is_active = column.positive & (tile.num_negatives > 0)[None, :] & ~(violation <= 0)
    weight = is_active.astype(column.keys.dtype)
    # A negative answers for the active positives between the negative before it and itself.
    so_far = jnp.cumsum(weight, axis=0)
    answered = jax.lax.cummax(jnp.where(column.negative, so_far, 0), axis=0)
    earlier = jnp.concatenate([jnp.zeros_like(answered[:1]), answered[:-1]])
    weights = column.unsort(weight - jnp.where(column.negative, so_far - earlier, 0))
    active = so_far[-1]
    weights = engine.add_at(weights, last, answered[-1] - active)
    return _mined(tile, weights, jnp.sum(jnp.where(is_active, violation, 0), axis=0), active)


def _those_active(tile: engine.Tile, active: jax.Array) -> jax.Array:
    del tile
    return active


_RULES = {
    "hardest": engine.BySize(_of_few, _of_many, _picks, number=2),
    "all": engine.triplets(_those_active, beyond=True),
}
