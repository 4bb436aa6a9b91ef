"""Contrastive: pairs of one label pulled together, pairs of two pushed to a margin."""

from __future__ import annotations

from typing import Any, Literal

import jax
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.distances import euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Exchange, Memory, Precision, ReduceFn, Terms


@loss(term="each pair: of one label, pulled; of two, pushed to the margin; each kind reduced apart")
def contrastive(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean_active,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    exchange: Exchange = "gather",
    distance_fn: DistanceFn = euclidean,
    positive_margin: ArrayLike = 0.0,
) -> jax.Array:
    r"""Contrastive loss.

    $$\operatorname{mean}_{(a, p):\, \text{term} > 0} [d_{ap} - m_+]_+ \; + \;
    \operatorname{mean}_{(a, n):\, \text{term} > 0} [m - d_{an}]_+$$

    A term for each ordered pair of rows. The two kinds, of one label and of two, are reduced each by itself and then
    added, so that the many negative pairs do not drown the positive ones.

    Args:
        margin: The distance m that rows of different labels should keep.
        reduce_fn: From the sums of the terms of a kind to a scalar (`jaxtriplet.reductions`); None for each anchor's
            sum of all its terms, [B].
        positive_margin: The distance within which rows of one label need not come closer, a number.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [0.5], [1.25]])
        >>> float(contrastive(labels, embeddings))  # 0.5, and 1 - 0.75; the pair at 1.25 is beyond
        0.75

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", 2006.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory, exchange=exchange)
    found = engine.measure(
        *(_PAIRS, anchors, candidates, (margin, positive_margin), distance_fn),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _statistics(pairs: engine.Pairs, numbers: Any) -> Any:
    margin, positive_margin = numbers
    far, near = pairs.scores - positive_margin, margin - pairs.scores
    return [
        (engine.Sum(jax.nn.relu(excess), number.mask), number, engine.Count(number.mask & (excess > 0)))
        for excess, number in ((far, pairs.num_positives), (near, pairs.num_negatives))
    ]


def _terms(values: Any, numbers: Any) -> tuple[Terms, ...]:
    del numbers
    return tuple(Terms(*kind) for kind in values)


_PAIRS = engine.Separable(_statistics, _terms, kinds=2)
