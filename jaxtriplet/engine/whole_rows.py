"""Separable losses where whole rows of candidates are at hand: one pass, differentiated by JAX inside each tile."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet.engine.classes import arrange
from jaxtriplet.engine.outcome import merge
from jaxtriplet.engine.rows import Rows, of_class, pairs, views
from jaxtriplet.engine.separable import Layout, Numbers, Plan, as_floats, mean_of_both, only_of_terms, sets_of, term_of
from jaxtriplet.engine.statistics import is_statistic
from jaxtriplet.engine.tiles import fill, scan_tiles, unfold


def work(plan: Plan, numbers: Numbers, layout: Layout, cotangent: Any) -> tuple[Any, Any]:
    """Meets the whole row of candidates in each tile."""
    if layout.present is None:
        return _rows(plan, numbers, layout, cotangent)
    counts, of_anchors = layout.present
    sizes = plan.sizes
    needed = counts if of_anchors is None else jnp.maximum(counts, of_anchors)
    level = sum(((needed > size).astype(jnp.int32) for size in sizes[:-1]), jnp.zeros_like(needed, jnp.int32))
    branches = [functools.partial(_first_rows, plan, size, of_anchors is not None) for size in sizes]
    found: tuple[Any, Any] = jax.lax.switch(level, branches, numbers, layout, cotangent)
    return found


def work_of_raw(plan: Plan, numbers: Numbers, layout: Layout, cotangent: Any) -> tuple[Any, Any]:
    """As `work`, of rows as they are: some platform meets them whole, another does not."""
    anchors = layout.anchors._replace(values=numbers.anchors)
    candidates = layout.candidates._replace(values=numbers.candidates)
    frame, form = plan.form.frame(*sets_of(anchors, candidates)), plan.form

    def rows_of(values: jax.Array, others: jax.Array) -> tuple[Any, Any]:
        return form.rows_fn(values, anchors.valid, frame), form.rows_fn(others, candidates.valid, frame)

    (of_anchors, of_candidates), pull = jax.vjp(rows_of, *numbers[:2])
    made = Numbers(of_anchors, of_candidates, *numbers[2:])
    outcome, gradient = work(plan, made, layout._replace(frame=frame), cotangent)
    return outcome, None if gradient is None else Numbers(*pull(gradient[:2]), *gradient[2:])


def _counts(plan: Plan, anchors: Rows, candidates: Rows) -> tuple[Any, Any]:
    """Returns how many positives and negatives each anchor has, [B] each; None for what is counted as it is met."""
    if plan.pairs_fn in (views, of_class):  # its other half, its class
        return anchors.valid.astype(jnp.int32), None
    if plan.pairs_fn is not pairs or not plan.ordered:
        return None, None
    classes = arrange(anchors, candidates, strangers=plan.strangers)[1]
    return classes.positives, classes.negatives


def _first_rows(plan: Plan, size: int, anchors_too: bool, numbers: Numbers, layout: Layout, cotangent: Any) -> Any:
    """Does the work of the first candidates (and anchors), in the shapes of all."""
    count, most = len(layout.anchors.labels), len(layout.candidates.labels)
    some = min(size, count) if anchors_too else count

    def first(tree: Any, number: int) -> Any:
        return jax.tree.map(lambda part: part[:number], tree)

    def back(tree: Any, number: int) -> Any:
        return jax.tree.map(
            lambda part: jnp.pad(part, ((0, number - part.shape[0]), *((0, 0),) * (part.ndim - 1))), tree
        )

    anchors, candidates, own, theirs = numbers
    few = Numbers(first(anchors, some), first(candidates, size), first(own, some), first(theirs, size))
    of_few = layout._replace(anchors=first(layout.anchors, some), candidates=first(layout.candidates, size))
    (terms, *spreads), gradient = _rows(plan, few, of_few, first(cotangent, some))
    outcome = (back(terms, count), *spreads)
    if gradient is None:
        return outcome, None
    anchors, candidates, own, theirs = gradient
    return outcome, Numbers(back(anchors, count), back(candidates, most), back(own, count), back(theirs, most))


def _rows(plan: Plan, numbers: Numbers, layout: Layout, cotangent: Any) -> tuple[Any, Any]:
    candidates, count = (numbers.candidates, numbers.theirs), len(layout.anchors.labels)

    def step(by_candidates: Any, tile_rows: Any) -> tuple[Any, Any]:
        values, anchors, own, counts, scale = tile_rows
        scores, pull_scores = jax.vjp(lambda c, a: plan.scores(c, a, layout.frame), candidates[0], values)

        def sums(scores: jax.Array, own: Any, theirs: Any) -> tuple[Any, Any]:
            pairs = plan.pairs(scores, own, anchors, layout.candidates, theirs, counts)
            stats = plan.statistics(pairs, own)

            def of(axis: int) -> tuple[Any, Any]:
                reduced = jax.tree.map(
                    lambda one: as_floats(one.of_row(axis), scores.dtype), stats, is_leaf=is_statistic
                )
                return term_of(plan, reduced, own)

            if not plan.both_ways:
                total, terms = of(1)
            else:
                terms = mean_of_both(of(1)[1], of(0)[1])
                total = terms.total
            return total, (terms, *plan.spreads(pairs))

        _, pull_terms, seen = jax.vjp(sums, scores, own, candidates[1], has_aux=True)
        if scale is None:
            return by_candidates, (seen, None)
        by_scores, by_own, by_theirs = pull_terms(scale)
        if not plan.both_ways:
            by_scores, by_own = only_of_terms(seen[0], (by_scores, by_own))
        by_rows, by_anchors = pull_scores(by_scores)
        return jax.tree.map(jnp.add, by_candidates, (by_rows, by_theirs)), (seen, (by_anchors, by_own))

    nothing: Any = None if cotangent is None else jax.tree.map(jnp.zeros_like, candidates)
    shape = plan.tiles(count, layout.candidates.vectors)
    counts = _counts(plan, layout.anchors, layout.candidates) if layout.present is None else (None, None)
    per_anchor = (fill(numbers.anchors, shape), layout.anchors, fill(numbers.own, shape), counts, cotangent)
    by_candidates, ((terms, *spreads), gradient) = scan_tiles(step, nothing, per_anchor, shape)
    # One spread, whatever number of tiles that was.
    outcome = (unfold(terms, count), *(jax.tree.map(lambda part: part[None], merge(one)) for one in spreads))
    if cotangent is None:
        return outcome, None
    by_anchors, by_own = unfold(gradient, count)
    return outcome, Numbers(by_anchors, by_candidates[0], by_own, by_candidates[1])
