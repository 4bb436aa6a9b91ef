"""Triplets that are given as such, so that nothing is mined."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, engine, numerics, reductions
from jaxtriplet.distances import euclidean, form_of, inner_product
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, DistanceFn, HingeFn, ReduceFn


@loss(term="each given triplet")
def triplet(
    anchors: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    margin: ArrayLike = 0.2,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    distance_fn: DistanceFn = euclidean,
    hinge_fn: HingeFn = jax.nn.relu,
) -> jax.Array:
    r"""Triplet loss of given triplets.

    $$\operatorname{mean}_i \; h(d(a_i, p_i) - d(a_i, n_i) + m)$$

    Args:
        anchors: Floats [B, D]; like the others usually of unit length, and not normalised here.
        positives: Floats [B, D], like each anchor.
        negatives: Floats [B, D], unlike each anchor.
        margin: The gap m that the negative should keep, in units of the distance.
        where: Booleans [B]; False triplets are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each triplet's term, [B].
        axis_name: Mapped axes over which the triplets are spread; every device returns the loss of all.
        has_aux: Whether to return statistics too; distances are those of the triplets.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(triplet(jnp.array([[0.0]]), jnp.array([[1.0]]), jnp.array([[1.1]]), margin=0.2)), 4)
        0.1

    Reference:
        Schroff, Kalenichenko and Philbin, "FaceNet: A Unified Embedding for Face Recognition and Clustering", 2015.
    """
    sides, where = _checks.paired(where, anchors=anchors, positives=positives, negatives=negatives)
    (a, valid), (p, _), (n, _) = (engine.keep(side, where) for side in sides)
    d_ap, d_an = form_of(distance_fn).beside(valid, (a, p), (a, n))
    terms = engine.count(hinge_fn(d_ap - d_an + margin), valid)
    everything = jnp.concatenate([a, p, n])
    found = engine.Found(
        terms=terms._replace(total=numerics.poison(terms.total, numerics.evidence(everything))),
        positives=engine.spread(d_ap, valid),
        negatives=engine.spread(d_an, valid),
        norms=engine.norms(everything, jnp.tile(valid, 3)),
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


@loss(term="each triplet of a batch in thirds")
def deep_speaker(
    embeddings: ArrayLike,
    margin: ArrayLike = 0.1,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
) -> jax.Array:
    r"""Deep Speaker's cosine triplet loss of a batch in thirds: anchors, positives, negatives.

    $$\operatorname{mean}_i \; [\langle a_i, n_i \rangle - \langle a_i, p_i \rangle + m]_+$$

    Args:
        embeddings: Floats [3B, D], of unit length (`jaxtriplet.l2_normalize`); they are not normalised here.
        margin: The gap m that the negative should keep, in units of the cosine.
        where: Booleans [3B]; a triplet with a False row is padding and counts for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each triplet's term, [B].
        axis_name: Mapped axes over which the triplets are spread: the thirds are those of this device's rows, and every
            device returns the loss of all.
        has_aux: Whether to return statistics too; distances are $1 - \langle a, p \rangle$, $1 - \langle a, n \rangle$.

    Raises:
        ValueError: The number of rows is no multiple of 3, or the shapes, types or functions do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(deep_speaker(jnp.array([[0.6], [1.0], [0.0]]), margin=1.0)), 4)
        0.4

    Reference:
        Li et al., "Deep Speaker: an End-to-End Neural Speaker Embedding System", 2017.
    """
    embeddings = _checks.thirds(embeddings)
    where = _checks.mask(where, embeddings)
    whole = None if where is None else jnp.all(where.reshape(3, -1), axis=0)
    anchors, positives, negatives = jnp.split(embeddings, 3)
    return triplet(
        anchors,
        positives,
        negatives,
        margin,
        where=whole,
        reduce_fn=reduce_fn,
        axis_name=axis_name,
        has_aux=has_aux,
        distance_fn=inner_product,
    )
