"""Separable losses where no tile has whole rows: statistics merge over blocks of candidates, then comes the gradient.

Blocks are cut from the candidates, or travel around a ring of devices: then the gradient by a block travels with it.
With `both_ways`, the statistics of the columns merge over tiles of anchors as those of the rows do over blocks. Each
product is made twice: four in all. The collectives of the ring stand inside the custom_vjp, which is right since what
comes out is local to a device and the backward pass is the true transpose.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.engine.outcome import join, merge
from jaxtriplet.engine.rows import Rows
from jaxtriplet.engine.separable import (
    Layout,
    Numbers,
    Pairs,
    Plan,
    as_floats,
    mean_of_both,
    only_of_terms,
    sets_of,
    term_of,
)
from jaxtriplet.engine.statistics import is_statistic
from jaxtriplet.engine.tiles import fill, scan_tiles, unfold
from jaxtriplet.types import AxisName


class _Block(NamedTuple):
    """Some candidates."""

    values: Any
    theirs: Any
    rows: Rows


class _Slopes(NamedTuple):
    """What a second pass needs of the first, for rows [B] or for columns [N]: a list each, one of every statistic."""

    states: list[Any]
    by_values: list[Any]
    """The derivative of all terms by the values of the statistics."""


def work(plan: Plan, numbers: Numbers, layout: Layout, cotangent: Any) -> tuple[Any, Any]:
    """As `whole_rows.work` does, in two passes."""
    varies = jnp.sum(numbers.anchors) == 0  # over devices: a mask of constants does not, and could not go around
    block: _Block = jax.tree.map(
        lambda part: jnp.where(varies, part, part), _Block(numbers.candidates, numbers.theirs, layout.candidates)
    )
    visits = _Visits(plan, numbers, layout)
    states, columns, spreads = _gathered(plan, visits.look, visits.merge, block)
    if plan.apart is not None:
        states = plan.apart.merged(visits.kinds, states)
    terms, pull = visits.conclude(states, columns)
    outcome = (terms, *(jax.tree.map(lambda part: part[None], one) for one in spreads))
    if cotangent is None:
        return outcome, None
    rows_slopes, column_slopes, direct = pull(cotangent)
    if plan.apart is not None:  # each of these devices knows it
        direct = plan.apart.on_first(direct)
    visit = functools.partial(visits.pull, _Slopes(states, rows_slopes), _Slopes(columns, column_slopes))
    (by_anchors, by_own), (by_candidates, by_theirs) = _pulled(plan, visit, block)
    return outcome, Numbers(by_anchors, by_candidates, _add(by_own, direct), by_theirs)


class _Visits:
    """What happens where the anchors of this device meet one block of candidates."""

    def __init__(self, plan: Plan, numbers: Numbers, layout: Layout) -> None:
        """Learns which statistics there are."""
        self.plan, self.numbers, self.layout = plan, numbers, layout
        stats = jax.eval_shape(self._statistics_of_one, jax.tree.map(lambda part: part[:1], numbers))
        found, self.structure = jax.tree.flatten(stats, is_leaf=is_statistic)
        self.kinds = [type(stat) for stat in found]

    def _statistics_of_one(self, numbers: Numbers) -> Any:
        none = jnp.zeros_like(numbers.anchors, shape=(1, 1))
        theirs = jax.tree.map(lambda part: part[None, :], numbers.theirs)
        return self.plan.statistics(Pairs(none, none > 0, none > 0, theirs), numbers.own)

    def _prepared(self, block: _Block) -> tuple[Any, Any]:
        """Returns what the score takes of block and anchors, with the frame of both, and how to pull it back."""
        anchors = self.layout.anchors._replace(values=self.numbers.anchors)
        candidates = block.rows._replace(values=block.values)
        frame, form = self.plan.form.frame(*sets_of(anchors, candidates)), self.plan.form

        def rows_of(block_values: jax.Array, values: jax.Array) -> tuple[Any, Any]:
            of_block = form.rows_fn(block_values, candidates.valid, frame)
            return of_block, form.rows_fn(values, anchors.valid, frame)

        (of_block, of_anchors), pull = jax.vjp(rows_of, candidates.values, anchors.values)
        return (of_block, of_anchors, frame), pull

    def _shape(self, block: _Block) -> tuple[int, int]:
        return self.plan.tiles(len(self.layout.anchors.labels), block.rows.vectors)

    def look(self, block: _Block) -> tuple[list[Any], list[Any], Any]:
        """Returns the states of the anchors' statistics [B], of the candidates' [N], and the spreads of distances."""
        plan, count = self.plan, len(self.layout.anchors.labels)
        (of_block, of_anchors, frame), _ = self._prepared(block)

        def step(columns: Any, tile: Any) -> Any:
            values, anchors, own = tile
            scores = plan.scores(of_block, values, frame)
            pairs = plan.pairs(scores, own, anchors, block.rows, block.theirs)
            stats = jax.tree.leaves(plan.statistics(pairs, own), is_leaf=is_statistic)
            states = [stat.state(block.rows.place[None, :], 1) for stat in stats]
            if plan.both_ways:
                more = [stat.state(anchors.place[:, None], 0) for stat in stats]
                columns = self.merge_states(columns, more)
            return columns, (states, *plan.spreads(pairs))

        shape = self._shape(block)
        rows = (fill(of_anchors, shape), self.layout.anchors, fill(self.numbers.own, shape))
        columns = self._nothing_of(block) if plan.both_ways else []
        columns, (states, *spreads) = scan_tiles(step, columns, rows, shape)
        return unfold(states, count), columns, tuple(merge(one) for one in spreads)

    def _nothing_of(self, block: _Block) -> list[Any]:
        """Returns the states of statistics that have met nobody, of each candidate."""
        none = jnp.zeros_like(block.values[:, :1] * self.numbers.anchors[:1, :1]).T  # varies as both do
        nobody = jnp.zeros_like(none, bool) & (none != 0)
        pairs = Pairs(none, nobody, nobody, jax.tree.map(lambda part: part[None, :], block.theirs))
        own = jax.tree.map(lambda part: part[:1], self.numbers.own)
        stats = jax.tree.leaves(self.plan.statistics(pairs, own), is_leaf=is_statistic)
        return [stat.state(jnp.zeros_like(none, jnp.int32), 0) for stat in stats]

    def merge_states(self, a: list[Any], b: list[Any]) -> list[Any]:
        """Returns the states of two sets of candidates together."""
        return [kind.merge(*both) for kind, *both in zip(self.kinds, a, b, strict=True)]

    def merge(self, a: Any, b: Any) -> Any:
        """Returns what two looks have found; columns are of one block alone."""
        (states, columns, spreads), (more, _, others) = a, b
        joined = tuple(join(*both) for both in zip(spreads, others, strict=True))
        return self.merge_states(states, more), columns, joined

    def _values(self, states: list[Any]) -> Any:
        dtype = self.numbers.anchors.dtype
        values = [as_floats(kind.value(state), dtype) for kind, state in zip(self.kinds, states, strict=True)]
        return jax.tree.unflatten(self.structure, values)

    def _by_statistic(self, by_values: Any) -> list[Any]:
        parts: Any = self.structure  # which JAX does not type
        return list(parts.flatten_up_to(by_values))

    def conclude(self, states: list[Any], columns: list[Any]) -> tuple[Any, Callable[[Any], Any]]:
        """Returns the terms, and from their cotangent to the slopes of the values (rows', columns') and by numbers."""
        term = functools.partial(term_of, self.plan)
        _, pull, terms = jax.vjp(term, self._values(states), self.numbers.own, has_aux=True)
        if not self.plan.both_ways:

            def back(cotangent: Any) -> tuple[Any, Any, Any]:
                by_values, direct = only_of_terms(terms, pull(cotangent))
                return self._by_statistic(by_values), [], direct

            return terms, back
        _, pull_columns, others = jax.vjp(term, self._values(columns), self.numbers.own, has_aux=True)

        def back_both(cotangent: Any) -> tuple[Any, Any, Any]:
            half = cotangent / 2
            (by_values, direct), (by_columns, more) = (
                only_of_terms(kind, one(half)) for kind, one in ((terms, pull), (others, pull_columns))
            )
            return self._by_statistic(by_values), self._by_statistic(by_columns), _add(direct, more)

        return mean_of_both(terms, others), back_both

    def pull(self, of_rows: _Slopes, of_columns: _Slopes, block: _Block) -> tuple[Any, Any]:
        """Returns the gradient by the anchors and the loss's numbers, and that by the block."""
        plan, count = self.plan, len(self.layout.anchors.labels)
        (of_block, of_anchors, frame), pull_rows = self._prepared(block)

        def step(by_block: Any, tile: Any) -> Any:
            values, anchors, own, slopes = tile
            scores, pull_scores = jax.vjp(lambda c, a: plan.scores(c, a, frame), of_block, values)

            def elements(scores: jax.Array, own: Any, theirs: Any) -> Any:
                pairs = plan.pairs(scores, own, anchors, block.rows, theirs)
                stats = jax.tree.leaves(plan.statistics(pairs, own), is_leaf=is_statistic)
                return [stat.x for stat in stats], stats

            _, pull_elements, stats = jax.vjp(elements, scores, own, block.theirs, has_aux=True)
            parts = [_slopes(stats, slopes, block.rows.place, 1)]
            if plan.both_ways:
                parts.append(_slopes(stats, of_columns, anchors.place, 0))
            by_scores, by_own, more = pull_elements(functools.reduce(_add, parts))
            by_tile, by_values = pull_scores(by_scores)
            return _add(by_block, (by_tile, more)), (by_values, by_own)

        shape = self._shape(block)
        rows = (fill(of_anchors, shape), self.layout.anchors, fill(self.numbers.own, shape), of_rows)
        nothing = jax.tree.map(lambda part: jnp.zeros_like(part) * self._one(), (of_block, block.theirs))
        (by_block, by_theirs), found = scan_tiles(step, nothing, rows, shape)
        by_anchors, by_own = unfold(found, count)
        by_values, by_anchors = pull_rows((by_block, by_anchors))
        return (by_anchors, by_own), (by_values, by_theirs)

    def _one(self) -> jax.Array:
        """A one that varies over devices as the anchors do."""
        return jnp.ones_like(jnp.sum(self.numbers.anchors))


