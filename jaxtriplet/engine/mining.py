"""`mine`: rules applied tile by tile, with the gradient made in the forward pass."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, distances
from jaxtriplet.engine.classes import Classes, Order, arrange
from jaxtriplet.engine.outcome import Found, Spread, gather, spread
from jaxtriplet.engine.rows import Rows, pairs
from jaxtriplet.engine.rules import Picks, Rule
from jaxtriplet.engine.tiles import Tile, cut, scan_tiles, unfold
from jaxtriplet.types import DistanceFn, Terms

# Up to so many candidates, two more matrix products are quicker than gathering a few rows for each anchor.
FEW = 128


class _Plan(NamedTuple):
    """What is fixed when a function is compiled."""

    rule: Rule
    distance_fn: DistanceFn
    shape: tuple[int, int]
    """The number of tiles, and of anchors in each."""


class _Numbers(NamedTuple):
    """What a loss is differentiated by."""

    anchors: jax.Array
    candidates: jax.Array
    own: Any
    """The loss's own numbers, a tree of arrays [B]: each is given once for every anchor."""


class _Layout(NamedTuple):
    """Who is of whose class: rows without their values, and how the candidates stand in order."""

    anchors: Rows
    candidates: Rows
    order: Order
    classes: Classes


_Outcome = tuple[Terms, Spread, Spread]


def mine(
    rule: Rule,
    anchors: Rows,
    candidates: Rows,
    numbers: Any,
    distance_fn: DistanceFn,
    *,
    each: bool = False,
    block_size: int | None = None,
    strangers: bool = False,
) -> Found:
    """Mines a batch: finds the terms of the rule among all pairs of an anchor and a candidate.

    Differentiable once, in reverse mode, by the rows and by the numbers. Local to a device: the collectives that gather
    the candidates and sum the terms stand outside, in plain autodiff.

    Args:
        rule: The loss's definition on one tile, `(tile, numbers, each [anchor]) -> Mined`; static.
        anchors: The rows of this device.
        candidates: The rows of all devices; a row's place is its place among them.
        numbers: The loss's own numbers, such as its margin: a tree of scalars, which the rule gets as it is.
        distance_fn: A pairwise distance.
        each: Whether each anchor's total is wanted, or only their sum, whose gradient is made in the forward pass and
            costs the memory of the rows; with `each`, the backward pass mines again.
        block_size: The number of anchors in a tile; None for a good one.
        strangers: Whether no anchor is among the candidates, as with two towers; else all of them are.

    Returns:
        The terms of every anchor (or one total beside their counts), and the spreads of the distances and norms.
    """
    if not len(candidates.labels):  # then one that is padding, so that there is something to gather from
        candidates = jax.tree.map(lambda part: jnp.zeros_like(part, shape=(1, *part.shape[1:])), candidates)
    if strangers:
        anchors = anchors._replace(place=jnp.full_like(anchors.place, -1))
    # A number per anchor varies over devices as the anchors do, which shard_map's check of replication asks for.
    like = jnp.zeros_like(jnp.sum(anchors.values, axis=1))
    plan = _Plan(rule, distance_fn, cut(len(anchors.labels), block_size))
    own = jax.tree.map(lambda number: number + like, numbers)
    layout = _Layout(
        _without_values(anchors), _without_values(candidates), *arrange(anchors, candidates, strangers=strangers)
    )
    outcome = (_each if each else _summed)(plan, _Numbers(anchors.values, candidates.values, own), layout)
    seen = (candidates, anchors) if strangers else (candidates,)
    return gather(*outcome, anchors, *(jnp.sum(jnp.square(rows.values), axis=1) for rows in seen))


def _without_values(rows: Rows) -> Rows:
    return rows._replace(values=rows.values[:, :0])


def _tile_distances(distance_fn: DistanceFn, candidates: jax.Array, anchors: jax.Array) -> jax.Array:
    if distance_fn in distances.SYMMETRIC:
        found = distance_fn(candidates, anchors)
    else:
        found = distance_fn(anchors, candidates)
        _checks.distances(found, len(anchors), len(candidates))
        found = found.T
    return found.astype(anchors.dtype)


def _paired_distances(distance_fn: DistanceFn, anchors: jax.Array, picked: jax.Array) -> jax.Array:
    """Returns the distances [R, B] of anchors [B, D] to the candidates [R, B, D] that each has picked."""
    one = jax.vmap(lambda x, y: distance_fn(x[None], y[None])[0, 0].astype(x.dtype))
    return jax.vmap(one, in_axes=(None, 0))(anchors, picked)


