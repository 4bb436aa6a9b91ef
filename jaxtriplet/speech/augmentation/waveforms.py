"""Random rooms, channels, noises and gains for batches of waveforms.

Each function keeps the number of samples, and returns 0 past an utterance's length.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from jaxtriplet.models import padding
from jaxtriplet.numerics import safe_divide, safe_sqrt

Range = tuple[float, float]
"""The lowest and the highest value of a uniform draw."""

# 512 taps tell frequencies 31 Hz apart at 16 kHz, as the front end does: a finer filter would not be seen.
_TAPS = 512
# Filters have no response of their own below this frequency in Hz: noise that grows towards 0 Hz would be all rumble.
_LOWEST = 50.0


@dataclasses.dataclass(frozen=True)
class WaveformAugmentation:
    """How often each stage changes an utterance, and the ranges that it draws from; 0 switches a stage off.

    Attributes:
        room: Share of the utterances that are played in a room.
        reverberation_time: Seconds until the reverberation has fallen by 60 dB.
        direct_to_reverberant: Energy of the direct sound over that of the reverberation, dB.
        channel: Share of the utterances that pass another microphone and line.
        equalizer: Standard deviation of the gain of each octave, dB.
        low_cut: Frequency in Hz below which the channel lets nothing pass.
        high_cut: Frequency in Hz above which it lets nothing pass.
        noise: Share of the utterances with noise.
        snr: Power of the utterance over that of the noise, dB.
        slope: Fall of the noise's power with frequency, as the exponent in 1 / f^slope.
        gain: Share of the utterances that are made louder or quieter.
        decibels: By how much, dB.
    """

    room: float = 0.5  # half of the prompts that people have were recorded in a dry studio, half were not
    reverberation_time: Range = (0.1, 0.7)  # from a car to a bare office; longer ones belong to halls
    direct_to_reverberant: Range = (0.0, 15.0)  # from a laptop across a table to a headset
    channel: float = 0.8  # the microphone is the surest sign of a recording, and says nothing of who speaks
    equalizer: float = 4.0  # cheap microphones differ by some 10 dB in an octave; +-4 covers that with its tails
    low_cut: Range = (20.0, 300.0)  # from nothing lost to the telephone's lower edge
    high_cut: Range = (3400.0, 8000.0)  # from the telephone's upper edge to nothing lost at 16 kHz
    noise: float = 0.8  # a clean recording has its own noise, by which a network would know it
    snr: Range = (5.0, 40.0)  # from speech in a car to a recording that is called clean
    slope: Range = (0.0, 2.0)  # white is a recorder's own noise, 1/f a room's, 1/f^2 traffic's
    gain: float = 1.0  # nothing about a speaker is in the setting of a knob
    decibels: Range = (-10.0, 10.0)  # levels that people leave their recordings at


def reverberate(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    *,
    reverberation_time: Range = WaveformAugmentation.reverberation_time,
    direct_to_reverberant: Range = WaveformAugmentation.direct_to_reverberant,
    sample_rate: int = 16000,
) -> jax.Array:
    r"""Plays each utterance in a random room: the direct sound, and a tail of noise that decays exponentially.

    $$y = c \, (h * x), \qquad h_t = \delta_t + a \, n_t \, 10^{-3 t / T_{60}},$$

    with white noise $n$, $a$ so that the tail has the drawn share of the energy, and $c$ so that $y$ has that of $x$.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        reverberation_time: Seconds in which the tail falls by 60 dB, both ends above 0.
        direct_to_reverberant: Energy of the direct sound over that of the tail, dB.
        sample_rate: Samples per second.

    Returns:
        Samples, [B, T], of the same mean power as before; the tail beyond an utterance's end is cut off.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import reverberate
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(reverberate)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)

    Reference:
        Polack, "La transmission de l'énergie sonore dans les salles", 1988.
    """
    waveforms, lengths = _checked(keys, waveforms, lengths)
    time_key, ratio_key, tail_key = padding.split_keys(keys, 3)
    seconds = _uniform(time_key, reverberation_time, waveforms.dtype)
    ratio = _amplitude(_uniform(ratio_key, direct_to_reverberant, waveforms.dtype))
    size = round(reverberation_time[1] * sample_rate)
    t = jnp.arange(1, size + 1, dtype=waveforms.dtype)[None, :] / sample_rate
    tail = _white(tail_key, size, waveforms.dtype) * 10 ** (-3 * t / seconds)
    tail /= ratio * jnp.linalg.norm(tail, axis=1, keepdims=True)
    response = jnp.concatenate([jnp.ones_like(ratio), tail], axis=1)
    return _with_power(_convolve(waveforms, response), _power(waveforms, lengths), lengths)


def filter_channel(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    *,
    equalizer: float = WaveformAugmentation.equalizer,
    low_cut: Range = WaveformAugmentation.low_cut,
    high_cut: Range = WaveformAugmentation.high_cut,
    sample_rate: int = 16000,
) -> jax.Array:
    r"""Passes each utterance through a random microphone and line: gains that vary smoothly, and two ends.

    $$|H(f)| = 10^{g(f) / 20} \bigl(1 + (f_{low} / f)^{8}\bigr)^{-1/2} \bigl(1 + (f / f_{high})^{32}\bigr)^{-1/2},$$

    with $g$ in dB, normal at the octaves 62.5, 125, ... Hz and linear between them. The filter has no delay.

    Mean normalisation takes a fixed gain out of log-mel features again. It cannot where noise fills up what is missing:
    let this come before the noise, as `augment_waveforms` does.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        equalizer: Standard deviation of the gain at each octave, dB.
        low_cut: Frequency in Hz below which the channel cuts off.
        high_cut: Frequency in Hz above which it cuts off.
        sample_rate: Samples per second.

    Returns:
        Samples, [B, T], of the same mean power as before.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import filter_channel
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(filter_channel)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    waveforms, lengths = _checked(keys, waveforms, lengths)
    gain_key, low_key, high_key = padding.split_keys(keys, 3)
    f = _frequencies(sample_rate, waveforms.dtype)
    octaves = jnp.arange(np.log2(sample_rate / 256), np.log2(sample_rate / 2) + 0.5, dtype=f.dtype)
    gains = equalizer * jax.vmap(lambda key: jax.random.normal(key, octaves.shape, f.dtype))(gain_key)
    decibels = jax.vmap(jnp.interp, in_axes=(None, None, 0))(jnp.log2(f[0]), octaves, gains)
    # Powers by their logarithms: of (f / high) ** 32 XLA may make f ** 32 / high ** 32, and both overflow.
    low = jax.nn.sigmoid(8 * jnp.log(f / _uniform(low_key, low_cut, f.dtype)))
    high = jax.nn.sigmoid(32 * jnp.log(_uniform(high_key, high_cut, f.dtype) / f))
    filtered = _filter(waveforms, _amplitude(decibels) * jnp.sqrt(low * high))
    return _with_power(filtered, _power(waveforms, lengths), lengths)


