"""The order of the candidates by label, in which the positives of an anchor follow each other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.engine.rows import Rows
from jaxtriplet.engine.tuning import Tuning, by_platform, plans


class Classes(NamedTuple):
    """Where each anchor's class lies in the order: integers [B]."""

    start: jax.Array
    size: jax.Array
    """0 for padding."""
    own: jax.Array
    """Where the anchor itself is; of a stranger, the place before its class."""
    positives: jax.Array
    """How many rows of the class are positives: all but the anchor itself."""
    negatives: jax.Array
    """How many valid rows are of other classes; 0 for padding."""


class Order(NamedTuple):
    """The candidates in order of label, padding last."""

    rows: jax.Array
    """Which candidate comes where, [N]."""
    largest: jax.Array
    """The size of the largest class."""
    most: jax.Array
    """The most positives that an anchor can have."""


def arrange(anchors: Rows, candidates: Rows, *, strangers: bool = False) -> tuple[Order, Classes]:
    """Returns the order of the candidates by label, and where in it each anchor's class is.

    Args:
        anchors: The rows to look for; the place of one that is a candidate is its place among the candidates.
        candidates: The rows to put in order.
        strangers: Whether no anchor is a candidate; else all are.
    """
    ways = plans(lambda tuning: _compared if _are_few(candidates, tuning) else _sorted)
    valid = candidates.valid & (candidates.labels == candidates.labels)  # varies over devices as the labels do
    labels = ((anchors.labels, anchors.valid, anchors.place), (candidates.labels, valid))
    rows, start, end, own, count, largest = by_platform(lambda way, *given: way(strangers, *given), ways, *labels)
    size = jnp.where(anchors.valid, end - start, 0)
    itself = 0 if strangers else 1
    positives, negatives = jnp.maximum(size - itself, 0), jnp.where(anchors.valid, count - size, 0)
    order = Order(rows, largest, jnp.maximum(largest - itself, 0))
    return order, Classes(start, size, own, positives, negatives)


def _are_few(candidates: Rows, tuning: Tuning) -> bool:
    return len(candidates.labels) <= tuning.compared


_Given = tuple[jax.Array, ...]


def _sorted(strangers: bool, anchors: _Given, candidates: _Given) -> tuple[jax.Array, ...]:
    """Returns rows, start, end, own; how many valid candidates there are, and in the largest class."""
    labels, valid = candidates
    rows = jnp.lexsort((labels, ~valid)).astype(jnp.int32)
    place = jnp.arange(len(rows), dtype=jnp.int32)
    labels, valid = labels[rows], valid[rows]
    changes = (labels[1:] != labels[:-1]) | (valid[1:] != valid[:-1])
    edge = jnp.ones_like(valid[:1])
    start = jax.lax.cummax(jnp.where(jnp.concatenate([edge, changes]), place, 0))
    end = jax.lax.cummin(jnp.where(jnp.concatenate([changes, edge]), place + 1, len(rows)), reverse=True)
    count, largest = jnp.sum(valid, dtype=jnp.int32), jnp.max(jnp.where(valid, end - start, 0), initial=0)
    if not strangers:
        own = jnp.zeros_like(rows).at[rows].set(place)[anchors[2]]
        return rows, start[own], end[own], own, count, largest
    # Padding comes last: with the greatest of labels it keeps the order, and is cut off again.
    ordered = jnp.where(valid, labels, jnp.iinfo(labels.dtype).max)
    sides = (jnp.searchsorted(ordered, anchors[0], side=side) for side in ("left", "right"))
    start, end = (jnp.minimum(side, count).astype(jnp.int32) for side in sides)
    return rows, start, end, start - 1, count, largest


def _compared(strangers: bool, anchors: _Given, candidates: _Given) -> tuple[jax.Array, ...]:
    """As `_sorted`."""
    labels, valid = candidates
    place = jnp.arange(len(labels), dtype=jnp.int32)
    count = _number(valid, 0)
    before, alike, earlier = _beside(labels, place, labels, valid)
    padding = _number(~valid[None, :] & (place[None, :] < place[:, None]), 1)
    rank = jnp.where(valid, before + earlier, count + padding)
    rows = jnp.zeros_like(place).at[rank].set(place, unique_indices=True)
    largest = jnp.max(jnp.where(valid, alike, 0), initial=0)
    start, size, _ = _beside(anchors[0], anchors[2], labels, valid)
    own = start - 1 if strangers else rank[anchors[2]]
    return rows, start, start + size, own, count, largest


def _beside(
    own: jax.Array, place: jax.Array, labels: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns how many valid rows have a smaller label, how many the same, and how many of these an earlier place."""
    alike = valid[None, :] & (labels[None, :] == own[:, None])
    earlier = jnp.arange(len(labels), dtype=jnp.int32)[None, :] < place[:, None]
    return _number(valid[None, :] & (labels[None, :] < own[:, None]), 1), _number(alike, 1), _number(alike & earlier, 1)


def _number(mask: jax.Array, axis: int) -> jax.Array:
    return jnp.sum(mask, axis, dtype=jnp.int32)


def columns(candidates: Rows, least: int = 1) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Numbers the classes that have so many rows or more, in the order of their labels.

    Args:
        candidates: The rows [N].
        least: How many rows a class must have.

    Returns:
        Each row's class, integers [N], N for a row of no such class; whether it is the first row of its class; and how
        many classes there are.
    """
    order, classes = arrange(candidates, candidates)
    size = jnp.where(candidates.valid & (classes.size >= least), classes.size, 0)
    first = (size > 0) & (classes.own == classes.start)

    def before(are_few: bool, labels: jax.Array, first: jax.Array, rows: jax.Array) -> jax.Array:
        if are_few:
            return _number(first[None, :] & (labels[None, :] < labels[:, None]), 1)
        by_order = jnp.cumsum(first[rows], dtype=jnp.int32) - 1
        return jnp.zeros_like(rows).at[rows].set(by_order)

    ways = plans(lambda tuning: _are_few(candidates, tuning))
    column = by_platform(before, ways, candidates.labels, first, order.rows)
    return jnp.where(size > 0, column, len(order.rows)), first, jnp.sum(first, dtype=jnp.int32)
