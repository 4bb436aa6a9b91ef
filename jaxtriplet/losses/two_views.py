"""Two views of the same things, without labels: InfoNCE and the sigmoid loss."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, engine, numerics, reductions
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, Exchange, Precision, ReduceFn, Terms


@loss(term="each query: its own document against all; `symmetric=True` adds each document against all queries")
def info_nce(
    queries: ArrayLike,
    documents: ArrayLike,
    temperature: ArrayLike = 0.05,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    exchange: Exchange = "gather",
    symmetric: bool = False,
    ids: ArrayLike | None = None,
) -> jax.Array:
    r"""InfoNCE: in-batch softmax of two views, also called multiple negatives ranking; CLIP's, if symmetric.

    $$\operatorname{mean}_i \; \log \sum_j e^{\langle q_i, d_j \rangle / T} - \langle q_i, d_i \rangle / T$$

    A term for each query, whose positive is the document of its own number. All other documents are negatives, further
    ones (hard negatives) for every query. `symmetric=True` takes the mean of this and of the same with the queries in
    the place of the documents.

    Args:
        queries: Floats [B, D], of unit length (`jaxtriplet.l2_normalize`) for cosines.
        documents: Floats [N, D], N at least B: the first B belong to the queries, the others to none.
        temperature: The temperature T: 0.05 for text, 0.07 as CLIP starts (and trains along).
        where: Booleans [B]; False pairs are padding, the query and its document.
        axis_name: Mapped axes over which both are spread: a query meets the documents of all devices, and every device
            returns the loss of the whole batch; static.
        has_aux: Whether to return statistics too; distances are $1 - \langle q, d \rangle$; static.
        symmetric: Whether documents look for their queries too, N = B; static.
        ids: Integers [N]: documents with the id of a query's own document are no negatives of it; None: all differ.

    Raises:
        ValueError: The shapes, types, functions or words do not fit, or there are fewer documents than queries.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(info_nce(jnp.eye(2), jnp.eye(2), 1.0)), 4)  # log(1 + 1 / e)
        0.3133
        >>> round(float(info_nce(jnp.eye(2), jnp.eye(2), 1.0, ids=jnp.array([7, 7]))), 4)
        0.0

    Reference:
        van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018; symmetric:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
    """
    x, y, where, given = _checks.views(queries, documents, where, ids, equal=symmetric)
    x, y = numerics.widen(x), numerics.widen(y)  # once, so that a gradient of half precision is rounded once
    alone = axis_name is None
    # Which terms of two directions are active, only each of them tells.
    counts = has_aux or reduce_fn not in (reductions.mean, reductions.sum)
    each = reduce_fn is None or (symmetric and not alone and counts)

    def found(x: jax.Array, y: jax.Array, both_ways: bool) -> engine.Found:
        anchors, candidates = engine.face(x, y, where, axis_name, ids=given, exchange=exchange)
        own = jnp.sum(anchors.values * engine.keep(y[: len(x)], where)[0], axis=1)
        return engine.measure(
            *(_SOFTMAX, anchors, candidates, (temperature, own)),
            pairs_fn=engine.views,
            each=each,
            block_size=block_size,
            precision=precision,
            both_ways=both_ways,
            exchange=exchange,
            axis_name=axis_name,
        )

    one_way = found(x, y, symmetric and alone)
    result = one_way if alone or not symmetric else engine.mean_of(one_way, found(y, x, False))
    return engine.conclude(result._replace(norms=_norms(x, y, where)), reduce_fn, axis_name, has_aux)


def _norms(x: jax.Array, y: jax.Array, where: jax.Array | None) -> engine.Spread:
    (values, valid), others = engine.keep(x, where), engine.keep(y, None)[0]
    counts = jnp.concatenate([valid, valid, jnp.ones(len(y) - len(x), bool)])
    return engine.norms(jnp.concatenate([values, jnp.where(counts[len(x) :, None], others, 0)]), counts)


def _negatives(pairs: engine.Pairs, numbers: Any) -> Any:
    temperature, _ = numbers
    return engine.LogSumExp(pairs.scores / temperature, pairs.negative), pairs.num_positives


def _own_against_negatives(values: Any, numbers: Any) -> Terms:
    (others, number), (temperature, own) = values, numbers
    return engine.count(jax.nn.softplus(others - own / temperature), number > 0)


_SOFTMAX = engine.Separable(_negatives, _own_against_negatives)


@loss(term="each row of the first view: a logistic loss of each pair, divided by the rows", trained=("scale", "bias"))
def sigmoid_contrastive(
    x: ArrayLike,
    y: ArrayLike,
    scale: ArrayLike = 10.0,
    bias: ArrayLike = -10.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    exchange: Exchange = "gather",
) -> jax.Array:
    r"""Sigmoid loss of two views (SigLIP): each pair by itself, matching or not.

    $$\operatorname{mean}_i \sum_j -\log \sigma(z_{ij} (s \langle x_i, y_j \rangle + b)), \qquad
    z_{ii} = 1, \; z_{ij} = -1$$

    A term for each row, the sum over its pairs.

    Args:
        x: Floats [B, D] of the first view, of unit length (`jaxtriplet.l2_normalize`).
        y: Floats [B, D] of the second view, in the same order.
        scale: The factor s, usually trained along.
        bias: The bias b, usually trained along; -10 at first, since nearly all pairs are negatives.
        where: Booleans [B]; False pairs are padding.
        axis_name: Mapped axes over which both are spread: a row meets those of all devices, and every device returns
            the loss of the whole batch; static.
        has_aux: Whether to return statistics too; distances are $1 - \langle x, y \rangle$; static.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(sigmoid_contrastive(jnp.eye(2), jnp.eye(2), 1.0, 0.0)), 4)  # log(1 + 1 / e) + log 2
        1.0064

    Reference:
        Zhai, Mustafa, Kolesnikov and Beyer, "Sigmoid Loss for Language Image Pre-Training", 2023.
    """
    x, y, where, _ = _checks.views(x, y, where, None, equal=True, names=("x", "y"))
    x, y = numerics.widen(x), numerics.widen(y)
    anchors, candidates = engine.face(x, y, where, axis_name, exchange=exchange)
    found = engine.measure(
        *(_SIGMOID, anchors, candidates, (scale, bias)),
        pairs_fn=engine.views,
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found._replace(norms=_norms(x, y, where)), reduce_fn, axis_name, has_aux)


def _logistic(pairs: engine.Pairs, numbers: Any) -> Any:
    scale, bias = numbers
    logits = scale * pairs.scores + bias
    mismatch = jax.nn.softplus(jnp.where(pairs.positive, -logits, logits))
    return engine.Sum(mismatch, pairs.either), pairs.num_positives


def _of_each_row(values: Any, numbers: Any) -> Terms:
    del numbers
    total, number = values
    return engine.count(total, number > 0)


_SIGMOID = engine.Separable(_logistic, _of_each_row)
