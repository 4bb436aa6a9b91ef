"""Rows of earlier batches as candidates: cross-batch memory.

An encoder moves slowly, so that its embeddings of some batches ago are still of use: as candidates for the anchors of
a batch, without gradient. Every loss of a batch takes `memory`. Push the rows of a step **after** its loss: a row that
is in the memory already is another row to the loss, and would be its own positive.

>>> import jax.numpy as jnp
>>> import jaxtriplet as jt
>>> memory = jt.memory.create(size=4, dim=2)
>>> labels, embeddings = jnp.array([0, 1]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
>>> float(jt.batch_hard(labels, embeddings, memory=memory))  # nothing to compare with
0.0
>>> memory = jt.memory.push(memory, labels, embeddings)
>>> round(float(jt.batch_hard(labels, embeddings + 0.5, 1.0, memory=memory)), 4)
0.2929

Reference:
    Wang, Zhang, Huang and Scott, "Cross-Batch Memory for Embedding Learning", 2020.
"""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.engine.rows import Rows, meet
from jaxtriplet.types import AxisName, Memory


def create(size: int, dim: int) -> Memory:
    """Returns an empty memory, of 32-bit labels and numbers; under `jax_enable_x64`, of 64-bit ones.

    Args:
        size: How many rows it holds, M.
        dim: Numbers in a row, D.

    Returns:
        A memory, a tree of arrays that a training state can hold.

    Raises:
        ValueError: A size is not a whole number above 0.

    Example:
        >>> create(8, 2).embeddings.shape
        (8, 2)
    """
    _checks.positive_integer("size", size)
    _checks.positive_integer("dim", dim)
    empty = jnp.zeros(size, bool)
    return Memory(jnp.zeros(size, int), jnp.zeros((size, dim), float), empty, jnp.zeros((), jnp.int32))


def push(
    memory: Memory,
    labels: ArrayLike,
    embeddings: ArrayLike,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> Memory:
    """Returns the memory with the rows of a batch in it, in the place of the oldest.

    Args:
        memory: A memory of M rows.
        labels: Integers [B].
        embeddings: Floats [B, D]; they are kept without gradient, in the type of the memory's. One that is not finite
            comes in, and makes every loss NaN that meets it.
        where: Booleans [B]; False rows are padding, and do not come in.
        axis_name: Mapped axes over which the batch is spread: the rows of all devices come in, on every device.

    Returns:
        A memory of M rows; of more rows than that, the last.

    Raises:
        ValueError: It is no memory, or the shapes or types do not fit.

    Example:
        >>> memory = push(create(2, 1), jnp.array([5, 6, 7]), jnp.array([[0.5], [0.6], [0.7]]))
        >>> sorted(memory.labels.tolist())
        [6, 7]
    """
    given = _checks.by_name("memory", memory)
    return cast(Memory, _pushed(labels, embeddings, where=where, axis_name=axis_name, memory=given))


@_checks.entry
def _pushed(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
    memory: Any = None,
) -> Memory:
    rows, _ = meet(labels, embeddings, where, memory=memory)  # whose labels are of the memory's type then
    given, size = Memory(*map(jnp.asarray, memory)), len(memory.labels)
    rows = jax.lax.stop_gradient(rows) if axis_name is None else _of_all_devices(rows, axis_name)
    order = jnp.cumsum(rows.valid, dtype=jnp.int32)  # of the valid rows, from 1
    number = order[-1] if len(order) else jnp.zeros((), jnp.int32)
    comes_in = rows.valid & (order > number - size)
    at = jnp.where(comes_in, (given.next + order - 1) % size, size)  # past the end: dropped
    return Memory(
        labels=given.labels.at[at].set(rows.labels, mode="drop"),
        embeddings=given.embeddings.at[at].set(rows.values.astype(given.embeddings.dtype), mode="drop"),
        valid=given.valid.at[at].set(True, mode="drop"),
        next=(given.next + number) % size,
    )


def _of_all_devices(rows: Rows, axis_name: AxisName) -> Rows:
    """Returns the rows of all devices, by a sum: to shard_map, what is gathered would differ from device to device."""
    count = len(rows.labels)
    begin, everyone = count * jax.lax.axis_index(axis_name), count * jax.lax.axis_size(axis_name)

    def sum_of(part: jax.Array) -> jax.Array:
        whole = jnp.zeros((everyone, *part.shape[1:]), part.dtype)
        return jax.lax.psum(jax.lax.dynamic_update_slice_in_dim(whole, part, begin, axis=0), axis_name)

    values, labels, valid, place = jax.lax.stop_gradient(rows)
    values, labels, number = jax.tree.map(sum_of, (values, labels, valid.astype(jnp.int32)))
    return Rows(values, labels, number > 0, jnp.arange(everyone, dtype=place.dtype))
