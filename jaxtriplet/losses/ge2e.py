"""GE2E: each utterance against the centroids of all speakers, its own computed without it."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, engine, numerics, reductions
from jaxtriplet.engine import Rows
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, Memory, Precision, ReduceFn, Terms

# Added to the sum of the exponentials by the TensorFlow 1 program.
_LOG_EPSILON = math.log(1e-6)


class _Speakers(NamedTuple):
    sums: jax.Array
    """The sums of the speakers' utterances, [S, D]."""
    centroids: jax.Array
    """Their unit means, [S, D]."""
    counts: jax.Array
    """How many each has, floats [S]; 0 for columns out of use, which are the last."""
    distinct: jax.Array
    """The number of different labels."""

    @property
    def rows(self) -> Rows:
        """The centroids as rows to be compared with; a row of padding has the column S."""
        column = jnp.arange(len(self.counts), dtype=jnp.int32)
        return Rows(self.centroids, column, self.counts > 0, column)


class _Utterances(NamedTuple):
    column: jax.Array
    """Integers [B]: the utterance's own column; S for padding."""
    to_own: jax.Array
    """<e, c> to the centroid of its speaker's other utterances, [B]."""
    has_term: jax.Array
    """Booleans [B]: the speaker has another utterance, and there is another speaker."""


def _meet(anchors: Rows, candidates: Rows, num_speakers: int | None) -> tuple[_Utterances, _Speakers]:
    size = max(1, len(candidates.labels)) if num_speakers is None else num_speakers
    columns, _, distinct = engine.columns(candidates)
    columns = jnp.where(candidates.valid, columns, size)
    sums = jax.ops.segment_sum(candidates.values, columns, size)
    counts = jax.ops.segment_sum(candidates.valid.astype(sums.dtype), columns, size)
    centroids = numerics.soft_unit(numerics.safe_divide(sums, counts[:, None]))
    column = columns[anchors.place]
    others = jnp.take(sums, column, axis=0, mode="clip") - anchors.values
    to_own = jnp.sum(anchors.values * numerics.soft_unit(others), axis=1)
    has_term = anchors.valid & (jnp.take(counts, column, mode="clip") > 1) & (distinct > 1)
    return _Utterances(column, to_own, has_term), _Speakers(sums, centroids, counts, distinct)


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
    precision: Precision = "exact",
    memory: Memory | None = None,
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
        num_speakers: A bound on the number of different labels, those of a memory included, which spares a branch;
            None: the work follows those that there are; static. More labels than that give NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> labels = jnp.array([0, 0, 1, 1, 2, 2])
        >>> embeddings = jnp.eye(3)[jnp.array([1, 2, 1, 1, 0, 0])]
        >>> round(float(ge2e(labels, embeddings, scale=1.0, bias=0.0)), 4)
        5.2501

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", 2018.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    if num_speakers is not None:
        num_speakers = min(num_speakers, max(1, len(candidates.labels)))  # there are no more than rows
    utterances, speakers = _meet(anchors, candidates, num_speakers)
    rows = anchors._replace(labels=utterances.column, valid=utterances.has_term)
    found = engine.measure(
        *(_METHODS[method], rows, speakers.rows, (scale, bias, utterances.to_own)),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        strangers=True,
        present=None if num_speakers is not None else (speakers.distinct, None),
        evidence=(numerics.evidence(candidates.values), _too_many(speakers)),
    )
    own = engine.spread(1 - utterances.to_own, utterances.has_term)
    found = found._replace(positives=own, norms=engine.norms(anchors.values, anchors.valid))
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
    own = speakers.rows.labels[None, :] == utterances.column[:, None]
    cosine = jnp.where(own, utterances.to_own[:, None], numerics.inner(anchors.values, speakers.centroids))
    similarity = jnp.where(speakers.rows.valid[None, :], jnp.abs(scale) * cosine + bias, -jnp.inf)
    similarity = jnp.where(anchors.valid[:, None], similarity, 0)
    return similarity + _too_many(speakers), jnp.where(anchors.valid, utterances.column, -1)


def _too_many(speakers: _Speakers) -> jax.Array:
    """Returns NaN if there are more speakers than columns, else 0."""
    return numerics.nan_where(speakers.distinct > len(speakers.counts), speakers.sums.dtype)


# Own and others: S to the own centroid, and the statistic of S to those of the other speakers.


def _similarity(cosine: jax.Array, numbers: Any) -> jax.Array:
    scale, bias, _ = numbers
    return jnp.abs(scale) * cosine + bias


def _of_others(statistic: type[engine.LogSumExp | engine.Max], pairs: engine.Pairs, numbers: Any) -> Any:
    return statistic(_similarity(pairs.scores, numbers), pairs.negative), pairs.num_negatives


def _softmax(values: Any, numbers: Any) -> Terms:
    (others, number), own = values, _similarity(numbers[-1], numbers)
    return engine.count(jnp.logaddexp(jnp.logaddexp(own, others), _LOG_EPSILON) - own, number > 0)


def _contrast(values: Any, numbers: Any) -> Terms:
    (nearest, number), own = values, _similarity(numbers[-1], numbers)
    return engine.count(1 - jax.nn.sigmoid(own) + jax.nn.sigmoid(nearest), number > 0)


_METHODS = {
    "softmax": engine.Separable(functools.partial(_of_others, engine.LogSumExp), _softmax),
    "contrast": engine.Separable(functools.partial(_of_others, engine.Max), _contrast),
}
