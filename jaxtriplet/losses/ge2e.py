"""GE2E: each utterance against the centroids of all speakers, its own computed without it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, engine, numerics, reductions
from jaxtriplet.engine import Rows
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, ReduceFn, Terms

# Added to the sum of the exponentials by the TensorFlow 1 program.
_LOG_EPSILON = math.log(1e-6)


class _Speakers(NamedTuple):
    sums: jax.Array
    """The sums of the speakers' utterances, [S, D]."""
    centroids: jax.Array
    """Their unit means, [S, D]."""
    counts: jax.Array
    """How many each has, floats [S]; 0 for columns out of use."""
    distinct: jax.Array
    """The number of different labels."""

    @property
    def present(self) -> jax.Array:
        """Which columns are in use, booleans [S]."""
        return self.counts > 0


class _Utterances(NamedTuple):
    values: jax.Array
    """Floats [B, D]."""
    column: jax.Array
    """Integers [B]: the utterance's own column; S for padding."""
    has_term: jax.Array
    """Booleans [B]: the speaker has another utterance, and there is another speaker."""


def _columns(candidates: Rows, num_speakers: int) -> tuple[jax.Array, jax.Array]:
    """Returns each candidate's column, by rank of its label (`num_speakers` for padding), and the number of labels."""
    order = jnp.lexsort((candidates.labels, ~candidates.valid))
    labels, valid = candidates.labels[order], candidates.valid[order]
    differs = jnp.concatenate([jnp.ones_like(valid[:1]), labels[1:] != labels[:-1]])
    starts = (differs & valid).astype(jnp.int32)
    column = jnp.zeros_like(starts).at[order].set(jnp.cumsum(starts) - 1)
    return jnp.where(candidates.valid, column, num_speakers), jnp.sum(starts)


def _meet(anchors: Rows, candidates: Rows, num_speakers: int | None) -> tuple[_Utterances, _Speakers]:
    size = max(1, len(candidates.labels)) if num_speakers is None else num_speakers
    columns, distinct = _columns(candidates, size)
    sums = jax.ops.segment_sum(candidates.values, columns, size)
    counts = jax.ops.segment_sum(candidates.valid.astype(sums.dtype), columns, size)
    centroids = numerics.soft_unit(numerics.safe_divide(sums, counts[:, None]))
    column = columns[anchors.place]
    has_term = anchors.valid & (jnp.take(counts, column, mode="clip") > 1) & (distinct > 1)
    return _Utterances(anchors.values, column, has_term), _Speakers(sums, centroids, counts, distinct)


def _cosines(utterances: _Utterances, speakers: _Speakers) -> tuple[jax.Array, jax.Array]:
    """Returns <e, c> for each utterance and speaker, [B, S], its own without itself, and which column is its own."""
    values, column, _ = utterances
    others = jnp.take(speakers.sums, column, axis=0, mode="clip") - values
    to_own = jnp.sum(values * numerics.soft_unit(others), axis=1)
    own = jnp.arange(len(speakers.counts), dtype=jnp.int32)[None, :] == column[:, None]
    return jnp.where(own, to_own[:, None], numerics.inner(values, speakers.centroids)), own


@loss(
    term='each utterance, against the centroids of all speakers; `method="softmax"` or `"contrast"`; ragged',
    trained=("scale", "bias"),
)
def ge2e(
    labels: ArrayLike,
    embeddings: ArrayLike,
    scale: ArrayLike = 10.0,
    bias: ArrayLike = -5.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.sum,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    method: Literal["softmax", "contrast"] = "softmax",
    num_speakers: int | None = None,
) -> jax.Array:
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
        axis_name: Mapped axes over which the batch is spread: terms are of these rows, centroids of those of all
            devices, and every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; distances are $1 - \langle e, c \rangle$ to the own centroid
            (positive) and to those of the others (negative), of the utterances that have a term.
        method: "softmax" or "contrast"; static.
        num_speakers: A bound on the number of different labels, which saves work; None for B; static. More labels than
            that give NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.array([0, 0, 1, 1, 2, 2])
        >>> embeddings = jnp.eye(3)[jnp.array([1, 2, 1, 1, 0, 0])]
        >>> round(float(ge2e(labels, embeddings, scale=1.0, bias=0.0)), 4)
        5.2501

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", 2018.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name)
    if num_speakers is not None:
        num_speakers = min(num_speakers, max(1, len(candidates.labels)))  # there are no more than rows
    utterances, speakers = _meet(anchors, candidates, num_speakers)

    def of_tile(tile: _Utterances) -> tuple[Terms, engine.Spread, engine.Spread]:
        cosine, own = _cosines(tile, speakers)
        paired, other = tile.has_term[:, None], ~own & speakers.present[None, :]
        similarity = jnp.where(own | other, jnp.abs(scale) * cosine + bias, -jnp.inf)
        similarity = jnp.where(paired, similarity, 0)  # the logsumexp of nothing has no gradient
        terms = engine.count(_METHODS[method](similarity, own), tile.has_term)
        return terms, engine.spread(1 - cosine, paired & own), engine.spread(1 - cosine, paired & other)

    evidence = numerics.evidence(candidates.values), _too_many(speakers)
    columns = len(speakers.counts)
    found = engine.by_tiles(of_tile, utterances, anchors, *evidence, block_size=block_size, columns=columns)
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


@_checks.entry
def ge2e_similarity(
    labels: ArrayLike,
    embeddings: ArrayLike,
    scale: ArrayLike = 10.0,
    bias: ArrayLike = -5.0,
    *,
    where: ArrayLike | None = None,
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
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name)
    utterances, speakers = _meet(anchors, candidates, num_speakers)
    cosine, _ = _cosines(utterances, speakers)
    similarity = jnp.where(speakers.present[None, :], jnp.abs(scale) * cosine + bias, -jnp.inf)
    similarity = jnp.where(anchors.valid[:, None], similarity, 0)
    return similarity + _too_many(speakers), jnp.where(anchors.valid, utterances.column, -1)


def _too_many(speakers: _Speakers) -> jax.Array:
    """Returns NaN if there are more speakers than columns, else 0."""
    return numerics.nan_where(speakers.distinct > len(speakers.counts), speakers.sums.dtype)


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
