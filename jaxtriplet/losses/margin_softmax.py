"""Softmax over the cosines to class weights, with a margin for the own class: what speakers are trained with."""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, numerics, reductions
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, Precision, ReduceFn, Terms


@loss(
    term="each row: its own class against all, by cosines to class weights",
    called=("softmax", "cross-entropy", "normsoftmax"),
)
def normalized_softmax(
    labels: ArrayLike,
    embeddings: ArrayLike,
    weights: ArrayLike,
    temperature: ArrayLike = 0.05,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
) -> jax.Array:
    r"""Normalised softmax: cross entropy of the cosines to one vector for each class.

    $$\operatorname{mean}_a \; \log \sum_c e^{\cos(x_a, w_c) / T} - \cos(x_a, w_{y_a}) / T$$

    Args:
        temperature: The temperature T: 0.05 in the paper.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(normalized_softmax(jnp.array([0]), jnp.array([[2.0, 2.0]]), jnp.eye(2))), 4)  # log 2
        0.6931

    Reference:
        Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning", 2019.
    """
    met = engine.against(labels, embeddings, weights, where, axis_name, class_axis_name, precision)
    return met.loss(ENTROPY, (1 / temperature,), reduce_fn, has_aux, block_size)


@loss(term="each row: its own class, whose cosine has a margin off, against all others", called=("cosface", "am"))
def am_softmax(
    labels: ArrayLike,
    embeddings: ArrayLike,
    weights: ArrayLike,
    margin: ArrayLike = 0.35,
    scale: ArrayLike = 64.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
) -> jax.Array:
    r"""Additive margin softmax (CosFace): the cosine to the own class must exceed the others by a margin.

    $$\operatorname{mean}_a \; -\log \frac{e^{s (\cos_{a y_a} - m)}}{e^{s (\cos_{a y_a} - m)} +
    \sum_{c \ne y_a} e^{s \cos_{ac}}}$$

    Args:
        margin: The margin m of the cosine: 0.35 in CosFace; a number, or one for each class [C].
        scale: The factor s: 64 in CosFace, 30 in AM-Softmax.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0]), jnp.array([[1.0, 0.0]])
        >>> round(float(am_softmax(labels, embeddings, jnp.eye(2), margin=1.0, scale=1.0)), 4)  # log 2
        0.6931

    Reference:
        Wang, Cheng, Liu and Liu, "Additive Margin Softmax for Face Verification", 2018; Wang et al., "CosFace: Large
        Margin Cosine Loss for Deep Face Recognition", 2018.
    """
    met = engine.against(labels, embeddings, weights, where, axis_name, class_axis_name, precision)
    return met.loss(_COSINE_MARGIN, (scale, met.of_own_class(margin)), reduce_fn, has_aux, block_size)


@loss(
    term="each row: its own class, whose angle is widened by a margin, against all others",
    angles=("margin",),
    called=("arcface", "aam", "arc-margin"),
)
def aam_softmax(
    labels: ArrayLike,
    embeddings: ArrayLike,
    weights: ArrayLike,
    margin: ArrayLike = 0.2,
    scale: ArrayLike = 30.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    beyond: Literal["linear", "monotone", "none"] = "linear",
    inter_top_k: int = 0,
    penalty: float = 0.06,
) -> jax.Array:
    r"""Additive angular margin softmax (AAM, ArcFace): the angle to the own class counts as wider than it is.

    $$\operatorname{mean}_a \; -\log \frac{e^{s \cos(\theta_{a y_a} + m)}}{e^{s \cos(\theta_{a y_a} + m)} +
    \sum_{c \ne y_a} e^{s \cos \theta_{ac}}}$$

    Beyond $\theta + m = \pi$ the cosine would rise again, and pull the row away from its class; `beyond` says what to
    have there instead.

    Args:
        margin: The margin m in radians: 0.2 for speakers, 0.5 for faces; a number, or one for each class [C].
        scale: The factor s: 30 or 32 for speakers, 64 for faces.
        beyond: For $\theta + m > \pi$: "linear" for $\cos \theta - m \sin m$, as in speechbrain and
            pytorch-metric-learning; "monotone" for $\cos \theta - 1 - \cos(\pi - m)$, continuous, as in wespeaker;
            "none" for the cosine as it is, as in insightface since 2022 (whose gradient is another: it takes no part of
            the margin); static.
        inter_top_k: How many of the nearest wrong classes are penalised, a stricter task for each row; static.
        penalty: By how much the angle to these counts as narrower, in radians.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0]), jnp.array([[1.0, 0.0]])
        >>> round(float(aam_softmax(labels, embeddings, jnp.eye(2), margin=jnp.pi / 2, scale=1.0)), 4)  # log 2
        0.6931

    Reference:
        Deng, Guo, Xue and Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019;
        sub-centres: Deng et al., "Sub-center ArcFace", 2020; `inter_top_k`: Zhao, Ma, Liu and Xu, "The SpeakIn System
        for VoxCeleb Speaker Recognition Challenge 2021".
    """
    met = engine.against(labels, embeddings, weights, where, axis_name, class_axis_name, precision)
    numbers = scale, met.of_own_class(margin), penalty
    return met.loss(_angular(beyond, min(inter_top_k, met.number - 1)), numbers, reduce_fn, has_aux, block_size)


