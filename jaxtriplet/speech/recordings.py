"""Embeddings of recordings, from their files."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data import Recordings, whole_recordings
from jaxtriplet.data.loader import padded
from jaxtriplet.models import Layer, embed
from jaxtriplet.speech.encoder import SpeechEncoder

# A recording up to this length, in seconds of sound, is embedded at once; crops to train on last some 3 s, and a mean
# over frames of far more than that is another thing than what was trained.
LONGEST = 10.0
# Of what is longer, windows of so many seconds, half of each shared with the next, are embedded and averaged.
WINDOW = 4.0
# So many of them at a time: what their frames take is what the whole job takes above its libraries.
BATCH = 8


class Excerpts(NamedTuple):
    """Which parts of a recording to embed, and to take the mean of.

    Attributes:
        number: How many, at least 2; 0 for the whole recording or, if it is longer than 10 s, windows of 4 s all over
            it, half of each shared with the next.
        seconds: How long they last. They are spread evenly from its beginning to its end, and share sound where there
            is not enough; what is no longer than one is embedded whole.
    """

    number: int = 0
    seconds: float = WINDOW

    def longest(self) -> float:
        """Returns how long a recording may be, in seconds, to be embedded whole."""
        return self.seconds if self.number else LONGEST

    def step(self, samples: int, size: int) -> float:
        """Returns how many samples lie from the beginning of a part to that of the next, at least 1.

        Args:
            samples: Of the recording.
            size: Of a part.
        """
        if not self.number:
            return size / 2
        return max(1.0, (samples - size) / (self.number - 1))


WHOLE = Excerpts()


def embed_recordings(
    model: SpeechEncoder,
    index: Recordings,
    *,
    layer: Layer = "embedding",
    excerpts: Excerpts = WHOLE,
    speed: float = 1.0,
    progress_fn: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Embeds recordings of any length: those of about one length together, the long ones window by window.

    Long silences weigh nothing, and a recording of hours takes no more memory than one of a minute.

    Args:
        model: The encoder.
        index: The recordings.
        layer: What to give of each: its unit-length embedding, or "pooled", what the last layer makes it of.
        excerpts: Which parts of a recording to take the mean of.
        speed: How fast to play them: the pitch changes too, which makes every speaker another one.
        progress_fn: Called as `progress_fn(done, total)` after each batch.

    Returns:
        Unit-length embeddings in the order of the index, [N, E], or what is pooled, [N, P].

    Raises:
        ValueError: A recording can no longer be read; the message names it. Or there is no such layer or excerpt.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np, soundfile
        >>> from flax import nnx
        >>> from jaxtriplet.data import recordings_of
        >>> from jaxtriplet.models import LSTM
        >>> from jaxtriplet.speech import SpeechEncoder, embed_recordings
        >>> model = SpeechEncoder(LSTM(40, hidden=8, projection=4, embedding_dim=4, rngs=nnx.Rngs(0)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, samples in (("long.wav", 200_000), ("short.wav", 8000)):
        ...         soundfile.write(f"{folder}/{name}", np.sin(np.arange(1.0 * samples)), 16000)
        ...     index = recordings_of(folder, ["long.wav", "short.wav"], cache_dir=folder)
        ...     embed_recordings(model, index).shape
        (2, 4)
    """
    places, found = [], []
    for rows, embeddings in embed_batches(model, index, layer=layer, excerpts=excerpts, speed=speed):
        places.append(rows)
        found.append(embeddings)
        if progress_fn:
            progress_fn(sum(map(len, places)), len(index))
    return np.concatenate(found)[np.argsort(np.concatenate(places))]


