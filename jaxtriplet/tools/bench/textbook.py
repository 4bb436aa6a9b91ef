"""The formulas as one writes them down in JAX, over all pairs or triplets of the batch, or all classes, at once.

They are for batches in which every row has positives and negatives, as those of the benchmark are.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet import masks, numerics
from jaxtriplet.distances import euclidean, squared_euclidean

Array = jax.Array

log_sum_exp = partial(jax.nn.logsumexp, axis=1)


def semi_hard(labels: Array, x: Array, margin: Array) -> Array:
    """The nearest negative beyond each positive, else the farthest negative; over [anchor, positive, negative]."""
    distances = squared_euclidean(x, x)
    positive, negative = masks.anchor_positive(labels), masks.anchor_negative(labels)
    beyond = negative[:, None, :] & (distances[:, None, :] > distances[:, :, None])
    nearest = jnp.min(jnp.where(beyond, distances[:, None, :], jnp.inf), axis=2)
    farthest = jnp.max(jnp.where(negative, distances, -jnp.inf), axis=1)
    chosen = jnp.where(jnp.isfinite(nearest), nearest, farthest[:, None])
    return jnp.mean(jax.nn.relu(distances - chosen + margin), where=positive)


def batch_all(labels: Array, x: Array, margin: Array) -> Array:
    """The mean of the terms above zero; over [anchor, positive, negative]."""
    distances = euclidean(x, x)
    terms = jax.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)
    return jnp.mean(terms, where=masks.triplet(labels) & (terms > 0))


def batch_hard(labels: Array, x: Array, margin: Array) -> Array:
    """The farthest positive against the nearest negative; over [anchor, candidate]."""
    distances = euclidean(x, x)
    farthest = jnp.max(jnp.where(masks.anchor_positive(labels), distances, -jnp.inf), axis=1)
    nearest = jnp.min(jnp.where(masks.anchor_negative(labels), distances, jnp.inf), axis=1)
    return jnp.mean(jax.nn.relu(farthest - nearest + margin))


def contrastive(labels: Array, x: Array, margin: Array, positive_margin: Array) -> Array:
    """The mean of the pulls above zero and that of the pushes."""
    distances = euclidean(x, x)
    pull, push = jax.nn.relu(distances - positive_margin), jax.nn.relu(margin - distances)
    kinds = (pull, masks.anchor_positive(labels)), (push, masks.anchor_negative(labels))
    return sum((jnp.mean(terms, where=mask & (terms > 0)) for terms, mask in kinds), jnp.float32(0))


def supervised_contrastive(labels: Array, x: Array, temperature: Array) -> Array:
    """The mean of the positives, outside of the logarithm, against all other rows."""
    logits = inner(x, x) / temperature
    own = jnp.mean(logits, axis=1, where=masks.anchor_positive(labels))
    return jnp.mean(log_sum_exp(logits, where=others(labels)) - own)


def nt_xent(labels: Array, x: Array, temperature: Array, decoupled: bool = False) -> Array:
    """Each positive alone against the negatives."""
    logits = inner(x, x) / temperature
    beyond = log_sum_exp(logits, where=masks.anchor_negative(labels))[:, None] - logits
    return jnp.mean(beyond if decoupled else jax.nn.softplus(beyond), where=masks.anchor_positive(labels))


def nca(labels: Array, x: Array, scale: Array) -> Array:
    """All positives together against all other rows."""
    logits = -scale * squared_euclidean(x, x)
    own = log_sum_exp(logits, where=masks.anchor_positive(labels))
    return jnp.mean(log_sum_exp(logits, where=others(labels)) - own)


def multi_similarity(labels: Array, x: Array, alpha: Array, beta: Array, base: Array) -> Array:
    """Soft sums over the positives below and the negatives above the base."""
    beyond = inner(x, x) - base
    pull = log_sum_exp(-alpha * beyond, where=masks.anchor_positive(labels))
    push = log_sum_exp(beta * beyond, where=masks.anchor_negative(labels))
    return jnp.mean(jax.nn.softplus(pull) / alpha + jax.nn.softplus(push) / beta)


def circle(labels: Array, x: Array, margin: Array, scale: Array) -> Array:
    """Soft sums of similarities that are weighted by how far they have to go."""
    scores = inner(x, x)
    pull, push = (jax.lax.stop_gradient(jax.nn.relu(far)) for far in (1 + margin - scores, scores + margin))
    far = log_sum_exp(-scale * pull * (scores - 1 + margin), where=masks.anchor_positive(labels))
    near = log_sum_exp(scale * push * (scores - margin), where=masks.anchor_negative(labels))
    return jnp.mean(jax.nn.softplus(far + near))


def lifted_structure(labels: Array, x: Array, margin: Array) -> Array:
    """Each pair of one label against the negatives of both."""
    distances = euclidean(x, x)
    near = log_sum_exp(margin - distances, where=masks.anchor_negative(labels))
    lifted = jax.nn.relu(jnp.logaddexp(near[:, None], near[None, :]) + distances)
    return jnp.mean(jnp.square(lifted) / 2, where=masks.anchor_positive(labels))


def tuplet_margin(labels: Array, x: Array, margin: Array, scale: Array) -> Array:
    """Each positive, its angle relaxed, against the negatives."""
    unit, positive = numerics.l2_normalize(x), masks.anchor_positive(labels)
    cosines = inner(unit, unit)
    near = log_sum_exp(scale * cosines, where=masks.anchor_negative(labels))
    relaxed = jnp.cos(jnp.arccos(jnp.where(positive, cosines, 0)) - margin)  # on the diagonal the slope has no end
    return jnp.mean(jax.nn.softplus(near[:, None] - scale * relaxed), where=positive)


def prototypical(labels: Array, x: Array) -> Array:
    """The first row of each class against the means of all classes' other rows, by squared distance."""
    queries, prototypes, of_class = _prototypes(labels, x)
    return _cross_entropy(-squared_euclidean(queries, prototypes), of_class)


