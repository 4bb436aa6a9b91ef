"""Losses, the products that no loss can do without, and the batches that they are given."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.tools.bench.with_jax import graded
from jaxtriplet.tools.bench.worker import make_batch
from jaxtriplet.tools.losses import find, of_two_views
from stages.session import Program

DIM, ROWS_PER_CLASS = 256, 8
# Of random unit rows, whose squared distances are about 2: semi-hard's own margin would leave no triplet out.
NUMBERS: Mapping[str, Mapping[str, float]] = {"semi-hard": {"margin": 0.2}}
# The largest tile of the products: 256 MiB of float32.
LARGEST = 2**26


def missing(loss: str, options: Mapping[str, Any]) -> str | None:
    """Returns which keyword a loss does not have, in words, or None."""
    lacking = [name for name in options if name not in find(loss).signature.parameters]
    return f"it has no {', '.join(lacking)}" if lacking else None


def batch_of(loss: str, batch_size: int, dim: int = DIM) -> tuple[np.ndarray, ...]:
    """Returns shuffled labels and unit rows, or two views, as `jaxtriplet bench` draws them."""
    return make_batch(batch_size, None if of_two_views(find(loss)) else ROWS_PER_CLASS, dim)


def program_of(
    loss: str, batch: tuple[jax.Array, ...], options: Mapping[str, Any], *, textbook: bool = False
) -> Program:
    """Returns value and gradient of a loss as a program; its numbers are traced, as in training.

    Args:
        loss: Its name in commands.
        batch: On the device.
        options: Keywords.
        textbook: Whether to take the formula over all pairs or triplets in place of this library's.
    """
    given = find(loss).numbers | NUMBERS.get(loss, {})
    numbers = {name: jnp.float32(value) for name, value in given.items()}
    rows = tuple(place for place, array in enumerate(batch) if array.ndim > 1)
    return Program(graded(loss, rows, options, textbook=textbook), (*batch, numbers))


def products(x: jax.Array, y: jax.Array, precision: Any) -> tuple[jax.Array, jax.Array]:
    """The three products of a loss: all inner products, and both sides' gradients of a matrix of as many weights.

    In tiles of anchors where the matrix is large, so that this floor needs no more memory than a loss.
    """
    multiply = partial(jnp.matmul, precision=precision, preferred_element_type=jnp.float32)
    count = min(len(x), LARGEST // len(y))

    def tile(by_columns: jax.Array, anchors: jax.Array) -> tuple[jax.Array, jax.Array]:
        weights = (multiply(anchors, y.T) / 2).astype(x.dtype)
        return by_columns + multiply(weights.T, anchors), multiply(weights, y)

    zero = jnp.zeros(y.shape, jnp.float32)
    if count == len(x):
        by_columns, by_rows = tile(zero, x)
    else:
        by_columns, by_rows = jax.lax.scan(tile, zero, x.reshape(-1, count, x.shape[1]))
    return by_rows.reshape(x.shape), by_columns
