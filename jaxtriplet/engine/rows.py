"""Who meets whom: the anchors of this device, and the candidates of all of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, numerics
from jaxtriplet.distances.forms import Form
from jaxtriplet.types import AxisName


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


def keep(values: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Returns the values [B, D] in the dtype to compute in, padding zeroed, and the mask [B] of rows to count."""
    values = numerics.widen(values)
    if where is None:
        return values, jnp.ones(values.shape[:1], bool)
    return jnp.where(where[:, None], values, 0), where


def meet(
    labels: ArrayLike, embeddings: ArrayLike, where: ArrayLike | None = None, axis_name: AxisName = None
) -> tuple[Rows, Rows]:
    """Returns the anchors, this device's rows, and the candidates, the rows of all devices.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D].
        where: Booleans [B], False for padding, or None.
        axis_name: The mapped axes over which the batch is spread, or None.

    Returns:
        Anchors of B rows, candidates of B times the number of devices.

    Raises:
        ValueError: The shapes or types do not fit.
    """
    own, rows, mask = _checks.batch(labels, embeddings, where)
    values, valid = keep(rows, mask)
    count = len(own)
    place = jnp.arange(count, dtype=jnp.int32)
    if axis_name is None:
        anchors = Rows(values, own, valid, place)
        return anchors, anchors
    anchors = Rows(values, own, valid, place + count * jax.lax.axis_index(axis_name))
    # What every device knows without being told is not gathered.
    everyone = count * jax.lax.axis_size(axis_name)
    values, own, mask = jax.lax.all_gather((values, own, mask), axis_name, tiled=True)
    valid = jnp.ones(everyone, bool) if mask is None else mask
    return anchors, Rows(values, own, valid, jnp.arange(everyone, dtype=jnp.int32))


def prepare(form: Form, frame: Any, anchors: Rows, candidates: Rows) -> tuple[Any, Any]:
    """Returns what a distance takes of each anchor, and of each candidate; the same if the rows are the same."""
    of_candidates = form.rows_fn(candidates.values, candidates.valid, frame)
    if anchors.values is candidates.values:
        return of_candidates, of_candidates
    return form.rows_fn(anchors.values, anchors.valid, frame), of_candidates


def pairs(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns which candidates are positives, and which are negatives, of which anchors: booleans [candidate, anchor].

    A positive is another row (by its place in the batch of all devices, not on the diagonal: a device's anchors are a
    slice of the candidates) with the anchor's label; a negative has another label; padding is neither.
    """
    both = candidates.valid[:, None] & anchors.valid[None, :]
    alike = candidates.labels[:, None] == anchors.labels[None, :]
    other = candidates.place[:, None] != anchors.place[None, :]
    return both & alike & other, both & ~alike
