"""Padded sequences: which frames of a row count, and sums over those alone."""

import jax
import jax.numpy as jnp

from jaxtriplet.numerics import safe_divide


def valid(lengths: jax.Array, size: int) -> jax.Array:
    """Returns which of `size` frames lie within each row's length, [B] -> [B, size]."""
    frame = jnp.arange(size, dtype=lengths.dtype)
    return frame[None, :] < lengths[:, None]


def keep(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns `values`, [B, T] or [B, T, F], with 0 past each row's length, whatever stood there."""
    where = valid(lengths, values.shape[1])
    return jnp.where(where.reshape(where.shape + (1,) * (values.ndim - 2)), values, 0)


def mean(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns each row's mean over its valid frames, [B, T, F] -> [B, 1, F] or [B, T] -> [B, 1]; 0 if it has none."""
    total = jnp.sum(keep(values, lengths), axis=1, keepdims=True)
    return safe_divide(total, lengths.astype(values.dtype).reshape((-1,) + (1,) * (values.ndim - 1)))


def check(name: str, values: jax.Array, shape: str, lengths: jax.Array, keys: jax.Array | None = None) -> None:
    """Checks floats of a shape such as "[B, T, 80]" (letters stand for any size), and one length and key per row.

    Raises:
        ValueError: They do not match.
    """
    wanted = shape.strip("[]").split(", ")
    fits = values.ndim == len(wanted) and all(
        not w.isdigit() or int(w) == n for w, n in zip(wanted, values.shape, strict=True)
    )
    if not fits or not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats of shape {shape}; got {values.dtype} of shape {list(values.shape)}")
    rows = values.shape[:1]
    if lengths.shape != rows or not jnp.issubdtype(lengths.dtype, jnp.integer):
        seen = f"{lengths.dtype} of shape {list(lengths.shape)}"
        raise ValueError(f"lengths must be integers of shape {list(rows)}; got {seen}")
    if keys is not None and keys.shape[:1] != rows:
        raise ValueError(f"keys must hold one key per row, {list(rows)}; got shape {list(keys.shape)}")
