"""`mine`: rules applied tile by tile, with the gradient made in the forward pass."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from jaxtriplet.distances import form_of
from jaxtriplet.distances.forms import Form
from jaxtriplet.engine import derivative
from jaxtriplet.engine.classes import Classes, Order, arrange
from jaxtriplet.engine.outcome import Found, evidence_of, gather, merge, spread
from jaxtriplet.engine.rows import Rows, as_strangers, at_least_one, for_each, pairs, prepare, without_values
from jaxtriplet.engine.rules import BySize, Picks, Rule, by_anchor
from jaxtriplet.engine.tiles import Tile, fill, scan_tiles, unfold
from jaxtriplet.engine.tuning import Tuning, by_platform, plans
from jaxtriplet.engine.ways import OTHERS_KEEP, USUAL_WIDTH, Size, Way, ways
from jaxtriplet.types import DistanceFn, Precision


class _Plan(NamedTuple):
    """What is fixed when a function is compiled."""

    form: Form
    ways: tuple[Way, ...]
    """In the order of their limits, of which the last is none."""
    strangers: bool
    ordered: bool
    """Whether candidates are put in order, to know how many positives there are, or these counted in each tile."""


class _Numbers(NamedTuple):
    """What a loss is differentiated by."""

    anchors: Any
    """What the distance takes of each row, a tree of arrays [B, ...]."""
    candidates: Any
    own: Any
    """The loss's own numbers, a tree of arrays [B]: each is given once for every anchor."""


class _Layout(NamedTuple):
    """Who is of whose class: rows without their values, and how the candidates stand in order."""

    anchors: Rows
    candidates: Rows
    order: Order | None
    """None for rules that do not ask for it."""
    classes: Classes | None
    frame: Any
    """What the distance is told of all rows."""


def mine(
    rule: Rule | BySize,
    anchors: Rows,
    candidates: Rows,
    numbers: Any,
    distance_fn: DistanceFn | None,
    *,
    each: bool = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    strangers: bool = False,
    max_class_size: int | None = None,
    keeps: int = OTHERS_KEEP,
) -> Found:
    """Mines a batch: finds the terms of the rule among all pairs of an anchor and a candidate.

    Differentiable once, in reverse mode, by the rows and by the numbers. Local to a device: the collectives that gather
    the candidates and sum the terms stand outside, in plain autodiff.

    Args:
        rule: The loss's definition on one tile, `(tile, numbers, each [anchor]) -> Mined`; static.
        anchors: The rows of this device.
        candidates: The rows of all devices; a row's place is its place among them.
        numbers: The loss's own numbers, such as its margin: a tree of scalars, which the rule gets as it is.
        distance_fn: A pairwise distance; None for inner products, which a tile then has in the place of distances.
        each: Whether each anchor's total is wanted, or only their sum, whose gradient is made in the forward pass and
            costs the memory of the rows; with `each`, the backward pass mines again.
        block_size: The number of anchors in a tile; None for a good one.
        precision: How products of float32 matrices are made, those of the gradient too; static.
        strangers: Whether no anchor is among the candidates, as with two towers; else all of them are.
        max_class_size: The rows that a class of the candidates has at most, which spares a rule that goes by size the
            question; None: it is asked. If one has more, the total is NaN.
        keeps: Bytes that the rule keeps of each pair, if it does not go by size.

    Returns:
        The terms of every anchor (or one total beside their counts), and the spreads of the distances and norms.
    """
    candidates, own = at_least_one(candidates), for_each(numbers, anchors)
    anchors = as_strangers(anchors) if strangers else anchors
    form, met = form_of(distance_fn).in_precision(precision), (candidates, anchors) if strangers else (candidates,)
    frame = form.frame(*((rows.values, rows.valid) for rows in met))
    of_anchors, of_candidates = prepare(form, frame, anchors, candidates)
    everyone, width = candidates.values.shape
    width = width if isinstance(width, int) else USUAL_WIDTH  # a symbol, when exported
    size = Size(everyone, width, len(anchors.labels), max_class_size, 0 if strangers else 1)

    def plan(tuning: Tuning) -> _Plan:
        return _Plan(form, ways(rule, size, tuning, block_size, keeps), strangers, everyone > tuning.ordered)

    goes_by_size = isinstance(rule, BySize)
    order, classes = arrange(anchors, candidates, strangers=strangers) if goes_by_size else (None, None)
    layout = _Layout(without_values(anchors), without_values(candidates), order, classes, frame)
    work = functools.partial(by_platform, _work, plans(plan))
    differentiable = derivative.each if each else derivative.summed
    outcome = differentiable(work, None, _Numbers(of_anchors, of_candidates, own), layout)
    told = evidence_of(form, outcome[1:], met)
    if max_class_size is not None and order is not None:
        bound = min(int(max_class_size), everyone)  # which fits the integers of the order
        told.append(numerics.nan_where(order.largest > bound, anchors.values.dtype))
    return gather(*outcome, anchors, *told)


