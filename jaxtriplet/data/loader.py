"""Batches of waveforms to train on: random crops, and an iterator that makes them ahead of time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data.audio import library, resample
from jaxtriplet.data.recordings import Recordings
from jaxtriplet.data.sampler import Sampler, sampler_of
from jaxtriplet.data.speakers import require_pairs

_Batch = TypeVar("_Batch", covariant=True)
_ENDLESS = 1 << 40  # steps; Grain wants a number


class Batches(Protocol[_Batch]):
    """Batches by number: anything with a length that gives the same batch for the same step."""

    def __len__(self) -> int:
        """Returns the number of steps."""

    def __getitem__(self, step: int, /) -> _Batch:
        """Returns the batch of a step."""


class Loader(Iterator[_Batch], Protocol[_Batch]):
    """An iterator over batches that can be put back to where it was."""

    def get_state(self) -> dict[str, Any]:
        """Returns where it is: small, and fit for JSON."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to where it was, so that the same batches follow."""


class Waveforms(NamedTuple):
    """Crops of one step.

    Attributes:
        waveforms: Samples, [B, T] float32, zero past each length.
        lengths: Number of valid samples, [B] int32.
        labels: Speaker, [B] int32 from 0.
    """

    waveforms: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray


class _Drawn(NamedTuple):
    """What the batches of a stretch of steps are drawn from."""

    rows: np.ndarray
    sampler: Sampler
    """Of places among these."""
    lengths: list[int]
    """That a crop can have, in samples."""


class Crops:
    """Batches of P speakers with K random crops each: `crops[step]` gives the batch of a step.

    All crops of a batch have one length, drawn from a few, so that an update compiles as many times and no more; a
    recording that is shorter is padded. Long silences are left out before: nobody is known by them. Sessions are spread
    as `SpeakerSampler` does. A batch is a function of the seed and the step alone: neither threads nor an interruption
    nor the memory changes it.

    Args:
        index: The recordings.
        speakers: Number of speakers in a batch, P.
        utterances: Number of crops of each speaker in a batch, K.
        seed: Seed of the draws, a non-negative integer.
        seconds: The lengths that a batch can have.
        speeds: Factors of speed. Each but 1 turns every speaker into another one, as the pitch changes with the speed:
            (1.0, 0.9, 1.1) makes three times as many.
        sample_rate: Of the crops, in hertz.
        memory: Bytes of decoded recordings to keep, so that no epoch decodes these again.
        triplet_shares: None for P x K crops. A number of devices for P * K // 3 triplets, as `TripletSampler` draws
            them and `deep_speaker` takes them.
        shuffled: Whether to draw P * K rows of all speakers, as `ShuffledSampler` does: each recording once in an
            epoch at each speed.
        tuned_from: The step from which on crops have the lengths `tuned_seconds`, and speed 1 alone, for fine-tuning;
            None for never.
        tuned_seconds: The lengths that a batch can have from then on; none for those before.
        share: Which rows of a batch to give: those of one of several processes.

    Attributes:
        num_speakers: Number of labels, speeds included.

    Raises:
        ValueError: If fewer than two speakers or no speaker with two recordings are there, fewer than P speakers can be
            drawn, or a number is not positive.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, soundfile
        >>> from jaxtriplet.data import Crops, recordings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("ada/1.wav", "ada/2.wav", "bob/1.wav", "bob/2.wav"):
        ...         pathlib.Path(folder, name).parent.mkdir(exist_ok=True)
        ...         soundfile.write(pathlib.Path(folder, name), np.sin(np.arange(16000.0)), 16000)
        ...     index = recordings(folder, cache_dir=f"{folder}/.cache")
        ...     waveforms, lengths, labels = Crops(index, speakers=2, utterances=2, seed=0, seconds=(0.5, 1.6))[0]
        >>> waveforms.shape, lengths.tolist(), sorted(labels.tolist())
        ((4, 25600), [16000, 16000, 16000, 16000], [0, 0, 1, 1])

    Reference:
        Ko, Peddinti, Povey, Khudanpur, "Audio augmentation for speech recognition", 2015 (speeds); Yamamoto, Lee,
        Okabe, Koshinaka, "Speaker augmentation and bandwidth extension for deep speaker embedding", 2019 (as speakers).
    """

    def __init__(
        self,
        index: Recordings,
        *,
        speakers: int,
        utterances: int,
        seed: int,
        seconds: Sequence[float] = (1.6, 2.4, 3.2),
        speeds: Sequence[float] = (1.0,),
        sample_rate: int = 16_000,
        memory: int = 1 << 29,
        triplet_shares: int | None = None,
        shuffled: bool = False,
        tuned_from: int | None = None,
        tuned_seconds: Sequence[float] = (),
        share: slice = slice(None),
    ) -> None:
        """Checks that the recordings can fill a batch."""
        require_pairs(index)
        _checks.positive_integer("sample_rate", sample_rate)
        seconds, tuned_seconds, speeds = tuple(seconds), tuple(tuned_seconds or seconds), tuple(speeds)
        for name, values in (("seconds", seconds), ("tuned_seconds", tuned_seconds), ("speeds", speeds)):
            if not values or min(values) <= 0:
                raise ValueError(f"{name} must be numbers above 0; got {values}")
        if tuned_from is not None and 1 not in speeds:
            raise ValueError(f"fine-tuning is at speed 1, which must be one of the speeds; got {speeds}")
        self.num_speakers = len(index.speakers) * len(speeds)
        self._labels, sessions = _copies(index.labels, len(speeds)), _copies(index.sessions, len(speeds))

        def drawn(rows: np.ndarray, seconds: Sequence[float]) -> _Drawn:
            sampler = sampler_of(
                self._labels[rows],
                speakers=speakers,
                utterances=utterances,
                seed=seed,
                sessions=sessions[rows],
                shuffled=shuffled,
                triplet_shares=triplet_shares,
            )
            return _Drawn(rows, sampler, [round(length * sample_rate) for length in seconds])

        of_all, self._tuned_from = np.arange(len(self._labels)), tuned_from
        self._first = drawn(of_all, seconds)
        if tuned_from is not None:
            self._tuned = drawn(of_all[np.array(speeds).repeat(len(index)) == 1], tuned_seconds)
        self._speeds, self._seed, self._share = speeds, seed, share
        self._recordings = _Decoded(index, sample_rate, memory)

    def __len__(self) -> int:
        """Returns a number of steps that no training takes."""
        return _ENDLESS

    def __getitem__(self, step: int) -> Waveforms:
        """Returns the batch of a step, speaker by speaker (or anchors, positives, negatives; or shuffled)."""
        tuned = self._tuned_from is not None and step >= self._tuned_from
        among, sampler, lengths = self._tuned if tuned else self._first
        rows = among[sampler[step]]
        rng = np.random.default_rng((self._seed, step, 1))  # 1: another stream than the sampler's
        length = lengths[int(rng.integers(len(lengths)))]
        rows, places = rows[self._share], rng.random(len(rows))[self._share]
        crops = [self._crop(row, length, where) for row, where in zip(rows, places, strict=True)]
        return Waveforms(*padded(crops, length), self._labels[rows])

    def _crop(self, row: int, length: int, where: float) -> np.ndarray:
        """Returns at most `length` samples; `where` in [0, 1) says from where."""
        copy, row = divmod(row, len(self._recordings.lengths))
        speed = self._speeds[copy]
        wanted = int(np.ceil(length * speed))
        room = max(self._recordings.lengths[row] - wanted, 0)
        return resample(self._recordings.part(row, int(where * (room + 1)), wanted), speed)[:length]


