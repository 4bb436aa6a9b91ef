"""What rules are made of."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.engine.outcome import count
from jaxtriplet.engine.tiles import Tile
from jaxtriplet.types import HingeFn, Terms


class Mined(NamedTuple):
    """What a rule found in a tile."""

    terms: Terms
    """Each anchor's sums and counts, [anchor]."""
    slopes: Any
    """The derivative of each anchor's sum by each of the loss's numbers: a tree like theirs, [anchor]."""
    weights: jax.Array
    """The derivative of each anchor's sum by each of its distances: [candidate, anchor], or of picks [R, anchor]."""


class Picks(NamedTuple):
    """A few distances for each anchor, of which its terms are made.

    They are computed again, from the differences of the rows: where two rows are nearly equal, a product of matrices
    has lost their distance. And a few rows are pulled back, instead of two more products.
    """

    row: jax.Array
    """Which candidates, [R, anchor]; the last stands for those past the end, which should have the weight 0."""
    mined_fn: Callable[[jax.Array], Mined]
    """From their distances [R, anchor] to what is found."""


Rule = Callable[[Tile, Any], Mined | Picks]
"""From a tile and the loss's numbers, each [anchor], to what is found in it."""


def by_anchor(rule: Rule) -> Rule:
    """Returns the rule of tiles [anchor, candidate], which looks at one anchor at a time, side by side: at one column.

    Then XLA lays the distances of an anchor out next to each other, and makes one kernel of all that is asked of them.
    """

    def of_all(tile: Tile, own: Any) -> Mined | Picks:
        parts = (tile.distances, tile.positive, tile.negative, tile.classes, own)

        def of_one(parts: Any) -> Mined | Picks:
            distances, positive, negative, classes, number = jax.tree.map(lambda part: part[..., None], parts)
            return rule(Tile(distances, positive, negative, classes, *tile[4:]), number)

        def each(find: Callable[..., Any], *given: Any) -> Any:
            return jax.tree.map(lambda part: part[..., 0], jax.vmap(find)(*given))

        def first(parts: Any) -> Any:
            found = of_one(parts)
            return found.row if isinstance(found, Picks) else found

        def of_picks(parts: Any, again: jax.Array) -> Any:
            found: Any = of_one(parts)
            return found.mined_fn(again[:, None])

        def mined(distances: jax.Array) -> Mined:
            found: Mined = each(of_picks, parts, distances.T)
            return found._replace(weights=found.weights.T)  # [R, anchor], as everywhere

        found = each(first, parts)
        return found if isinstance(found, Mined) else Picks(found.T, mined)

    return of_all


class BySize(NamedTuple):
    """A rule in several ways, of which the size of the largest class picks one."""

    few: Rule
    """Visits the positives one by one."""
    many: Rule
    """Sorts."""
    picks: Rule | None = None
    """Picks, if the positives can be met side by side; None: there is no such way."""
    number: int = 0
    """How many rows it picks for each positive."""