def angular_prototypical(labels: Array, x: Array, scale: Array, bias: Array) -> Array:
    """The first row of each class against the means of all classes' other rows, by cosine."""
    queries, prototypes, of_class = _prototypes(labels, x)
    cosines = inner(numerics.l2_normalize(queries), numerics.l2_normalize(prototypes))
    return _cross_entropy(jnp.abs(scale) * cosines + bias, of_class)


def _prototypes(labels: Array, x: Array) -> tuple[Array, Array, Array]:
    """Rows, for each the mean of its class without the first one, and whether it is that first one."""
    same = labels[:, None] == labels[None, :]
    first = ~jnp.any(jnp.tril(same, -1), axis=1)
    weights = (same & ~first[None, :]).astype(x.dtype)
    return x, inner(weights, x.T) / jnp.sum(weights, axis=1)[:, None], first


def _cross_entropy(logits: Array, first: Array) -> Array:
    return jnp.mean(log_sum_exp(logits, where=first[None, :]) - jnp.diagonal(logits), where=first)


def info_nce(queries: Array, documents: Array, temperature: Array, symmetric: bool = False) -> Array:
    """Each query's own document against all documents, and the other way round if symmetric."""
    logits = inner(queries, documents) / temperature
    ways = (logits, logits.T) if symmetric else (logits,)
    return jnp.mean(jnp.stack([log_sum_exp(way) for way in ways])) - jnp.mean(jnp.diagonal(logits))


def sigmoid_contrastive(x: Array, y: Array, scale: Array, bias: Array) -> Array:
    """Every pair by itself, matching or not."""
    logits = scale * inner(x, y) + bias
    matching = jnp.eye(len(x), dtype=bool)
    return jnp.sum(jax.nn.softplus(jnp.where(matching, -logits, logits))) / len(x)


def normalized_softmax(labels: Array, x: Array, weights: Array, temperature: Array) -> Array:
    """The softmax of the cosines to all classes; over [row, class], as all that follow."""
    return _entropy(labels, _cosines(x, weights) / temperature)


def am_softmax(labels: Array, x: Array, weights: Array, margin: Array, scale: Array) -> Array:
    """The own cosine less a margin."""
    return _entropy(labels, scale * _less(_cosines(x, weights), margin, _own(labels, weights)))


