"""What an anchor can know of its candidates one block after the other: statistics that merge.

Each is of numbers `x` [anchor, candidate] where a mask is True. Its `state` is what two blocks of candidates are merged
by; its `value` is finite for no candidate too, so that terms and slopes are.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.types import AxisName


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


@jax.custom_vjp
def _fetched(x: jax.Array, mask: jax.Array, at: jax.Array) -> jax.Array:
    """Returns the x of each row that is at a place, 0 where that is -1; the mask says the same, for the gradient."""
    del mask
    return jnp.where(at >= 0, jnp.take_along_axis(x, jnp.maximum(at, 0)[:, None], axis=1)[:, 0], 0)


def _forward(x: jax.Array, mask: jax.Array, at: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _fetched(x, mask, at), mask


def _backward(mask: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, None, None]:
    return jnp.where(mask, cotangent[:, None], 0), None, None


_fetched.defvjp(_forward, _backward)


class One(NamedTuple):
    """A sum of one candidate at most, which is fetched: nobody has to go through all to find it."""

    x: jax.Array
    mask: jax.Array
    at: jax.Array
    """Which candidate it is, [anchor]; -1 for none."""

    def of_row(self, axis: int = 1) -> jax.Array:
        """As `Sum` has it; of the rows of anchors alone."""
        assert axis == 1
        return _fetched(self.x, self.mask, self.at)

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it."""
        del place
        return self.of_row(axis)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """As `Sum` has it."""
        del state, place
        return jnp.where(self.mask, by_value, 0)

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


def inside_of(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the numbers; those of minus infinity, of distances that overflow, are something, not nothing."""
    return jnp.where(mask, jnp.maximum(x, low(x.dtype)), -jnp.inf)


def top_of(x: jax.Array, mask: jax.Array, axis: int) -> jax.Array:
    """Returns the largest; of nothing, `low`."""
    return jnp.max(inside_of(x, mask), axis, initial=low(x.dtype))


def _finite(top: jax.Array) -> jax.Array:
    """Returns what exponentials are made of less: of scores that are infinite or NaN, 0, so that they come out."""
    return jnp.where(jnp.isfinite(top), top, 0)


class LogSumExp(NamedTuple):
    """The logarithm of the sum of exponentials; of nothing, `low`."""

    x: jax.Array
    mask: jax.Array

    def of_row(self, axis: int = 0) -> jax.Array:
        """As `Sum` has it."""
        top = _finite(jax.lax.stop_gradient(top_of(self.x, self.mask, axis)))
        return self.value((top, jnp.sum(jnp.exp(inside_of(self.x, self.mask) - jnp.expand_dims(top, axis)), axis)))

    def state(self, place: jax.Array, axis: int) -> Any:
        """As `Sum` has it: the largest, and the sum of exponentials of the distances to it."""
        del place
        top = _finite(top_of(self.x, self.mask, axis))
        return top, jnp.sum(jnp.exp(inside_of(self.x, self.mask) - jnp.expand_dims(top, axis)), axis)

    def pull(self, state: Any, place: jax.Array, by_value: Any) -> jax.Array:
        """As `Sum` has it."""
        del place
        slope: jax.Array = by_value * jnp.exp(inside_of(self.x, self.mask) - self.value(state))
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


def is_statistic(x: Any) -> bool:
    """Returns whether it is one, and not a tree of them."""
    return hasattr(x, "of_row")
