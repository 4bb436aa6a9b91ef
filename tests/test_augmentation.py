"""Rooms, channels, noises, gains and masks: that they do what was asked, to the right samples, by their own keys."""

import dataclasses
from functools import partial
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet import speech
from jaxtriplet.speech import FeatureAugmentation, WaveformAugmentation

RATE, ROWS, SAMPLES = 16000, 6, 4000
LENGTHS = jnp.array([4000, 2500, 1, 0, 4000, 3000])
KEYS = jax.random.split(jax.random.key(0), ROWS)
WITHIN = np.arange(SAMPLES) < np.asarray(LENGTHS)[:, None]
WAVEFORMS = np.where(WITHIN, 0.1 * np.random.default_rng(0).normal(size=(ROWS, SAMPLES)), np.nan).astype(np.float32)
CLEAN = np.nan_to_num(WAVEFORMS)
OFF = WaveformAugmentation(room=0.0, channel=0.0, noise=0.0, gain=0.0)
ALWAYS = WaveformAugmentation(room=1.0, channel=1.0, noise=1.0, gain=1.0, reverberation_time=(0.05, 0.1))
SEVERAL = jnp.arange(400)

augment = jax.jit(speech.augment_waveforms, static_argnames="strengths")
stages = jax.jit(partial(speech.stages, strengths=ALWAYS))


def everything(keys, waveforms, lengths):
    return stages(keys, waveforms, lengths)["gain"]


def power(x):
    return np.mean(np.square(np.asarray(x, np.float64)), axis=-1)


def run(function, waveforms, **options):
    """One stage, on as many full-length rows as there are."""
    keys = jax.random.split(jax.random.key(3), len(waveforms))
    lengths = jnp.full(len(waveforms), waveforms.shape[1])
    return np.asarray(jax.jit(partial(function, **options))(keys, waveforms, lengths))


def impulses(rows, size, place):
    samples = np.zeros((rows, size), np.float32)
    samples[:, place] = 1
    return samples


# --- all stages together ----------------------------------------------------------------------------------------------


def test_nothing_switched_on_changes_nothing():
    np.testing.assert_array_equal(augment(KEYS, WAVEFORMS, LENGTHS, strengths=OFF), CLEAN)


def test_every_stage_changes_samples_within_the_length_alone():
    found = stages(KEYS, WAVEFORMS, LENGTHS)
    order = ["original", "room", "channel", "noise", "gain"]
    assert set(found) == set(order)
    for before, after in pairwise(found[name] for name in order):
        assert np.isfinite(after).all()
        assert not np.asarray(after)[~WITHIN].any()
        assert (np.abs(after - before).max(axis=1) > 1e-4)[np.asarray(LENGTHS) > 1].all()
    np.testing.assert_array_equal(found["original"], CLEAN)


def test_a_row_depends_on_its_own_key_alone():
    whole = everything(KEYS, WAVEFORMS, LENGTHS)
    np.testing.assert_array_equal(everything(KEYS, WAVEFORMS, LENGTHS), whole)
    moved = everything(KEYS[::-1], WAVEFORMS[::-1], LENGTHS[::-1])
    np.testing.assert_allclose(moved[::-1], whole, atol=1e-6)
    assert not np.allclose(everything(KEYS[::-1], WAVEFORMS, LENGTHS)[0], whole[0], atol=1e-2)


def test_neither_other_rows_nor_padding_enter_a_draw():
    longer = np.pad(WAVEFORMS, ((0, 0), (0, 700)), constant_values=np.nan)
    part = everything(KEYS[4:], longer[4:], LENGTHS[4:])
    # A Fourier transform of another size rounds otherwise.
    np.testing.assert_allclose(part[:, :SAMPLES], everything(KEYS, WAVEFORMS, LENGTHS)[4:], atol=2e-6)
    assert not np.asarray(part[:, SAMPLES:]).any()


summed = jax.jit(jax.value_and_grad(lambda x: jnp.sum(everything(KEYS, x, LENGTHS))))


@pytest.mark.parametrize("waveforms", [WAVEFORMS, np.zeros_like(WAVEFORMS)], ids=["speech", "silence"])
def test_value_and_gradient_are_finite(waveforms):
    value, gradient = summed(jnp.asarray(waveforms))
    chex.assert_tree_all_finite((value, gradient))
    assert not np.asarray(gradient)[~WITHIN].any()


def test_a_share_of_the_rows_is_changed():
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(1)))(SEVERAL)
    ones = jnp.ones((len(SEVERAL), 2))
    strengths = dataclasses.replace(OFF, gain=0.3)
    found = augment(keys, ones, jnp.full(len(SEVERAL), 2), strengths=strengths)
    changed = np.asarray(found != ones).all(axis=1)
    np.testing.assert_array_equal(found[~changed], ones[~changed])
    # Five standard deviations of a share of 0.3 among 400.
    np.testing.assert_allclose(changed.mean(), 0.3, atol=5 * np.sqrt(0.3 * 0.7 / len(SEVERAL)))


