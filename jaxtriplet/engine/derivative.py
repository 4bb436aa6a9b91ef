"""The three custom_vjp: gradients made tile by tile, in the forward pass where that can be.

`work(numbers, layout, cotangent) -> (outcome, gradient by the numbers)` is the machine: `outcome` are the terms of each
anchor and two spreads of distances, `cotangent` that of each anchor's total, or None if no gradient is wanted.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet.engine.apart import Apart
from jaxtriplet.engine.outcome import Spread
from jaxtriplet.types import Terms

Work = Callable[[Any, Any, Any], tuple[Any, Any]]
Outcome = tuple[Any, Spread, Spread]


def totals(terms: Any) -> Any:
    """Returns the totals of terms of one kind, or of several."""
    return jax.tree.map(lambda one: one.total, terms, is_leaf=lambda x: isinstance(x, Terms))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _once(work: Work, numbers: Any, layout: Any, cotangent: Any) -> tuple[Outcome, Any]:
    """Outcome and gradient, which has none itself: rather an error than the derivative of a search."""
    return work(numbers, layout, cotangent)


def _refuse(*args: Any) -> Any:
    del args
    raise TypeError("losses of a batch are differentiable once, in reverse mode: they have no second derivatives")


_once.defvjp(_refuse, _refuse)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def each(work: Work, apart: Apart | None, numbers: Any, layout: Any) -> Outcome:
    """Returns the outcome; the backward pass, which knows each anchor's cotangent, does the work again.

    Where candidates are `apart`, anchors of several devices come together: what comes out is of this device's own.
    """
    return _own(apart, work(numbers, layout, None)[0])


def _own(apart: Apart | None, outcome: Outcome) -> Outcome:
    return outcome if apart is None else (apart.own(outcome[0]), *outcome[1:])


def _each_forward(work: Work, apart: Apart | None, numbers: Any, layout: Any) -> tuple[Outcome, Any]:
    return each(work, apart, numbers, layout), (numbers, layout)


def _each_backward(work: Work, apart: Apart | None, saved: Any, cotangent: Outcome) -> Any:
    by_totals = totals(cotangent[0])
    by_totals = by_totals if apart is None else apart.cotangent_of_rows(by_totals)
    return _once(work, *saved, by_totals)[1], None


each.defvjp(_each_forward, _each_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def summed(work: Work, apart: Apart | None, numbers: Any, layout: Any) -> Outcome:
    """Returns the outcome with the sum of the totals, whose gradient is made in the forward pass."""
    return _with_sum(each(work, apart, numbers, layout))


def _one_for_each(numbers: Any) -> jax.Array:
    some = jax.tree.leaves(numbers.anchors)[0]
    return jnp.ones_like(some, shape=some.shape[:1])


def _with_sum(outcome: Outcome) -> Outcome:
    terms, positives, negatives = outcome
    return terms._replace(total=jnp.sum(terms.total)), positives, negatives


def _summed_forward(work: Work, apart: Apart | None, numbers: Any, layout: Any) -> tuple[Outcome, Any]:
    outcome, gradient = _once(work, numbers, layout, _one_for_each(numbers))
    return _with_sum(_own(apart, outcome)), gradient


def _summed_backward(work: Work, apart: Apart | None, gradient: Any, cotangent: Outcome) -> Any:
    del work
    by_total = cotangent[0].total
    by_total = by_total if apart is None else apart.cotangent_of_sum(by_total)
    return jax.tree.map(lambda part: part * by_total, gradient), None


summed.defvjp(_summed_forward, _summed_backward)
