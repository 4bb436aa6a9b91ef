"""GE2E beyond the table: the similarity matrix, the bound on speakers, lone utterances."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet.engine import tuning
from jaxtriplet.losses import registry

from .reference import ge2e

LABELS = np.array([40, -3, 40, 7, -3, 40, 7, 12], np.int32)


def embeddings(num_rows: int = 8) -> np.ndarray:
    """Asymmetric rows."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(num_rows, 5)) + rng.normal(size=5) * 0.5


@pytest.mark.parametrize("num_speakers", [None, 4, 6, 20])
def test_similarity(num_speakers: int | None, x64: None) -> None:
    rows = embeddings()
    matrix, columns = jt.ge2e_similarity(LABELS, rows, -2.0, 0.3, num_speakers=num_speakers)
    reference, own = ge2e.similarity(LABELS, rows, -2.0, 0.3)
    assert matrix.shape == (8, num_speakers or 8)
    np.testing.assert_allclose(matrix[:, :4], reference, 1e-10)
    np.testing.assert_array_equal(matrix[:, 4:], -np.inf)
    np.testing.assert_array_equal(columns, own)


def test_columns_are_ordered_by_label(x64: None) -> None:
    _, columns = jt.ge2e_similarity(LABELS, embeddings(), num_speakers=4)
    np.testing.assert_array_equal(columns, [3, 0, 3, 1, 0, 3, 1, 2])


def test_similarity_ignores_padding(x64: None) -> None:
    where = np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)
    rows = embeddings()
    reference, own = ge2e.similarity(LABELS[where], rows[where], 10.0, -5.0)
    rows[~where] = np.nan
    labels = np.where(where, LABELS, 99).astype(np.int32)
    matrix, columns = jt.ge2e_similarity(labels, rows, where=where, num_speakers=5)
    np.testing.assert_allclose(matrix[where][:, :4], reference, 1e-10)
    np.testing.assert_array_equal(matrix[where][:, 4:], -np.inf)
    np.testing.assert_array_equal(columns[where], own)
    np.testing.assert_array_equal(matrix[~where][:, :4], 0)
    np.testing.assert_array_equal(columns[~where], -1)


def test_similarity_has_a_gradient(x64: None) -> None:
    def finite_part(rows: jax.Array) -> jax.Array:
        matrix, _ = jt.ge2e_similarity(LABELS, rows)
        return jnp.sum(matrix[:, :4] ** 2)

    gradient = jax.grad(finite_part)(jnp.asarray(embeddings()))
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=1) > 0).all()


@pytest.mark.parametrize("check_vma", [True, False])
def test_similarity_over_devices(check_vma: bool, x64: None) -> None:
    rows, mesh = embeddings(), Mesh(np.array(jax.devices()[:4]), "data")
    similarity = partial(jt.ge2e_similarity, num_speakers=6)
    mapped = jax.shard_map(
        partial(similarity, axis_name="data"),
        mesh=mesh,
        in_specs=(P("data"), P("data")),
        out_specs=(P("data"), P("data")),
        check_vma=check_vma,
    )
    for ours, one in zip(jax.jit(mapped)(LABELS, rows), similarity(LABELS, rows), strict=True):
        np.testing.assert_allclose(ours, one, 1e-12)


@pytest.mark.parametrize("method", ["softmax", "contrast"])
def test_more_speakers_than_the_bound_give_nan(method: str) -> None:
    rows = jnp.asarray(embeddings(), jnp.float32)
    loss = jax.value_and_grad(lambda rows, n: jt.ge2e(jnp.asarray(LABELS), rows, method=method, num_speakers=n))
    assert np.isfinite(loss(rows, 4)[0])
    value, gradient = loss(rows, 3)
    assert np.isnan(value)
    assert np.isnan(gradient).any()


def test_labels_of_padding_do_not_count_against_the_bound() -> None:
    rows, labels = jnp.asarray(embeddings(), jnp.float32), jnp.asarray(LABELS)
    where = labels != 12
    assert np.isfinite(jt.ge2e(labels, rows, where=where, num_speakers=3))
    assert np.isnan(jt.ge2e(labels, rows, where=where, num_speakers=2))


def test_more_speakers_than_the_bound_across_devices_give_nan() -> None:
    """No device sees more than two speakers, all together see four."""
    rows, labels = embeddings().reshape(4, 2, 5).astype(np.float32), LABELS.reshape(4, 2)
    for bound, finite in ((4, True), (3, False)):
        losses = jax.pmap(partial(jt.ge2e, num_speakers=bound, axis_name="data"), axis_name="data")(labels, rows)
        assert np.isfinite(losses).all() == finite
        assert np.isnan(losses).all() != finite


@pytest.mark.parametrize("method", ["softmax", "contrast"])
def test_lone_utterances_are_centroids_for_the_others(method: str, x64: None) -> None:
    rows, labels = embeddings(5), np.array([0, 0, 1, 2, 2], np.int32)
    terms = jt.ge2e(labels, rows, 3.0, -1.0, method=method, reduce_fn=None)
    assert terms[2] == 0
    gradient = jax.grad(lambda rows: jt.ge2e(labels, rows, 3.0, -1.0, method=method))(rows)
    assert np.abs(gradient[2]).max() > 1e-6


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_large_scales_stay_finite(scale: float) -> None:
    rows = jnp.asarray(embeddings(), jnp.float32)
    for method in ("softmax", "contrast"):
        value, gradients = jax.value_and_grad(
            lambda scale, rows, m=method: jt.ge2e(jnp.asarray(LABELS), rows, scale, method=m), argnums=(0, 1)
        )(scale, rows)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


def test_defaults_are_the_papers() -> None:
    rows, labels = jnp.asarray(embeddings(), jnp.float32), jnp.asarray(LABELS)
    np.testing.assert_array_equal(jt.ge2e(labels, rows), jt.ge2e(labels, rows, 10.0, -5.0, method="softmax"))
    first, second = jt.ge2e_similarity(labels, rows), jt.ge2e_similarity(labels, rows, 10.0, -5.0)
    np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("name", ["ge2e", "ge2e_contrast", "angular_prototypical", "prototypical"])
def test_the_shape_that_holds_the_speakers_changes_nothing(
    name: str, x64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 300 rows shapes of 64, 128, 256 and 300 columns are compiled; with one shape alone it is the same."""
    declared, rng = registry.find(name), np.random.default_rng(0)
    rows, where = rng.normal(size=(300, 3)), rng.random(300) > 0.1
    numbers = tuple(declared.numbers.values())

    def figures(labels: Any, block_size: int | None = None) -> Any:
        options: Any = {"where": where, "block_size": block_size}
        step = jax.value_and_grad(lambda rows: declared(labels, rows, *numbers, has_aux=True, **options), has_aux=True)
        terms = declared(labels, rows, *numbers, reduce_fn=None, **options)
        return step(rows), terms

    batches = [rng.integers(0, speakers, 300).astype(np.int32) for speakers in (3, 70, 290)]
    followed = [figures(labels) for labels in batches]
    in_tiles = figures(batches[1], block_size=77)
    jax.clear_caches()
    monkeypatch.setitem(tuning.TUNING, "cpu", tuning.TUNING["cpu"]._replace(fewest=300))
    for labels, found in zip(batches, followed, strict=True):
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(figures(labels)), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-11)
    jax.clear_caches()
    for ours, theirs in zip(jax.tree.leaves(in_tiles), jax.tree.leaves(followed[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-11)
