"""Who meets whom: the anchors of this device, and the candidates of all of them."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, numerics
from jaxtriplet.distances.forms import Form
from jaxtriplet.types import AxisName, Exchange, Memory


class Rows(NamedTuple):
    """Rows of a batch; padding is zero in `values`, so that whatever it held cannot reach any arithmetic."""

    values: jax.Array
    """Floats [B, D], at least float32."""
    labels: jax.Array
    """Integers [B]."""
    valid: jax.Array
    """Booleans [B], False for padding."""
    place: jax.Array
    """Integers [B]: the row's place in the batch of all devices. Two rows are one and the same if these agree."""

    @property
    def vectors(self) -> int:
        """How many vectors there are; of classes of several centres, all of these."""
        return math.prod(self.values.shape[:-1])


def keep(values: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Returns the values [B, D] in the dtype to compute in, padding zeroed, and the mask [B] of rows to count."""
    values = numerics.widen(values)
    if where is None:
        return values, jnp.ones(values.shape[:1], bool)
    return jnp.where(where[:, None], values, 0), where


def meet(
    labels: ArrayLike,
    embeddings: ArrayLike,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
    *,
    memory: Memory | None = None,
    exchange: Exchange = "gather",
) -> tuple[Rows, Rows]:
    """Returns the anchors, this device's rows, and the candidates, the rows of all devices.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D].
        where: Booleans [B], False for padding, or None.
        axis_name: The mapped axes over which the batch is spread, or None.
        memory: Rows of earlier batches, which are candidates too, or None; the same on every device.
        exchange: "gather", or "ring": the candidates are those of this device, which `measure` sends around.

    Returns:
        Anchors of B rows, candidates of B times the number of devices, and then those of the memory.

    Raises:
        ValueError: The shapes or types do not fit.
    """
    own, rows, mask = _checks.batch(labels, embeddings, where)
    if memory is not None:
        memory = jax.lax.stop_gradient(_checks.memory(memory, own, rows))
        own = own.astype(memory.labels.dtype)
    values, valid = keep(rows, mask)
    count = len(own)
    place = jnp.arange(count, dtype=jnp.int32)
    if axis_name is None:
        anchors = Rows(values, own, valid, place)
        return anchors, _remembered(anchors, memory, count)
    anchors = Rows(values, own, valid, place + count * jax.lax.axis_index(axis_name))
    everyone = count * jax.lax.axis_size(axis_name)
    if exchange == "ring":
        return anchors, _remembered(anchors, memory, everyone, axis_name)
    # What every device knows without being told is not gathered.
    values, own, mask = jax.lax.all_gather((values, own, mask), axis_name, tiled=True)
    valid = jnp.ones(everyone, bool) if mask is None else mask
    return anchors, _remembered(Rows(values, own, valid, jnp.arange(everyone, dtype=jnp.int32)), memory, everyone)


def _remembered(rows: Rows, memory: Memory | None, everyone: int, axis_name: AxisName = None) -> Rows:
    """Returns candidates and, after those of all devices, the rows of the memory; on a ring, this device's share."""
    if memory is None:
        return rows
    values, valid = keep(memory.embeddings, memory.valid)
    place = everyone + jnp.arange(len(values), dtype=jnp.int32)
    earlier = Rows(values.astype(rows.values.dtype), memory.labels, valid, place)
    if axis_name is not None:
        earlier = share_of(earlier, axis_name)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), rows, earlier)