def smallest(distances: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the smallest distance of each column within the mask (infinity if none), and the first row it is in."""
    allowed = jnp.where(mask, distances, jnp.inf)
    least = jnp.min(allowed, axis=0, initial=jnp.inf)
    rows = jax.lax.broadcasted_iota(jnp.int32, distances.shape, 0)
    # The first row that equals the minimum: on CPU several times faster than argmin.
    return least, jnp.min(jnp.where(allowed == least[None, :], rows, len(rows)), axis=0, initial=len(rows))


def largest(distances: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the largest distance of each column within the mask (-infinity if none), and the first row it is in."""
    negated, row = smallest(-distances, mask)
    return -negated, row


def hinge(hinge_fn: HingeFn, violation: jax.Array, mask: jax.Array) -> tuple[Terms, jax.Array]:
    """Returns the terms `hinge_fn(violation)` where the mask is True (zeros elsewhere), and the slope of each."""
    violation = jnp.where(mask, violation, 0)
    term, slope = jax.jvp(hinge_fn, (violation,), (jnp.ones_like(violation),))
    return count(term, mask), jnp.where(mask, slope, 0)


def linear(tile: Tile, margin: jax.Array, weights: jax.Array, active: jax.Array, valid: jax.Array) -> Mined:
    """Returns the terms of a hard hinge from its weights: an active term is a positive less a negative distance.

    Args:
        tile: The distances.
        margin: [anchor].
        weights: How many active terms each distance is in, negative for negatives, [candidate, anchor].
        active: How many terms of each anchor are active.
        valid: How many terms each anchor has.

    Returns:
        The terms, their derivatives being the weights and, by the margin, the number of active ones.
    """
    # The weights of an anchor add up to zero, so any number may be taken from its distances: less is lost to rounding.
    middle = jnp.mean(tile.distances, axis=0, keepdims=True)
    total = jnp.sum(weights * (tile.distances - middle), axis=0) + jnp.where(active > 0, margin, 0) * active
    return Mined(Terms(total, valid, active), active, weights)


class Positives(NamedTuple):
    """Some positives of each anchor, [..., anchor]."""

    row: jax.Array
    distance: jax.Array
    """Minus infinity, if there is none."""
    again: jax.Array
    """The distance, of which XLA does not know that it is the same, so that it keeps nothing of one for the other."""
    exists: jax.Array


def positives(tile: Tile, ahead: jax.Array) -> Positives:
    """Returns the positives that stand so many places ahead of their anchors in the order, from 1."""
    assert tile.classes is not None
    assert tile.order is not None
    start, size, own, number, _ = tile.classes
    exists = ahead <= number
    row = tile.order.rows[start + (own - start + ahead) % jnp.maximum(size, 1)]
    distance = jnp.take_along_axis(tile.distances, row[None, :], axis=0)[0]
    distance = jnp.where(exists, distance, -jnp.inf)
    return Positives(row, distance, distance, exists)


def side_by_side(tile: Tile) -> Positives:
    """Returns all positives, [positive, anchor], of a tile that knows how many there are at most."""
    assert tile.most is not None
    ahead = jnp.arange(1, tile.most + 1, dtype=jnp.int32)
    found: Positives = jax.vmap(functools.partial(positives, tile))(ahead)
    return found._replace(again=jax.lax.optimization_barrier(found.distance))


Added = tuple[tuple[jax.Array, jax.Array], ...]
"""Rows, one of each anchor, and what is to be added to the weights there."""


def over_positives(
    tile: Tile, visit: Callable[[Any, jax.Array, Positives], tuple[Any, jax.Array, Added]], carry: Any
) -> tuple[Any, jax.Array]:
    """Visits the positives of all anchors, one of each at a time, in as many steps as the largest class asks for.

    Args:
        tile: The distances.
        visit: `(carry, weights [candidate, anchor], positives [anchor]) -> (carry, weights, added)`, which may count in
            the weights, and does not look at them.
        carry: The first carry.

    Returns:
        The last carry, and the weights, with all that was added.
    """
    weights = jnp.zeros_like(tile.distances)
    if tile.most == 0:
        return carry, weights
    if tile.straight:
        all_, added = side_by_side(tile), list[tuple[jax.Array, jax.Array]]()
        for index in range(len(all_.row)):
            one = jax.tree.map(lambda part, index=index: part[index], all_)
            carry, weights, more = visit(carry, weights, one)
            added += more
        rows, amounts = (jnp.stack(parts) for parts in zip(*added, strict=True))
        return carry, add_at(weights, rows, amounts)

    def step(ahead: jax.Array, seen: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        carry, weights, added = visit(*seen, positives(tile, ahead))
        for row, amount in added:
            weights = add_at(weights, row, amount)
        return carry, weights

    assert tile.order is not None
    last = tile.order.most if tile.most is None else tile.most
    found: tuple[Any, jax.Array] = jax.lax.fori_loop(1, last + 1, step, (carry, weights))
    return found


def add_at(weights: jax.Array, row: jax.Array, weight: jax.Array) -> jax.Array:
    """Adds weights [..., anchor] to the anchors' columns, [candidate, anchor]; a row past the end drops its own."""
    columns = jnp.broadcast_to(jnp.arange(row.shape[-1], dtype=jnp.int32), row.shape)
    return weights.at[row, columns].add(weight, mode="drop")


class Column(NamedTuple):
    """Distances sorted down each column, [candidate, anchor], with what is known of each."""

    keys: jax.Array
    positive: jax.Array
    negative: jax.Array
    row: jax.Array
    """Where it was."""

    def unsort(self, weights: jax.Array) -> jax.Array:
        """Returns weights of the sorted distances in the order of the candidates."""
        anchors = jax.lax.broadcasted_iota(jnp.int32, self.row.shape, 1)
        return jnp.zeros_like(weights).at[self.row, anchors].set(weights, unique_indices=True)


def sort(tile: Tile, of_positives: jax.Array, *, positives_first: bool) -> Column:
    """Sorts each anchor's negatives by distance, and its positives among them; anything else comes last.

    Args:
        tile: The distances.
        of_positives: What to sort positives by, [candidate, anchor].
        positives_first: Whether a positive comes before the negatives that equal it, or after.

    Returns:
        The sorted columns.
    """
    positive, negative = tile.positive, tile.negative
    keys = jnp.where(positive, of_positives, jnp.where(negative, tile.distances, jnp.inf))
    place = 0 if positives_first else 2
    rank = jnp.where(positive, place, jnp.where(negative, 1, 3)).astype(jnp.int32)
    number = len(keys)
    keys, tagged = jax.lax.sort((keys, rank * number + tile.row), dimension=0, num_keys=2)
    return Column(keys, tagged // number == place, tagged // number == 1, tagged % number)


def triplets(valid_fn: Callable[[Tile, jax.Array], jax.Array], *, beyond: bool = False) -> BySize:
    """Returns the rule of the triplets with $d_{an} < d_{ap} + m$.

    Args:
        valid_fn: From the tile, and how many of them each anchor has, to how many terms it has, [anchor].
        beyond: Whether the negative must be farther than the positive too: $d_{an} > d_{ap}$.
    """

    def rule(find: Callable[..., tuple[jax.Array, jax.Array]], tile: Tile, margin: jax.Array) -> Mined:
        weights, active = find(tile, margin, beyond)
        return linear(tile, margin, weights, active, valid_fn(tile, active))

    return BySize(functools.partial(rule, _triplets_of_few), functools.partial(rule, _triplets_of_many))


def _triplets_of_few(tile: Tile, margin: jax.Array, beyond: bool) -> tuple[jax.Array, jax.Array]:
    """Returns how many of them each distance is in, negative for negatives, and how many each anchor has."""
    negatives = jnp.where(tile.negative, tile.distances, jnp.inf)

    def near(distance: jax.Array) -> jax.Array:
        within = negatives < (distance + margin)[None, :]  # none, where there is no positive
        return within & (negatives > distance[None, :]) if beyond else within

    def visit(active: jax.Array, weights: jax.Array, positive: Positives) -> Any:
        found = jnp.sum(near(positive.distance), axis=0, dtype=active.dtype)
        weights -= near(positive.again).astype(weights.dtype)
        return active + found, weights, ((positive.row, found),)

    active, weights = over_positives(tile, visit, jnp.zeros_like(margin))
    return weights, active


def _triplets_of_many(tile: Tile, margin: jax.Array, beyond: bool) -> tuple[jax.Array, jax.Array]:
    reach = tile.distances + margin[None, :]
    if not beyond:
        return _below(tile, reach, or_equal=False)
    too_near = _below(tile, tile.distances, or_equal=True)
    # One sort after the other, or the memory of both is held at once.
    too_near, tile = jax.lax.optimization_barrier((too_near, tile))
    # A margin that is not above zero, or that rounding swallows, leaves no room between the two counts, but never less.
    # After 0 comes the smallest normal number: XLA flushes smaller ones to 0.
    tiny = jnp.finfo(reach.dtype).tiny
    after = jnp.where(tile.distances == 0, tiny, jnp.nextafter(tile.distances, jnp.inf))
    within = _below(tile, jnp.maximum(tile.distances + margin[None, :], after), or_equal=False)
    return within[0] - too_near[0], within[1] - too_near[1]


def _below(tile: Tile, limit: jax.Array, *, or_equal: bool) -> tuple[jax.Array, jax.Array]:
    """Counts the pairs of a negative below the limit of a positive: for each distance, and for each anchor."""
    column = sort(tile, limit, positives_first=not or_equal)
    positive, negative = (mask.astype(limit.dtype) for mask in (column.positive, column.negative))
    negatives_below = jnp.cumsum(negative, axis=0) * positive
    positives_above = jax.lax.cumsum(positive, axis=0, reverse=True) * negative
    return column.unsort(negatives_below - positives_above), jnp.sum(negatives_below, axis=0)
