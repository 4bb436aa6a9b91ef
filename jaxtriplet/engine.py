"""`mine`: the one function through which all triplet losses run.

A loss is a *rule*: given the distances [candidate, anchor] and which of them are positive and negative pairs, it returns
each anchor's sum of terms and counts, and the signed **weight** of every distance. A mined loss is linear in the
distances it picks, so the weights are its gradient (for a hinge, the number of active terms that the pair is in), and
the rule itself is never differentiated.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, masks, numerics, stats
from jaxtriplet._types import DistanceFn, HingeFn, Terms
from jaxtriplet.rows import Rows


class Tile(NamedTuple):
    """A block of distances and masks, [candidate, anchor]: reductions run down the columns, which CPUs do best."""

    distances: jax.Array
    positive: jax.Array
    negative: jax.Array


class Mined(NamedTuple):
    """What a rule found in a tile."""

    terms: Terms
    """Each anchor's sums and counts, [anchor]."""
    weights: jax.Array
    """The derivative of each anchor's sum by each of its distances, [candidate, anchor]."""


Rule = Callable[[Tile, jax.Array], Mined]


def mine(rule: Rule, anchors: Rows, candidates: Rows, margin: jax.Array, distance_fn: DistanceFn) -> stats.Found:
    """Mines a batch: finds the terms of the rule among all pairs of an anchor and a candidate.

    Differentiable once, in reverse mode, by the rows and by the margin. Local to a device: the collectives that gather
    the candidates and sum the terms stand outside, in plain autodiff.

    Args:
        rule: The loss's definition on one tile, `(tile, margin [anchor]) -> Mined`; static.
        anchors: The rows of this device.
        candidates: The rows of all devices.
        margin: A scalar.
        distance_fn: A pairwise distance.

    Returns:
        The terms of every anchor, and the spreads of the distances and norms.
    """
    positive, negative = masks.pairs(anchors, candidates)
    distances = distance_fn(anchors.values, candidates.values)
    _checks.distances(distances, *positive.T.shape)
    tile = Tile(distances.T.astype(anchors.values.dtype), positive, negative)
    # A margin per anchor varies over devices as the anchors do, which shard_map's check of replication asks for.
    margins = margin + jnp.zeros_like(jnp.sum(anchors.values, axis=1))
    terms = _terms(rule, tile, margins)
    healthy_total = numerics.poison(terms.total, jnp.sum(jnp.square(candidates.values), axis=1))
    return stats.Found(
        terms=terms._replace(total=healthy_total),
        positives=stats.spread(tile.distances, positive),
        negatives=stats.spread(tile.distances, negative),
        norms=stats.norms(anchors.values, anchors.valid),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _terms(rule: Rule, tile: Tile, margin: jax.Array) -> Terms:
    return rule(tile, margin).terms


def _forward(rule: Rule, tile: Tile, margin: jax.Array) -> tuple[Terms, tuple[Tile, jax.Array]]:
    terms, weights = rule(tile, margin)
    return terms, (tile, weights)


def _backward(rule: Rule, saved: tuple[Tile, jax.Array], cotangent: Terms) -> tuple[Tile, jax.Array]:
    tile, weights = saved
    pulled = weights * cotangent.total[None, :]
    # A term grows with the margin as it does with its positive distance.
    by_margin = jnp.sum(pulled, axis=0, where=tile.positive)
    return Tile(pulled, *map(_no_gradient, (tile.positive, tile.negative))), by_margin


def _no_gradient(mask: jax.Array) -> jax.Array:
    return jnp.zeros(mask.shape, jax.dtypes.float0)


_terms.defvjp(_forward, _backward)


def smallest(distances: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the smallest distance of each column within the mask, and where it is: one True a column, ties or not.

    Where a column of the mask is empty, the distance is infinite and no row is marked.
    """
    allowed = jnp.where(mask, distances, jnp.inf)
    least = jnp.min(allowed, axis=0, initial=jnp.inf)
    rows = jax.lax.broadcasted_iota(jnp.int32, distances.shape, 0)
    # The first row that equals the minimum: on CPU several times faster than argmin.
    first = jnp.min(rows, axis=0, where=mask & (allowed == least[None, :]), initial=len(rows))
    return least, rows == first[None, :]


def largest(distances: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the largest distance of each column within the mask (minus infinity if none), and where it is."""
    negated, at = smallest(-distances, mask)
    return -negated, at


def hinge(hinge_fn: HingeFn, violation: jax.Array, mask: jax.Array) -> tuple[Terms, jax.Array]:
    """Returns the terms `hinge_fn(violation)` where the mask is True (zeros elsewhere), and the slope of each."""
    violation = jnp.where(mask, violation, 0)
    term, slope = jax.jvp(hinge_fn, (violation,), (jnp.ones_like(violation),))
    return stats.count(term, mask), jnp.where(mask, slope, 0)


# What a rule finds with one positive for each anchor: the terms, and the weights of the negatives' distances.
OnePositive = Callable[[jax.Array], Mined]


def over_positives(tile: Tile, with_positive: OnePositive) -> Mined:
    """Adds up what a rule finds with each positive in turn.

    Args:
        tile: The distances and masks.
        with_positive: From one positive distance per anchor, [anchor], to the terms it makes with the negatives, and
            the weights of the negatives' distances. The positive's own weight follows: every term grows with the
            positive's distance as it falls with the negatives'.

    Returns:
        The sums over all positives.
    """

    def add(sums: Mined, row: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Mined, None]:
        index, positive_distance, is_positive = row
        terms, weights = with_positive(positive_distance)
        found = jax.tree.map(lambda x: jnp.where(jnp.broadcast_to(is_positive, x.shape), x, 0), Mined(terms, weights))
        total = jax.tree.map(jnp.add, sums, found)
        of_positive = jnp.where(candidate == index, jnp.sum(found.weights, axis=0)[None, :], 0)
        return total._replace(weights=total.weights - of_positive), None

    candidate = jax.lax.broadcasted_iota(jnp.int32, tile.distances.shape, 0)
    none = jnp.zeros_like(jnp.sum(tile.distances, axis=0))
    rows = (jnp.arange(len(tile.distances), dtype=jnp.int32), tile.distances, tile.positive)
    found, _ = jax.lax.scan(add, Mined(Terms(none, none, none), jnp.zeros_like(tile.distances)), rows)
    return found
