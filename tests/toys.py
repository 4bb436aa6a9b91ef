"""Two losses of a few lines each, as a newcomer would write them: one by its formula, one with class weights."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, numerics, reductions
from jaxtriplet.distances import squared_euclidean
from jaxtriplet.losses import registry
from jaxtriplet.types import AxisName, DistanceFn, Precision, ReduceFn


@registry.loss(term="each anchor: soft sums over its positives and its negatives")
def toy(  # noqa: D417 (the shared arguments are put in)
    labels: ArrayLike,
    embeddings: ArrayLike,
    alpha: ArrayLike = 2.0,
    beta: ArrayLike = 10.0,
    base: ArrayLike = 0.5,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    distance_fn: DistanceFn = squared_euclidean,
) -> jax.Array:
    r"""Pulls and pushes by soft sums.

    $$\frac{1}{\alpha} \log(1 + \sum_p e^{\alpha (d_{ap} - b)}) +
    \frac{1}{\beta} \log(1 + \sum_n e^{\beta (b - d_{an})})$$

    Args:
        alpha: How sharply to pull.
        beta: How sharply to push.
        base: The distance b that parts the near from the far.

    Example:
        >>> round(float(toy(jnp.array([0, 0, 1]), jnp.array([[0.0], [0.0], [9.0]]), 1.0, 1.0, 0.0)), 4)  # log 2
        0.6931
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name)
    numbers, each = (alpha, beta, base), reduce_fn is None
    how: dict[str, Any] = {"each": each, "block_size": block_size, "precision": precision}
    found = engine.mine(_PULLED_AND_PUSHED, anchors, candidates, numbers, distance_fn, **how)
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def pulled_and_pushed(tile: engine.Tile, numbers: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    alpha, beta, base = numbers
    beyond = tile.distances - base[None, :]
    pull = jax.nn.logsumexp(jnp.where(tile.positive, alpha[None, :] * beyond, -1e30), axis=0)
    push = jax.nn.logsumexp(jnp.where(tile.negative, -beta[None, :] * beyond, -1e30), axis=0)
    term = jax.nn.softplus(pull) / alpha + jax.nn.softplus(push) / beta
    return term, (tile.num_positives > 0) & (tile.num_negatives > 0)


_PULLED_AND_PUSHED = engine.formula(pulled_and_pushed)


@registry.loss(term="each row, against the weights of all classes")
def toy_softmax(  # noqa: D417 (the shared arguments are put in)
    labels: ArrayLike,
    embeddings: ArrayLike,
    weights: ArrayLike,
    scale: ArrayLike = 16.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
) -> jax.Array:
    r"""Softmax over the cosines to one vector for each class.

    $$-s \cos(e_i, w_{y_i}) + \log \sum_k e^{s \cos(e_i, w_k)}$$

    Args:
        labels: Integers [B] from 0 to C - 1.
        weights: Floats [C, D], a vector for each class.
        scale: The factor s of the cosines.

    Example:
        >>> round(float(toy_softmax(jnp.array([0]), jnp.array([[1.0, 1.0]]), jnp.eye(2))), 4)  # log 2
        0.6931
    """
    rows, _ = engine.meet(labels, embeddings, where)
    classes = numerics.soft_unit(jnp.asarray(weights).astype(rows.values.dtype))
    cosines = numerics.inner(numerics.soft_unit(rows.values), classes)
    own = rows.labels[:, None] == jnp.arange(len(classes), dtype=rows.labels.dtype)[None, :]
    scores = scale * cosines
    terms = engine.count(jax.nn.logsumexp(scores, axis=1) - jnp.sum(scores, axis=1, where=own), rows.valid)
    valid = jnp.broadcast_to(rows.valid[:, None], own.shape)
    found = engine.Found(
        terms._replace(total=numerics.poison(terms.total, rows.values)),
        engine.spread(1 - cosines, own & valid),
        engine.spread(1 - cosines, ~own & valid),
        engine.norms(rows.values, rows.valid),
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


# Out of the registry again: it is by the fixture `toys` that a test finds them there by name.
TOYS = {name: registry.LOSSES.pop(name) for name in ("toy", "toy_softmax")}
