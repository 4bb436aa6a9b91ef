"""Random rooms, microphones and lines for batches of waveforms: what sound passes on its way."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.models import padding
from jaxtriplet.speech.augmentation import signals
from jaxtriplet.speech.augmentation.strengths import Range, WaveformAugmentation


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
    tail = signals.white(tail_key, size, waveforms.dtype) * 10 ** (-3 * t / seconds)
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
