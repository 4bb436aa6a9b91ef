"""Embeddings of recordings, from their files."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from jaxtriplet.data import Recordings, whole_recordings
from jaxtriplet.data.loader import padded
from jaxtriplet.models import embed
from jaxtriplet.speech.encoder import SpeechEncoder

# A recording up to this length, in seconds of sound, is embedded at once; crops to train on last some 3 s, and a mean
# over frames of far more than that is another thing than what was trained.
LONGEST = 10.0
# Of what is longer, windows of so many seconds, half of each shared with the next, are embedded and averaged.
WINDOW = 4.0
# So many of them at a time: what their frames take is what the whole job takes above its libraries.
BATCH = 8


def embed_recordings(
    model: SpeechEncoder, index: Recordings, *, progress_fn: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Embeds recordings of any length: those of about one length together, the long ones window by window.

    Long silences weigh nothing, and a recording of hours takes no more memory than one of a minute.

    Args:
        model: The encoder.
        index: The recordings.
        progress_fn: Called as `progress_fn(done, total)` after each batch.

    Returns:
        Unit-length embeddings in the order of the index, [N, E].

    Raises:
        ValueError: A recording can no longer be read; the message names it.

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
    for rows, embeddings in embed_batches(model, index):
        places.append(rows)
        found.append(embeddings)
        if progress_fn:
            progress_fn(sum(map(len, places)), len(index))
    return np.concatenate(found)[np.argsort(np.concatenate(places))]


def embed_batches(model: SpeechEncoder, index: Recordings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Returns an iterator over batches of recordings and their embeddings, for whom all at once would be too late.

    Args:
        model: The encoder.
        index: The recordings.

    Returns:
        Rows of the index, [M], and unit-length embeddings of these, [M, E]; each row once, the shortest first.

    Raises:
        ValueError: A recording can no longer be read; the message names it.
    """
    samples = index.samples(model.sample_rate)
    by_length = np.argsort(samples, kind="stable")
    short, long = np.split(by_length, [int(np.sum(samples <= LONGEST * model.sample_rate))])
    if len(short):
        for rows, waveforms, lengths in whole_recordings(index.take(short), sample_rate=model.sample_rate):
            yield short[rows], embed(model, waveforms, lengths, batch_size=len(lengths))[: len(rows)]
    yield from _embed_long(model, index, long)


def windows(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yields windows of a recording that comes block by block, half of each shared with the next.

    Args:
        blocks: Samples, [T] each.
        size: Samples in a window; of a shorter recording there is one window.

    Yields:
        Samples, [size]. The last window ends with the recording, and shares more with the one before.

    >>> [window.tolist() for window in windows([np.arange(3), np.arange(3, 7)], 4)]
    [[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0]]
    """
    step, start, held = max(1, size // 2), 0, np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while start + size < len(held):  # the last window is not known before the end
            yield held[start : start + size]
            start += step
        held, start = held[max(0, start - size) :], min(start, size)
    yield held[-size:]


def _embed_long(model: SpeechEncoder, index: Recordings, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeds recordings one by one, as the mean of the unit-length embeddings of their windows."""
    size = round(WINDOW * model.sample_rate)
    heard = (
        (row, window) for row in rows.tolist() for window in windows(index.sound(row).blocks(model.sample_rate), size)
    )
    sums: dict[int, np.ndarray] = {}
    while batch := list(islice(heard, BATCH)):
        waveforms, lengths = padded([window for _, window in batch], size)
        for (row, _), embedding in zip(batch, embed(model, waveforms, lengths, batch_size=BATCH), strict=True):
            sums[row] = sums[row] + embedding if row in sums else embedding
        for row in list(sums)[:-1]:  # further windows of the last one may follow
            yield _mean(row, sums.pop(row))
    for row, total in sums.items():
        yield _mean(row, total)


def _mean(row: int, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row]), total[None] / max(float(np.linalg.norm(total)), float(np.finfo(total.dtype).tiny))