def share_of(rows: Rows, axis_name: AxisName) -> Rows:
    """Returns this device's share of rows that all devices have; zeros fill up the last: rows that are not valid."""
    size, index = jax.lax.axis_size(axis_name), jax.lax.axis_index(axis_name)
    share = -(-len(rows.labels) // size)

    def cut(part: jax.Array) -> jax.Array:
        filled = jnp.pad(part, ((0, share * size - len(part)), *((0, 0),) * (part.ndim - 1)))
        return jax.lax.dynamic_slice_in_dim(filled, index * share, share)

    return jax.tree.map(cut, rows)


def face(
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
    axis_name: AxisName = None,
    *,
    ids: jax.Array | None = None,
    exchange: Exchange = "gather",
) -> tuple[Rows, Rows]:
    """Returns two views of the same things: row i of `x` [B, D] belongs to row i of `y` [N, D].

    Args:
        x: Floats, the anchors.
        y: Floats, the candidates, at least as many.
        where: Booleans [B], False for padding, in both; or None.
        axis_name: The mapped axes over which both are spread, or None.
        ids: Integers [N]: candidates of one id are the same thing; None: all differ.
        exchange: As in `meet`.

    Returns:
        Anchors of B rows, and candidates of N times the number of devices; `views` says who is whose.
    """
    (values, valid), count = keep(x, where), len(y)
    more = None if where is None else jnp.concatenate([where, jnp.ones(count - len(x), bool)])
    others, allowed = keep(y, more)
    first = 0 if axis_name is None else count * jax.lax.axis_index(axis_name)
    place = first + jnp.arange(count, dtype=jnp.int32)
    labels = place if ids is None else ids
    anchors = Rows(values, labels[: len(x)], valid, place[: len(x)])
    candidates = Rows(others, labels, allowed, place)
    if axis_name is not None and exchange == "gather":
        candidates = jax.lax.all_gather(candidates, axis_name, tiled=True)
    return anchors, candidates


def _both_and_alike(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns of which pairs neither is padding, and which have one label, [candidate, anchor]."""
    both = candidates.valid[:, None] & anchors.valid[None, :]
    return both, candidates.labels[:, None] == anchors.labels[None, :]


def views(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns `pairs` of two views: the positive is the candidate of the anchor's place, negatives have other ids."""
    both, alike = _both_and_alike(anchors, candidates)
    same = candidates.place[:, None] == anchors.place[None, :]
    return both & same, both & ~alike


def of_class(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns `pairs` of rows and classes, each of which is there once: its own class, and all others."""
    both, alike = _both_and_alike(anchors, candidates)
    return both & alike, both & ~alike


def place_of_class(anchors: Rows, candidates: Rows) -> jax.Array:
    """Returns which candidate is each row's own class, [B], -1 for none of these; candidates are classes in order."""
    at, last = anchors.labels - candidates.labels[0], len(candidates.labels) - 1
    there = anchors.valid & (at >= 0) & (at <= last) & candidates.valid[jnp.clip(at, 0, last)]
    return jnp.where(there, at, -1)


def prepare(form: Form, frame: Any, anchors: Rows, candidates: Rows) -> tuple[Any, Any]:
    """Returns what a distance takes of each anchor, and of each candidate; the same if the rows are the same."""
    of_candidates = form.rows_fn(candidates.values, candidates.valid, frame)
    if anchors.values is candidates.values:
        return of_candidates, of_candidates
    return form.rows_fn(anchors.values, anchors.valid, frame), of_candidates


def at_least_one(tree: Any) -> Any:
    """Returns arrays of candidates or, if there are none, of one that is padding, so that there is one to gather."""
    if any(len(part) for part in jax.tree.leaves(tree)):
        return tree
    return jax.tree.map(lambda part: jnp.zeros_like(part, shape=(1, *part.shape[1:])), tree)


def as_strangers(anchors: Rows) -> Rows:
    """Returns anchors that are not among the candidates: none of these is the same row."""
    return anchors._replace(place=jnp.full_like(anchors.place, -1))


def for_each(numbers: Any, anchors: Rows) -> Any:
    """Returns numbers once for each anchor, [B].

    Then they vary over devices as the anchors do, which shard_map's check of replication asks for.
    """
    like = jnp.zeros_like(jnp.sum(anchors.values, axis=1))
    return jax.tree.map(lambda number: number + like, numbers)


def without_values(rows: Rows) -> Rows:
    """Returns rows of no number, for whom only labels and places matter."""
    return rows._replace(values=rows.values[..., :0])


def pairs(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns which candidates are positives, and which are negatives, of which anchors: booleans [candidate, anchor].

    A positive is another row (by its place in the batch of all devices, not on the diagonal: a device's anchors are a
    slice of the candidates) with the anchor's label; a negative has another label; padding is neither.
    """
    both, alike = _both_and_alike(anchors, candidates)
    other = candidates.place[:, None] != anchors.place[None, :]
    return both & alike & other, both & ~alike
