"""Arithmetic that stays finite where the textbook's does not, in value and in gradient."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet.types import Precision

# A squared norm below this belongs to a row too short to have a direction (shorter than 1e-6); dividing by a smaller
# one than that, `finfo.tiny` say, has gradients that overflow float32.
SHORTEST_SQUARED = 1e-12

# Three products of halves in bfloat16, what "fast" asks of a product of float32 matrices.
FAST = jax.lax.DotAlgorithmPreset.BF16_BF16_F32_X3

# Keras' epsilon, to which the siamese KL-divergence net clips its probabilities.
SMALLEST_PROBABILITY = 1e-7


def compute_dtype(x: jax.Array) -> jnp.dtype:
    """Returns the dtype to compute in: float32 for half precision and for float32, float64 for float64."""
    return jnp.dtype(jnp.float64 if x.dtype == jnp.float64 else jnp.float32)


def widen(x: jax.Array) -> jax.Array:
    """Returns an array in the dtype to compute in; a gradient that float16 cannot hold becomes the largest that it can.

    The derivative of a short row's direction is the inverse of its length, and float16 ends at 65,504.
    """
    return _widen(x) if x.dtype == jnp.float16 else x.astype(compute_dtype(x))


@jax.custom_vjp
def _widen(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32)


def _narrow(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    most = float(jnp.finfo(jnp.float16).max)
    return (jnp.where(jnp.isfinite(gradient), jnp.clip(gradient, -most, most), gradient).astype(jnp.float16),)


_widen.defvjp(lambda x: (_widen(x), None), _narrow)


def inner(x: jax.Array, y: jax.Array, precision: Precision = "exact") -> jax.Array:
    r"""Returns the inner products of all rows, `[M, D], [N, D] -> [M, N]`, and so are those of its derivative made.

    Accelerators multiply float32 matrices in bfloat16 or TF32 unless asked otherwise, and
    $|x|^2 - 2 \langle x, y \rangle + |y|^2$ cancels. "fast" asks for three products of halves in bfloat16, which a CPU
    makes one of float32; float64 has none.
    """
    is_fast = precision == "fast" and x.dtype == y.dtype == jnp.float32
    return jnp.matmul(x, y.T, precision=FAST if is_fast else jax.lax.Precision.HIGHEST)


def safe_divide(numerator: jax.Array, count: jax.Array) -> jax.Array:
    """Returns `numerator / count`, and where the count is 0, 0, or a NaN that must not vanish."""
    return jnp.where(count > 0, numerator, 0 * numerator) / jnp.where(count > 0, count, 1)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Returns the square root, with gradient 0 (not infinity) at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0 * x)


def power_of_two(x: jax.Array) -> jax.Array:
    """Returns a power of two near each number, by which rows are divided without rounding; 1 for 0, inf and NaN."""
    x = jax.lax.stop_gradient(x)
    limits = jnp.finfo(x.dtype)
    exponent = jnp.clip(jnp.frexp(x)[1], limits.minexp, limits.maxexp - 2)  # its inverse is a normal number too
    return jnp.where((x > 0) & jnp.isfinite(x), jnp.ldexp(jnp.ones_like(x), exponent), 1)


def _reach(x: jax.Array) -> jax.Array:
    """Returns a power of two near the largest number of each row, [..., 1]: its square would overflow, or vanish."""
    return power_of_two(jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0))


def norm(x: jax.Array) -> jax.Array:
    """Returns the Euclidean norm of the last axis, with gradient 0 at 0."""
    reach = _reach(x)
    return safe_sqrt(jnp.sum(jnp.square(x / reach), axis=-1)) * reach[..., 0]


def soft_unit(x: jax.Array) -> jax.Array:
    r"""Returns rows of about unit length, $x / \sqrt{|x|^2 + 10^{-6}}$: the normalisation of GE2E, smooth at 0."""
    reach = jnp.maximum(_reach(x), 1)
    x = x / reach
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-6 / jnp.square(reach))


def has_direction(x: jax.Array) -> jax.Array:
    """Returns which rows are not too short for one, [..., 1]."""
    return jnp.sum(jnp.square(x), axis=-1, keepdims=True) > SHORTEST_SQUARED


def l2_normalize(embeddings: ArrayLike) -> jax.Array:
    r"""Scales rows to unit Euclidean length.

    $$x \mapsto x / |x|$$

    A row shorter than 1e-6 has no direction worth the name: it is returned as it is, so that value and gradient stay
    finite (an all-zero row stays zero).

    Args:
        embeddings: Floats [..., D].

    Returns:
        The rows at unit length, in the shape and dtype of the input.

    Raises:
        ValueError: They are no floats.

    Example:
        >>> import jax.numpy as jnp
        >>> l2_normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    try:
        rows = jnp.asarray(embeddings)
    except Exception as error:  # whatever another library's arrays raise
        why = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"embeddings must be floats of shape [..., D]; got {type(embeddings).__name__}: {why}"
        ) from error
    if not jnp.issubdtype(rows.dtype, jnp.floating) or not rows.ndim:
        raise ValueError(f"embeddings must be floats of shape [..., D]; got {rows.dtype} of shape {list(rows.shape)}")
    x = widen(rows)
    lengthy = has_direction(x)
    x = x / jnp.where(lengthy, _reach(x), 1)
    squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return (x / jnp.sqrt(jnp.where(lengthy, squared, 1))).astype(rows.dtype)