def _slopes(stats: list[Any], slopes: _Slopes, place: jax.Array, axis: int) -> list[Any]:
    """Returns the derivative of all terms by each x of the statistics."""
    found: list[Any] = []
    for stat, state, by_value in zip(stats, *slopes, strict=True):
        if stat.x is None:
            found.append(None)
            continue
        along = jax.tree.map(lambda part: jnp.expand_dims(part, axis), (state, by_value))
        slope = stat.pull(along[0], jnp.expand_dims(place, 1 - axis), along[1])
        found.append(jnp.broadcast_to(slope, stat.x.shape))
    return found


def _add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


def _turn(axis_name: AxisName, tree: Any) -> Any:
    """Hands this device's part on to the next."""
    size = jax.lax.axis_size(axis_name)
    order = [(index, (index + 1) % size) for index in range(size)]
    return jax.tree.map(lambda part: jax.lax.ppermute(part, axis_name, order), tree)


def _block_at(block: _Block, size: int, number: Any) -> tuple[_Block, Any]:
    """Returns so many candidates, and where they begin; the last ones begin earlier, and skip what was met before."""
    begin = jnp.minimum(number * size, len(block.rows.labels) - size)
    some: _Block = jax.tree.map(lambda part: jax.lax.dynamic_slice_in_dim(part, begin, size), block)
    new = begin + jnp.arange(size, dtype=jnp.int32) >= number * size
    return some._replace(rows=some.rows._replace(valid=some.rows.valid & new)), begin


