"""Random noises and gains for batches of waveforms: what a recorder adds, and how it is set."""

import jax
import jax.numpy as jnp

from jaxtriplet.models import padding
from jaxtriplet.speech.augmentation import signals
from jaxtriplet.speech.augmentation.strengths import Range, WaveformAugmentation


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
    white = signals.white(noise_key, waveforms.shape[1] + 2 * margin, f.dtype)
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