# --- one stage at a time ----------------------------------------------------------------------------------------------


def test_noise_has_the_ratio_that_was_asked_for():
    found = jax.jit(partial(speech.add_noise, snr=(7.0, 7.0)))(KEYS, WAVEFORMS, LENGTHS)
    for row, clean, length in zip(np.asarray(found), CLEAN, LENGTHS, strict=True):
        if length:
            ratio = 10 * np.log10(power(clean[:length]) / power((row - clean)[:length]))
            np.testing.assert_allclose(ratio, 7.0, atol=1e-3)


def test_noise_ratios_are_drawn_from_the_range():
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(1)))(SEVERAL)
    clean = jnp.broadcast_to(CLEAN[:1, :200], (len(SEVERAL), 200))
    noisy = jax.jit(speech.add_noise)(keys, clean, jnp.full(len(SEVERAL), 200))
    ratios = 10 * np.log10(power(clean) / power(noisy - clean))
    low, high = WaveformAugmentation.snr
    assert low - 0.01 < ratios.min() < low + 2
    assert high - 2 < ratios.max() < high + 0.01


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_noise_has_the_slope_that_was_asked_for(slope):
    clean = np.random.default_rng(0).normal(size=(8, 16000)).astype(np.float32)
    noise = run(speech.add_noise, clean, snr=(0.0, 0.0), slope=(slope, slope)) - clean
    frequencies = np.fft.rfftfreq(16000, 1 / RATE)
    spectrum = np.mean(np.abs(np.fft.rfft(noise * np.hanning(16000), axis=1)) ** 2, axis=0)
    inner = (frequencies > 200) & (frequencies < 7500)
    found = np.polyfit(np.log(frequencies[inner]), np.log(spectrum[inner]), 1)[0]
    np.testing.assert_allclose(found, -slope, atol=0.05)


