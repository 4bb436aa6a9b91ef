"""The distances: values, gradients, and the one rule for zero."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet.distances import form_of

from .cases import DISTANCES
from .reference.differences import central_differences

OWN = {name: pair for name, pair in DISTANCES.items() if name != "manhattan"}
every_distance = pytest.mark.parametrize("name", OWN)


def two_sets(seed: int = 0, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Six and four asymmetric rows."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(size=dim)
    return rng.normal(size=(6, dim)) + offset, rng.normal(size=(4, dim)) * 0.7 + offset


def loop(reference: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([[reference(a, b) for b in y] for a in x])


@every_distance
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_values(name: str, dtype: Any, rtol: float) -> None:
    ours, reference = OWN[name]
    with jax.enable_x64(dtype is np.float64):
        x, y = (a.astype(dtype) for a in two_sets())
        matrix = ours(jnp.asarray(x), jnp.asarray(y))
        chex.assert_shape(matrix, (6, 4))
        assert matrix.dtype == dtype
        np.testing.assert_allclose(matrix, loop(reference, x.astype(float), y.astype(float)), rtol, atol=rtol)


@every_distance
def test_gradients(name: str, x64: None) -> None:
    ours, reference = OWN[name]
    x, y = two_sets(1)
    weights = np.random.default_rng(2).normal(size=(6, 4))
    by_x, by_y = jax.grad(lambda x, y: jnp.sum(weights * ours(x, y)), argnums=(0, 1))(x, y)

    def total(x: np.ndarray, y: np.ndarray) -> float:
        return np.sum(weights * loop(reference, x, y))

    np.testing.assert_allclose(by_x, central_differences(lambda x: total(x, y), x), 1e-6, 1e-7)
    np.testing.assert_allclose(by_y, central_differences(lambda y: total(x, y), y), 1e-6, 1e-7)


@every_distance
@pytest.mark.parametrize("shapes", [((0, 3), (4, 3)), ((4, 3), (0, 3)), ((0, 3), (0, 3))])
def test_no_rows(name: str, shapes: Any) -> None:
    ours = OWN[name][0]
    x, y = (jnp.zeros(shape) for shape in shapes)
    assert ours(x, y).shape == (len(x), len(y))
    assert all(np.isfinite(g).all() for g in jax.grad(lambda x, y: jnp.sum(ours(x, y)), argnums=(0, 1))(x, y))


@every_distance
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_zero_rows_and_equal_rows_have_finite_gradients(name: str, scale: float) -> None:
    ours = OWN[name][0]
    x = two_sets(3)[0] * scale
    x[1] = 0
    x[2] = x[0]
    x = jnp.asarray(x, jnp.float32)
    matrix, gradient = jax.value_and_grad(lambda x: jnp.sum(ours(x, x)))(x)
    assert np.isfinite(matrix)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["squared_euclidean", "euclidean"])
def test_equal_rows_are_at_zero_with_no_gradient(name: str) -> None:
    """In Gram form rounding leaves 36 of such 300 batches above zero, and the root's gradient there is wild."""
    distance = OWN[name][0]

    @jax.jit
    @jax.vmap
    def equal_pairs(x: jax.Array) -> Any:
        y = jnp.concatenate([x[::-1], x])

        def total(x: jax.Array, y: jax.Array) -> jax.Array:
            matrix = distance(x, y)
            return jnp.sum(jnp.where(jnp.concatenate([jnp.eye(8)[:, ::-1], jnp.eye(8)], axis=1) > 0, matrix, 0.0))

        return total(x, y), jax.grad(total, argnums=(0, 1))(x, y)

    rng = np.random.default_rng(0)
    batches = rng.normal(size=(300, 8, 64)) * rng.uniform(0.1, 10, (300, 1, 1)) + rng.normal(size=(300, 1, 64))
    total, (by_x, by_y) = equal_pairs(jnp.asarray(batches, jnp.float32))
    np.testing.assert_array_equal(total, 0)
    np.testing.assert_array_equal(by_x, 0)
    np.testing.assert_array_equal(by_y, 0)


@pytest.mark.parametrize("name", ["squared_euclidean", "euclidean", "cosine", "kl", "symmetric_kl"])
def test_distances_of_near_rows_are_not_negative(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 32)) * 3
    y = x + rng.normal(size=(64, 32)) * rng.choice([0, 1e-6, 1e-4], (64, 1))
    matrix = OWN[name][0](jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    # Rounding of 1 - cos and of the KL's difference of two sums may fall below zero, by its own size only.
    assert np.min(matrix) >= (0 if "euclidean" in name else -2e-6)


def test_near_rows_keep_their_distance(x64: None) -> None:
    """The rule for zero must not swallow distances that the precision resolves."""
    x = np.array([[1.0, 2.0, 3.0]])
    for gap in (1e-1, 1e-3, 1e-5):
        np.testing.assert_allclose(jt.distances.euclidean(x, x + np.array([[gap, 0.0, 0.0]])), gap, 1e-4)


def test_extreme_logits() -> None:
    """Log-softmax keeps the KL finite where the probabilities underflow."""
    x = jnp.asarray([[0.0, 100.0, -300.0], [500.0, 0.0, 0.0], [0.0, 0.0, 0.0]], jnp.float32)
    for distance in (jt.distances.kl, jt.distances.symmetric_kl):
        value, gradient = jax.value_and_grad(lambda x, d=distance: jnp.sum(d(x, x)))(x)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_l2_normalize(x64: None) -> None:
    x = two_sets(4)[0]
    x[2] = 0
    unit = jt.l2_normalize(x)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 0, 1, 1, 1], 1e-12)
    np.testing.assert_allclose(unit[0], x[0] / np.linalg.norm(x[0]), 1e-12)
    gradient = jax.grad(lambda x: jnp.sum(jt.l2_normalize(x) * np.arange(5.0)[None]))(x)
    assert np.isfinite(gradient).all()
    expected = central_differences(lambda row: np.sum(row / np.linalg.norm(row) * np.arange(5.0)), x[0])
    np.testing.assert_allclose(gradient[0], expected, 1e-6, 1e-8)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_l2_normalize_keeps_the_precision(dtype: Any) -> None:
    unit = jt.l2_normalize(jnp.asarray([[300.0, 400.0], [0.0, 0.0]], dtype))
    assert unit.dtype == dtype
    np.testing.assert_allclose(unit.astype(jnp.float32), [[0.6, 0.8], [0, 0]], 1e-2)


def test_which_divergence_counts_as_0_depends_on_its_classes_and_not_on_the_rows_beside_it() -> None:
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 2)), jnp.float32)
    form = form_of(jt.distances.kl)
    made = form.rows_fn(rows, jnp.ones(2000, bool), frame := form.frame((rows, jnp.ones(2000, bool))))
    among_all = np.asarray(form.between_fn(made, made, frame))
    few = (jax.tree.map(lambda part, at=at: part[at : at + 20], made) for at in range(0, 2000, 20))
    among_few = np.concatenate([form.between_fn(made, some, frame) for some in few], axis=1)
    zeros = [np.sum(found == 0) for found in (among_all, among_few)]
    # Rounded in another order, one at the limit may be on its other side.
    np.testing.assert_allclose(*zeros, rtol=0.02)
