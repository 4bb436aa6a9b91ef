r"""Pairwise distances `distance_fn(x [M, D], y [N, D]) -> [M, N]`; smaller is closer.

Any pure function of this form works in every triplet loss. It is a static argument: define it once, at module level (a
new lambda compiles anew), and let it close over no traced value (a learned metric transforms the embeddings first).

**How exact.** Half precision is computed in float32. All but `inner_product` are computed from rows less the batch's
mean, so that rows which are all alike keep their distances and gradients to the last digits. Within a batch that is
spread out, a distance too small to be told from rounding counts as exactly 0, with gradient 0: in float32, Euclidean
distances below about 0.0017 of centred rows of length 1 and 256 numbers. One matrix product gives no more.
"""

import jax

from jaxtriplet.distances import divergence, forms
from jaxtriplet.types import DistanceFn


def squared_euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Squared Euclidean distance, $|x|^2 + |y|^2 - 2 \langle x, y \rangle$.

    Args:
        x: Floats [M, D].
        y: Floats [N, D].

    Returns:
        Floats [M, N], at least 0.

    Example:
        >>> import jax.numpy as jnp
        >>> squared_euclidean(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]])).tolist()
        [[25.0]]
    """
    return forms.SQUARED_EUCLIDEAN.between(x, y)


def euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Euclidean distance, $|x - y|$, with gradient 0 where it is 0.

    Args:
        x: Floats [M, D].
        y: Floats [N, D].

    Returns:
        Floats [M, N], at least 0.

    Example:
        >>> import jax.numpy as jnp
        >>> euclidean(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]])).tolist()
        [[5.0]]
    """
    return forms.EUCLIDEAN.between(x, y)


def cosine(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Cosine distance, $1 - \langle x, y \rangle / (|x| |y|)$; an all-zero row is at distance 1 from every other.

    Args:
        x: Floats [M, D], of any length.
        y: Floats [N, D], of any length.

    Returns:
        Floats [M, N] from 0 to 2.

    Example:
        >>> import jax.numpy as jnp
        >>> cosine(jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).round(3).tolist()
        [[0.0, 1.0, 2.0]]
    """
    return forms.COSINE.between(x, y)


def inner_product(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Inner-product distance, $1 - \langle x, y \rangle$: the cosine distance of rows that have unit length already.

    Args:
        x: Floats [M, D].
        y: Floats [N, D].

    Returns:
        Floats [M, N], of any sign if the rows are longer than 1.

    Example:
        >>> import jax.numpy as jnp
        >>> inner_product(jnp.array([[1.0, 0.0]]), jnp.array([[0.75, 0.5]])).tolist()
        [[0.25]]
    """
    return forms.INNER_PRODUCT.between(x, y)


def kl(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Kullback-Leibler divergence of softmax distributions, $\sum_c p_c \log (p_c / q_c)$; not symmetric.

    Args:
        x: Logits [M, C] of p.
        y: Logits [N, C] of q.

    Returns:
        Floats [M, N] in nats, at least 0.

    Example:
        >>> import jax.numpy as jnp
        >>> p, q = jnp.log(jnp.array([[0.5, 0.5]])), jnp.log(jnp.array([[0.25, 0.75]]))
        >>> round(float(kl(p, q)[0, 0]), 4), round(float(kl(q, p)[0, 0]), 4)
        (0.1438, 0.1308)

    Reference:
        Kullback and Leibler, "On information and sufficiency", 1951.
    """
    return divergence.KL.between(x, y)


def probability_kl(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Kullback-Leibler divergence of probability vectors, clipped to [1e-7, 1] as in Keras.

    $$\sum_c p_c \log (p_c / q_c)$$

    Args:
        x: Probability vectors [M, C], p.
        y: Probability vectors [N, C], q.

    Returns:
        Floats [M, N] in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(probability_kl(jnp.array([[0.5, 0.5]]), jnp.array([[0.25, 0.75]]))[0, 0]), 4)
        0.1438
    """
    return divergence.PROBABILITY_KL.between(x, y)


def symmetric_kl(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Symmetric Kullback-Leibler divergence of softmax distributions, $KL(p \| q) + KL(q \| p)$.

    Args:
        x: Logits [M, C] of p.
        y: Logits [N, C] of q.

    Returns:
        Floats [M, N] in nats, at least 0.

    Example:
        >>> import jax.numpy as jnp
        >>> p, q = jnp.log(jnp.array([[0.5, 0.5]])), jnp.log(jnp.array([[0.25, 0.75]]))
        >>> round(float(symmetric_kl(p, q)[0, 0]), 4)
        0.2747
    """
    return divergence.SYMMETRIC_KL.between(x, y)


_FORMS: dict[DistanceFn, forms.Form] = {
    squared_euclidean: forms.SQUARED_EUCLIDEAN,
    euclidean: forms.EUCLIDEAN,
    cosine: forms.COSINE,
    inner_product: forms.INNER_PRODUCT,
    kl: divergence.KL,
    probability_kl: divergence.PROBABILITY_KL,
    symmetric_kl: divergence.SYMMETRIC_KL,
}


def form_of(distance_fn: DistanceFn | None) -> forms.Form:
    """Returns a distance in two steps, of which the first is done once for every row.

    Args:
        distance_fn: One of these distances, or any other; None for inner products.

    Returns:
        What losses take of it; see `jaxtriplet.distances.forms`.

    Example:
        >>> form_of(euclidean).is_symmetric, form_of(lambda x, y: x @ y.T).is_symmetric
        (True, False)
    """
    if distance_fn is None:
        return forms.SIMILARITY
    return _FORMS.get(distance_fn) or forms.brought(distance_fn)
