"""Statistics of the nearest candidates: the largest score, for a gradient or to compare with, and the largest few."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.engine.statistics import LogSumExp, low, top_of
from jaxtriplet.types import AxisName

_NOWHERE = 2**31 - 1


class Max(NamedTuple):
    """The largest; of nothing, `low`. Of several that tie, the first has the gradient."""

    x: jax.Array
    mask: jax.Array

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        inside = jnp.where(self.mask, self.x, low(self.x.dtype))
        first = jax.lax.stop_gradient(jnp.argmax(inside, axis, keepdims=True))
        return jnp.squeeze(jnp.take_along_axis(inside, first, axis), axis)

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it: the largest, and whose it is, which rounding cannot lose in a second pass."""
        # By index: a number that is computed once more, fused otherwise, need not equal itself.
        inside = jnp.where(self.mask, self.x, low(self.x.dtype))
        first = jnp.argmax(inside, axis, keepdims=True)
        top, at = (jnp.squeeze(jnp.take_along_axis(part, first, axis), axis) for part in (inside, self._at(place)))
        return top, at

    def _at(self, place: jax.Array) -> jax.Array:
        return jnp.where(self.mask, place, _NOWHERE)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """As `Sum` has it."""
        return jnp.where(self.mask & (place == state[1]), by_value, 0)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        first = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """As `Sum` has it."""
        top = jax.lax.pmax(state[0], axis_name)
        return top, jax.lax.pmin(jnp.where(state[0] == top, state[1], _NOWHERE), axis_name)

    @staticmethod
    def value(state: Any) -> Any:
        """As `Sum` has it."""
        return state[0]


class Highest(NamedTuple):
    """The largest, to compare with: it has no gradient. Of nothing, `low`."""

    scores: jax.Array
    mask: jax.Array
    x: None = None

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        return jax.lax.stop_gradient(top_of(self.scores, self.mask, axis))

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it."""
        del place
        return self.of_row(axis)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        return jnp.maximum(a, b)

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """As `Sum` has it."""
        return jax.lax.pmax(state, axis_name)

    @staticmethod
    def value(state: Any) -> Any:
        """As `Sum` has it."""
        return state


class _Few(NamedTuple):
    """The largest [..., k], where they are, and the state of the log-sum-exp of the others."""

    largest: jax.Array
    places: jax.Array
    rest: Any


class Few(NamedTuple):
    """The largest few, each by itself, and the log-sum-exp of all others; fewer are filled up with `low`."""

    x: jax.Array
    mask: jax.Array
    number: int

    def of_row(self, axis: int = 0) -> tuple[jax.Array, jax.Array]:
        """As `Sum` has it: the largest [..., number], and the value of the others."""
        largest, at = self._largest(axis)
        place = jax.lax.broadcasted_iota(jnp.int32, self.x.shape, axis)
        return largest, LogSumExp(self.x, self.mask & ~_is_one_of(place, jnp.expand_dims(at, axis))).of_row(axis)

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it."""
        largest, at = self._largest(axis)
        places = jnp.where(largest > low(self.x.dtype), jnp.ravel(place)[at], _NOWHERE)
        others = self.mask & ~_is_one_of(place, jnp.expand_dims(places, axis))
        return _Few(largest, places, LogSumExp(self.x, others).state(place, axis))

    def _largest(self, axis: int) -> tuple[jax.Array, jax.Array]:
        """Returns the largest [..., number], and at which index they are."""
        inside = jnp.moveaxis(jnp.where(self.mask, self.x, low(self.x.dtype)), axis, -1)
        missing = max(0, self.number - inside.shape[-1])
        inside = jnp.pad(inside, ((0, 0), (0, missing)), constant_values=low(self.x.dtype))
        at = jax.lax.top_k(jax.lax.stop_gradient(inside), self.number)[1]
        return jnp.take_along_axis(inside, at, -1), jnp.minimum(at, self.x.shape[axis] - 1)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """As `Sum` has it."""
        by_largest, by_rest = by_value
        others = LogSumExp(self.x, self.mask & ~_is_one_of(place, state.places))
        found = others.pull(state.rest, place, by_rest)
        for index in range(state.places.shape[-1]):
            found += jnp.where(self.mask & (place == state.places[..., index]), by_largest[..., index], 0)
        return found

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        number, least = a.largest.shape[-1], low(a.largest.dtype)
        both, places = (jnp.concatenate(parts, -1) for parts in zip(a[:2], b[:2], strict=True))
        at = jax.lax.top_k(both, number)[1]
        others = (both > least) & ~_is_one_of(
            jax.lax.broadcasted_iota(jnp.int32, both.shape, both.ndim - 1), at[..., None, :]
        )
        rest = LogSumExp.merge(LogSumExp.merge(a.rest, b.rest), LogSumExp(both, others).state(places, -1))
        return _Few(jnp.take_along_axis(both, at, -1), jnp.take_along_axis(places, at, -1), rest)

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """As `Sum` has it."""
        parts = jax.lax.all_gather(state, axis_name)
        first, others = jax.tree.map(lambda part: part[0], parts), jax.tree.map(lambda part: part[1:], parts)
        return jax.lax.scan(lambda a, b: (Few.merge(a, b), None), first, others)[0]

    @staticmethod
    def value(state: Any) -> Any:
        """As `Sum` has it."""
        return state.largest, LogSumExp.value(state.rest)


def _is_one_of(place: jax.Array, places: jax.Array) -> jax.Array:
    """Returns whether a place is among a few, which have an axis more, the last."""
    found = place == places[..., 0]
    for index in range(1, places.shape[-1]):
        found |= place == places[..., index]
    return found
