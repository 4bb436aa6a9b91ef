"""One recording: its samples as an encoder takes them, and whether it holds any."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_DECODED = "aif aifc aiff au avr caf flac ircam mp3 nist oga ogg opus paf pvf rf64 snd sph svx voc w64 wav wave"
_REFUSED = "3gp aac ac3 amr m4a mp4 webm wma"  # libsndfile cannot read these: named as such, rather than passed over
EXTENSIONS = frozenset(f".{ending}" for ending in f"{_DECODED} {_REFUSED}".split())
"""Endings of the files that count as recordings, in small letters."""

_LOSSY = ("OGG", "MP3")  # decoded from the middle, they give other samples than decoded from the beginning
_SILENCE = 2.0**-13  # peak to peak: two steps of 16 bits either way, which is dither and not a microphone
_SHORTEST = 0.1  # seconds; a syllable takes longer
_STREAMED = 0x7FFF0000  # a program that writes to a pipe cannot know the size and writes one like this or larger
_SIZES = re.compile(r"\b(?:RIFF|riff|FORM|data|SSND|Data Size) *: (\d+) \(should be (\d+)\)")
_FOREIGN = (1, 7)  # libsndfile's codes for an unknown format, by contents and by the ending .mp3
_BLOCK = 1 << 18  # frames


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        frames: Number of samples per channel.
        sample_rate: In hertz.
        problem: Why the file cannot be used; None if it can.
    """

    frames: int
    sample_rate: int
    problem: str | None = None


def read(
    path: str | Path, *, sample_rate: int = 16_000, start: float | None = None, seconds: float | None = None
) -> np.ndarray:
    """Reads a recording, or a part of it: channels averaged, resampled if need be.

    A part is exactly what the same slice of the whole recording is. It is read alone where the format allows that:
    at another rate, and from lossy formats, all is decoded before the part is cut out.

    Args:
        path: A file in any format that soundfile reads.
        sample_rate: Rate of the result, in hertz.
        start: Where the part begins, in seconds; None for the beginning.
        seconds: How long the part is, in seconds; None for all that follows. The recording may end earlier.

    Returns:
        Samples [T], float32; integer formats are scaled to [-1, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If soundfile or soxr is not installed.
        ValueError: If the file cannot be decoded; the message names it.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, soundfile
        >>> from jaxtriplet.data import read
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "telephone.wav")
        ...     soundfile.write(path, np.zeros(8000), 8000)
        ...     read(path).shape, read(path, start=0.25, seconds=0.5).shape
        ((16000,), (8000,))
    """
    first = round((start or 0) * sample_rate)
    count = None if seconds is None else round(seconds * sample_rate)
    try:
        with _opened(path) as file:
            if file.samplerate == sample_rate and file.format not in _LOSSY:
                file.seek(min(first, file.frames))
                return _mono(file, -1 if count is None else count)
            samples, rate = _mono(file), file.samplerate
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    samples = resample(samples, rate / sample_rate)
    return samples[first : None if count is None else first + count]


def resample(samples: np.ndarray, ratio: float) -> np.ndarray:
    """Returns the samples at another rate; played at the old rate, they sound `ratio` times as fast.

    Args:
        samples: [T], float32.
        ratio: The old rate over the new one, above 0.

    Returns:
        About T / ratio samples, float32, free of aliases (soxr, high quality).

    Raises:
        ImportError: If soxr is not installed.

    Example:
        >>> import numpy as np
        >>> from jaxtriplet.data.audio import resample
        >>> resample(np.zeros(900, np.float32), 0.9).shape
        (1000,)
    """
    if ratio == 1:
        return samples
    return library("soxr").resample(samples, ratio, 1.0)


def inspect(path: str | Path) -> Content:
    """Reads a file from end to end and says what it holds, or why it cannot be used.

    Args:
        path: Any file.

    Returns:
        Its length and rate. Its problem, if it has one: missing, empty, no audio, cut short, shorter than 0.1 s,
        holding a NaN or an infinity, or silent.

    Raises:
        ImportError: If soundfile is not installed.

    Example:
        >>> from jaxtriplet.data.audio import inspect
        >>> inspect("nowhere.wav").problem
        'no such file'
    """
    try:
        with _opened(path) as file:
            frames, low, high = _extremes(file)
            return Content(frames, file.samplerate, _problem(file, frames, low, high))
    except FileNotFoundError:
        return Content(0, 0, "no such file")
    except OSError as error:
        return Content(0, 0, error.strerror or str(error))
    except ValueError as error:
        return Content(0, 0, str(error))


def library(name: str) -> Any:
    """Imports a library that only work with recordings needs.

    Args:
        name: The module.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed; the message says how to install it.

    Example:
        >>> from jaxtriplet.data.audio import library
        >>> library("soundfile").__name__
        'soundfile'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f'recordings need {name}: pip install "jaxtriplet[speech,audio]"') from error


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Opens a file for decoding; what libsndfile finds wrong becomes a ValueError."""
    soundfile = library("soundfile")
    if not Path(path).stat().st_size:
        raise ValueError("empty: 0 bytes")
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except soundfile.LibsndfileError as error:
        if error.code in _FOREIGN:
            raise ValueError("no audio that libsndfile can read (it reads wav, flac, ogg, mp3 and more)") from error
        raise ValueError(f"broken or cut short: {error.error_string}") from error


def _mono(file: Any, frames: int = -1) -> np.ndarray:
    return file.read(frames, dtype="float32", always_2d=True).mean(axis=1)


def _extremes(file: Any) -> tuple[int, float, float]:
    """Returns the number of samples, the lowest and the highest; both are NaN if any sample is."""
    frames, low, high = 0, np.inf, -np.inf
    while len(block := _mono(file, _BLOCK)):
        frames += len(block)
        low, high = np.minimum(low, block.min()), np.maximum(high, block.max())
    return frames, float(low), float(high)


def _problem(file: Any, frames: int, low: float, high: float) -> str | None:
    if _cut_short(file, frames):
        return f"cut short: {frames / file.samplerate:.2f} s are there, less than its header promises"
    if frames < _SHORTEST * file.samplerate:
        return f"too short: {frames / file.samplerate:.2f} s, less than {_SHORTEST} s"
    if not np.isfinite(high - low):
        return "holds samples that are NaN or infinite"
    return "silent" if high - low <= _SILENCE else None


def _cut_short(file: Any, frames: int) -> bool:
    """Whether the header promises more than there is: libsndfile mends the length without an error."""
    sizes = [(int(promised), int(there)) for promised, there in _SIZES.findall(file.extra_info)]
    return (
        # The length of an MP3 without an index is an estimate, and some headers forget a byte of padding.
        frames < 0.9 * file.frames
        or any(1.01 * there < promised < _STREAMED for promised, there in sizes)
        or "lacks an end-of-stream bit" in file.extra_info
    )
