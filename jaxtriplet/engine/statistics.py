"""What an anchor can know of its candidates one block after the other: statistics that merge.

Each is of numbers `x` [candidate, anchor] where a mask is True. Its `state` is what two blocks of candidates are merged
by; its `value` is finite for no candidate too, so that terms and slopes are.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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

    def slope(self, state: Any, place: jax.Array) -> jax.Array:
        """Returns the derivative of the value by each x, of a state that has met all candidates."""
        del state, place
        return self.mask.astype(self.x.dtype)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """Returns what is known after both."""
        return a + b

    @staticmethod
    def value(state: Any) -> jax.Array:
        """Returns the value."""
        found: jax.Array = state
        return found


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
    def value(state: Any) -> jax.Array:
        """As `Sum` has it."""
        found: jax.Array = state
        return found


def _finite(top: jax.Array) -> jax.Array:
    """Returns what exponentials are made of less: of scores that are infinite or NaN, 0, so that they come out."""
    return jnp.where(jnp.isfinite(top), top, 0)


class LogSumExp(NamedTuple):
    """The logarithm of the sum of exponentials; of nothing, `low`."""

    x: jax.Array
    mask: jax.Array

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        inside = self._inside()
        top = _finite(jax.lax.stop_gradient(jnp.max(inside, axis, initial=-jnp.inf, keepdims=True)))
        return self.value((jnp.squeeze(top, axis), jnp.sum(jnp.exp(inside - top), axis)))

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it: the largest, and the sum of exponentials of the distances to it."""
        del place
        inside = self._inside()
        top = _finite(jnp.max(inside, axis, initial=low(self.x.dtype)))
        return top, jnp.sum(jnp.exp(inside - jnp.expand_dims(top, axis)), axis)

    def slope(self, state: Any, place: jax.Array) -> jax.Array:
        """As `Sum` has it."""
        del place
        return jnp.exp(self._inside() - self.value(state))

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        top = jnp.maximum(a[0], b[0])
        return top, a[1] * jnp.exp(a[0] - top) + b[1] * jnp.exp(b[0] - top)

    @staticmethod
    def value(state: Any) -> jax.Array:
        """As `Sum` has it."""
        top, total = state
        none, least = total == 0, low(top.dtype)  # NaN is not none
        value = jnp.where(top > least, top, -jnp.inf) + jnp.log(jnp.where(none, 1, total))
        return jnp.where(none, least, value)

    def _inside(self) -> jax.Array:
        """Returns the numbers; those of minus infinity, of distances that overflow, are something, not nothing."""
        return jnp.where(self.mask, jnp.maximum(self.x, low(self.x.dtype)), -jnp.inf)


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

    def slope(self, state: Any, place: jax.Array) -> jax.Array:
        """As `Sum` has it."""
        return (self.mask & (place == state[1])).astype(self.x.dtype)

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        """As `Sum` has it."""
        first = (a[0] > b[0]) | ((a[0] == b[0]) & (a[1] < b[1]))
        return jnp.where(first, a[0], b[0]), jnp.where(first, a[1], b[1])

    @staticmethod
    def value(state: Any) -> jax.Array:
        """As `Sum` has it."""
        found: jax.Array = state[0]
        return found


Statistic = Sum | Count | LogSumExp | Max


def is_statistic(x: Any) -> bool:
    """Returns whether it is one, and not a tree of them."""
    return isinstance(x, Sum | Count | LogSumExp | Max)
