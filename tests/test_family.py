"""Pairs, softmax and two views beyond the tables: uneven tiles, scales, overflow, devices."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet import engine
from jaxtriplet.losses import registry

LABELS = np.array([0, 3, 0, 1, 3, 0, 0], np.int32)


def rows(count: int = 7, seed: int = 0) -> np.ndarray:
    """Asymmetric rows of about unit length."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, 4)) + 0.3
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("block_size", [2, 3])
def test_documents_have_their_gradient_where_tiles_do_not_divide_the_queries(block_size: int, x64: None) -> None:
    queries, documents = rows(), rows(seed=1)

    def dense(queries: Any, documents: Any, temperature: Any) -> Any:
        scores = queries @ documents.T / temperature
        both = jax.nn.logsumexp(scores, axis=1) + jax.nn.logsumexp(scores, axis=0)
        return jnp.mean(both / 2 - jnp.diag(scores))

    ours = partial(jt.info_nce, symmetric=True, block_size=block_size)
    found, expected = (jax.value_and_grad(one, argnums=(0, 1, 2))(queries, documents, 0.3) for one in (ours, dense))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, 1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["supervised_contrastive", "circle"])
def test_a_ring_has_its_gradient_where_tiles_do_not_divide_a_share(name: str, x64: None) -> None:
    x, labels = rows(14).reshape(2, 7, 4), np.concatenate([LABELS, LABELS[::-1]]).reshape(2, 7)

    def loss(x: Any, **options: Any) -> Any:
        one = partial(registry.find(name).function, axis_name="i", **options)
        return jnp.mean(jax.vmap(one, axis_name="i")(labels, x))

    whole, ring = (jax.jit(jax.grad(partial(loss, **kind)))(x) for kind in ({}, {"exchange": "ring", "block_size": 3}))
    np.testing.assert_allclose(ring, whole, 1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["lifted_structure", "info_nce", "nca", "multi_similarity"])
def test_blocks_that_hold_one_class_alone(name: str, x64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0, 0, 0, 0, 0, 1, 1], np.int32)
    first, options = (rows(), {"symmetric": True}) if name == "info_nce" else (labels, {})
    step = jax.value_and_grad(partial(registry.find(name).function, first, **options))
    whole = step(rows(seed=1))
    jax.clear_caches()
    for size in ("LONG", "LONG_BLOCK"):
        monkeypatch.setitem(engine.measure.__globals__, size, 4)
    for ours, theirs in zip(step(rows(seed=1)), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-12)
    jax.clear_caches()


@pytest.mark.parametrize("name", ["nt_xent", "supervised_contrastive"])
def test_small_scores_are_not_lost(name: str) -> None:
    """Logits are <x, y> / T, whatever the scale of both."""
    x, loss = rows().astype(np.float32), registry.find(name)
    for shrunk in (1e-3, 1e-6):
        np.testing.assert_allclose(loss(LABELS, x * np.float32(shrunk), shrunk**2), loss(LABELS, x, 1.0), 1e-5)


@pytest.mark.parametrize("scale", [1e10, 1e20, 1e30])
def test_distances_that_overflow_are_no_small_loss(scale: float) -> None:
    x = (rows() * scale).astype(np.float32)
    for name in ("nca", "prototypical", "contrastive", "lifted_structure"):
        value, exact = (float(registry.find(name)(LABELS, one)) for one in (x, rows() * 1e10))
        assert not np.isfinite(value) or value >= min(exact, 1e10), name


def test_prototypes_of_rows_that_are_alike_keep_their_gradient() -> None:
    spread = (1e-2 * rows()).astype(np.float32)
    far, near = (jax.grad(partial(jt.prototypical, LABELS))(one) for one in (spread + np.float32(1000), spread))
    # The rows themselves are rounded to 1000 * 6e-8.
    with jax.enable_x64(True):
        exact = jax.grad(partial(jt.prototypical, LABELS))((spread + np.float32(1000)).astype(np.float64))
    assert np.linalg.norm(far - np.asarray(exact)) <= 1e-5 * np.linalg.norm(exact)
    assert np.linalg.norm(near) > 0


def test_prototypes_of_long_rows_do_not_overflow() -> None:
    x = np.abs(rows()).astype(np.float32)
    expected = jt.angular_prototypical(LABELS, x)
    np.testing.assert_allclose(jt.angular_prototypical(LABELS, x * np.float32(3e38)), expected, 1e-5)
    assert jt.angular_prototypical(LABELS, np.zeros((7, 0), np.float32)) == pytest.approx(np.log(2))


def test_terms_of_two_directions_are_active_together_on_many_devices() -> None:
    queries = jnp.eye(4)
    documents = queries.at[2].set(jnp.array([0, 0.8, 0.6, 0.0]))
    loss = partial(jt.info_nce, temperature=0.005, symmetric=True, reduce_fn=jt.reductions.mean_active, has_aux=True)
    value, stats = loss(queries, documents)
    spread = jax.vmap(partial(loss, axis_name="i"), axis_name="i")
    values, many = spread(queries.reshape(2, 2, 4), documents.reshape(2, 2, 4))
    np.testing.assert_allclose(values, value, 1e-6)
    np.testing.assert_array_equal(many.num_active, stats.num_active)


def test_labels_that_would_become_one_are_refused_by_masks_and_the_engine() -> None:
    labels = np.array([0, 2**32, 1])
    for call in (jt.masks.anchor_positive, lambda labels: engine.meet(labels, np.zeros((3, 2), np.float32))):
        with pytest.raises(ValueError, match="labels must fit in int32"):
            call(labels)