def aam_softmax(labels: Array, x: Array, weights: Array, margin: Array, scale: Array) -> Array:
    """The own angle and a margin."""
    cosines = _cosines(x, weights)
    angles = jnp.arccos(jnp.take_along_axis(cosines, labels[:, None], axis=1))
    return _entropy(labels, scale * jnp.where(_own(labels, weights), jnp.cos(angles + margin), cosines))


def sphereface2(
    labels: Array, x: Array, weights: Array, margin: Array, scale: Array, bias: Array, exponent: Array, balance: Array
) -> Array:
    """Each class by itself, is the row of it or not?"""
    spread, own = 2 * ((_cosines(x, weights) + 1) / 2) ** exponent - 1, _own(labels, weights)
    pull, push = jax.nn.softplus(-scale * (spread - margin) - bias), jax.nn.softplus(scale * (spread + margin) + bias)
    return jnp.mean(jnp.sum(jnp.where(own, balance * pull, (1 - balance) * push), axis=1))


def proxy_nca(labels: Array, x: Array, weights: Array, scale: Array) -> Array:
    """The softmax of the squared distances of unit rows."""
    return _entropy(labels, scale * (2 * _cosines(x, weights) - 2))


def proxy_anchor(labels: Array, x: Array, weights: Array, margin: Array, scale: Array) -> Array:
    """Soft sums of each proxy over its own rows, and over all others."""
    cosines, own = _cosines(x, weights), _own(labels, weights)
    far = jax.nn.logsumexp(-scale * (cosines - margin), axis=0, where=own)
    near = jax.nn.logsumexp(scale * (cosines + margin), axis=0, where=~own)
    return jnp.mean(jax.nn.softplus(far), where=jnp.any(own, axis=0)) + jnp.mean(jax.nn.softplus(near))


def soft_triple(labels: Array, x: Array, weights: Array, scale: Array, gamma: Array, margin: Array) -> Array:
    """The centers of a class weighed by their softmax."""
    cosines = _cosines_of_centers(x, weights)
    similar = jnp.sum(jax.nn.softmax(cosines / gamma, axis=2) * cosines, axis=2)
    return _entropy(labels, scale * _less(similar, margin, _own(labels, weights)))


def _cosines(x: Array, weights: Array) -> Array:
    if weights.ndim == 3:
        return jnp.max(_cosines_of_centers(x, weights), axis=2)
    return inner(numerics.l2_normalize(x), numerics.l2_normalize(weights))


def _cosines_of_centers(x: Array, weights: Array) -> Array:
    return _cosines(x, weights.reshape(-1, weights.shape[-1])).reshape(len(x), len(weights), -1)


def _own(labels: Array, weights: Array) -> Array:
    return labels[:, None] == jnp.arange(len(weights))[None, :]


def _less(scores: Array, margin: Array, own: Array) -> Array:
    return jnp.where(own, scores - margin, scores)


def _entropy(labels: Array, logits: Array) -> Array:
    return jnp.mean(log_sum_exp(logits) - jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0])


def inner(x: Array, y: Array) -> Array:
    """All inner products, as precise as the losses compute them."""
    return jnp.matmul(x, y.T, precision="highest")


def others(labels: Array) -> Array:
    """Every pair of two rows."""
    return ~jnp.eye(len(labels), dtype=bool)


_PLAIN = (
    *(semi_hard, batch_all, batch_hard, contrastive, supervised_contrastive, nt_xent, nca, multi_similarity, circle),
    *(lifted_structure, tuplet_margin, angular_prototypical, prototypical, info_nce, sigmoid_contrastive),
    *(normalized_softmax, am_softmax, aam_softmax, sphereface2, proxy_nca, proxy_anchor, soft_triple),
)
TEXTBOOK: dict[str, Callable[..., Any]] = {
    **{one.__name__.replace("_", "-"): one for one in _PLAIN},
    "nt-xent-decoupled": partial(nt_xent, decoupled=True),
    "info-nce-symmetric": partial(info_nce, symmetric=True),
}
"""By the name of the loss: a function of labels and rows, or of two views, of class weights if it has them, and of the
loss's numbers."""
