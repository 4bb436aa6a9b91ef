"""Proxies, vectors that stand for the classes: proxy-NCA, Proxy Anchor, and SoftTriple with several for each class."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import engine, numerics, reductions
from jaxtriplet.losses.margin_softmax import ENTROPY, cross_entropy, less_margin, others_and_own
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, Precision, ReduceFn, Terms


@loss(term="each row: its own proxy against all, by squared distances")
def proxy_nca(
    labels: ArrayLike,
    embeddings: ArrayLike,
    proxies: ArrayLike,
    scale: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
) -> jax.Array:
    r"""Proxy-NCA: how likely is a row's own proxy among all, by squared distances of unit vectors?

    $$\operatorname{mean}_a \; -\log \frac{e^{-s d_{a y_a}}}{\sum_c e^{-s d_{ac}}}, \qquad d = 2 - 2 \cos$$

    The own proxy is in the denominator too, as in ProxyNCA++ and pytorch-metric-learning.

    Args:
        scale: The factor s of the distances: 1 in the paper, 9 in ProxyNCA++.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(proxy_nca(jnp.array([0]), jnp.array([[1.0, 1.0]]), jnp.eye(2))), 4)  # log 2
        0.6931

    Reference:
        Movshovitz-Attias, Toshev, Leung, Ioffe and Singh, "No Fuss Distance Metric Learning using Proxies", 2017; Teh,
        DeVries and Taylor, "ProxyNCA++", 2020.
    """
    met = engine.against(labels, embeddings, proxies, where, axis_name, class_axis_name, precision, name="proxies")
    return met.loss(ENTROPY, (2 * scale,), reduce_fn, has_aux, block_size)


@loss(
    term="each row: its own class of several centres, whose similarity has a margin off, against all others", centers=10
)
def soft_triple(
    labels: ArrayLike,
    embeddings: ArrayLike,
    centers: ArrayLike,
    scale: ArrayLike = 20.0,
    gamma: ArrayLike = 0.1,
    margin: ArrayLike = 0.01,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
) -> jax.Array:
    r"""SoftTriple: a class is several centres, each weighed by how near it is to the row.

    $$\operatorname{mean}_a \; -\log \frac{e^{\lambda (S_{a y_a} - \delta)}}{e^{\lambda (S_{a y_a} - \delta)} +
    \sum_{c \ne y_a} e^{\lambda S_{ac}}}, \qquad
    S_{ac} = \sum_k \frac{e^{\cos_{ack} / \gamma}}{\sum_j e^{\cos_{acj} / \gamma}} \cos_{ack}$$

    The paper's regulariser, which draws the centres of a class together, is left to the caller.

    Args:
        centers: Floats [C, K, D], K centres for each class, or [C, D]; brought to unit length here.
        scale: The factor $\lambda$ of the similarities.
        gamma: How softly the centres are weighed.
        margin: The margin $\delta$; a number, or one for each class [C].

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0]), jnp.array([[1.0, 1.0]])
        >>> round(float(soft_triple(labels, embeddings, jnp.eye(2)[:, None], margin=0.0)), 4)  # log 2
        0.6931

    Reference:
        Qian, Shang, Sun, Hu, Li and Jin, "SoftTriple Loss: Deep Metric Learning Without Triplet Sampling", 2019.
    """
    met = engine.against(labels, embeddings, centers, where, axis_name, class_axis_name, precision, name="centers")
    numbers = scale, met.of_own_class(margin), gamma
    return met.loss(_SOFT_CENTERS, numbers, reduce_fn, has_aux, block_size)


def _weighed(scores: jax.Array, numbers: Any) -> jax.Array:
    *_, gamma = numbers
    return jnp.sum(jax.nn.softmax(scores / gamma, axis=1) * scores, axis=1)


def _less_margin(values: Any, numbers: Any) -> Terms:
    return cross_entropy(less_margin, values, numbers[:2])


_SOFT_CENTERS = engine.Separable(others_and_own, _less_margin, of_centers=_weighed)


@loss(term="each proxy: soft sums over its own rows, and over all others; each reduced apart", anchors="classes")
def proxy_anchor(
    labels: ArrayLike,
    embeddings: ArrayLike,
    proxies: ArrayLike,
    margin: ArrayLike = 0.1,
    scale: ArrayLike = 32.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
) -> jax.Array:
    r"""Proxy Anchor: each proxy pulls its own rows and pushes all others, the far and the near ones hardest.

    $$\operatorname{mean}_{c \text{ with rows}} \log \Big(1 + \sum_{a: y_a = c} e^{-s (\cos_{ac} - m)}\Big) +
    \operatorname{mean}_c \log \Big(1 + \sum_{a: y_a \ne c} e^{s (\cos_{ac} + m)}\Big)$$

    Terms are of proxies, of two kinds, each of which is reduced by itself. A batch without a valid row has none.

    Args:
        proxies: Floats [C, D], a vector for each class; brought to unit length here.
        margin: The margin m: 0.1 in the paper.
        scale: The factor s: 32 in the paper.
        reduce_fn: As in every loss; None for each proxy's sum of terms: [C], or with mapped axes this device's share of
            them, with zeros at the end if they do not divide.
        has_aux: Whether to return statistics too; active are the terms above zero, distances are 1 less the cosines to
            the own class, and to all others; static.
        block_size: How many proxies to compare at a time, None for a good number; memory grows with it; static.

    Example:
        >>> import jax.numpy as jnp
        >>> labels, embeddings = jnp.array([0, 1]), jnp.eye(2)
        >>> round(float(proxy_anchor(labels, embeddings, jnp.eye(2), 0.0, 1.0)), 4)  # log(1 + 1/e) + log 2
        1.0064

    Reference:
        Kim, Kim, Cho and Kwak, "Proxy Anchor Loss for Deep Metric Learning", 2020.
    """
    met = engine.against(
        labels, embeddings, proxies, where, axis_name, class_axis_name, precision, name="proxies", several=False
    )
    # A mean divides by counts that labels tell: so the gradient is made beside the terms, in three products, not four.
    loss, reduce_fn = (_MEANS, reductions.sum) if reduce_fn is reductions.mean else (_PULL_AND_PUSH, reduce_fn)
    found = met.find_of_classes(loss, (margin, scale), each=reduce_fn is None, block_size=block_size)
    return engine.conclude(found, reduce_fn, met.axis_name, has_aux)


def _far_and_near(pairs: engine.Pairs, numbers: Any) -> Any:
    _, scale, *_ = numbers
    far, near = -scale * pairs.scores, scale * pairs.scores
    both = engine.LogSumExp(far, pairs.positive), engine.LogSumExp(near, pairs.negative)
    return *both, pairs.num_positives, pairs.num_negatives


def _two_kinds(values: Any, numbers: Any) -> tuple[Terms, Terms]:
    (far, near, own, others), (margin, scale, is_proxy, *_) = values, numbers
    pull, push = (jax.nn.softplus(rows + scale * margin) for rows in (far, near))
    has_rows = (is_proxy > 0) & (own + others > 0)
    return engine.count(pull, own > 0), engine.count(jnp.where(others > 0, push, 0), has_rows)


def _share_of_means(values: Any, numbers: Any) -> Terms:
    pull, push = _two_kinds(values, numbers)
    *_, with_rows, all_of_them = numbers
    total = numerics.safe_divide(pull.total, with_rows) + numerics.safe_divide(push.total, all_of_them)
    return Terms(total, pull.valid + push.valid, pull.active + push.active)


_PULL_AND_PUSH = engine.Separable(_far_and_near, _two_kinds, kinds=2)
_MEANS = engine.Separable(_far_and_near, _share_of_means)
