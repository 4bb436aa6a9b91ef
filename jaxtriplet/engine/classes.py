"""The order of the candidates by label, in which the positives of an anchor follow each other."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.engine.rows import Rows


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
    rows = jnp.lexsort((candidates.labels, ~candidates.valid)).astype(jnp.int32)
    place = jnp.arange(len(rows), dtype=jnp.int32)
    labels, valid = candidates.labels[rows], candidates.valid[rows]
    changes = (labels[1:] != labels[:-1]) | (valid[1:] != valid[:-1])
    edge = jnp.ones_like(valid[:1])
    start = jax.lax.cummax(jnp.where(jnp.concatenate([edge, changes]), place, 0))
    end = jax.lax.cummin(jnp.where(jnp.concatenate([changes, edge]), place + 1, len(rows)), reverse=True)
    count, largest = jnp.sum(valid, dtype=jnp.int32), jnp.max(jnp.where(valid, end - start, 0), initial=0)
    if strangers:
        # Padding comes last: with the greatest of labels it keeps the order, and is cut off again.
        ordered = jnp.where(valid, labels, jnp.iinfo(labels.dtype).max)
        sides = (jnp.searchsorted(ordered, anchors.labels, side=side) for side in ("left", "right"))
        start, end = (jnp.minimum(side, count).astype(jnp.int32) for side in sides)
        own, size = start - 1, jnp.where(anchors.valid, end - start, 0)
    else:
        own = jnp.zeros_like(rows).at[rows].set(place)[anchors.place]
        start, size = start[own], jnp.where(anchors.valid, (end - start)[own], 0)
    itself = 0 if strangers else 1
    positives, negatives = jnp.maximum(size - itself, 0), jnp.where(anchors.valid, count - size, 0)
    order = Order(rows, largest, jnp.maximum(largest - itself, 0))
    return order, Classes(start, size, own, positives, negatives)


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
    by_order = jnp.cumsum(first[order.rows], dtype=jnp.int32) - 1
    column = jnp.zeros_like(order.rows).at[order.rows].set(by_order)
    return jnp.where(size > 0, column, len(order.rows)), first, jnp.sum(first, dtype=jnp.int32)
