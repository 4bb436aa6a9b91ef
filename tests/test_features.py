"""Standardisation against NumPy, and what augmentation may and may not do to an utterance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet.speech.features import Augmentation, Standardizer, augment

FRAMES, WIDTH, COPIES = 29, 3, 400
OFF = {"noise": 0.0, "offset": 0.0, "crop": 0.0, "warp": 0.0}
RAMP = jnp.broadcast_to(jnp.arange(FRAMES, dtype=jnp.float32)[:, None], (FRAMES, WIDTH))


@jax.jit
def many(features, length, strengths):
    keys = jax.random.split(jax.random.key(0), COPIES)
    return jax.vmap(lambda key: augment(key, features, length, **strengths))(keys)


def variants(features, length, **strengths):
    """COPIES variants of one utterance, as NumPy arrays."""
    return jax.tree.map(np.asarray, many(features, jnp.array(length), OFF | strengths))


def padding_of(lengths):
    return np.arange(FRAMES) >= lengths[:, None]


def test_standardizer_equals_numpy():
    rng = np.random.default_rng(0)
    features, lengths = rng.normal(3, 2, (6, 5, WIDTH)).astype(np.float32), np.array([5, 1, 0, 3, 2, 4])
    valid = np.arange(5) < lengths[:, None]
    features[~valid] = np.nan
    standardizer = Standardizer.fit(features, lengths)
    np.testing.assert_allclose(standardizer.mean, features[valid].mean(0), rtol=1e-5)
    np.testing.assert_allclose(standardizer.std, features[valid].std(0), rtol=1e-5)
    applied = np.asarray(jax.jit(lambda s, x, n: s(x, n))(standardizer, features, lengths))
    assert not applied[~valid].any()
    np.testing.assert_allclose(applied[valid].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(applied[valid].std(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(standardizer(features[3], lengths[3]), applied[3])


def test_constant_feature_becomes_zero():
    standardizer = Standardizer.fit(jnp.full((2, 4, 1), 7.0), jnp.array([4, 2]))
    np.testing.assert_array_equal(standardizer(jnp.full((1, 4, 1), 7.0), jnp.array([4])), jnp.zeros((1, 4, 1)))


@pytest.mark.parametrize("length", [0, 1, 2, 20, FRAMES])
def test_nothing_switched_on_changes_nothing(length):
    features = jax.random.normal(jax.random.key(1), (FRAMES, WIDTH))
    found, lengths = variants(features.at[length:].set(jnp.nan), length)
    assert (lengths == length).all()
    # An interpolation at the very last frame rounds once.
    np.testing.assert_allclose(found, np.broadcast_to(features.at[length:].set(0), found.shape), atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 2, 7, 20, FRAMES])
def test_length_and_padding(length):
    found, lengths = variants(RAMP.at[length:].set(jnp.nan), length, **dataclasses.asdict(Augmentation()))
    assert lengths.min() >= min(length, 2)
    assert lengths.max() <= FRAMES
    assert np.isfinite(found).all()
    assert not found[padding_of(lengths)].any()
    assert found[~padding_of(lengths)].all()


def test_crop_keeps_a_piece():
    found, lengths = variants(RAMP, 20, crop=0.2)
    assert set(lengths) == {16, 17, 18, 19, 20}
    starts = found[:, 0, 0]
    assert set(starts[lengths == 16]) == {0, 1, 2, 3, 4}
    pieces = np.where(padding_of(lengths), 0, starts[:, None] + np.arange(FRAMES))
    np.testing.assert_array_equal(found, np.broadcast_to(pieces[:, :, None], found.shape))


def test_warp_keeps_both_ends():
    found, lengths = variants(RAMP, 20, warp=0.2)
    assert (lengths.min(), lengths.max()) == (16, 24)
    for warped, length in zip(found[:50, :, 0], lengths[:50], strict=True):
        np.testing.assert_allclose(warped[:length], np.linspace(0, 19, length), rtol=1e-5)


def test_warp_stops_at_the_last_frame():
    _, lengths = variants(RAMP, 28, warp=0.2)
    assert lengths.max() == FRAMES


def test_noise_is_new_in_every_value_and_offset_in_every_utterance():
    # The standard deviation of 400 * 3 normal draws scatters by 1 / sqrt(2 * 400 * 3) = 0.02 of itself; five of these.
    noisy, _ = variants(jnp.zeros((FRAMES, WIDTH)), FRAMES, noise=0.2)
    np.testing.assert_allclose(noisy.std(axis=(0, 1)), 0.2, rtol=0.1)
    np.testing.assert_allclose(noisy.std(axis=1).mean(), 0.2, rtol=0.1)
    moved, _ = variants(jnp.zeros((FRAMES, WIDTH)), FRAMES, offset=0.3)
    np.testing.assert_allclose(moved[:, 0].std(), 0.3, rtol=0.1)
    np.testing.assert_array_equal(moved, np.broadcast_to(moved[:, :1], moved.shape))
    correlation = np.corrcoef(moved[:, 0].T)
    np.testing.assert_allclose(correlation, np.eye(WIDTH), atol=0.25)  # five times 1 / sqrt(400)


def test_padding_does_not_enter_the_draws():
    keys = jax.random.split(jax.random.key(0), 8)
    one = jax.jit(jax.vmap(augment, in_axes=(0, None, None)))
    short, length = one(keys, RAMP[:24], jnp.array(10))
    long, same = one(keys, RAMP, jnp.array(10))
    np.testing.assert_array_equal(length, same)
    np.testing.assert_array_equal(short, long[:, :24])


def test_the_defaults_are_the_dataclass():
    key, length = jax.random.key(0), jnp.array(20)
    explicit = jax.jit(lambda: augment(key, RAMP, length, **dataclasses.asdict(Augmentation())))()
    for found, expected in zip(jax.jit(augment)(key, RAMP, length), explicit, strict=True):
        np.testing.assert_array_equal(found, expected)