def embed_batches(
    model: SpeechEncoder,
    index: Recordings,
    *,
    layer: Layer = "embedding",
    excerpts: Excerpts = WHOLE,
    speed: float = 1.0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Returns an iterator over batches of recordings and their embeddings, for whom all at once would be too late.

    Args:
        model: The encoder.
        index: The recordings.
        layer: As `embed_recordings` takes it.
        excerpts: Likewise.
        speed: Likewise.

    Returns:
        Rows of the index, [M], and what `layer` says of these, [M, E] or [M, P]; each row once, the shortest first.
        While a long recording is under way, M is 0.

    Raises:
        ValueError: A recording can no longer be read; the message names it. Or there is no such layer or excerpt.
    """
    _checks.whole_number("the number of excerpts", excerpts.number)
    if excerpts.number == 1 or not excerpts.seconds > 0:
        raise ValueError(f"excerpts must be at least 2, or 0, and longer than 0 seconds; got {excerpts}")
    if not 0 < speed < np.inf:
        raise ValueError(f"speed must be above 0; got {speed}")
    # As many samples as the model expects in a second are to last so many seconds.
    _checks.given("index", index, Recordings, "what `jaxtriplet.data.recordings` returns")
    if not hasattr(model, "sample_rate"):
        raise ValueError(f"model must be an encoder of waveforms, a `SpeechEncoder`, say; got {_checks.seen(model)}")
    rate = round(model.sample_rate / speed)
    samples = index.samples(rate)
    by_length = np.argsort(samples, kind="stable")
    short, long = np.split(by_length, [int(np.sum(samples <= excerpts.longest() * rate))])
    if len(short):
        for rows, waveforms, lengths in whole_recordings(index.take(short), sample_rate=rate):
            yield short[rows], embed(model, waveforms, lengths, batch_size=len(lengths), layer=layer)[: len(rows)]
    yield from _embed_long(model, index, long, rate, layer, excerpts)


def windows(blocks: Iterable[np.ndarray], size: int, step: float) -> Iterator[np.ndarray]:
    """Yields windows of a recording that comes block by block.

    Args:
        blocks: Samples, [T] each.
        size: Samples in a window; of a shorter recording there is one window.
        step: Samples from the beginning of a window to that of the next, at least 1.

    Yields:
        Samples, [size]. The last window ends with the recording, and may share more with the one before.

    >>> [window.tolist() for window in windows([np.arange(3), np.arange(3, 7)], 4, 2)]
    [[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0]]
    """
    number, begun, held = 0, 0, np.zeros(0, np.float32)  # `held` begins with sample `begun`
    for block in blocks:
        held = np.concatenate([held, block])
        while (start := round(number * step)) + size < begun + len(held):  # the last window is not known before the end
            yield held[start - begun : start - begun + size]
            number += 1
        unneeded = max(0, min(start - begun, len(held) - size))
        held, begun = held[unneeded:], begun + unneeded
    yield held[-size:]


def _embed_long(
    model: SpeechEncoder, index: Recordings, rows: np.ndarray, rate: int, layer: Layer, excerpts: Excerpts
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeds recordings one by one, as the mean of their parts."""
    size, samples = round(excerpts.seconds * rate), index.samples(rate)
    heard = (
        (row, window)
        for row in rows.tolist()
        for window in windows(index.sound(row).blocks(rate), size, excerpts.step(samples[row], size))
    )
    sums: dict[int, tuple[np.ndarray, int]] = {}
    while batch := list(islice(heard, BATCH)):
        waveforms, lengths = padded([window for _, window in batch], size)
        found = embed(model, waveforms, lengths, batch_size=BATCH, layer=layer)
        for (row, _), vector in zip(batch, found, strict=True):
            total, count = sums.get(row, (np.zeros_like(vector), 0))
            sums[row] = total + vector, count + 1
        if not (whole := list(sums)[:-1]):  # further windows of the last one may follow
            yield np.zeros(0, np.intp), found[:0]
        for row in whole:
            yield _mean(row, *sums.pop(row), layer)
    for row, (total, count) in sums.items():
        yield _mean(row, total, count, layer)


def _mean(row: int, total: np.ndarray, count: int, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    length = max(float(np.linalg.norm(total)), float(np.finfo(total.dtype).tiny)) if layer == "embedding" else count
    return np.array([row]), total[None] / length
