"""Where in a file a recording is, and what of it is heard: all but the silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtriplet.data.audio import Range, joined, stream
from jaxtriplet.data.channels import MIXED


class Piece(NamedTuple):
    """What an index knows of a recording beside its file and its length.

    Attributes:
        name: The utterance, if it has a name other than its path.
        start: Its first sample in the file.
        channel: What is heard, as `audio.read` takes it.
        silences: Where the file is silent, in samples of the file, in order.
    """

    name: str = ""
    start: int = 0
    channel: int = MIXED
    silences: tuple[tuple[int, int], ...] = ()

    def stretches(self, frames: int) -> tuple[tuple[int, int], ...]:
        """Returns where there is sound: the first sample of each stretch in the file, and the one after its last.

        Args:
            frames: Samples of the recording.

        >>> Piece(start=10, silences=((0, 12), (15, 20), (90, 120))).stretches(90)
        ((12, 15), (20, 90))
        """
        end = self.start + frames
        within = [(max(a, self.start), min(b, end)) for a, b in self.silences if a < end and b > self.start]
        edges = [self.start, *(edge for silence in within for edge in silence), end]
        return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b)


class Sound(NamedTuple):
    """What is heard of a recording.

    Attributes:
        path: Its file.
        sample_rate: Of the file, in hertz.
        start: The first sample of the recording in the file.
        channel: As `audio.read` takes it.
        stretches: Where there is sound, in samples of the file, as `Piece.stretches` gives it.
    """

    path: Path
    sample_rate: int
    start: int
    channel: int
    stretches: tuple[tuple[int, int], ...]

    def length(self, sample_rate: int) -> int:
        """Returns how many samples there are at a rate, in hertz."""
        return sum(stop - first for first, stop in self._ranges(sample_rate))

    def read(self, sample_rate: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Returns the samples, or a part of them, as one array.

        Args:
            sample_rate: Of the result, in hertz.
            first: Where the part begins, in samples of the result.
            count: How long it is; None for all that follows. The recording may end earlier.

        Returns:
            Samples [T], float32.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it can no longer be decoded; the message names it.
        """
        ranges, place = [], 0
        last = self.length(sample_rate) if count is None else first + count
        for begin, end in self._ranges(sample_rate):
            low, high = max(first - place, 0), min(last - place, end - begin)
            if low < high:
                ranges.append((begin + low, begin + high))
            place += end - begin
        return joined(self._stream(ranges, sample_rate))

    def blocks(self, sample_rate: int) -> Iterator[np.ndarray]:
        """Yields the samples bit by bit, [T] float32 each: a recording of hours takes no more memory than a short one.

        Args:
            sample_rate: Of the result, in hertz.
        """
        return self._stream(self._ranges(sample_rate), sample_rate)

    def _ranges(self, sample_rate: int) -> list[tuple[int, int]]:
        def placed(sample: int) -> int:
            return (sample - self.start) * sample_rate // self.sample_rate

        return [(placed(first), placed(stop)) for first, stop in self.stretches]

    def _stream(self, ranges: list[tuple[int, int]], sample_rate: int) -> Iterator[np.ndarray]:
        wanted: list[Range] = [*ranges]
        if not ranges:
            return iter(())
        return stream(self.path, wanted, sample_rate=sample_rate, channel=self.channel, origin=self.start)
