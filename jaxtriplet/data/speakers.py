"""Speakers of an index: those held out, and whether there are enough to learn from."""

import hashlib

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data.layouts import LAYOUT
from jaxtriplet.data.recordings import Recordings


def split_by_speaker(index: Recordings, fraction: float, *, seed: int = 0) -> tuple[Recordings, Recordings]:
    """Splits off some speakers for development.

    Speakers are ordered by a hash of the seed and their names, and the first `fraction` of them are held out. So the
    split has the size that was asked for, and when a speaker joins the folder at most one other changes sides.

    Args:
        index: The recordings.
        fraction: Share of the speakers to hold out, between 0 and 1.
        seed: Another seed is another split.

    Returns:
        The recordings to train on, and those to develop on.

    Raises:
        ValueError: If the fraction is not between 0 and 1, or leaves either side fewer than two speakers.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> from jaxtriplet.data import Recordings, split_by_speaker
        >>> one_each = np.arange(5)
        >>> names = ("a", "b", "c", "d", "e")
        >>> index = Recordings(pathlib.Path(), np.array(names), names, one_each, one_each, one_each, one_each)
        >>> [side.speakers for side in split_by_speaker(index, 0.4)]
        [('a', 'd', 'e'), ('b', 'c')]
    """
    _checks.given("index", index, Recordings, "what `jaxtriplet.data.recordings` returns")
    if not 0 < fraction < 1:
        raise ValueError(f"the fraction of the speakers to hold out must lie between 0 and 1; got {fraction}")
    total = len(index.speakers)
    count = round(fraction * total)
    if min(count, total - count) < 2:
        raise ValueError(
            f"{fraction} of the {total} speakers in {index.root} would leave {total - count} to train on and {count} "
            "to develop on; each side needs at least two"
        )
    drawn = sorted(range(total), key=lambda i: hashlib.sha256(f"{seed}/{index.speakers[i]}".encode()).digest())
    held_out = np.isin(index.labels, drawn[:count])
    return index.take(np.flatnonzero(~held_out)), index.take(np.flatnonzero(held_out))


def require_pairs(index: Recordings) -> None:
    """Checks that there is something to learn from: two speakers, and one of them with two recordings.

    Args:
        index: The recordings.

    Raises:
        ValueError: If there is not.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> from jaxtriplet.data import Recordings, require_pairs
        >>> one = np.zeros(1, np.int32)
        >>> require_pairs(Recordings(pathlib.Path("calls"), np.array(["ada/1.wav"]), ("ada",), one, one, one, one))
        Traceback (most recent call last):
        ...
        ValueError: calls holds recordings of 1 speaker; at least two are needed, as <speaker>/[<session>/]<utterance>
    """
    _checks.given("index", index, Recordings, "what `jaxtriplet.data.recordings` returns")
    counts = np.bincount(index.labels, minlength=1)
    if len(counts) < 2:
        raise ValueError(f"{index.root} holds recordings of 1 speaker; at least two are needed, as {LAYOUT}")
    if counts.max() < 2:
        raise ValueError(f"no speaker in {index.root} has two recordings, so there is no positive pair")
