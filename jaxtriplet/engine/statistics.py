"""What an anchor can know of its candidates one block after the other: statistics that merge.

Each is of numbers `x` [anchor, candidate] where a mask is True. Its `state` is what two blocks of candidates are merged
by; its `value` is finite for no candidate too, so that terms and slopes are.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.types import AxisName

_NOWHERE = 2**31 - 1


def low(dtype: Any) -> float:
    """Returns the logarithm of an empty sum, and the largest of nothing: below any score, finite if two are added."""
    return float(jnp.finfo(dtype).min) / 4


class Sum(NamedTuple):
    """The sum; of nothing, 0."""

    x: jax.Array
    mask: jax.Array

    def of_row(self, axis: int = 0) -> jax.Array:
        """Returns the value of whole rows of candidates, which JAX differentiates."""
        return jnp.sum(jnp.where(self.mask, self.x, 0), axis)

    def state(self, place: jax.Array, axis: int) -> Any:
        """Returns what is known after one block of candidates, whose places in the batch are given."""
        del place
        return self.of_row(axis)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """Returns the derivative by each x, from that by the value, of a state that has met all candidates."""
        del state, place
        return jnp.where(self.mask, by_value, 0)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """Returns what is known after both."""
        return a + b

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """Returns what is known after the candidates of all devices."""
        return jax.lax.psum(state, axis_name)

    @staticmethod
    def value(state: Any) -> Any:
        """Returns the value."""
        return state


class Count(NamedTuple):
    """How many there are."""

    mask: jax.Array
    known: jax.Array | None = None
    """The value of whole rows, where somebody knows it already, [anchor]."""
    x: None = None

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        return jnp.sum(self.mask, axis, dtype=jnp.int32) if self.known is None else self.known

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it."""
        del place
        return jnp.sum(self.mask, axis, dtype=jnp.int32)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        return a + b

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """As `Sum` has it."""
        return jax.lax.psum(state, axis_name)

    @staticmethod
    def value(state: Any) -> Any:
        """As `Sum` has it."""
        return state


def _inside(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the numbers; those of minus infinity, of distances that overflow, are something, not nothing."""
    return jnp.where(mask, jnp.maximum(x, low(x.dtype)), -jnp.inf)


def _top(x: jax.Array, mask: jax.Array, axis: int) -> jax.Array:
    """Returns the largest; of nothing, `low`."""
    return jnp.max(_inside(x, mask), axis, initial=low(x.dtype))


def _finite(top: jax.Array) -> jax.Array:
    """Returns what exponentials are made of less: of scores that are infinite or NaN, 0, so that they come out."""
    return jnp.where(jnp.isfinite(top), top, 0)


class LogSumExp(NamedTuple):
    """The logarithm of the sum of exponentials; of nothing, `low`."""

    x: jax.Array
    mask: jax.Array

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        top = _finite(jax.lax.stop_gradient(_top(self.x, self.mask, axis)))
        return self.value((top, jnp.sum(jnp.exp(_inside(self.x, self.mask) - jnp.expand_dims(top, axis)), axis)))

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it: the largest, and the sum of exponentials of the distances to it."""
        del place
        top = _finite(_top(self.x, self.mask, axis))
        return top, jnp.sum(jnp.exp(_inside(self.x, self.mask) - jnp.expand_dims(top, axis)), axis)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """As `Sum` has it."""
        del place
        slope: jax.Array = by_value * jnp.exp(_inside(self.x, self.mask) - self.value(state))
        return slope

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        top = jnp.maximum(a[0], b[0])
        return top, a[1] * jnp.exp(a[0] - top) + b[1] * jnp.exp(b[0] - top)

    @staticmethod
    def across(state: Any, axis_name: AxisName) -> Any:
        """As `Sum` has it."""
        top = jax.lax.pmax(state[0], axis_name)
        return top, jax.lax.psum(state[1] * jnp.exp(state[0] - top), axis_name)

    @staticmethod
    def value(state: Any) -> Any:
        """As `Sum` has it."""
        top, total = state
        none, least = total == 0, low(top.dtype)  # NaN is not none
        value = jnp.where(top > least, top, -jnp.inf) + jnp.log(jnp.where(none, 1, total))
        return jnp.where(none, least, value)


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
        return jax.lax.stop_gradient(_top(self.scores, self.mask, axis))

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


Statistic = Sum | Count | LogSumExp | Max | Highest | Few


def is_statistic(x: Any) -> bool:
    """Returns whether it is one, and not a tree of them."""
    return isinstance(x, Statistic)