def add_noise(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    *,
    snr: Range = WaveformAugmentation.snr,
    slope: Range = WaveformAugmentation.slope,
    sample_rate: int = 16000,
) -> jax.Array:
    r"""Adds stationary noise whose power falls with frequency as $1 / f^{slope}$, at an exact signal-to-noise ratio.

    $$y = x + n \sqrt{P_x / P_n} \; 10^{-snr / 20}$$

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        snr: Mean power of the utterance over that of the noise, dB.
        slope: Exponent of the noise's spectrum: 0 is white, 1 pink, 2 brown noise.
        sample_rate: Samples per second.

    Returns:
        Samples, [B, T]; digital silence stays silent.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import add_noise
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(add_noise)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    waveforms, lengths = _checked(keys, waveforms, lengths)
    noise_key, snr_key, slope_key = padding.split_keys(keys, 3)
    f = _frequencies(sample_rate, waveforms.dtype)
    colour = (f / _LOWEST) ** (-_uniform(slope_key, slope, f.dtype) / 2)
    # The filter reaches beyond both ends, and finds noise there.
    noise = _filter(_white(noise_key, waveforms.shape[1] + _TAPS, f.dtype), colour)[:, _TAPS // 2 : -_TAPS // 2]
    ratio = _amplitude(_uniform(snr_key, snr, f.dtype))
    return waveforms + _with_power(noise, _power(waveforms, lengths) / jnp.square(ratio), lengths)


def change_gain(
    keys: jax.Array, waveforms: jax.Array, lengths: jax.Array, *, decibels: Range = WaveformAugmentation.decibels
) -> jax.Array:
    r"""Makes each utterance louder or quieter: $y = 10^{g / 20} x$.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        decibels: The gain g, dB.

    Returns:
        Samples, [B, T], which may pass full scale.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import change_gain
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> change_gain(keys, jnp.ones((1, 3)), jnp.array([2]), decibels=(20.0, 20.0)).round(3).tolist()
        [[10.0, 10.0, 0.0]]
    """
    waveforms, lengths = _checked(keys, waveforms, lengths)
    return waveforms * _amplitude(_uniform(keys, decibels, waveforms.dtype))


def augment_waveforms(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    strengths: WaveformAugmentation = WaveformAugmentation(),
    *,
    sample_rate: int = 16000,
) -> jax.Array:
    """Returns a random variant of each utterance: room, channel, noise and gain, each in its share of the utterances.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T]; what lies past an utterance's length does not matter.
        lengths: Number of samples of each utterance, [B].
        strengths: How often and how much; a stage that is switched off is not even compiled.
        sample_rate: Samples per second.

    Returns:
        Samples, [B, T], 0 past an utterance's length.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import augment_waveforms
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(augment_waveforms)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    return list(stages(keys, waveforms, lengths, strengths, sample_rate=sample_rate).values())[-1]


