"""What may happen to a waveform on its way to a recorder's file, at random: a room, a channel, noise and a gain."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.models import padding
from jaxtriplet.speech.augmentation import signals
from jaxtriplet.speech.augmentation.signals import Range


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
        >>> from jaxtriplet.speech import reverberate
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(reverberate)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)

    Reference:
        Polack, "La transmission de l'énergie sonore dans les salles", 1988.
    """
    waveforms, lengths = signals.checked(keys, waveforms, lengths)
    time_key, ratio_key, tail_key = padding.split_keys(keys, 3)
    seconds = signals.uniform(time_key, reverberation_time, waveforms.dtype)
    ratio = signals.amplitude(signals.uniform(ratio_key, direct_to_reverberant, waveforms.dtype))
    size = round(reverberation_time[1] * sample_rate)
    t = jnp.arange(1, size + 1, dtype=waveforms.dtype)[None, :] / sample_rate
    tail = signals.uniform(tail_key, signals.WHITE, waveforms.dtype, size) * 10 ** (-3 * t / seconds)
    tail /= ratio * jnp.linalg.norm(tail, axis=1, keepdims=True)
    response = jnp.concatenate([jnp.ones_like(ratio), tail], axis=1)
    return signals.with_power(signals.convolve(waveforms, response), signals.mean_power(waveforms, lengths), lengths)


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
        >>> from jaxtriplet.speech import filter_channel
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(filter_channel)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    waveforms, lengths = signals.checked(keys, waveforms, lengths)
    gain_key, low_key, high_key = padding.split_keys(keys, 3)
    f = signals.frequencies(sample_rate, waveforms.dtype)
    octaves = jnp.arange(np.log2(sample_rate / 256), np.log2(sample_rate / 2) + 0.5, dtype=f.dtype)
    gains = equalizer * jax.vmap(lambda key: jax.random.normal(key, octaves.shape, f.dtype))(gain_key)
    decibels = jax.vmap(jnp.interp, in_axes=(None, None, 0))(jnp.log2(f[0]), octaves, gains)
    # Powers by their logarithms: of (f / high) ** 32 XLA may make f ** 32 / high ** 32, and both overflow.
    low = jax.nn.sigmoid(8 * jnp.log(f / signals.uniform(low_key, low_cut, f.dtype)))
    high = jax.nn.sigmoid(32 * jnp.log(signals.uniform(high_key, high_cut, f.dtype) / f))
    filtered = signals.apply_filter(waveforms, signals.amplitude(decibels) * jnp.sqrt(low * high))
    return signals.with_power(filtered, signals.mean_power(waveforms, lengths), lengths)


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
        >>> from jaxtriplet.speech import add_noise
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(add_noise)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    waveforms, lengths = signals.checked(keys, waveforms, lengths)
    noise_key, snr_key, slope_key = padding.split_keys(keys, 3)
    f = signals.frequencies(sample_rate, waveforms.dtype)
    colour = (f / signals.LOWEST) ** (-signals.uniform(slope_key, slope, f.dtype) / 2)
    margin = signals.TAPS // 2  # the filter reaches beyond both ends, and finds noise there
    white = signals.uniform(noise_key, signals.WHITE, f.dtype, waveforms.shape[1] + 2 * margin)
    noise = signals.apply_filter(white, colour)[:, margin:-margin]
    ratio = signals.amplitude(signals.uniform(snr_key, snr, f.dtype))
    return waveforms + signals.with_power(noise, signals.mean_power(waveforms, lengths) / jnp.square(ratio), lengths)


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
        >>> from jaxtriplet.speech import change_gain
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> change_gain(keys, jnp.ones((1, 3)), jnp.array([2]), decibels=(20.0, 20.0)).round(3).tolist()
        [[10.0, 10.0, 0.0]]
    """
    waveforms, lengths = signals.checked(keys, waveforms, lengths)
    return waveforms * signals.amplitude(signals.uniform(keys, decibels, waveforms.dtype))
