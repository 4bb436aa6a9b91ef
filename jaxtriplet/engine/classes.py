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
    """Where the anchor itself is."""


class Order(NamedTuple):
    """The candidates in order of label, padding last."""

    rows: jax.Array
    """Which candidate comes where, [N]."""
    valid: jax.Array
    """How many are not padding."""
    largest: jax.Array
    """The size of the largest class."""


def arrange(anchors: Rows, candidates: Rows) -> tuple[Order, Classes]:
    """Returns the order of the candidates by label, and where in it each anchor's class is."""
    rows = jnp.lexsort((candidates.labels, ~candidates.valid)).astype(jnp.int32)
    place = jnp.arange(len(rows), dtype=jnp.int32)
    places = jnp.zeros_like(rows).at[rows].set(place)
    labels, valid = candidates.labels[rows], candidates.valid[rows]
    changes = (labels[1:] != labels[:-1]) | (valid[1:] != valid[:-1])
    edge = jnp.ones_like(valid[:1])
    start = jax.lax.cummax(jnp.where(jnp.concatenate([edge, changes]), place, 0))
    end = jax.lax.cummin(jnp.where(jnp.concatenate([changes, edge]), place + 1, len(rows)), reverse=True)
    own = places[anchors.place]
    size = jnp.where(anchors.valid, (end - start)[own], 0)
    largest = jnp.max(jnp.where(valid, end - start, 0), initial=0)
    return Order(rows, jnp.sum(valid, dtype=jnp.int32), largest), Classes(start[own], size, own)
