"""A positive against all negatives at once: lifted structure and tuplet margin."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, numerics, reductions
from jaxtriplet.distances import cosine, euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Memory, Precision, ReduceFn, Terms


@loss(term="each (anchor, positive): against the negatives of both")
def lifted_structure(
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
    distance_fn: DistanceFn = euclidean,
) -> jax.Array:
    r"""Lifted structure loss: a pair of one label against all negatives of both its rows.

    $$\operatorname{mean}_{(a, p)} \; \tfrac{1}{2} \Big[ \log \Big(\sum_n e^{m - d_{an}} + \sum_n e^{m - d_{pn}}\Big)
    + d_{ap} \Big]_+^2$$

    A term for each anchor and positive (another row of its label), where there is a negative.

    Args:
        margin: The distance m that negatives should keep.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [0.0], [1.0]])
        >>> round(float(lifted_structure(labels, embeddings)), 4)  # log(1 + 1) squared, halved
        0.2402

    Reference:
        Oh Song, Xiang, Jegelka and Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding", 2016.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    # The negatives of every candidate, then the pairs, which see them.
    near = engine.measure(
        _NEAR, anchors, candidates, margin, distance_fn, each=True, block_size=block_size, precision=precision
    )
    own = near.terms.total
    theirs = own if axis_name is None else jax.lax.all_gather(own, axis_name, tiled=True)
    if memory is not None:
        earlier = jax.tree.map(lambda part: part[len(theirs) :], candidates)
        others = engine.measure(
            _NEAR, earlier, candidates, margin, distance_fn, each=True, block_size=block_size, precision=precision
        )
        theirs = jnp.concatenate([theirs, others.terms.total])  # with a gradient: these negatives are of the batch
    found = engine.measure(
        *(_LIFTED, anchors, candidates, (own, near.terms.valid), distance_fn),
        theirs=theirs,
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _negatives(pairs: engine.Pairs, margin: jax.Array) -> Any:
    return engine.LogSumExp(margin - pairs.scores, pairs.negative), pairs.num_negatives


def _sum_of_negatives(values: Any, margin: jax.Array) -> Terms:
    del margin
    near, number = values
    return engine.count(near, number > 0)


def _lifted(pairs: engine.Pairs, numbers: Any) -> Any:
    own, negatives = numbers
    lifted = jax.nn.relu(jnp.logaddexp(own, pairs.theirs) + pairs.scores)
    valid = pairs.positive & (negatives > 0)
    return engine.Sum(jnp.square(lifted) / 2, valid), engine.Count(valid), engine.Count(valid & (lifted > 0))


def _sums(values: Any, numbers: Any) -> Terms:
    del numbers
    return Terms(*values)


_NEAR, _LIFTED = engine.Separable(_negatives, _sum_of_negatives), engine.Separable(_lifted, _sums)


@loss(term="each (anchor, positive): its angle less the margin against all negatives", angles=("margin",))
def tuplet_margin(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 0.1,
    scale: ArrayLike = 64.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
) -> jax.Array:
    r"""Tuplet margin loss: a positive, its angle relaxed by a margin, against all negatives.

    $$\operatorname{mean}_{(a, p)} \; \log \Big(1 + \sum_n e^{s (\cos \theta_{an} - \cos(\theta_{ap} - m))}\Big)$$

    A term for each anchor and positive (another row of its label), where there is a negative.

    Args:
        embeddings: Floats [B, D] of any length: only their angles $\theta$ matter.
        margin: The angle m in radians within which a positive may stay; the paper has 5.73 degrees, 0.1.
        scale: The factor s.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
        >>> round(float(tuplet_margin(labels, embeddings, 0.0, 1.0)), 4)  # log(1 + 1), and log(1 + e)
        1.0032

    Reference:
        Yu and Tao, "Deep Metric Learning with Tuplet Margin Loss", 2019.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    rule, each = engine.formula(_relaxed), reduce_fn is None
    found = engine.mine(
        rule, anchors, candidates, (margin, scale), cosine, each=each, block_size=block_size, precision=precision
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _relaxed(tile: engine.Tile, numbers: Any) -> tuple[jax.Array, jax.Array]:
    margin, scale = (number[None, :] for number in numbers)
    cosines = 1 - tile.distances
    sines = numerics.safe_sqrt(tile.distances * (2 - tile.distances))  # to the last digits at angles near 0
    near = engine.LogSumExp(scale * cosines, tile.negative).of_row()[None, :]
    valid = tile.positive & (tile.num_negatives > 0)[None, :]
    beyond = near - scale * (cosines * jnp.cos(margin) + sines * jnp.sin(margin))
    return jax.nn.softplus(jnp.where(valid, beyond, 0)), valid
