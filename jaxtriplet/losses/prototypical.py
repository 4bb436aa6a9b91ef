"""Prototypes: one row of each speaker against the means of all speakers' other rows."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, numerics, reductions
from jaxtriplet.distances import forms, squared_euclidean
from jaxtriplet.engine import Rows
from jaxtriplet.losses.in_batch_softmax import all_and_own, cross_entropy
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Memory, Precision, ReduceFn


@loss(
    term="the first row of each speaker that has two, against the means of all speakers' other rows, by cosine",
    trained=("scale", "bias"),
)
def angular_prototypical(
    labels: ArrayLike,
    embeddings: ArrayLike,
    scale: ArrayLike = 10.0,
    bias: ArrayLike = -5.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
) -> jax.Array:
    r"""Angular prototypical loss.

    $$\operatorname{mean}_k \; -\log \frac{e^{S_{kk}}}{\sum_l e^{S_{kl}}}, \qquad
    S_{kl} = |w| \cos(q_k, c_l) + b$$

    $q_k$ is the first row of speaker k in the batch, $c_k$ the mean of its other rows. A term for each speaker that has
    two rows or more, if there are two such speakers; a lone row is neither query nor prototype.

    Args:
        embeddings: Floats [B, D] of any length: only their angles matter.
        scale: The weight w, usually trained along.
        bias: The bias b, usually trained along, though no value depends on it.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each row's term, [B], that
            of a speaker being its first row's.
        axis_name: Mapped axes over which the batch is spread: queries are among these rows, prototypes made of those of
            all devices, and every device returns the loss of the whole batch; static.
        has_aux: Whether to return statistics too; distances are $1 - \cos(q, c)$ to the own prototype (positive) and to
            the others (negative); static.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1, 1]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(float(angular_prototypical(labels, embeddings, 1.0)), 4)  # log(1 + 1 / e)
        0.3133

    Reference:
        Chung et al., "In defence of metric learning for speaker recognition", 2020.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    found = _against_prototypes(
        *(_ANGULAR, anchors, candidates, (scale, bias), None),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


@loss(term="the first row of each speaker that has two, against the means of all speakers' other rows, by distance")
def prototypical(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
) -> jax.Array:
    r"""Prototypical loss.

    $$\operatorname{mean}_k \; -\log \frac{e^{-|q_k - c_k|^2}}{\sum_l e^{-|q_k - c_l|^2}}$$

    $q_k$ is the first row of speaker k in the batch, $c_k$ the mean of its other rows. A term for each speaker that has
    two rows or more, if there are two such speakers; a lone row is neither query nor prototype.

    Args:
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each row's term, [B], that
            of a speaker being its first row's.
        axis_name: Mapped axes over which the batch is spread: queries are among these rows, prototypes made of those of
            all devices, and every device returns the loss of the whole batch; static.
        has_aux: Whether to return statistics too; distances are $|q - c|^2$ to the own prototype (positive) and to the
            others (negative); static.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1, 1]), jnp.array([[0.0], [0.0], [1.0], [1.0]])
        >>> round(float(prototypical(labels, embeddings)), 4)  # log(1 + 1 / e)
        0.3133

    Reference:
        Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", 2017.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    found = _against_prototypes(
        *(_BY_DISTANCE, anchors, candidates, (), squared_euclidean),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _against_prototypes(
    loss: engine.Separable,
    anchors: Rows,
    candidates: Rows,
    numbers: Any,
    distance_fn: DistanceFn | None,
    *,
    each: bool,
    block_size: int | None,
    precision: Precision,
) -> engine.Found:
    """Compares the first rows with the means of the others; without a distance, their directions."""
    size = max(1, len(candidates.labels) // 2)
    columns, first, distinct = engine.columns(candidates, least=2)
    others = jnp.where(first, size, jnp.minimum(columns, size))  # past the end: no part of a prototype
    counts = jax.ops.segment_sum(candidates.valid.astype(candidates.values.dtype), others, size)
    share = 1 / jnp.maximum(jnp.take(counts, others, mode="clip"), 1)  # a mean of shares does not overflow
    # Distances do not change when all rows move, and the mean of rows that are alike would be rounded to their length.
    centre = 0 if distance_fn is None else forms.mean((candidates.values, candidates.valid))[None, :]
    queries, rows = (one.values - jax.lax.stop_gradient(centre) for one in (anchors, candidates))
    prototypes = jax.ops.segment_sum(rows * share[:, None], others, size)
    number = jnp.arange(size, dtype=jnp.int32)

    is_query = first[anchors.place] & (distinct > 1)
    order = jnp.argsort(~is_query, stable=True)  # the queries to the front, so that the work follows them
    if distance_fn is None:
        queries, prototypes = numerics.l2_normalize(queries), numerics.l2_normalize(prototypes)
    found = engine.measure(
        loss,
        Rows(queries[order], columns[anchors.place][order], is_query[order], anchors.place),
        Rows(prototypes, number, number < distinct, number),
        numbers,
        distance_fn,
        each=each,
        block_size=block_size,
        precision=precision,
        strangers=True,
        present=(distinct, jnp.sum(is_query, dtype=jnp.int32)),
        evidence=(numerics.evidence(candidates.values),),
    )
    terms = found.terms._replace(total=found.terms.total[jnp.argsort(order)]) if each else found.terms
    return found._replace(terms=terms, norms=engine.norms(anchors.values, anchors.valid))


def _of_cosines(pairs: engine.Pairs, numbers: Any) -> Any:
    scale, bias = numbers
    return all_and_own(jnp.abs(scale) * pairs.scores + bias, pairs)


def _of_distances(pairs: engine.Pairs, numbers: Any) -> Any:
    del numbers
    return all_and_own(-pairs.scores, pairs)


_ANGULAR = engine.Separable(_of_cosines, cross_entropy)
_BY_DISTANCE = engine.Separable(_of_distances, cross_entropy)