def nearest_center(scores: jax.Array, numbers: Any) -> jax.Array:
    """Returns the scores of classes of several centres: that of the nearest."""
    del numbers
    return jnp.max(scores, axis=1)


def others_and_own(pairs: engine.Pairs, numbers: Any) -> Any:
    """Returns the statistics of a softmax that tells the own class from all others; the first number is the scale."""
    logits = numbers[0] * pairs.scores
    others = engine.LogSumExp(logits, pairs.negative), engine.Highest(logits, pairs.negative)
    return *others, pairs.own, pairs.num_positives


def cross_entropy(own_fn: Any, values: Any, numbers: Any) -> Terms:
    """Returns its cross entropy, of an own score with a margin; active are the rows that are wrong without it."""
    others, nearest, own, number = values
    scale, *margins = numbers
    term = jax.nn.softplus(others - scale * own_fn(own, *margins))
    return engine.count_wrong(term, number > 0, scale * own <= nearest)


def _of_softmax(own_fn: Any) -> engine.Separable:
    return engine.Separable(others_and_own, functools.partial(cross_entropy, own_fn), of_centers=nearest_center)


def without_margin(own: jax.Array) -> jax.Array:
    """Returns the own score as it is."""
    return own


def less_margin(own: jax.Array, margin: jax.Array) -> jax.Array:
    """Returns the own score less the margin."""
    return own - margin


ENTROPY, _COSINE_MARGIN = _of_softmax(without_margin), _of_softmax(less_margin)


def widened(cosine: jax.Array, angle: jax.Array) -> jax.Array:
    """Returns the cosine of the angle and another one."""
    sine = numerics.safe_sqrt(jnp.maximum(1 - jnp.square(cosine), 0))
    return cosine * jnp.cos(angle) - sine * jnp.sin(angle)


def with_angular_margin(beyond: str, cosine: jax.Array, margin: jax.Array) -> jax.Array:
    """Returns the cosine of the angle and the margin, or what there is in place of it beyond the half circle."""
    if beyond == "none":
        return widened(cosine, margin)
    off = margin * jnp.sin(margin) if beyond == "linear" else 1 - jnp.cos(margin)
    half_circle = -jnp.cos(jnp.clip(margin, 0, jnp.pi))
    return jnp.where(jnp.maximum(cosine, -1) >= half_circle, widened(cosine, margin), cosine - off)


@functools.cache
def _angular(beyond: str, inter_top_k: int) -> engine.Separable:
    own_fn = functools.partial(with_angular_margin, beyond)
    statistics, term = others_and_own, functools.partial(_penalized, own_fn, False)
    if inter_top_k:
        statistics = functools.partial(_nearest_few, inter_top_k)
        term = functools.partial(_penalized, own_fn, True)
    return engine.Separable(statistics, term, of_centers=nearest_center)


def _nearest_few(number: int, pairs: engine.Pairs, numbers: Any) -> Any:
    _, *others = others_and_own(pairs, numbers)
    return engine.Few(numbers[0] * pairs.scores, pairs.negative, number), *others


def _penalized(own_fn: Any, nearest_few: bool, values: Any, numbers: Any) -> Terms:
    scale, margin, penalty = numbers
    if nearest_few:
        (few, rest), *others = values
        each, are_there = jnp.where(scale == 0, 1, scale)[:, None], few > engine.low(few.dtype)
        nearer = each * widened(jnp.where(are_there, few, 0) / each, -penalty[:, None])
        logits = jnp.concatenate([jnp.where(are_there, nearer, few), rest[:, None]], axis=1)
        values = jax.nn.logsumexp(logits, axis=1), *others
    return cross_entropy(own_fn, values, (scale, margin))
