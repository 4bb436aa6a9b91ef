"""GE2E: each utterance against the centroids of all speakers, its own computed without it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, numerics, reductions, stats
from jaxtriplet import rows as rows_of
from jaxtriplet._types import AxisName, ReduceFn, Stats
from jaxtriplet.rows import Rows

# Added to the sum of the exponentials by the TensorFlow 1 program.
_LOG_EPSILON = jnp.log(1e-6).item()


class _Scores(NamedTuple):
    cosine: jax.Array
    """[B, S] of each anchor to each speaker's centroid, to its own without itself."""
    own: jax.Array
    """Booleans [B, S]: the anchor's own column; none for padding."""
    present: jax.Array
    """Booleans [S]: columns in use."""
    column: jax.Array
    """Integers [B]: the anchor's own column; S for padding."""
    has_term: jax.Array
    """Booleans [B]: the speaker has another utterance, and there is another speaker."""
    fits: jax.Array
    """A boolean: there are at most S speakers."""


def _columns(candidates: Rows, num_speakers: int) -> tuple[jax.Array, jax.Array]:
    """Returns each candidate's column, by rank of its label (`num_speakers` for padding), and the number of labels."""
    order = jnp.lexsort((candidates.labels, ~candidates.valid))
    labels, valid = candidates.labels[order], candidates.valid[order]
    differs = jnp.concatenate([jnp.ones_like(valid[:1]), labels[1:] != labels[:-1]])
    starts = (differs & valid).astype(jnp.int32)
    column = jnp.zeros_like(starts).at[order].set(jnp.cumsum(starts) - 1)
    return jnp.where(candidates.valid, column, num_speakers), jnp.sum(starts)


def _scores(anchors: Rows, candidates: Rows, num_speakers: int | None) -> _Scores:
    size = max(1, len(candidates.labels)) if num_speakers is None else num_speakers
    columns, distinct = _columns(candidates, size)
    sums = jax.ops.segment_sum(candidates.values, columns, size)
    counts = jax.ops.segment_sum(candidates.valid.astype(sums.dtype), columns, size)
    column = columns[anchors.place]
    others = jnp.take(sums, column, axis=0, mode="clip") - anchors.values
    to_own = jnp.sum(anchors.values * numerics.soft_unit(others), axis=1)
    to_all = numerics.inner(anchors.values, numerics.soft_unit(numerics.safe_divide(sums, counts[:, None])))
    own = jnp.arange(size, dtype=jnp.int32)[None, :] == column[:, None]
    return _Scores(
        cosine=jnp.where(own, to_own[:, None], to_all),
        own=own,
        present=counts > 0,
        column=column,
        has_term=anchors.valid & (jnp.take(counts, column, mode="clip") > 1) & (distinct > 1),
        fits=distinct <= size,
    )


@_checks.jit_with_labels("reduce_fn", "axis_name", "has_aux", "method", "num_speakers")
def ge2e(
    labels: jax.Array,
    embeddings: jax.Array,
    scale: float | jax.Array = 10.0,
    bias: float | jax.Array = -5.0,
    *,
    where: jax.Array | None = None,
    reduce_fn: ReduceFn | None = reductions.sum,
    axis_name: AxisName = None,
    has_aux: bool = False,
    method: str = "softmax",
    num_speakers: int | None = None,
) -> jax.Array | tuple[jax.Array, Stats]:
    r"""Generalised end-to-end loss.

    $$S_{ik} = |w| \langle e_i, c_k \rangle + b, \qquad
    L_i = \begin{cases} -S_{i,\text{own}} + \log(\sum_k e^{S_{ik}} + 10^{-6}) & \text{softmax} \\
    1 - \sigma(S_{i,\text{own}}) + \max_{k \ne \text{own}} \sigma(S_{ik}) & \text{contrast} \end{cases}$$

    $c_k$ is the unit mean of speaker k's utterances, and for the utterance's own speaker the unit sum of the others,
    with unit(x) = $x / \sqrt{|x|^2 + 10^{-6}}$. A term for each utterance whose speaker has another one in the batch;
    a lone utterance has no term, but is a centroid for the others; a single speaker gives 0. Speakers may have any
    number of utterances.

    Args:
        labels: Integers [B], the speakers.
        embeddings: Floats [B, D], of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        scale: The weight w, usually trained along.
        bias: The bias b, usually trained along.
        where: Booleans [B]; False rows are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each utterance's term, [B].
        axis_name: Mapped axes over which the batch is spread: terms are of these rows, centroids of those of all
            devices, and every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; distances are $1 - \langle e, c \rangle$ to the own centroid
            (positive) and to those of the others (negative), of the utterances that have a term.
        method: "softmax" or "contrast"; static.
        num_speakers: A bound on the number of different labels, which saves work; None for B; static. More labels than
            that give NaN.

    Returns:
        The loss, a scalar of at least float32; with `has_aux`, the loss and its `Stats`.

    Raises:
        ValueError: The shapes, types, functions or words do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.array([0, 0, 1, 1, 2, 2])
        >>> embeddings = jnp.eye(3)[jnp.array([1, 2, 1, 1, 0, 0])]
        >>> round(float(ge2e(labels, embeddings, scale=1.0, bias=0.0)), 4)
        5.2501

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", 2018.
    """
    _checks.option("method", method, _METHODS)
    _checks.functions(reduce_fn=reduce_fn)
    _check_size(num_speakers)
    anchors, candidates = rows_of.split(labels, embeddings, where, axis_name)
    scores = _scores(anchors, candidates, num_speakers)
    similarity = jnp.where(scores.present[None, :], _scaled(scores, scale, bias), -jnp.inf)
    similarity = jnp.where(scores.has_term[:, None], similarity, 0)  # else logsumexp of an empty batch has no gradient
    terms = stats.count(_METHODS[method](similarity, scores.own), scores.has_term)
    evidence = jnp.sum(jnp.square(candidates.values), axis=1), jnp.where(scores.fits, 0, jnp.nan)
    paired, distance = scores.has_term[:, None], 1 - scores.cosine
    found = stats.Found(
        terms=terms._replace(total=numerics.poison(terms.total, *evidence)),
        positives=stats.spread(distance, paired & scores.own),
        negatives=stats.spread(distance, paired & ~scores.own & scores.present[None, :]),
        norms=stats.norms(anchors.values, anchors.valid),
    )
    return reductions.conclude(found, reduce_fn, axis_name, has_aux)


