"""The masks are Boolean algebra over labels."""

import runpy
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt

from .reference import programs

MASKS = [
    (jt.masks.anchor_positive, programs.anchor_positive_mask),
    (jt.masks.anchor_negative, programs.anchor_negative_mask),
    (jt.masks.triplet, programs.triplet_mask),
]


@pytest.mark.parametrize(("mask", "program"), MASKS, ids=["anchor_positive", "anchor_negative", "triplet"])
def test_masks_are_those_of_the_tensorflow_program(mask: chex.ArrayTree, program: chex.ArrayTree) -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 7, 7, 12):
        labels = rng.integers(-2, 3, size).astype(np.int32)
        ours = mask(jnp.asarray(labels))
        assert ours.dtype == bool
        np.testing.assert_array_equal(ours, program(labels))


def test_a_triplet_is_a_positive_and_a_negative_pair() -> None:
    labels = jnp.asarray([3, 1, 3, 2, 1, 3], jnp.int32)
    positive, negative, triplet = (mask(labels) for mask, _ in MASKS)
    chex.assert_shape(triplet, (6, 6, 6))
    np.testing.assert_array_equal(triplet, positive[:, :, None] & negative[:, None, :])
    for a, p, n in np.argwhere(triplet):
        assert len({a, p, n}) == 3
        assert labels[a] == labels[p] != labels[n]


def test_masks_compile() -> None:
    labels = jnp.asarray([[0, 1, 0], [2, 2, 2]], jnp.int32)
    assert jax.jit(jax.vmap(jt.masks.triplet))(labels).shape == (2, 3, 3, 3)
    assert not jax.jit(jt.masks.anchor_negative)(labels[1]).any()


@pytest.mark.parametrize("mask", [mask for mask, _ in MASKS])
def test_labels_must_be_integers(mask: chex.ArrayTree) -> None:
    for bad in (jnp.zeros(3), jnp.zeros((3, 1), jnp.int32)):
        with pytest.raises(ValueError, match="labels must be integers of shape"):
            mask(bad)


@pytest.mark.parametrize("mask", [mask for mask, _ in MASKS])
def test_padding_is_in_no_pair(mask: chex.ArrayTree) -> None:
    labels, where = np.array([0, 0, 1, 0, 1], np.int32), np.array([True, False, True, True, True])
    padded, kept = np.array(mask(labels, where)), np.ix_(*[np.flatnonzero(where)] * mask(labels).ndim)
    np.testing.assert_array_equal(padded[kept], mask(labels[where]))
    padded[kept] = False
    assert not padded.any()
    with pytest.raises(ValueError, match="where must be bool"):
        mask(labels, np.ones(3, bool))


def test_miners_choose_what_loops_choose() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (7, 9)).astype(np.float32) / 5  # with ties
    positive = rng.random((7, 9)) < 0.4
    negative = ~positive & (rng.random((7, 9)) < 0.7)
    positive[:, 0], negative[:, 1] = False, False
    far, near = jt.masks.farthest(scores, positive), jt.masks.nearest(scores, negative)
    own, other = jt.masks.multi_similarity(scores, positive, negative, 0.25)
    turned = [
        jt.masks.farthest(scores.T, positive.T, axis=1),
        jt.masks.nearest(scores.T, negative.T, axis=1),
        *jt.masks.multi_similarity(scores.T, positive.T, negative.T, 0.25, axis=1),
    ]
    for along_rows, down_columns in zip(turned, (far, near, own, other), strict=True):
        np.testing.assert_array_equal(along_rows.T, down_columns)
    for a in range(9):
        positives, negatives = (np.flatnonzero(mask[:, a]) for mask in (positive, negative))
        hardest = [max(positives, key=lambda p: (scores[p, a], -p))] if len(positives) else []
        assert np.flatnonzero(far[:, a]).tolist() == hardest
        hardest = [min(negatives, key=lambda n: (scores[n, a], n))] if len(negatives) else []
        assert np.flatnonzero(near[:, a]).tolist() == hardest
        for p in range(7):
            worth = positive[p, a] and any(scores[n, a] + 0.25 > scores[p, a] for n in negatives)
            assert bool(own[p, a]) == worth
        for n in range(7):
            worth = negative[n, a] and any(scores[p, a] - 0.25 < scores[n, a] for p in positives)
            assert bool(other[n, a]) == worth
    gradient = jax.grad(lambda x: jnp.sum(jnp.where(jt.masks.nearest(x, negative), 1.0, 0.0)))(scores)
    np.testing.assert_array_equal(gradient, 0)


def test_the_example_of_a_loss_of_ones_own_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, path = jt.losses.registry.LOSSES, Path(__file__).parent.parent / "examples" / "own_loss.py"
    before = dict(registry)
    try:
        runpy.run_path(str(path))["main"]()
    finally:
        registry.clear()
        registry.update(before)
    compared, *_, agrees, trained = capsys.readouterr().out.splitlines()
    assert float(compared.split()[-1]) < 1e-5
    assert agrees.startswith("agrees")
    first, last = (float(word) for word in trained.replace("from ", "").split()[-3::2])
    assert last < 0.6 * first
