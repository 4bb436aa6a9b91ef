"""Embeddings of utterances of any length: the mean over windows that slide over them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.models.embedding import Embeds, embed


def embed_sliding(
    model: Embeds,
    utterances: Sequence[ArrayLike],
    *,
    window: int = 160,
    overlap: float = 0.5,
    batch_size: int = 128,
) -> np.ndarray:
    r"""Embeds each utterance as the mean of the unit-length embeddings of its windows, at unit length again.

    $$e = \frac{\sum_k e_k}{\lVert \sum_k e_k \rVert}, \qquad e_k = \mathrm{model}(x_{kh}, \dots, x_{kh + w - 1})$$

    A last window that ends with the utterance takes what the steps of h leave over (the paper drops it); an utterance
    shorter than a window is one window.

    Args:
        model: An encoder.
        utterances: Frames [T, F] or, for a model that takes these, samples [T] of each utterance; T of its own, at
            least one.
        window: Frames (or samples) in a window; 160 frames are midway between the 140 and 180 that GE2E's paper trains
            on.
        overlap: Share of a window that the next one covers too, in [0, 1).
        batch_size: How many windows to embed at once.

    Returns:
        Unit-length embeddings, [N, E].

    Raises:
        ValueError: There is no utterance or one without frames, `window` is not positive, or `overlap` not in [0, 1).

    Example:
        >>> import numpy as np
        >>> from flax import nnx
        >>> from jaxtriplet.models import LSTM, embed_sliding
        >>> model = LSTM(40, hidden=8, projection=4, embedding_dim=4, rngs=nnx.Rngs(0))
        >>> embed_sliding(model, [np.ones((400, 40), np.float32), np.ones((7, 40), np.float32)]).shape
        (2, 4)

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", 2018, section 2.2.
    """
    _checks.positive_integer("window", window)
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must be in [0, 1); got {overlap}")
    frames = [np.asarray(utterance) for utterance in utterances]
    if not frames or not all(map(len, frames)):
        raise ValueError("there must be utterances, and frames in each of them")
    step = max(1, round(window * (1 - overlap)))
    starts = [_starts(len(x), window, step) for x in frames]
    pieces = [x[s : s + window] for x, places in zip(frames, starts, strict=True) for s in places]
    padded = np.stack([_filled(piece, window) for piece in pieces])
    rows = embed(model, padded, [len(piece) for piece in pieces], batch_size=batch_size)
    first = np.cumsum([0, *map(len, starts[:-1])])
    sums = np.add.reduceat(rows, first, axis=0)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(sums.dtype).tiny)


def _starts(length: int, window: int, step: int) -> list[int]:
    """Returns where the windows of an utterance begin."""
    last = max(0, length - window)
    return [*range(0, last, step), last]


def _filled(piece: np.ndarray, length: int) -> np.ndarray:
    """Returns a piece with zeros at its end."""
    return np.pad(piece, [(0, length - len(piece))] + [(0, 0)] * (piece.ndim - 1))
