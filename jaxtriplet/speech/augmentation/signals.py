"""What the random changes of waveforms share: draws by row, powers, and filters, each row by its own."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from jaxtriplet.models import padding
from jaxtriplet.numerics import safe_divide, safe_sqrt

Range = tuple[float, float]
"""The lowest and the highest value of a uniform draw."""

# 512 taps tell frequencies 31 Hz apart at 16 kHz, as the front end does: a finer filter would not be seen.
TAPS = 512
# Filters have no response of their own below this frequency in Hz: noise that grows towards 0 Hz would be all rumble.
LOWEST = 50.0
# White noise: uniform draws, which sound like normal ones and take half the time.
WHITE = (-1.0, 1.0)


def checked(keys: jax.Array, waveforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns samples, 0 past the lengths, and lengths of a batch that makes sense."""
    waveforms, lengths = padding.checked("waveforms", waveforms, "[B, T]", lengths, keys)
    return padding.keep(waveforms, lengths), lengths


def uniform(keys: jax.Array, bounds: Range, dtype: jnp.dtype, size: int = 1) -> jax.Array:
    """Returns some draws per row, [B, size]."""
    return jax.vmap(lambda key: jax.random.uniform(key, (size,), dtype, *bounds))(keys)


def amplitude(decibels: jax.Array) -> jax.Array:
    """Returns the factor of an amplitude: 10 for 20 dB."""
    return 10 ** (decibels / 20)


def mean_power(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns the mean power of each row, [B, 1]."""
    return padding.mean(jnp.square(waveforms), lengths)


def with_power(waveforms: jax.Array, power: jax.Array, lengths: jax.Array) -> jax.Array:
    """Scales each row to a mean power [B, 1] over its length, with 0 past that."""
    waveforms = padding.keep(waveforms, lengths)
    return waveforms * safe_sqrt(safe_divide(power, mean_power(waveforms, lengths)))


def frequencies(sample_rate: int, dtype: jnp.dtype) -> jax.Array:
    """Returns the frequencies of a filter's response in Hz, [1, K]."""
    return jnp.asarray(np.maximum(np.fft.rfftfreq(TAPS, 1 / sample_rate), LOWEST), dtype)[None, :]


def apply_filter(waveforms: jax.Array, magnitudes: jax.Array) -> jax.Array:
    """Filters each row, [B, T], without delay by a response [B, K]."""
    response = jnp.fft.fftshift(jnp.fft.irfft(magnitudes, TAPS), axes=1)
    # The window keeps the ends of the response from ringing.
    return convolve(waveforms, response * jnp.asarray(np.hanning(TAPS + 1)[:-1], response.dtype)[None], TAPS // 2)


def convolve(waveforms: jax.Array, responses: jax.Array, delay: int = 0) -> jax.Array:
    """Convolves each row, [B, T], with a response of its own, [B, L], and takes its delay out."""
    samples = waveforms.shape[1]
    size = next_fast_len(samples + responses.shape[1] - 1, real=True)
    spectrum = jnp.fft.rfft(waveforms, size) * jnp.fft.rfft(responses, size)
    return jnp.fft.irfft(spectrum, size)[:, delay : delay + samples]
