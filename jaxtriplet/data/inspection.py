"""What a sound file holds: how much, where it is silent, or why it cannot be used."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet.data.audio import frames, mono, opened
from jaxtriplet.data.channels import MIXED, Balance, heard

SHORTEST = 0.1
"""Seconds of sound that a recording must hold; a syllable takes longer."""

_BLOCK = 0.01  # seconds, of which the level is told: the step of log-mel frames
_PAUSE = 30  # blocks; silence that is shorter belongs to speech, as between words and before a plosive
_SOFT = 1e-3  # of the loudest: 60 dB below. The floor of log-mel features lies 70 dB below the loudest band of speech
_STREAMED = 0x7FFF0000  # a program that writes to a pipe cannot know the size and writes one like this or larger
_SIZES = re.compile(r"\b(?:RIFF|riff|FORM|data|SSND|Data Size) *: (\d+) \(should be (\d+)\)")
_LOUD = 2.0**40  # squares of larger samples, and sums of these, would leave float32
# Bits of a sample that carry sound; of the two companded codes, by their smallest step. Formats that are not listed
# (lossy ones above all) are made of 16 bits.
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "DPCM_8": 8, "ALAW": 12, "ULAW": 13} | dict.fromkeys(
    ("PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32", "DWVW_24"), 24
)


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        frames: Number of samples per channel.
        sample_rate: In hertz.
        problem: Why the file cannot be used; None if it can.
        channel: What is heard, as `audio.read` takes it.
        silences: Stretches without sound, in order: the first sample of each, and the one after its last.
    """

    frames: int
    sample_rate: int
    problem: str | None = None
    channel: int = MIXED
    silences: tuple[tuple[int, int], ...] = ()


def inspect(path: str | Path) -> Content:
    """Reads a file from end to end and says what it holds, or why it cannot be used.

    Silent is what stays 60 dB below the loudest tenth of a second of the recording, or within one step of the file's
    own depth, for 0.3 s or longer: so soft speech stays, and a recording that is soft throughout is heard as it is.

    Args:
        path: Any file.

    Returns:
        Its length and rate. Its problem, if it has one: missing, empty, no audio, a rate that no recording has, cut
        short, less than 0.1 s of sound, or samples that are NaN, infinite or beyond all scales.

    Raises:
        ImportError: If soundfile is not installed.

    Example:
        >>> from jaxtriplet.data.inspection import inspect
        >>> inspect("nowhere.wav").problem
        'no such file'
    """
    try:
        with opened(path) as file, np.errstate(over="ignore", invalid="ignore"):  # what is infinite is named
            return _heard(path, file)
    except FileNotFoundError:
        return Content(0, 0, "no such file")
    except OSError as error:
        return Content(0, 0, error.strerror or str(error))
    except ValueError as error:
        return Content(0, 0, str(error))


def _heard(path: str | Path, file: Any) -> Content:
    size, balance, levels = round(_BLOCK * file.samplerate), Balance(), []
    found, low, high = 0, np.inf, -np.inf  # the extremes of each channel
    for block in frames(file, multiple=size):
        found += len(block)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        levels.append(_levels(heard(block, MIXED), size))
        if file.channels > 1:
            balance.add(block)
    step = 2.0 ** (1 - _BITS.get(file.subtype, 16))
    if problem := _problem(file, found, float(np.max(high - low)) if found else 0.0, step):
        return Content(found, file.samplerate, problem)
    channel, quiet = balance.channel(), 2 * step / file.channels
    if channel != MIXED:
        with opened(path) as again:
            levels, quiet = [_levels(block, size) for block in mono(again, channel, multiple=size)], 2 * step
    silences = _silences(np.concatenate(levels), quiet, size, found)
    sound = found - sum(end - begin for begin, end in silences)
    if sound < SHORTEST * file.samplerate:
        return Content(found, file.samplerate, f"silent but for {sound / file.samplerate:.2f} s")
    return Content(found, file.samplerate, None, channel, silences)


def _problem(file: Any, found: int, widest: float, step: float) -> str | None:
    if _cut_short(file, found):
        return f"cut short: {found / file.samplerate:.2f} s are there, less than its header promises"
    if found < SHORTEST * file.samplerate:
        return f"too short: {found / file.samplerate:.2f} s, less than {SHORTEST} s"
    if not np.isfinite(widest):
        return "holds samples that are NaN or infinite"
    if widest > _LOUD:
        return f"holds samples of {widest:.0e}, where full scale is 1"
    return "silent" if widest <= 4 * step else None  # two steps either way are dither, and not a microphone


def _cut_short(file: Any, found: int) -> bool:
    """Whether the header promises more than there is: libsndfile mends the length without an error."""
    sizes = [(int(promised), int(there)) for promised, there in _SIZES.findall(file.extra_info)]
    return (
        # The length of an MP3 without an index is an estimate, and some headers forget a byte of padding.
        found < 0.9 * file.frames
        or any(1.01 * there < promised < _STREAMED for promised, there in sizes)
        or "lacks an end-of-stream bit" in file.extra_info
    )


def _levels(samples: np.ndarray, size: int) -> np.ndarray:
    """Returns from where to where each `size` samples reach, peak to peak: a constant in them does not count."""
    whole = len(samples) // size * size
    levels = np.ptp(samples[:whole].reshape(-1, size), axis=1)
    return levels if whole == len(samples) else np.append(levels, np.ptp(samples[whole:]))


def _silences(levels: np.ndarray, quiet: float, size: int, found: int) -> tuple[tuple[int, int], ...]:
    """Returns where a recording is silent for long, in samples."""
    # What a tenth of a second reaches: a click is shorter, and says nothing of how loud a voice is.
    loudest = float(np.sort(levels)[-round(SHORTEST / _BLOCK) :][0])
    silent = np.concatenate([[False], levels <= max(quiet, _SOFT * loudest), [False]])
    begins, ends = np.flatnonzero(silent[1:] != silent[:-1]).reshape(-1, 2).T
    long = ends - begins >= _PAUSE
    return tuple(zip((begins[long] * size).tolist(), np.minimum(ends[long] * size, found).tolist(), strict=True))
