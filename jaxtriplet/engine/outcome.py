"""What a loss saw: sums that can be merged over tiles and devices, and the `Stats` made of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from jaxtriplet.distances.forms import Form
from jaxtriplet.engine.rows import Rows
from jaxtriplet.types import AxisName, ReduceFn, Stats, Terms


def count(term: jax.Array, mask: jax.Array) -> Terms:
    """Returns the terms where the mask, of the same shape, is True, and the counts of them, all in that shape."""
    counts = (mask, mask & (term > 0))
    return Terms(jnp.where(mask, term, 0), *(one.astype(term.dtype) for one in counts))


def count_wrong(term: jax.Array, mask: jax.Array, wrong: jax.Array) -> Terms:
    """Returns the terms where the mask is True, of which those are active that are of wrong rows."""
    valid, active = (one.astype(term.dtype) for one in (mask, mask & wrong))
    return Terms(jnp.where(mask, term, 0), valid, active)


class Spread(NamedTuple):
    """How a set of distances is spread: four scalars that can be merged with another set's."""

    number: jax.Array
    total: jax.Array
    largest: jax.Array
    smallest: jax.Array


class Found(NamedTuple):
    """What one device found in a batch."""

    terms: Any
    """`Terms`, or a tuple of them: of several kinds, each of which is reduced by itself."""
    positives: Spread
    """The distances between rows of one label."""
    negatives: Spread
    """The distances between rows of different labels."""
    norms: Spread
    """The Euclidean norms of the rows."""


def spread(distances: jax.Array, mask: jax.Array) -> Spread:
    """Returns the spread of the distances where the mask, of the same shape, is True."""
    return Spread(
        number=jnp.sum(mask, dtype=distances.dtype),
        total=jnp.sum(distances, where=mask),
        largest=jnp.max(distances, where=mask, initial=-jnp.inf),
        smallest=jnp.min(distances, where=mask, initial=jnp.inf),
    )


def join(a: Spread, b: Spread) -> Spread:
    """Returns the spread of two sets together."""
    return merge(jax.tree.map(lambda *parts: jnp.stack(parts), a, b))


def merge(parts: Spread) -> Spread:
    """Returns the spread of all sets together, given arrays of any shape instead of scalars."""
    return Spread(jnp.sum(parts.number), jnp.sum(parts.total), jnp.max(parts.largest), jnp.min(parts.smallest))


def norms(values: jax.Array, valid: jax.Array) -> Spread:
    """Returns the spread of the norms of the valid rows of `values` [B, D]."""
    return spread(numerics.norm(values), valid)


def kinds_of(terms: Any) -> tuple[Terms, ...]:
    """Returns the terms of each kind."""
    return (terms,) if isinstance(terms, Terms) else tuple(terms)


def evidence_of(form: Form, spreads: Sequence[Spread], rows: Sequence[Rows]) -> list[jax.Array]:
    """Returns what must be finite, or a total is not: the rows, and distances of which nothing is known."""
    of_rows = [numerics.evidence(one.values) for one in rows]
    if form.is_finite:  # else comparisons would drop it
        return of_rows
    return of_rows + [jnp.where(one.number > 0, one.largest, 0) for one in jax.lax.stop_gradient(spreads)]


def gather(terms: Any, positives: Spread, negatives: Spread, anchors: Rows, *evidence: jax.Array) -> Found:
    """Returns what all tiles of a device have found, whose spreads have a leading axis.

    Args:
        terms: The terms.
        positives: The spreads of the distances between rows of one label.
        negatives: The spreads of the distances between rows of different labels.
        anchors: The rows of this device.
        *evidence: Arrays that must be finite, or the total is not.
    """
    kinds = [kind._replace(total=numerics.poison(kind.total, *evidence)) for kind in kinds_of(terms)]
    return Found(
        terms=kinds[0] if isinstance(terms, Terms) else tuple(kinds),
        positives=merge(positives),
        negatives=merge(negatives),
        norms=norms(anchors.values, anchors.valid),
    )


def _everywhere(part: Spread, axis_name: AxisName) -> Spread:
    if axis_name is None:
        return part
    return Spread(
        number=jax.lax.psum(part.number, axis_name),
        total=jax.lax.psum(part.total, axis_name),
        largest=jax.lax.pmax(part.largest, axis_name),
        smallest=jax.lax.pmin(part.smallest, axis_name),
    )


def summarise(found: Found, axis_name: AxisName) -> Stats:
    """Returns the global statistics of a loss from what this device found."""
    terms, *spreads = jax.lax.stop_gradient(found)
    positives, negatives, norms = (_everywhere(part, axis_name) for part in spreads)
    kinds = kinds_of(terms)
    counts = tuple(jnp.sum(jnp.stack([getattr(kind, name) for kind in kinds])) for name in ("valid", "active"))
    valid, active = counts if axis_name is None else jax.lax.psum(counts, axis_name)
    return Stats(
        num_valid=valid,
        num_active=active,
        fraction_active=numerics.safe_divide(active, valid),
        mean_positive_distance=numerics.safe_divide(positives.total, positives.number),
        mean_negative_distance=numerics.safe_divide(negatives.total, negatives.number),
        hardest_positive_distance=jnp.where(positives.number > 0, positives.largest, 0),
        hardest_negative_distance=jnp.where(negatives.number > 0, negatives.smallest, 0),
        mean_norm=numerics.safe_divide(norms.total, norms.number),
    )


def mean_of(one: Found, other: Found) -> Found:
    """Returns the mean of the terms of two directions, with the distances of the first; active are those of both."""
    total, valid = (one.terms.total + other.terms.total) / 2, one.terms.valid
    active = jnp.where(total > 0, valid, 0) if total.ndim else one.terms.active
    return one._replace(terms=Terms(total, valid, active))


def conclude(found: Found, reduce_fn: ReduceFn | None, axis_name: AxisName, has_aux: bool) -> Any:
    """Returns a loss from what this device found: reduced over all rows and devices, or each anchor's sum [B].

    Args:
        found: This device's terms, and the spreads of its distances and norms.
        reduce_fn: The reduction, or None for each anchor's sum of terms.
        axis_name: The mapped axes over which the batch is spread, or None.
        has_aux: Whether to return `(loss, Stats)`.

    Returns:
        The loss, or the loss and its statistics.
    """
    kinds = kinds_of(found.terms)
    if reduce_fn is None:
        loss = sum((kind.total for kind in kinds[1:]), kinds[0].total)
    else:
        sums = [Terms(*map(jnp.sum, kind)) for kind in kinds]
        first, *others = [reduce_fn(*kind) for kind in (sums if axis_name is None else jax.lax.psum(sums, axis_name))]
        loss = sum(others, first)
    return (loss, summarise(found, axis_name)) if has_aux else loss
