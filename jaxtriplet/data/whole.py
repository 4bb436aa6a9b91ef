"""Batches of whole recordings, to embed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data.loader import load, padded
from jaxtriplet.data.recordings import Recordings


class Whole(NamedTuple):
    """Whole recordings of about one length.

    Attributes:
        rows: Which recordings these are, [n] integers with n <= B: places in the index.
        waveforms: Samples, [B, T] float32, zero past each length; rows after the n-th repeat the first.
        lengths: Number of valid samples, [B] int32.
    """

    rows: np.ndarray
    waveforms: np.ndarray
    lengths: np.ndarray


def whole_recordings(
    index: Recordings, *, batch_seconds: float = 60.0, sample_rate: int = 16_000, threads: int = 2
) -> Iterator[Whole]:
    """Returns an iterator over whole recordings in batches of about one length, the shortest first.

    Of a recording that is silent for long, only the rest is there.

    Lengths are padded to 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, ... seconds: four shapes an octave, and at most a
    fifth of a row is padding above one second.

    Args:
        index: The recordings; `index.take(rows)` for some of them.
        batch_seconds: Audio in a batch, padding included; a longer recording is a batch of its own.
        sample_rate: Of the waveforms, in hertz.
        threads: Number of threads that decode.

    Returns:
        Each recording once; `index.paths[batch.rows]` says which.

    Raises:
        ImportError: If Grain is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, soundfile
        >>> from jaxtriplet.data import recordings_of, whole_recordings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, samples in (("long.wav", 17000), ("short.wav", 8000)):
        ...         soundfile.write(f"{folder}/{name}", np.sin(np.arange(1.0 * samples)), 16000)
        ...     index = recordings_of(folder, ["long.wav", "short.wav"], cache_dir=folder)
        ...     for rows, waveforms, lengths in whole_recordings(index):
        ...         index.paths[rows].tolist(), waveforms.shape, lengths.tolist()
        (['short.wav'], (1, 16000), [8000])
        (['long.wav'], (1, 20000), [17000])
    """
    _checks.given("index", index, Recordings, "what `jaxtriplet.data.recordings` returns")
    return load(_WholeBatches(index, sample_rate, batch_seconds), threads=threads)


class _WholeBatches:
    def __init__(self, index: Recordings, sample_rate: int, batch_seconds: float) -> None:
        rounded = np.array([_rounded_up(count / sample_rate) for count in index.samples(sample_rate)])
        self._plan: list[tuple[np.ndarray, float, int]] = []
        for seconds in np.unique(rounded).tolist():
            rows = np.flatnonzero(rounded == seconds)
            size = max(1, min(int(batch_seconds / seconds), len(rows)))
            self._plan += [(rows[start : start + size], seconds, size) for start in range(0, len(rows), size)]
        self._index, self._sample_rate = index, sample_rate

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, step: int) -> Whole:
        rows, seconds, size = self._plan[step]
        samples = [self._index.sound(row).read(self._sample_rate) for row in rows.tolist()]
        samples += samples[:1] * (size - len(rows))
        return Whole(rows, *padded(samples, round(seconds * self._sample_rate)))


def _rounded_up(seconds: float) -> float:
    """Returns the next of 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, ... seconds."""
    step = 2.0 ** np.floor(np.log2(max(seconds, 1))) / 4
    return max(1.0, float(np.ceil(seconds / step) * step))