def _work(plan: _Plan, numbers: _Numbers, layout: _Layout, cotangent: jax.Array | None) -> tuple[Any, Any]:
    """Runs the rule over all tiles.

    Args:
        plan: What is fixed.
        numbers: The rows' values, and the loss's own numbers.
        layout: Who is of whose class.
        cotangent: The cotangent of each anchor's total, or None if no gradient is wanted.

    Returns:
        The outcome, and the gradient by the numbers.
    """
    candidates = numbers.candidates

    def step(by_candidates: Any, tile_rows: Any) -> tuple[Any, Any]:
        values, anchors, classes, own, scale = tile_rows
        found, pull = jax.vjp(functools.partial(_tile_distances, plan.distance_fn), candidates, values)
        tile = Tile(found, *pairs(anchors, layout.candidates), classes, layout.order)
        terms, slopes, weights = plan.rule(tile, own)
        seen = terms, spread(found, tile.positive), spread(found, tile.negative)
        if cotangent is None:
            return by_candidates, (seen, None)
        if isinstance(weights, Picks) and len(candidates) > FEW:
            by_candidates, by_anchors = _pull_picks(plan, by_candidates, candidates, values, weights, scale)
        else:
            weights = weights.spread(len(candidates)) if isinstance(weights, Picks) else weights
            by_tile, by_anchors = pull(weights * scale[None, :])
            by_candidates += by_tile
        return by_candidates, (seen, (by_anchors, jax.tree.map(lambda slope: slope * scale, slopes)))

    nothing: Any = None if cotangent is None else jnp.zeros_like(candidates)
    per_anchor = (numbers.anchors, layout.anchors, layout.classes, numbers.own, cotangent)
    by_candidates, ((terms, *spreads), gradient) = scan_tiles(step, nothing, per_anchor, plan.shape)
    count = len(numbers.anchors)
    outcome = (unfold(terms, count), *spreads)
    if cotangent is None:
        return outcome, None
    by_anchors, by_own = unfold(gradient, count)
    return outcome, _Numbers(by_anchors, by_candidates, by_own)


def _pull_picks(
    plan: _Plan, by_candidates: jax.Array, candidates: jax.Array, anchors: jax.Array, picks: Picks, scale: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Adds the gradient of the picked distances to that by the candidates; returns it, and that by the anchors.

    A few rows are gathered, and two matrix products saved.
    """
    apart = functools.partial(_paired_distances, plan.distance_fn)
    _, pull = jax.vjp(apart, anchors, candidates[picks.row])
    by_anchors, by_picked = pull(picks.weight * scale[None, :])
    return by_candidates.at[picks.row].add(by_picked), by_anchors


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _once(plan: _Plan, numbers: _Numbers, layout: _Layout, cotangent: jax.Array) -> tuple[_Outcome, _Numbers]:
    """Outcome and gradient, which has none itself: rather an error than the derivative of a search."""
    return _work(plan, numbers, layout, cotangent)


def _refuse(*args: Any) -> Any:
    del args
    raise TypeError("mined losses are differentiable once, in reverse mode: they have no second derivatives")


_once.defvjp(_refuse, _refuse)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _each(plan: _Plan, numbers: _Numbers, layout: _Layout) -> _Outcome:
    return _work(plan, numbers, layout, None)[0]


def _each_forward(plan: _Plan, numbers: _Numbers, layout: _Layout) -> tuple[_Outcome, Any]:
    return _each(plan, numbers, layout), (numbers, layout)


def _each_backward(plan: _Plan, saved: Any, cotangent: _Outcome) -> Any:
    return _once(plan, *saved, cotangent[0].total)[1], None


_each.defvjp(_each_forward, _each_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(plan: _Plan, numbers: _Numbers, layout: _Layout) -> _Outcome:
    return _with_sum(_each(plan, numbers, layout))


def _with_sum(outcome: _Outcome) -> _Outcome:
    terms, positives, negatives = outcome
    return terms._replace(total=jnp.sum(terms.total)), positives, negatives


def _summed_forward(plan: _Plan, numbers: _Numbers, layout: _Layout) -> tuple[_Outcome, _Numbers]:
    outcome, gradient = _once(plan, numbers, layout, jnp.ones_like(jnp.sum(numbers.anchors, axis=1)))
    return _with_sum(outcome), gradient


def _summed_backward(plan: _Plan, gradient: _Numbers, cotangent: _Outcome) -> Any:
    del plan
    return jax.tree.map(lambda part: part * cotangent[0].total, gradient), None


_summed.defvjp(_summed_forward, _summed_backward)