def stages(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    strengths: WaveformAugmentation = WaveformAugmentation(),
    *,
    sample_rate: int = 16000,
) -> dict[str, jax.Array]:
    """Returns the utterances after each stage of `augment_waveforms`, to look at.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        strengths: How often and how much.
        sample_rate: Samples per second.

    Returns:
        Samples [B, T] under "original" and, in order, the stages that are switched on: "room", "channel", "noise",
        "gain"; those under the last are what `augment_waveforms` returns. (`jax.jit` sorts the names.)

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech.augmentation import WaveformAugmentation, stages
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> list(stages(keys, jnp.ones((2, 1600)), jnp.array([1600, 800]), WaveformAugmentation(room=0.0, noise=0.0)))
        ['original', 'channel', 'gain']
    """
    waveforms, lengths = _checked(keys, waveforms, lengths)
    after = {"original": waveforms}
    for place, (name, share, change) in enumerate(_plan(strengths, sample_rate)):
        if share > 0:
            change_keys, chance_keys = padding.split_keys(_fold_in(keys, place), 2)
            before = list(after.values())[-1]
            chosen = _uniform(chance_keys, (0.0, 1.0), before.dtype) < share
            after[name] = jnp.where(chosen, change(change_keys, before, lengths), before)
    return after


Stage = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def _plan(strengths: WaveformAugmentation, sample_rate: int) -> list[tuple[str, float, Stage]]:
    """Returns name, share and function of each stage, in the order in which sound passes them."""
    s = strengths
    room = partial(
        reverberate,
        reverberation_time=s.reverberation_time,
        direct_to_reverberant=s.direct_to_reverberant,
        sample_rate=sample_rate,
    )
    channel = partial(
        filter_channel, equalizer=s.equalizer, low_cut=s.low_cut, high_cut=s.high_cut, sample_rate=sample_rate
    )
    noise = partial(add_noise, snr=s.snr, slope=s.slope, sample_rate=sample_rate)
    gain = partial(change_gain, decibels=s.decibels)
    return [("room", s.room, room), ("channel", s.channel, channel), ("noise", s.noise, noise), ("gain", s.gain, gain)]


def _checked(keys: jax.Array, waveforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns samples, 0 past the lengths, and lengths of a batch that makes sense."""
    waveforms, lengths = padding.checked("waveforms", waveforms, "[B, T]", lengths, keys)
    return padding.keep(waveforms, lengths), lengths


def _fold_in(keys: jax.Array, data: int) -> jax.Array:
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, data)


def _uniform(keys: jax.Array, bounds: Range, dtype: jnp.dtype) -> jax.Array:
    """Returns one draw per row, [B, 1]."""
    return jax.vmap(lambda key: jax.random.uniform(key, (1,), dtype, *bounds))(keys)


def _white(keys: jax.Array, size: int, dtype: jnp.dtype) -> jax.Array:
    """Returns white noise, [B, size]: uniform draws, which sound like normal ones and take half the time."""
    return jax.vmap(lambda key: jax.random.uniform(key, (size,), dtype, -1, 1))(keys)


def _amplitude(decibels: jax.Array) -> jax.Array:
    return 10 ** (decibels / 20)


def _power(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns the mean power of each row, [B, 1]."""
    return padding.mean(jnp.square(waveforms), lengths)


def _with_power(waveforms: jax.Array, power: jax.Array, lengths: jax.Array) -> jax.Array:
    """Scales each row to a mean power [B, 1] over its length, with 0 past that."""
    waveforms = padding.keep(waveforms, lengths)
    return waveforms * safe_sqrt(safe_divide(power, _power(waveforms, lengths)))


def _frequencies(sample_rate: int, dtype: jnp.dtype) -> jax.Array:
    """Returns the frequencies of a filter's response in Hz, [1, K]."""
    return jnp.asarray(np.maximum(np.fft.rfftfreq(_TAPS, 1 / sample_rate), _LOWEST), dtype)[None, :]


def _filter(waveforms: jax.Array, magnitudes: jax.Array) -> jax.Array:
    """Filters each row, [B, T], without delay by a response [B, K]."""
    response = jnp.fft.fftshift(jnp.fft.irfft(magnitudes, _TAPS), axes=1)
    # The window keeps the ends of the response from ringing.
    return _convolve(waveforms, response * jnp.asarray(np.hanning(_TAPS + 1)[:-1], response.dtype)[None], _TAPS // 2)


def _convolve(waveforms: jax.Array, responses: jax.Array, delay: int = 0) -> jax.Array:
    """Convolves each row, [B, T], with a response of its own, [B, L], and takes its delay out."""
    samples = waveforms.shape[1]
    size = next_fast_len(samples + responses.shape[1] - 1, real=True)
    spectrum = jnp.fft.rfft(waveforms, size) * jnp.fft.rfft(responses, size)
    return jnp.fft.irfft(spectrum, size)[:, delay : delay + samples]