@_checks.jit_with_labels("axis_name", "num_speakers")
def ge2e_similarity(
    labels: jax.Array,
    embeddings: jax.Array,
    scale: float | jax.Array = 10.0,
    bias: float | jax.Array = -5.0,
    *,
    where: jax.Array | None = None,
    axis_name: AxisName = None,
    num_speakers: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    r"""The similarity matrix of GE2E, and which column is whose.

    $$S_{ik} = |w| \langle e_i, c_k \rangle + b$$

    Args:
        labels: Integers [B], the speakers.
        embeddings: Floats [B, D], of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        scale: The weight w.
        bias: The bias b.
        where: Booleans [B]; False rows are padding.
        axis_name: Mapped axes over which the batch is spread; the rows are this device's, the columns global.
        num_speakers: The number of columns, at least the number of different labels (more give NaN); None for B.

    Returns:
        S [B, num_speakers], and integers [B]: the column of each row's own speaker. Columns are in the order of the
        labels; unused ones hold minus infinity. Padding has similarity 0 and column -1.

    Raises:
        ValueError: The shapes or types do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([7, 7, 3]), jnp.eye(2)[jnp.array([0, 0, 1])]
        >>> similarity, column = ge2e_similarity(labels, embeddings, 1.0, 0.0, num_speakers=2)
        >>> similarity.round(3).tolist(), column.tolist()
        ([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [1, 1, 0])

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", 2018.
    """
    _check_size(num_speakers)
    anchors, candidates = rows_of.split(labels, embeddings, where, axis_name)
    scores = _scores(anchors, candidates, num_speakers)
    similarity = jnp.where(scores.present[None, :], _scaled(scores, scale, bias), -jnp.inf)
    similarity = jnp.where(anchors.valid[:, None], similarity, 0)
    return jnp.where(scores.fits, similarity, jnp.nan), jnp.where(anchors.valid, scores.column, -1)


def _check_size(num_speakers: int | None) -> None:
    if num_speakers is not None:
        _checks.positive_integer("num_speakers", num_speakers)


def _scaled(scores: _Scores, scale: float | jax.Array, bias: float | jax.Array) -> jax.Array:
    dtype = scores.cosine.dtype
    return jnp.abs(_checks.scalar("scale", scale, dtype)) * scores.cosine + _checks.scalar("bias", bias, dtype)


def _own(similarity: jax.Array, own: jax.Array) -> jax.Array:
    return jnp.sum(similarity, axis=1, where=own)


def _softmax(similarity: jax.Array, own: jax.Array) -> jax.Array:
    return jnp.logaddexp(jax.nn.logsumexp(similarity, axis=1), _LOG_EPSILON) - _own(similarity, own)


def _contrast(similarity: jax.Array, own: jax.Array) -> jax.Array:
    others = jnp.where(own, -jnp.inf, similarity)
    nearest = jnp.argmax(others, axis=1)  # picked, not reduced by max, which would split the gradient of a tie
    closest = jnp.take_along_axis(others, nearest[:, None], axis=1)[:, 0]
    return 1 - jax.nn.sigmoid(_own(similarity, own)) + jax.nn.sigmoid(closest)


_METHODS = {"softmax": _softmax, "contrast": _contrast}
