"""The reductions of (total, valid, active)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt


@pytest.mark.parametrize(
    ("reduce_fn", "expected"), [(jt.reductions.mean, 1.5), (jt.reductions.mean_active, 3.0), (jt.reductions.sum, 6.0)]
)
def test_values_and_gradients(reduce_fn: jax.Array, expected: float) -> None:
    value, gradient = jax.value_and_grad(reduce_fn)(jnp.float32(6), jnp.float32(4), jnp.float32(2))
    assert value == expected
    assert gradient == expected / 6


@pytest.mark.parametrize("reduce_fn", [jt.reductions.mean, jt.reductions.mean_active, jt.reductions.sum])
def test_nothing_over_nothing_is_nothing(reduce_fn: jax.Array) -> None:
    value, gradient = jax.value_and_grad(reduce_fn)(jnp.float32(0), jnp.float32(0), jnp.float32(0))
    assert value == 0
    assert np.isfinite(gradient)


@pytest.mark.parametrize("reduce_fn", [jt.reductions.mean, jt.reductions.mean_active, jt.reductions.sum])
def test_nan_comes_out(reduce_fn: jax.Array) -> None:
    assert np.isnan(reduce_fn(jnp.float32(np.nan), jnp.float32(0), jnp.float32(0)))