def load(batches: Batches[_Batch], *, threads: int = 2, ahead: int = 4) -> Loader[_Batch]:
    """Returns an iterator over batches that are made ahead of time, by Grain.

    Args:
        batches: The batches by number, `Crops` say.
        threads: Number of threads; 0 makes each batch when it is asked for.
        ahead: Number of batches to hold ready.

    Returns:
        A `grain.DatasetIterator`: after `set_state(state)` it goes on exactly as it would have from `get_state()`.

    Raises:
        ImportError: If Grain is not installed.

    Example:
        >>> from jaxtriplet.data import load
        >>> batches = load(["first", "second", "third"])
        >>> next(batches), batches.get_state()
        ('first', {'next_index': 1})
    """
    grain = library("grain")
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead, threads) if threads else 0)
    return iter(grain.MapDataset.source(batches).to_iter_dataset(options))


def padded(samples: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Makes a batch of recordings of about one length.

    Args:
        samples: Samples of each, [T].
        length: What to fill them up to with zeros, or to cut them off at.

    Returns:
        Waveforms [B, length], and the number of valid samples of each, [B] int32.
    """
    lengths = np.array([min(len(one), length) for one in samples], np.int32)
    waveforms = np.zeros((len(samples), length), np.float32)
    for row, (one, end) in enumerate(zip(samples, lengths, strict=True)):
        waveforms[row, :end] = one[:end]
    return waveforms, lengths


class _Decoded:
    """Parts of recordings, from memory as far as that goes.

    Rows come at random, so that to keep the latest would serve no better than to keep any: the first ones are kept.
    """

    def __init__(self, index: Recordings, sample_rate: int, memory: int) -> None:
        self._index, self._sample_rate = index, sample_rate
        lengths = index.samples(sample_rate)
        self.lengths = lengths.tolist()
        self._keep = np.cumsum(lengths) * np.float32().nbytes <= memory
        self._kept: dict[int, np.ndarray] = {}

    def part(self, row: int, start: int, count: int) -> np.ndarray:
        if not self._keep[row]:
            return self._index.sound(row).read(self._sample_rate, start, count)
        if row not in self._kept:
            self._kept[row] = self._index.sound(row).read(self._sample_rate)
        return self._kept[row][start : start + count]


def _copies(numbers: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers that start at 0, [N], then as many new ones for each further copy, [count * N]."""
    return (numbers + (numbers.max() + 1) * np.arange(count, dtype=numbers.dtype)[:, None]).ravel()
