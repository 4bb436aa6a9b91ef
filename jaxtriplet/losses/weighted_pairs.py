"""Pairs weighted by their own hardness: multi-similarity and circle."""

from __future__ import annotations

from typing import Any, Literal

import jax
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, Exchange, Memory, Precision, ReduceFn, Terms


@loss(term="each row that has a positive or a negative: soft sums over both")
def multi_similarity(
    labels: ArrayLike,
    embeddings: ArrayLike,
    alpha: ArrayLike = 2.0,
    beta: ArrayLike = 50.0,
    base: ArrayLike = 0.5,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    exchange: Exchange = "gather",
) -> jax.Array:
    r"""Multi-similarity loss: positives below and negatives above a base similarity, the worst of them most.

    $$\operatorname{mean}_a \; \frac{1}{\alpha} \log \Big(1 + \sum_p e^{-\alpha (s_{ap} - b)}\Big) +
    \frac{1}{\beta} \log \Big(1 + \sum_n e^{\beta (s_{an} - b)}\Big), \qquad s_{ij} = \langle x_i, x_j \rangle$$

    A term for each row that has a positive or a negative. The paper mines pairs first;
    `jaxtriplet.masks.multi_similarity` has that rule.

    Args:
        alpha: How sharply to pull.
        beta: How sharply to push.
        base: The similarity b between the near and the far. The paper has 2, 50 and 1, its code a base of 0.5.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(multi_similarity(labels, embeddings, 1.0, 1.0, 0.0)), 4)  # log(1 + 1 / e) + log 2, twice; log 3
        1.0371

    Reference:
        Wang, Han, Huang, Dong and Scott, "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
        2019.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory, exchange=exchange)
    found = engine.measure(
        *(_MULTI_SIMILARITY, anchors, candidates, (alpha, beta, base)),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _far_and_near(pairs: engine.Pairs, numbers: Any) -> Any:
    alpha, beta, base = numbers
    beyond = pairs.scores - base
    pull, push = engine.LogSumExp(-alpha * beyond, pairs.positive), engine.LogSumExp(beta * beyond, pairs.negative)
    return pull, push, pairs.num_positives, pairs.num_negatives


def _pull_and_push(values: Any, numbers: Any) -> Terms:
    pull, push, positives, negatives = values
    alpha, beta, _ = numbers
    return engine.count(jax.nn.softplus(pull) / alpha + jax.nn.softplus(push) / beta, positives + negatives > 0)


_MULTI_SIMILARITY = engine.Separable(_far_and_near, _pull_and_push)


@loss(term="each row that has a positive and a negative: soft sums over both, of weighted similarities")
def circle(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 0.4,
    scale: ArrayLike = 80.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    exchange: Exchange = "gather",
) -> jax.Array:
    r"""Circle loss: each similarity is pulled as hard as it is far from where it should be.

    $$\operatorname{mean}_a \; \log \Big(1 + \sum_p e^{-\gamma a_p (s_{ap} - 1 + m)}
    \sum_n e^{\gamma a_n (s_{an} - m)}\Big), \qquad
    a_p = [1 + m - s_{ap}]_+, \; a_n = [s_{an} + m]_+, \; s_{ij} = \langle x_i, x_j \rangle$$

    A term for each row that has a positive and a negative. The weights $a$ have no gradient.

    Args:
        margin: The relaxation m: positives should be above 1 - m, negatives below m.
        scale: The factor gamma. 0.4 and 80 are those of the paper on fine-grained retrieval; for faces it has 0.25 and
            256.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(float(circle(labels, embeddings, 0.0, 1.0)), 4)  # log(1 + e), and log(1 + e e)
        1.7201

    Reference:
        Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", 2020.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory, exchange=exchange)
    found = engine.measure(
        *(_CIRCLE, anchors, candidates, (margin, scale)),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _weighted(pairs: engine.Pairs, numbers: Any) -> Any:
    margin, scale = numbers
    pull, push = (jax.lax.stop_gradient(jax.nn.relu(far)) for far in (1 + margin - pairs.scores, pairs.scores + margin))
    far = engine.LogSumExp(-scale * pull * (pairs.scores - (1 - margin)), pairs.positive)
    near = engine.LogSumExp(scale * push * (pairs.scores - margin), pairs.negative)
    return far, near, pairs.num_positives, pairs.num_negatives


def _together(values: Any, numbers: Any) -> Terms:
    del numbers
    far, near, positives, negatives = values
    return engine.count(jax.nn.softplus(far + near), (positives > 0) & (negatives > 0))


_CIRCLE = engine.Separable(_weighted, _together)
