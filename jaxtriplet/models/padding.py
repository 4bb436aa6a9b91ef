"""Padded sequences: which frames of a row count, sums over those alone, and keys for each row."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.numerics import safe_divide


def valid(lengths: jax.Array, size: int) -> jax.Array:
    """Returns which of `size` frames lie within each length, [...] -> [..., size]."""
    frame = jnp.arange(size, dtype=lengths.dtype)
    return jnp.expand_dims(frame, range(lengths.ndim)) < lengths[..., None]


def keep(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns `values`, [..., T] or [..., T, F], with 0 past each length, [...], whatever stood there."""
    where = valid(lengths, values.shape[lengths.ndim])
    return jnp.where(where.reshape(where.shape + (1,) * (values.ndim - where.ndim)), values, 0)


def mean(values: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns each row's mean over its valid frames, [B, T, F] -> [B, 1, F] or [B, T] -> [B, 1]; 0 if it has none."""
    total = jnp.sum(keep(values, lengths), axis=1, keepdims=True)
    return safe_divide(total, lengths.astype(values.dtype).reshape((-1,) + (1,) * (values.ndim - 1)))


def split_keys(keys: jax.Array, number: int) -> jax.Array:
    """Returns as many new keys for every row, [B] -> [number, B]."""
    return jax.vmap(partial(jax.random.split, num=number), out_axes=1)(keys)


def checked(
    name: str, values: ArrayLike, shape: str, lengths: ArrayLike, keys: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Returns values and lengths as JAX's arrays, having checked that rows match.

    Args:
        name: What to call the values.
        values: Floats.
        shape: Their shape, such as "[B, T, 80]"; letters stand for any size.
        lengths: One integer per row.
        keys: One PRNG key per row, or None.

    Raises:
        ValueError: They do not match.
    """
    values = jnp.asarray(_checks.taken(values, f"{name} must be floats of shape {shape}"))
    lengths = jnp.asarray(_checks.taken(lengths, "lengths must be integers, one for each row"))
    sizes = shape.strip("[]").split(", ")
    fits = values.ndim == len(sizes) and all(
        not size.isdigit() or int(size) == found for size, found in zip(sizes, values.shape, strict=True)
    )
    if not fits or not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"{name} must be floats of shape {shape}; got {_checks.seen(values)}")
    rows = values.shape[:1]
    if lengths.shape != rows or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths must be integers of shape {list(rows)}; got {_checks.seen(lengths)}")
    if keys is not None and getattr(keys, "shape", ())[:1] != rows:
        got = f"shape {list(keys.shape)}" if hasattr(keys, "shape") else repr(keys)
        makes = f"`jax.random.split(key, {len(values)})` makes them"
        raise ValueError(f"keys must hold one key per row, {list(rows)}; got {got}; {makes}")
    return values, lengths
