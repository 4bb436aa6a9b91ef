"""The losses over pairs and triplets that are given, beyond the table: their masks and what `same` may be."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt

from .reference.kl import siamese_kl_hinge


def rows(*shape: int) -> np.ndarray:
    """Asymmetric rows."""
    rng = np.random.default_rng(0)
    return rng.normal(size=shape) + rng.normal(size=shape[-1])


@pytest.mark.parametrize("padded", [0, 5, 10], ids=["an anchor", "a positive", "a negative"])
def test_deep_speakers_triplet_counts_if_all_its_rows_do(padded: int, x64: None) -> None:
    thirds = rows(12, 3)
    where = np.arange(12) != padded
    terms = np.array(jt.deep_speaker(thirds, 5.0, reduce_fn=None))  # the margin makes every term active
    thirds[padded] = np.nan
    masked = jt.deep_speaker(thirds, 5.0, reduce_fn=None, where=where)
    assert (terms > 0).all()
    terms[padded % 4] = 0
    np.testing.assert_allclose(masked, terms, 1e-12)
    np.testing.assert_allclose(jt.deep_speaker(thirds, 5.0, where=where), terms.sum() / 3, 1e-12)


SAME = np.array([1, 0, 0, 1, 0])


@pytest.mark.parametrize("dtype", [bool, np.int32, np.uint8, np.float32, np.float64])
def test_same_may_be_boolean_integer_or_float(dtype: Any, x64: None) -> None:
    x, y = rows(2, 5, 4)
    expected = siamese_kl_hinge(SAME, np.stack([x, y], axis=1), 1.0).reduced("mean")
    np.testing.assert_allclose(jt.siamese_kl_hinge(SAME.astype(dtype), x, y), expected, 1e-10)


def test_same_may_be_a_float_beside_half_precision() -> None:
    x, y = jnp.asarray(rows(2, 5, 4), jnp.bfloat16)
    value = jt.siamese_kl_hinge(jnp.asarray(SAME, jnp.float32), x, y)
    np.testing.assert_allclose(value, jt.siamese_kl_hinge(jnp.asarray(SAME, bool), x, y), 1e-6)


def test_same_outside_of_0_and_1_is_not_a_number() -> None:
    x, y = jnp.asarray(rows(2, 5, 4), jnp.float32)
    for wrong in (2.0, -1.0):
        assert np.isnan(jt.siamese_kl_hinge(jnp.asarray(SAME, jnp.float32).at[2].set(wrong), x, y))


def test_what_padding_calls_the_same_does_not_matter() -> None:
    x, y = jnp.asarray(rows(2, 5, 4), jnp.float32)
    where = jnp.asarray([1, 1, 0, 1, 1], bool)
    values = [
        jt.siamese_kl_hinge(jnp.asarray(SAME, jnp.float32).at[2].set(same), x, y, where=where)
        for same in (0.0, 1.0, 7.0, np.nan)
    ]
    np.testing.assert_array_equal(values, values[0])