def unit_less(x: jax.Array, centre: jax.Array) -> jax.Array:
    """Returns `l2_normalize(x) - centre` to the last digits of the difference, where the rows [B, D] are all alike."""
    lengthy, c = has_direction(x), centre[None, :]
    row = x / jnp.where(lengthy, _reach(x), 1)
    scale = jax.lax.rsqrt(jnp.where(lengthy, jnp.sum(jnp.square(row), axis=1, keepdims=True), 1))
    # Products of halves are exact: row * scale - c is rounded as if computed in twice the precision.
    (head, tail), (most, rest) = _halves(row), _halves(scale)
    less = (head * most - c) + (head * rest + tail * most) + tail * rest
    # The scale was rounded, so the rows are of length 1 + beyond.
    beyond = jnp.sum(c * c) - 1 + jnp.sum((2 * c + less) * less, axis=1, keepdims=True)
    beyond = jnp.where(lengthy, beyond / (1 + jnp.sqrt(jnp.maximum(1 + beyond, 0))), 0)
    return (less - c * beyond) / (1 + beyond)


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns two numbers of half as many digits that add up to each x."""
    limits = jnp.finfo(x.dtype)
    head = jax.lax.reduce_precision(x, exponent_bits=limits.nexp, mantissa_bits=limits.nmant // 2)
    return head, x - head


def evidence(x: jax.Array) -> jax.Array:
    """Returns a number for each row [B, ...], finite if the row is, which has next to no gradient: see `poison`."""
    return jnp.sum(x * 2.0**-32, axis=tuple(range(1, x.ndim)))  # which does not overflow


def nan_where(mask: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Returns NaN where the mask is True, else 0; by arithmetic, so that where there is none, none is ever made."""
    return jnp.sqrt(-mask.astype(dtype))


def poison(total: jax.Array, *evidence: jax.Array) -> jax.Array:
    """Returns `total`, or NaN in all of it, and in every gradient, if any of the evidence is not finite.

    Comparisons, minima and maxima drop a NaN, and so does the slope of a hinge: a batch with one would look healthy.
    """
    all_ = jnp.concatenate([jnp.ravel(array).astype(total.dtype) for array in evidence])
    # Adding nothing of the evidence gives it a gradient, of nothing or of NaN.
    nothing = nan_where(~jnp.all(jnp.isfinite(all_)), total.dtype)
    return total * (1 + nothing) + nothing * jnp.sum(all_ / max(1, all_.size))