def _number_of_blocks(block: _Block, size: int) -> jax.Array:
    return jnp.arange(1, -(-len(block.rows.labels) // size), dtype=jnp.int32)


def _gathered(plan: Plan, look: Callable[[_Block], Any], merged: Callable[[Any, Any], Any], block: _Block) -> Any:
    """Returns what all looks have found together: at each block of candidates, or of the ring."""
    if plan.ring is None:
        size = plan.columns
        first = look(jax.tree.map(lambda part: part[:size], block))
        numbers = _number_of_blocks(block, size)
        if not len(numbers):
            return first
        return jax.lax.scan(lambda seen, n: (merged(seen, look(_block_at(block, size, n)[0])), None), first, numbers)[0]

    def meet(carry: Any, _: None) -> Any:
        block, seen = carry
        block = _turn(plan.ring, block)
        return (block, merged(seen, look(block))), None

    # The first block is this device's own; the last turn, home, is not made.
    length = jax.lax.axis_size(plan.ring) - 1
    return jax.lax.scan(meet, (block, look(block)), None, length=length)[0][1]


def _pulled(plan: Plan, visit: Callable[[_Block], Any], block: _Block) -> tuple[Any, Any]:
    """Returns the gradient by what is this device's, added up over all blocks, and that by the candidates."""
    if plan.ring is None:
        size = plan.columns
        mine, by_first = visit(jax.tree.map(lambda part: part[:size], block))
        missing = len(block.rows.labels) - size
        if not missing:
            return mine, by_first
        by_all = jax.tree.map(lambda part: jnp.pad(part, ((0, missing), *((0, 0),) * (part.ndim - 1))), by_first)

        def step(carry: Any, number: jax.Array) -> Any:
            mine, by_all = carry
            some, begin = _block_at(block, size, number)
            more, by_some = visit(some)

            def add(all_: jax.Array, part: jax.Array) -> jax.Array:  # in place
                there = jax.lax.dynamic_slice_in_dim(all_, begin, size)
                return jax.lax.dynamic_update_slice_in_dim(all_, there + part, begin, 0)

            return (_add(mine, more), jax.tree.map(add, by_all, by_some)), None

        (mine, by_all), _ = jax.lax.scan(step, (mine, by_all), _number_of_blocks(block, size))
        return mine, by_all

    def back(carry: Any, _: None) -> Any:
        block, by_block, mine = carry
        block, by_block = _turn(plan.ring, (block, by_block))
        more, by_tile = visit(block)
        return (block, _add(by_block, by_tile), _add(mine, more)), None

    mine, by_block = visit(block)
    length = jax.lax.axis_size(plan.ring) - 1
    (_, by_block, mine), _ = jax.lax.scan(back, (block, by_block, mine), None, length=length)
    return mine, _turn(plan.ring, by_block)
