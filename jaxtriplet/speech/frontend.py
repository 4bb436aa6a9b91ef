"""The front end of recorded speech: level, log-mel features and their normalisation, of a batch of waveforms."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import _checks
from jaxtriplet.models import padding
from jaxtriplet.numerics import inner, safe_divide, safe_sqrt


@partial(
    jax.jit, static_argnames=("sample_rate", "num_bands", "window", "hop", "fft_size", "lowest", "highest", "floor")
)
def log_mel(
    waveforms: jax.Array,
    lengths: jax.Array,
    *,
    sample_rate: int = 16000,
    num_bands: int = 80,
    window: float = 0.025,
    hop: float = 0.010,
    fft_size: int = 512,
    lowest: float = 20.0,
    highest: float | None = None,
    floor: float = 1e-6,
) -> tuple[jax.Array, jax.Array]:
    r"""Returns the natural logarithm of the power in each mel band and frame.

    $$\log \max\Bigl(floor, \sum_k M_{fk} \Bigl| \sum_t w_t \, x_{nh + t} \, e^{-2 \pi i k t / K} \Bigr|^2\Bigr)$$

    with Hann window $w$ in the middle of the $K$ samples of a frame, hop $h$, and Slaney's mel bands $M$, each of unit
    area. There is no dither, no pre-emphasis, and no frame that reaches beyond the utterance. Times 10 / log(10) it is,
    in dB, `librosa.power_to_db(librosa.feature.melspectrogram(y=x, sr=sample_rate, n_fft=fft_size, win_length=400,
    hop_length=160, center=False, n_mels=num_bands, fmin=lowest, fmax=highest), amin=floor, top_db=None)`.

    Args:
        waveforms: Samples, [B, T], full scale at 1; what lies past an utterance's length does not matter.
        lengths: Number of samples of each utterance, [B] integers from 0 to T.
        sample_rate: Samples per second.
        num_bands: Number of mel bands, F.
        window: Length of the Hann window in seconds.
        hop: Time from one frame to the next in seconds.
        fft_size: Samples in a frame, K, of which the window takes the middle.
        lowest: Lower edge of the first band in Hz; below it there is hum and no speech.
        highest: Upper edge of the last band in Hz; None for 7,600 or, if that is less, 95 % of half the sample rate:
            beyond it the filters of recorders differ more than speakers do.
        floor: Least power, 70 dB below the loudest bands of speech at the level that `normalize_level` gives. Beneath
            it is what tells recorders apart, not speakers, and float32 is no longer exact to 0.001 dB.

    Returns:
        Features, [B, N, F], 0 past the last frame of an utterance, and the number of its frames, [B]:
        `max(0, 1 + (length - fft_size) // hop)`.

    Raises:
        ValueError: Shapes do not match, T is shorter than one frame, or a band holds no frequency of the transform.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import log_mel
        >>> features, counts = log_mel(jnp.ones((2, 16000)), jnp.array([16000, 8000]))
        >>> features.shape, counts.tolist()
        ((2, 97, 80), [97, 47])

    Reference:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980;
        Slaney, "Auditory Toolbox", 1998.
    """
    waveforms, lengths = padding.checked("waveforms", waveforms, "[B, T]", lengths)
    step, taps = round(hop * sample_rate), round(window * sample_rate)
    if waveforms.shape[1] < fft_size or taps > fft_size:
        raise ValueError(
            f"a frame of {fft_size} samples must fit into the waveforms, and the window of {taps} into a frame; "
            f"got waveforms of {waveforms.shape[1]} samples"
        )
    counts = jnp.maximum(0, 1 + (lengths - fft_size) // step)
    highest = min(7600.0, 0.475 * sample_rate) if highest is None else highest
    filters = mel_filters(sample_rate, fft_size, num_bands, lowest, highest).astype(waveforms.dtype)
    starts = jnp.arange(1 + (waveforms.shape[1] - fft_size) // step) * step + (fft_size - taps) // 2
    frames = padding.keep(waveforms, lengths)[:, starts[:, None] + jnp.arange(taps)[None, :]]
    spectrum = jnp.fft.rfft(frames * jnp.asarray(np.hanning(taps + 1)[:-1], frames.dtype)[None, None], fft_size)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    bands = inner(power.reshape(-1, power.shape[-1]), jnp.asarray(filters)).reshape(*power.shape[:2], num_bands)
    return padding.keep(jnp.log(jnp.maximum(bands, floor)), counts), counts


def remove_offset(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
    r"""Takes each utterance's mean off: a constant, which converters add, is no sound and can outweigh all sound.

    $$x_t \mapsto x_t - \tfrac{1}{T} \sum_{s < T} x_s$$

    Args:
        waveforms: Samples, [B, T]; what lies past an utterance's length does not matter.
        lengths: Number of samples of each utterance, [B].

    Returns:
        Samples of mean 0, [B, T], 0 past an utterance's length.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import remove_offset
        >>> remove_offset(jnp.array([[3.0, 1.0, 9.0]]), jnp.array([2])).tolist()
        [[1.0, -1.0, 0.0]]
    """
    waveforms, lengths = padding.checked("waveforms", waveforms, "[B, T]", lengths)
    return padding.keep(waveforms - padding.mean(waveforms, lengths), lengths)


def normalize_level(waveforms: jax.Array, lengths: jax.Array, *, level: float = 0.1) -> jax.Array:
    r"""Takes each utterance's mean off and scales it, so that loud and quiet recordings meet the same floor.

    $$x_t \mapsto level \; (x_t - \bar x) \Big/ \sqrt{\tfrac{1}{T} \sum_{s < T} (x_s - \bar x)^2},
    \qquad \bar x = \tfrac{1}{T} \sum_{s < T} x_s$$

    Args:
        waveforms: Samples, [B, T]; what lies past an utterance's length does not matter.
        lengths: Number of samples of each utterance, [B].
        level: Root mean square to give; at 0.1, 20 dB below full scale, speech seldom clips.

    Returns:
        Samples, [B, T], 0 past an utterance's length; digital silence stays silent, a constant becomes it.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import normalize_level
        >>> normalize_level(jnp.array([[2.0, -2.0, 9.0]]), jnp.array([2]), level=0.5).tolist()
        [[0.5, -0.5, 0.0]]
    """
    centred = remove_offset(waveforms, lengths)
    lengths = jnp.asarray(lengths)
    power = padding.mean(jnp.square(centred), lengths)
    # A millionth of the mean is what rounding leaves of a constant in float32.
    rounding = jnp.square(1e-6 * padding.mean(jnp.asarray(waveforms), lengths))
    power = jnp.where(power > rounding, power, 0)
    return centred * safe_divide(jnp.full_like(power, level), safe_sqrt(power))


def mean_normalize(features: jax.Array, counts: jax.Array) -> jax.Array:
    r"""Takes each utterance's mean over its frames from every feature: what a fixed microphone adds to a log-mel band.

    $$x_n \mapsto x_n - \tfrac{1}{N} \sum_{m < N} x_m$$

    Args:
        features: Frames, [B, T, F]; what lies past an utterance's last frame does not matter.
        counts: Number of frames of each utterance, [B].

    Returns:
        Frames of mean 0, [B, T, F], 0 past the last frame.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import mean_normalize
        >>> mean_normalize(jnp.array([[[1.0], [3.0], [9.0]]]), jnp.array([2])).ravel().tolist()
        [-1.0, 1.0, 0.0]

    Reference:
        Atal, "Effectiveness of linear prediction characteristics of the speech wave", 1974.
    """
    features, counts = padding.checked("features", features, "[B, T, F]", counts)
    return padding.keep(features - padding.mean(features, counts), counts)


def fixed_normalize(features: jax.Array, counts: jax.Array) -> jax.Array:
    r"""Shifts and scales every log-mel feature by the same two numbers: an encoder hears the average spectrum too.

    $$x \mapsto (x + 6) / 4$$

    That spectrum is the voice's as much as the microphone's. To keep it helps where a speaker keeps a microphone;
    `mean_normalize` is for the same voice through many microphones.

    Args:
        features: Log-mel features of a level that is normalised, whose middle and spread these two numbers are;
            [B, T, F]. What lies past an utterance's last frame does not matter.
        counts: Number of frames of each utterance, [B].

    Returns:
        Frames, [B, T, F], 0 past the last frame.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import fixed_normalize
        >>> fixed_normalize(jnp.array([[[-6.0], [-2.0], [9.0]]]), jnp.array([2])).ravel().tolist()
        [0.0, 1.0, 0.0]
    """
    features, counts = padding.checked("features", features, "[B, T, F]", counts)
    return padding.keep((features + 6) / 4, counts)


NORMALIZATIONS: Mapping[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "mean": mean_normalize,
    "fixed": fixed_normalize,
}
"""What can be done with log-mel features and counts before an encoder sees them, by name."""


def mel_filters(sample_rate: int, fft_size: int, num_bands: int, lowest: float, highest: float) -> np.ndarray:
    """Returns Slaney's triangular mel filters, each of unit area over frequency.

    Args:
        sample_rate: Samples per second.
        fft_size: Size of the Fourier transform, K.
        num_bands: Number of filters, F.
        lowest: Lower edge of the first filter in Hz.
        highest: Upper edge of the last filter in Hz.

    Returns:
        Weights of the frequencies 0 to K / 2, [F, K // 2 + 1] float64.

    Raises:
        ValueError: The edges are not in order within half the sample rate, or a filter is so narrow that it holds no
            frequency of the transform.

    Example:
        >>> from jaxtriplet.speech import mel_filters
        >>> mel_filters(16000, 512, 80, 20.0, 7600.0).shape
        (80, 257)
    """
    _checks.positive_integer("num_bands", num_bands)
    if not 0 <= lowest < highest <= sample_rate / 2:
        raise ValueError(
            f"bands must lie between 0 and half the sample rate, {sample_rate / 2:g} Hz; got {lowest:g} to {highest:g}"
        )
    edges = _hertz(np.linspace(_mel(lowest), _mel(highest), num_bands + 2))[:, None]
    frequencies = np.fft.rfftfreq(fft_size, 1 / sample_rate)[None, :]
    rise = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])
    if not filters.any(axis=1).all():
        raise ValueError(f"{num_bands} bands are too many for a Fourier transform of {fft_size}: some would be empty")
    return filters


# Slaney's scale is linear up to 1000 Hz, 15 mel, and from there multiplies the frequency by 6.4 every 27 mel.
_KNEE_HERTZ, _KNEE_MEL, _MEL_PER_E_FOLD = 1000.0, 15.0, 27 / np.log(6.4)


def _mel(hertz: float) -> float:
    above = _KNEE_MEL + _MEL_PER_E_FOLD * np.log(max(hertz, _KNEE_HERTZ) / _KNEE_HERTZ)
    return float(above) if hertz > _KNEE_HERTZ else hertz * _KNEE_MEL / _KNEE_HERTZ


def _hertz(mel: np.ndarray) -> np.ndarray:
    above = _KNEE_HERTZ * np.exp((mel - _KNEE_MEL) / _MEL_PER_E_FOLD)
    return np.where(mel > _KNEE_MEL, above, mel * _KNEE_HERTZ / _KNEE_MEL)
