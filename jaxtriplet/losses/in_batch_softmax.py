"""Softmax over the other rows of the batch: SupCon, NT-Xent, neighbourhood components."""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, reductions
from jaxtriplet.distances import squared_euclidean
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, Exchange, Memory, Precision, ReduceFn, Terms


@loss(term="each row that has a positive: all of these against all other rows", called=("supcon",))
def supervised_contrastive(
    labels: ArrayLike,
    embeddings: ArrayLike,
    temperature: ArrayLike = 0.1,
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
    r"""Supervised contrastive loss (SupCon): in-batch softmax, its mean over the positives outside the logarithm.

    $$\operatorname{mean}_a \; \operatorname{mean}_p \Big( \log \sum_{j \ne a} e^{s_{aj} / T} - s_{ap} / T \Big),
    \qquad s_{ij} = \langle x_i, x_j \rangle$$

    A term for each row that has a positive (another row of its label).

    Args:
        temperature: The temperature T: 0.1 in the paper, 0.07 in its code.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(supervised_contrastive(labels, embeddings, 1.0)), 4)  # log(1 + 1 / e)
        0.3133

    Reference:
        Khosla et al., "Supervised Contrastive Learning", 2020, equation 2.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory, exchange=exchange)
    found = engine.measure(
        *(_SUPCON, anchors, candidates, temperature),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def all_and_own(logits: jax.Array, pairs: engine.Pairs) -> Any:
    """Returns the statistics of a softmax over all candidates, of which the positives are one's own."""
    return engine.LogSumExp(logits, pairs.either), engine.Sum(logits, pairs.positive), pairs.num_positives


def cross_entropy(values: Any, numbers: Any) -> Terms:
    """Returns its cross entropy, the mean over the positives."""
    del numbers
    every, own, number = values
    return engine.count(every - own / jnp.maximum(number, 1), number > 0)


def _by_temperature(pairs: engine.Pairs, temperature: jax.Array) -> Any:
    return all_and_own(pairs.scores / temperature, pairs)


_SUPCON = engine.Separable(_by_temperature, cross_entropy)


@loss(term="each (anchor, positive): the positive alone against the negatives; `decoupled=True` leaves it out of them")
def nt_xent(
    labels: ArrayLike,
    embeddings: ArrayLike,
    temperature: ArrayLike = 0.07,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    decoupled: bool = False,
) -> jax.Array:
    r"""Normalised temperature-scaled cross entropy (NT-Xent), with labels: each positive alone against the negatives.

    $$\operatorname{mean}_{(a, p)} \; -\log \frac{e^{s_{ap} / T}}{e^{s_{ap} / T} + \sum_n e^{s_{an} / T}},
    \qquad s_{ij} = \langle x_i, x_j \rangle$$

    A term for each anchor and positive (another row of its label), of an anchor that has a negative. With two rows of
    each label it is SimCLR's loss.

    Args:
        temperature: The temperature T: 0.07 in most codes, 0.5 in SimCLR's paper on CIFAR-10.
        decoupled: Whether to leave $e^{s_{ap} / T}$ out of the denominator (decoupled contrastive learning); static.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(nt_xent(labels, embeddings, 1.0)), 4)  # log(1 + 1 / e)
        0.3133
        >>> float(nt_xent(labels, embeddings, 1.0, decoupled=True))
        -1.0

    Reference:
        Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
        2020; decoupled: Yeh et al., "Decoupled Contrastive Learning", 2022.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    rule, each = engine.formula(functools.partial(_each_positive, decoupled)), reduce_fn is None
    found = engine.mine(
        rule, anchors, candidates, temperature, None, each=each, block_size=block_size, precision=precision
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _each_positive(decoupled: bool, tile: engine.Tile, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits = tile.distances / temperature[None, :]  # inner products
    beyond = engine.LogSumExp(logits, tile.negative).of_row()[None, :] - logits
    valid = tile.positive & (tile.num_negatives > 0)[None, :]
    beyond = jnp.where(valid, beyond, 0)
    return beyond if decoupled else jax.nn.softplus(beyond), valid


@loss(term="each row that has a positive: its positives together against all other rows")
def nca(
    labels: ArrayLike,
    embeddings: ArrayLike,
    scale: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    exchange: Exchange = "gather",
    distance_fn: DistanceFn = squared_euclidean,
) -> jax.Array:
    r"""Neighbourhood components analysis: how likely is a positive among all neighbours?

    $$\operatorname{mean}_a \; -\log \frac{\sum_p e^{-s d_{ap}}}{\sum_{j \ne a} e^{-s d_{aj}}}$$

    A term for each row that has a positive (another row of its label). With 1 / T as its scale it is the soft nearest
    neighbour loss.

    Args:
        scale: The factor s of the distances.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0], [0.0], [1.0]])
        >>> round(float(nca(labels, embeddings)), 4)  # log(1 + 1 / e)
        0.3133

    Reference:
        Goldberger, Hinton, Roweis and Salakhutdinov, "Neighbourhood Components Analysis", 2004; Frosst, Papernot and
        Hinton, "Analyzing and Improving Representations with the Soft Nearest Neighbor Loss", 2019.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory, exchange=exchange)
    found = engine.measure(
        *(_NEIGHBOURS, anchors, candidates, scale, distance_fn),
        each=reduce_fn is None,
        block_size=block_size,
        precision=precision,
        exchange=exchange,
        axis_name=axis_name,
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def _all_and_near(pairs: engine.Pairs, scale: jax.Array) -> Any:
    logits = -scale * pairs.scores
    own = engine.LogSumExp(logits, pairs.positive), pairs.num_positives
    return engine.LogSumExp(logits, pairs.either), *own


def _any_positive(values: Any, scale: jax.Array) -> Terms:
    del scale
    every, own, number = values
    return engine.count(every - own, number > 0)


_NEIGHBOURS = engine.Separable(_all_and_near, _any_positive)
