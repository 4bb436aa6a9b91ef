"""Log-mel features against plain loops, and what padding, silence and level may do to them."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxtriplet.speech.frontend import log_mel, mean_normalize, mel_filters, normalize_level

from .reference import speech

RATE, BANDS, FLOOR = 16000, 80, 1e-6
LENGTHS = np.array([8000, 6001, 512, 671, 672, 511, 0])


def vowels(length: int, seed: int) -> np.ndarray:
    """Pulses of a falling voice through formants, breath, and a pause: some 90 dB between the bands."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(np.linspace(140, 90, length)) / RATE
    voice = np.diff(np.floor(phase), prepend=0) + 1e-3 * rng.normal(size=length)
    for formant in (600, 1200, 2600):
        pole = 0.97 * np.exp(2j * np.pi * formant / RATE)
        voice = scipy.signal.lfilter([1], np.poly([pole, pole.conj()]).real, voice)
    voice[length // 2 : length // 2 + 1000] = 0
    return (0.5 * voice / max(1e-9, np.abs(voice).max(initial=0))).astype(np.float32)


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Utterances of several lengths, with NaN in the padding."""
    rows = np.full((len(LENGTHS), LENGTHS.max()), np.nan, np.float32)
    for row, length in zip(rows, LENGTHS, strict=True):
        row[:length] = vowels(length, seed=length)
    return rows


@pytest.mark.parametrize("bands", [40, BANDS])
def test_log_mel_equals_the_loops(batch, bands):
    features, counts = log_mel(batch, LENGTHS, num_bands=bands)
    np.testing.assert_array_equal(counts, [47, 35, 1, 1, 2, 0, 0])
    for row, count, samples, length in zip(np.asarray(features), counts, batch, LENGTHS, strict=True):
        assert not row[count:].any()
        if count:
            expected = speech.log_mel(samples[:length], rate=RATE, bands=bands, low=20, high=7600, floor=FLOOR)
            # 0.001 dB, in the units of the natural logarithm.
            np.testing.assert_allclose(row[:count], expected, rtol=0, atol=1e-3 * np.log(10) / 10)


def test_float64_is_exact_down_to_nothing(batch, x64):
    features, _ = log_mel(batch[:1].astype(np.float64), LENGTHS[:1], floor=1e-14)
    expected = speech.log_mel(batch[0].astype(np.float64), rate=RATE, bands=BANDS, low=20, high=7600, floor=1e-14)
    np.testing.assert_allclose(features[0], expected, rtol=0, atol=1e-7)


def test_padding_does_not_matter(batch):
    alone, count = log_mel(batch[1:2, :6001], LENGTHS[1:2])
    together, counts = log_mel(batch, LENGTHS)
    # The product with the mel filters may group its terms by the number of rows.
    np.testing.assert_allclose(together[1, : int(count[0])], alone[0, : int(count[0])], atol=1e-5)
    assert count[0] == counts[1]


def test_level_does_not_matter_after_normalize_level(batch):
    levelled = normalize_level(batch, LENGTHS)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(levelled[1, :6001]))), 0.1, rtol=1e-5)
    assert not np.asarray(levelled[1, 6001:]).any()
    quiet, _ = log_mel(normalize_level(batch / 100, LENGTHS), LENGTHS)
    np.testing.assert_allclose(quiet, log_mel(levelled, LENGTHS)[0], atol=1e-4)


@jax.jit
@partial(jax.value_and_grad, has_aux=True)
def squares(waveforms):
    features, counts = log_mel(normalize_level(waveforms, LENGTHS), LENGTHS)
    return jnp.sum(jnp.square(mean_normalize(features, counts))), features


def test_silence_is_finite_in_value_and_gradient(batch):
    (total, features), gradient = squares(np.zeros_like(batch))
    np.testing.assert_allclose(features[0], np.log(FLOOR), rtol=1e-6)
    chex.assert_tree_all_finite((total, gradient))


def test_padding_gets_no_gradient(batch):
    _, gradient = squares(batch)
    chex.assert_tree_all_finite(gradient)
    assert not np.asarray(gradient)[np.arange(batch.shape[1]) >= LENGTHS[:, None]].any()
    assert np.asarray(gradient)[1].any()


def test_mean_normalize_equals_numpy():
    features = np.random.default_rng(0).normal(3, 2, (3, 5, 4)).astype(np.float32)
    counts = np.array([5, 2, 0])
    features[np.arange(5) >= counts[:, None]] = np.nan
    found = np.asarray(mean_normalize(features, counts))
    assert not found[2].any()
    for row, raw, count in zip(found[:2], features, counts, strict=False):
        assert not row[count:].any()
        np.testing.assert_allclose(row[:count], raw[:count] - raw[:count].mean(0, keepdims=True), atol=1e-6)


def test_a_channel_is_a_constant_that_mean_normalize_takes_out(batch):
    features, counts = log_mel(batch, LENGTHS)
    channel = jax.random.normal(jax.random.key(0), (1, 1, BANDS))
    np.testing.assert_allclose(mean_normalize(features + channel, counts), mean_normalize(features, counts), atol=2e-5)


def test_filters_have_unit_area():
    # Triangles sampled every 31 Hz: the widest, at the top, are sampled well.
    np.testing.assert_allclose(mel_filters(RATE, 512, 40, 20, 7600)[-10:].sum(axis=1) * RATE / 512, 1, rtol=0.02)


def test_bands_end_below_half_the_sample_rate():
    telephone = jax.random.normal(jax.random.key(0), (1, 800)), jnp.array([800])
    found, _ = log_mel(*telephone, sample_rate=8000, num_bands=BANDS)
    expected, _ = log_mel(*telephone, sample_rate=8000, num_bands=BANDS, highest=3800.0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("waveforms", "lengths", "options", "message"),
    [
        (jnp.ones(8000), jnp.array([8000]), {}, r"waveforms must be floats of shape \[B, T\]"),
        (jnp.ones((1, 8000), jnp.int16), jnp.array([8000]), {}, r"waveforms must be floats"),
        (jnp.ones((1, 8000)), jnp.array([8000, 1]), {}, r"lengths must be integers of shape \[1\]"),
        (jnp.ones((1, 500)), jnp.array([500]), {}, "a frame of 512 samples must fit into the waveforms"),
        (jnp.ones((1, 8000)), jnp.array([8000]), {"window": 0.1}, "the window of 1600 into a frame"),
        (
            jnp.ones((1, 800)),
            jnp.array([800]),
            {"sample_rate": 8000, "highest": 7600.0},
            "half the sample rate, 4000 Hz",
        ),
        (jnp.ones((1, 8000)), jnp.array([8000]), {"num_bands": 200}, "200 bands are too many"),
    ],
)
def test_bad_input(waveforms, lengths, options, message):
    with pytest.raises(ValueError, match=message):
        log_mel(waveforms, lengths, **options)
