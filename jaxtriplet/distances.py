"""Pairwise distances `distance_fn(x [M, D], y [N, D]) -> [M, N]`; smaller is closer.

Any pure function of this form works in every triplet loss. It is a static argument: define it once, at module level (a
new lambda compiles anew), and let it close over no traced value (a learned metric transforms the embeddings first).

**Zero.** One rule everywhere: a distance too small to be told from rounding counts as exactly 0, with gradient 0 (in
float32, Euclidean distances of unit rows of 256 numbers below about 0.0017).
"""

import jax
import jax.numpy as jnp

from jaxtriplet import numerics


def _rounds_to_zero(distance: jax.Array, size: jax.Array, width: int) -> jax.Array:
    # Between a row of D floats and its copy, sums of products in two orders were seen to leave up to 1 epsilon of the
    # terms' size at D = 2, 4 at 64, 8 at 256 and 20 at 2048: rounding that walks as the square root of D.
    root = width**0.5 if isinstance(width, int) else jnp.sqrt(jnp.asarray(width, distance.dtype))  # for `jax.export`
    allowance = 4 + root / 2
    return jnp.abs(distance) <= allowance * jnp.finfo(distance.dtype).eps * size


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
    size = jnp.sum(jnp.square(x), axis=1)[:, None] + jnp.sum(jnp.square(y), axis=1)[None, :]
    squared = size - 2 * numerics.inner(x, y)
    return jnp.where(_rounds_to_zero(squared, size, x.shape[1]), 0, squared)


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
    return numerics.safe_sqrt(squared_euclidean(x, y))


def cosine(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Cosine distance, $1 - \langle x, y \rangle / (|x| |y|)$; an all-zero row is at distance 1 from every other.

    Args:
        x: Floats [M, D], of any length.
        y: Floats [N, D], of any length.

    Returns:
        Floats [M, N] from 0 to 2.

    Example:
        >>> import jax.numpy as jnp
        >>> cosine(jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).tolist()
        [[0.0, 1.0, 2.0]]
    """
    distance = inner_product(numerics.l2_normalize(x), numerics.l2_normalize(y))
    return jnp.where(_rounds_to_zero(distance, jnp.ones_like(distance), x.shape[1]), 0, distance)


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
    return 1 - numerics.inner(x, y)


def _divergence(x: jax.Array, y: jax.Array, *, from_logits: bool) -> jax.Array:
    p, log_p = numerics.log_probabilities(x, from_logits=from_logits)
    _, log_q = numerics.log_probabilities(y, from_logits=from_logits)
    negative_entropy = jnp.sum(p * log_p, axis=1)[:, None]
    cross = numerics.inner(p, log_q)
    divergence = negative_entropy - cross
    size = jnp.abs(negative_entropy) + jnp.abs(cross)
    return jnp.where(_rounds_to_zero(divergence, size, x.shape[1]), 0, divergence)


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
    return _divergence(x, y, from_logits=True)


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
    return _divergence(x, y, from_logits=False)


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
    return kl(x, y) + kl(y, x).T


# Those for which d(x, y) = d(y, x), so that a matrix of them need not be transposed.
SYMMETRIC = frozenset({squared_euclidean, euclidean, cosine, inner_product, symmetric_kl})
