"""Arithmetic that stays finite where the textbook's does not, in value and in gradient."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

# A squared norm below this belongs to a row too short to have a direction (shorter than 1e-6); dividing by a smaller
# one than that, `finfo.tiny` say, has gradients that overflow float32.
SHORTEST_SQUARED = 1e-12

# Keras' epsilon, to which the siamese KL-divergence net clips its probabilities.
SMALLEST_PROBABILITY = 1e-7


def compute_dtype(x: jax.Array) -> jnp.dtype:
    """Returns the dtype to compute in: float32 for half precision and for float32, float64 for float64."""
    return jnp.dtype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    r"""Returns the inner products of all rows, `[M, D], [N, D] -> [M, N]`, in the full precision of the inputs.

    Accelerators multiply float32 matrices in bfloat16 or TF32 unless asked otherwise, and
    $|x|^2 - 2 \langle x, y \rangle + |y|^2$ cancels.
    """
    return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def safe_divide(numerator: jax.Array, count: jax.Array) -> jax.Array:
    """Returns `numerator / count`, and the numerator itself (0, or a NaN that must not vanish) where the count is 0."""
    return numerator / jnp.where(count > 0, count, 1)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Returns the square root, with gradient 0 (not infinity) at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0 * x)


def norm(x: jax.Array) -> jax.Array:
    """Returns the Euclidean norm of the last axis, with gradient 0 at 0."""
    return safe_sqrt(jnp.sum(jnp.square(x), axis=-1))


def soft_unit(x: jax.Array) -> jax.Array:
    r"""Returns rows of about unit length, $x / \sqrt{|x|^2 + 10^{-6}}$: the normalisation of GE2E, smooth at 0."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-6)


def l2_normalize(embeddings: ArrayLike) -> jax.Array:
    r"""Scales rows to unit Euclidean length.

    $$x \mapsto x / |x|$$

    A row shorter than 1e-6 has no direction worth the name: it is returned as it is, so that value and gradient stay
    finite (an all-zero row stays zero).

    Args:
        embeddings: Floats [..., D].

    Returns:
        The rows at unit length, in the shape and dtype of the input.

    Example:
        >>> import jax.numpy as jnp
        >>> l2_normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    rows = jnp.asarray(embeddings)
    x = rows.astype(compute_dtype(rows))
    squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return (x / jnp.sqrt(jnp.where(squared > SHORTEST_SQUARED, squared, 1))).astype(rows.dtype)


def log_probabilities(x: jax.Array, *, from_logits: bool) -> tuple[jax.Array, jax.Array]:
    """Returns the probabilities [..., C] that `x` stands for, and their logarithms.

    Logits go through log-softmax. Probability vectors are clipped to [1e-7, 1], as in Keras, and lose their gradient
    where they are.
    """
    if from_logits:
        logs = jax.nn.log_softmax(x, axis=-1)
        return jnp.exp(logs), logs
    clipped = jnp.clip(x, SMALLEST_PROBABILITY, 1)
    return clipped, jnp.log(clipped)


def poison(total: jax.Array, *evidence: jax.Array) -> jax.Array:
    """Returns `total`, or NaN in all of it, and in every gradient, if any of the evidence is not finite.

    Comparisons, minima and maxima drop a NaN, and so does the slope of a hinge: a batch with one would look healthy.
    """
    healthy = jnp.stack([jnp.all(jnp.isfinite(array)) for array in evidence]).all()
    # Adding nothing of the evidence gives it a gradient, of nothing or of NaN.
    nothing = jnp.where(healthy, 0, jnp.nan).astype(total.dtype)
    shares = [jnp.sum(nothing * (array / max(1, array.size))) for array in evidence]
    return total * (1 + nothing) + jnp.sum(jnp.stack(shares))