def _at(rows: Any, which: jax.Array) -> Any:
    """Returns the rows by their numbers, of which those past the end stand for the last."""
    return jax.tree.map(lambda part: part.at[which].get(mode="clip"), rows)


def _again(form: Form, frame: Any, picked: Any, anchors: Any) -> jax.Array:
    """Returns the distances [R, anchor] of each anchor to the R candidates that it has picked."""
    return jax.vmap(lambda one: form.apart_fn(anchors, one, frame))(picked)


def _work(plan: _Plan, numbers: _Numbers, layout: _Layout, cotangent: jax.Array | None) -> tuple[Any, Any]:
    """Runs the rule over all tiles, in the way that suits the largest class: asked once, not in each tile.

    Args:
        plan: What is fixed.
        numbers: The rows' values, and the loss's own numbers.
        layout: Who is of whose class.
        cotangent: The cotangent of each anchor's total, or None if no gradient is wanted.

    Returns:
        The outcome, and the gradient by the numbers.
    """
    ways = [functools.partial(_tiles, plan.form, way) for way in plan.ways]
    if layout.order is None and plan.ordered:
        order, classes = arrange(layout.anchors, layout.candidates, strangers=plan.strangers)
        layout = layout._replace(order=order, classes=classes)
    if len(ways) == 1 or layout.order is None:
        return ways[0](numbers, layout, cotangent)
    larger = [(layout.order.largest > way.limit).astype(jnp.int32) for way in plan.ways[:-1]]
    found: tuple[Any, Any] = jax.lax.switch(sum(larger[1:], larger[0]), ways, numbers, layout, cotangent)
    return found


def _tiles(form: Form, way: Way, numbers: _Numbers, layout: _Layout, cotangent: jax.Array | None) -> tuple[Any, Any]:
    candidates = numbers.candidates

    def step(by_candidates: Any, tile_rows: Any) -> tuple[Any, Any]:
        values, anchors, classes, own, scale = tile_rows
        found, pull = jax.vjp(lambda c, a: way.distances(form, c, a, layout.frame), candidates, values)
        masks = pairs(layout.candidates, anchors) if way.by_anchor else pairs(anchors, layout.candidates)
        tile = Tile(found, *masks, classes, layout.order, way.most, way.straight)
        mined = (by_anchor(way.rule) if way.by_anchor else way.rule)(tile, own)
        picked = mined.row if isinstance(mined, Picks) else None
        if isinstance(mined, Picks):
            again, pull = jax.vjp(functools.partial(_again, form, layout.frame), _at(candidates, mined.row), values)
            mined = mined.mined_fn(again)
        terms, slopes, weights = mined
        distances = form.distances(found)
        seen = terms, spread(distances, tile.positive), spread(distances, tile.negative)
        if cotangent is None:
            return by_candidates, (seen, None)
        along = scale[:, None] if way.by_anchor and picked is None else scale[None, :]
        by_rows, by_anchors = pull(weights * along)
        add = jnp.add if picked is None else lambda whole, some: whole.at[picked].add(some, mode="clip")
        by_candidates = jax.tree.map(add, by_candidates, by_rows)
        return by_candidates, (seen, (by_anchors, jax.tree.map(lambda slope: slope * scale, slopes)))

    nothing: Any = None if cotangent is None else jax.tree.map(jnp.zeros_like, candidates)
    # Rows fill up the last tile: zeros would pull the mean away, in a distance that somebody makes of rows less that.
    filled = fill(numbers.anchors, way.shape)
    per_anchor = (filled, layout.anchors, layout.classes, numbers.own, cotangent)
    by_candidates, ((terms, *spreads), gradient) = scan_tiles(step, nothing, per_anchor, way.shape)
    count = len(layout.anchors.labels)
    # One spread, whatever number of tiles that was.
    outcome = (unfold(terms, count), *(jax.tree.map(lambda part: part[None], merge(one)) for one in spreads))
    if cotangent is None:
        return outcome, None
    by_anchors, by_own = unfold(gradient, count)
    return outcome, _Numbers(by_anchors, by_candidates, by_own)
