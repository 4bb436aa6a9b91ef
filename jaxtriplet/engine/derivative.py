"""The three custom_vjp: gradients made tile by tile, in the forward pass where that can be.

`work(numbers, layout, cotangent) -> (outcome, gradient by the numbers)` is the machine: `outcome` are the terms of each
anchor and two spreads of distances, `cotangent` that of each anchor's total, or None if no gradient is wanted.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def each(work: Work, numbers: Any, layout: Any) -> Outcome:
    """Returns the outcome; the backward pass, which knows each anchor's cotangent, does the work again."""
    outcome: Outcome = work(numbers, layout, None)[0]
    return outcome


def _each_forward(work: Work, numbers: Any, layout: Any) -> tuple[Outcome, Any]:
    return each(work, numbers, layout), (numbers, layout)


def _each_backward(work: Work, saved: Any, cotangent: Outcome) -> Any:
    return _once(work, *saved, totals(cotangent[0]))[1], None


each.defvjp(_each_forward, _each_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def summed(work: Work, numbers: Any, layout: Any) -> Outcome:
    """Returns the outcome with the sum of the totals, whose gradient is made in the forward pass."""
    return _with_sum(each(work, numbers, layout))


def _one_for_each(numbers: Any) -> jax.Array:
    some = jax.tree.leaves(numbers.anchors)[0]
    return jnp.ones_like(some, shape=some.shape[:1])


def _with_sum(outcome: Outcome) -> Outcome:
    terms, positives, negatives = outcome
    return terms._replace(total=jnp.sum(terms.total)), positives, negatives


def _summed_forward(work: Work, numbers: Any, layout: Any) -> tuple[Outcome, Any]:
    outcome, gradient = _once(work, numbers, layout, _one_for_each(numbers))
    return _with_sum(outcome), gradient


def _summed_backward(work: Work, gradient: Any, cotangent: Outcome) -> Any:
    del work
    return jax.tree.map(lambda part: part * cotangent[0].total, gradient), None


summed.defvjp(_summed_forward, _summed_backward)
