"""The masks are Boolean algebra over labels."""

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