def test_a_room_has_the_times_and_ratios_that_were_asked_for():
    responses = run(
        speech.reverberate, impulses(8, 8000, 0), reverberation_time=(0.3, 0.3), direct_to_reverberant=(3.0, 3.0)
    ).astype(np.float64)
    tail = np.square(responses[:, 1:])
    np.testing.assert_allclose(10 * np.log10(responses[:, 0] ** 2 / tail.sum(axis=1)), 3.0, atol=1e-3)
    remaining = np.mean(tail[:, ::-1].cumsum(axis=1)[:, ::-1] / tail.sum(axis=1, keepdims=True), axis=0)
    early = slice(0, RATE // 10)  # the first 20 dB, as Schroeder's method reads them
    decay = np.polyfit(np.arange(RATE // 10) / RATE, 10 * np.log10(remaining[early]), 1)[0]
    np.testing.assert_allclose(-60 / decay, 0.3, rtol=0.05)


@pytest.mark.parametrize("function", [speech.reverberate, speech.filter_channel])
def test_rooms_and_channels_keep_the_power(function):
    found = np.asarray(jax.jit(function)(KEYS, WAVEFORMS, LENGTHS))
    assert found.shape == WAVEFORMS.shape
    np.testing.assert_allclose(power(found), power(CLEAN), rtol=1e-5)


def test_a_dry_room_and_an_open_channel_change_nothing():
    dry = run(speech.reverberate, CLEAN[[0, 4]], direct_to_reverberant=(150.0, 150.0))
    np.testing.assert_allclose(dry, CLEAN[[0, 4]], atol=1e-6)
    wide = run(speech.filter_channel, CLEAN[[0, 4]], equalizer=0.0, low_cut=(0.0, 0.0), high_cut=(1e6, 1e6))
    np.testing.assert_allclose(wide, CLEAN[[0, 4]], atol=1e-6)


def test_a_channel_cuts_off_where_it_was_asked_to():
    found = run(
        speech.filter_channel,
        impulses(2, 4096, 1000),
        equalizer=0.0,
        low_cut=(300.0, 300.0),
        high_cut=(3400.0, 3400.0),
    )
    decibels = 20 * np.log10(np.abs(np.fft.rfft(found, axis=1)))
    decibels -= decibels[:, 256:257]  # 1000 Hz
    at = dict(zip((100, 300, 600, 3000, 3400, 4000), decibels[:, [26, 77, 154, 768, 870, 1024]].T, strict=True))
    assert (at[100] < -20).all()
    assert (at[4000] < -20).all()
    np.testing.assert_allclose([at[600], at[3000]], 0, atol=0.5)
    np.testing.assert_allclose([at[300], at[3400]], -3, atol=1.0)
    assert (np.abs(found).argmax(axis=1) == 1000).all()


def test_channels_differ_by_as_much_as_was_asked_for():
    found = run(speech.filter_channel, impulses(300, 1024, 512), equalizer=4.0)
    octaves = 20 * np.log10(np.abs(np.fft.rfft(found, axis=1))[:, [32, 64, 128]])  # 500, 1000, 2000 Hz
    # Between neighbours, which no common gain changes; the window of the filter rounds the corners off by some tenths.
    np.testing.assert_allclose(np.diff(octaves, axis=1).std(axis=0), 4.0 * np.sqrt(2), rtol=0.2)


# --- masks ------------------------------------------------------------------------------------------------------------

MASKS = FeatureAugmentation(time_masks=1, time_width=6, time_share=0.25, band_masks=1, band_width=4)
FRAMES, BANDS = 30, 10
mask = jax.jit(speech.mask_features, static_argnames="strengths")


def masked(strengths, count):
    """Which frames and which bands are hidden in 400 utterances of ones, NaN in the padding."""
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(1)))(SEVERAL)
    features = np.ones((len(SEVERAL), FRAMES, BANDS), np.float32)
    features[:, count:] = np.nan
    found = np.asarray(mask(keys, features, jnp.full(len(SEVERAL), count), strengths))
    assert not found[:, count:].any()
    hidden = found[:, :count] == 0
    assert (hidden | (found[:, :count] == 1)).all()
    frames, bands = hidden.all(axis=2), hidden.all(axis=1)
    np.testing.assert_array_equal(hidden, frames[:, :, None] | bands[:, None, :])
    return frames, bands


def runs_of(flags):
    """The number of runs of True in each row."""
    return (np.diff(np.pad(flags, ((0, 0), (1, 1))).astype(int), axis=1) == 1).sum(axis=1)


def test_a_mask_is_one_run_of_any_allowed_width():
    frames, bands = masked(MASKS, 20)
    assert set(frames.sum(axis=1)) == set(range(6))  # a quarter of 20 frames, less than the 6 allowed
    assert set(bands.sum(axis=1)) == set(range(5))
    assert max(runs_of(frames)) == max(runs_of(bands)) == 1
    assert frames.any(axis=0).all()
    assert bands.any(axis=0).all()


def test_as_many_masks_as_were_asked_for():
    frames, bands = masked(dataclasses.replace(MASKS, time_masks=3, band_masks=2), 30)
    assert frames.sum(axis=1).max() > 12  # three masks of up to 6
    assert frames.sum(axis=1).max() <= 18
    assert max(runs_of(frames)) == 3
    assert max(runs_of(bands)) == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_short_utterances_lose_no_frame(count):
    frames, _ = masked(MASKS, count)
    assert frames.all(axis=1).sum() == (len(SEVERAL) if count == 0 else 0)


def test_no_masks_change_nothing():
    features = np.random.default_rng(0).normal(size=(ROWS, 20, BANDS)).astype(np.float32)
    counts = jnp.array([20, 12, 1, 0, 20, 7])
    found = mask(KEYS, features, counts, dataclasses.replace(MASKS, time_masks=0, band_masks=0))
    np.testing.assert_array_equal(found, np.where(np.arange(20)[None, :, None] < counts[:, None, None], features, 0))


def test_masks_belong_to_the_row():
    features, counts = np.ones((ROWS, 20, BANDS), np.float32), jnp.full(ROWS, 20)
    whole = mask(KEYS, features, counts)
    part = mask(KEYS[3:], np.ones((3, 25, BANDS), np.float32), counts[3:])
    np.testing.assert_array_equal(part[:, :20], whole[3:])
    assert not np.array_equal(whole[0], whole[1])


@pytest.mark.parametrize(
    ("keys", "waveforms", "lengths", "message"),
    [
        (KEYS, WAVEFORMS[0], LENGTHS, r"waveforms must be floats of shape \[B, T\]"),
        (KEYS, WAVEFORMS, LENGTHS[:2], r"lengths must be integers of shape \[6\]"),
        (KEYS[:2], WAVEFORMS, LENGTHS, r"one key per row, \[6\]"),
        (KEYS[0], WAVEFORMS, LENGTHS, r"one key per row, \[6\]"),
    ],
)
def test_bad_batch(keys, waveforms, lengths, message):
    with pytest.raises(ValueError, match=message):
        speech.augment_waveforms(keys, waveforms, lengths)


def test_a_compiled_batch_of_one_passes_a_channel() -> None:
    """XLA rewrites powers of quotients where there is one row, and these would overflow."""
    keys, waveforms = jax.random.split(jax.random.key(0), 1), jnp.ones((1, 1600))
    assert jnp.isfinite(jax.jit(speech.filter_channel)(keys, waveforms, jnp.array([1600]))).all()
