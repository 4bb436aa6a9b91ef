"""Sound files: the samples of a recording or of stretches of it, decoded block by block."""

import importlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxtriplet.data.channels import Balance, heard

_DECODED = "aif aifc aiff au avr caf flac ircam mp3 nist oga ogg opus paf pvf rf64 snd sph svx voc w64 wav wave"
_REFUSED = "3gp aac ac3 amr m4a mp4 webm wma"  # libsndfile cannot read these: named as such, rather than passed over
EXTENSIONS = frozenset(f".{ending}" for ending in f"{_DECODED} {_REFUSED}".split())
"""Endings of the files that count as recordings, in small letters."""

# In these, every sample stands for itself: from the middle they give what they give from the beginning. Other codes
# give other samples (OGG, MP3), or cannot begin there at all (GSM 6.10, G.721).
_PLAIN = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_")
_FOREIGN = (1, 7)  # libsndfile's codes for an unknown format, by contents and by the ending .mp3
_RATES = (2_000, 768_000)  # hertz: below, there is no speech, and no converter is faster
_UNKNOWN = 1 << 62  # frames, from which on libsndfile does not know how many there are
_BLOCK = 1 << 18  # samples of all channels

Range = tuple[int, int | None]
"""The first sample of a stretch and the one after its last; None for all that follows."""


def read(
    path: str | Path,
    *,
    sample_rate: int = 16_000,
    start: float | None = None,
    seconds: float | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """Reads a recording, or a part of it: channels averaged, resampled if need be.

    A part is exactly what the same slice of the whole recording is. It is read alone where the format allows that:
    at another rate, and from lossy formats, all before it is decoded, too. Several channels are heard from beginning to
    end first, to tell whether they cancel, unless `channel` is given. What is decoded is dropped block by block: memory
    is taken for the result, whatever a header says.

    Args:
        path: A file in any format that soundfile reads.
        sample_rate: Rate of the result, in hertz.
        start: Where the part begins, in seconds; None for the beginning.
        seconds: How long the part is, in seconds; None for all that follows. The recording may end earlier.
        channel: Which channel to hear, from 0; `channels.MIXED`, -1, for the mean of all; None for the mean unless they
            cancel in it, as two of opposite phase do: then the one of most power.

    Returns:
        Samples [T], float32; integer formats are scaled to [-1, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If soundfile or soxr is not installed.
        ValueError: If the file cannot be decoded, or its header lies about its rate; the message names it.

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
    stop = None if seconds is None else first + round(seconds * sample_rate)
    return joined(stream(path, [(first, stop)], sample_rate=sample_rate, channel=channel))


def stream(
    path: str | Path, ranges: Sequence[Range], *, sample_rate: int, channel: int | None = None, origin: int = 0
) -> Iterator[np.ndarray]:
    """Yields the samples of stretches of a recording, block by block.

    Args:
        path: A file, as `read` takes it.
        ranges: The stretches, in samples at `sample_rate` from the origin on, in order.
        sample_rate: Of the result, in hertz.
        channel: As `read` takes it.
        origin: A sample of the file, at its own rate: what lies before it is no part of the recording.

    Yields:
        Samples, [T] float32, at most some hundred thousand at once.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If soundfile or soxr is not installed.
        ValueError: If the file cannot be decoded; the message names it.
    """
    try:
        with opened(path) as file:
            plain = file.subtype.startswith(_PLAIN)
            if channel is None:
                channel = _balanced(path)
            if file.samplerate == sample_rate and plain:
                for first, stop in ranges:
                    file.seek(min(origin + first, file.frames))
                    yield from mono(file, channel, None if stop is None else stop - first)
            else:
                if plain:
                    file.seek(min(origin, file.frames))
                    origin = 0
                decoded = _within(mono(file, channel), [(origin, None)])
                yield from _within(_resampled(decoded, file.samplerate, sample_rate), ranges)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def joined(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Returns blocks of samples as one array, [T] float32.

    >>> joined([np.zeros(2, np.float32), np.ones(1, np.float32)]).tolist()
    [0.0, 0.0, 1.0]
    """
    return np.concatenate([np.zeros(0, np.float32), *blocks])


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
def opened(path: str | Path) -> Iterator[Any]:
    """Opens a file for decoding.

    Args:
        path: Any file.

    Yields:
        A `soundfile.SoundFile`, whose header can be believed but for its number of frames.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: For what libsndfile finds wrong, and for a rate that no recording has.
    """
    soundfile, status = library("soundfile"), os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("no file, but a folder, pipe or device")
    if not status.st_size:
        raise ValueError("empty: 0 bytes")
    try:
        with soundfile.SoundFile(path) as file:
            lowest, highest = _RATES
            if not lowest <= file.samplerate <= highest:
                raise ValueError(f"its header says {file.samplerate:,} Hz, not {lowest:,} to {highest:,}")
            if file.frames >= _UNKNOWN:
                raise ValueError("its header does not say how long it is; write it anew")
            yield file
    except soundfile.LibsndfileError as error:
        if error.code in _FOREIGN:
            reason = "no audio that libsndfile can read (it reads wav, flac, ogg, mp3 and more)"
            name = Path(path)
            if name.suffix.lower().removeprefix(".") in _REFUSED.split():
                given, made = (shlex.quote(str(one)) for one in (name.name, name.with_suffix(".wav").name))
                reason = f"no audio that libsndfile can read; convert it with ffmpeg: ffmpeg -i {given} {made}"
            raise ValueError(reason) from error
        raise ValueError(f"broken or cut short: {error.error_string}") from error


def frames(file: Any, count: int | None = None, multiple: int = 1) -> Iterator[np.ndarray]:
    """Yields what an opened file holds from here on.

    Args:
        file: The file.
        count: How many samples of each channel; None for all.
        multiple: The blocks but the last are a multiple of so many long.

    Yields:
        Samples, [T, channels] float32.
    """
    size = max(1, _BLOCK // (file.channels * multiple)) * multiple
    while len(block := file.read(size if count is None else min(size, count), dtype="float32", always_2d=True)):
        yield block
        count = None if count is None else count - len(block)


def mono(file: Any, channel: int, count: int | None = None, multiple: int = 1) -> Iterator[np.ndarray]:
    """Yields what an opened file holds from here on, as `frames` does, of one channel or of the mean of all: [T]."""
    for block in frames(file, count, multiple):
        yield heard(block, channel)


def _balanced(path: str | Path) -> int:
    """Returns what to hear of a file that nobody has looked through yet."""
    balance = Balance()
    with opened(path) as file:
        for block in frames(file) if file.channels > 1 else ():
            balance.add(block)
    return balance.channel()


def _resampled(blocks: Iterable[np.ndarray], old: int, new: int) -> Iterator[np.ndarray]:
    if old == new:
        yield from blocks
        return
    soxr = library("soxr").ResampleStream(old, new, 1, dtype="float32")
    for block in blocks:
        yield soxr.resample_chunk(np.ascontiguousarray(block))
    yield soxr.resample_chunk(np.zeros(0, np.float32), last=True)


def _within(blocks: Iterable[np.ndarray], ranges: Sequence[Range]) -> Iterator[np.ndarray]:
    """Yields what of the blocks lies in the ranges, and asks for no block after these."""
    place, last = 0, ranges[-1][1]
    for block in blocks:
        for first, stop in ranges:
            begin, end = max(first - place, 0), len(block) if stop is None else min(stop - place, len(block))
            if begin < end:
                yield block[begin:end]
        place += len(block)
        if last is not None and place >= last:
            return
