"""Samplers without state: a batch depends on the seed and the step alone, so a resumed run draws the same ones."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet import _checks


class Sampler(Protocol):
    """Rows of a data set by the number of a step."""

    def __getitem__(self, step: int, /) -> np.ndarray:
        """Returns the rows of a step, integers."""


class SpeakerSampler:
    """Batches of P speakers with K utterances each: `sampler[step]` gives the rows of a step.

    The speakers of a batch are distinct, and so are the utterances of a speaker who has K of them; one who has fewer
    gives all of them, repeated as evenly as K allows. With K > 1 a speaker with a single utterance is never drawn:
    copies of one row would be its only positives. Where sessions are known, the K utterances come from as many of them
    as the speaker has: a positive from the same session shares its microphone and room, and teaches these.

    Args:
        labels: Speaker of each row of the data set, [N] integers.
        speakers: Number of speakers in a batch, P.
        utterances: Number of utterances of each speaker in a batch, K.
        seed: Seed of the draws, a non-negative integer, or a tuple of some.
        sessions: Session of each row, [N] integers; None if all are alike.

    Raises:
        ValueError: If `labels` or `sessions` are not [N] integers, P or K is not positive, or too few speakers can be
            drawn.

    Example:
        >>> from jaxtriplet.data import SpeakerSampler
        >>> sampler = SpeakerSampler([7, 7, 7, 8, 8, 9], speakers=2, utterances=2, seed=0)
        >>> bool((sampler[5] == sampler[5]).all()), 5 in sampler[0]
        (True, False)
    """

    def __init__(
        self,
        labels: ArrayLike,
        *,
        speakers: int,
        utterances: int,
        seed: int | Sequence[int],
        sessions: ArrayLike | None = None,
    ) -> None:
        """Checks that the labels can fill a batch, and sorts the rows by speaker."""
        _checks.positive_integer("speakers", speakers)
        _checks.positive_integer("utterances", utterances)
        check_seed(seed)
        order, starts, counts = grouped(integers("labels", labels, "N"))
        rows = np.split(order, starts[1:])
        self._rows = [own for own, count in zip(rows, counts, strict=True) if count >= min(utterances, 2)]
        if not self._rows:
            raise ValueError("no speaker has two utterances, so no batch can hold a positive pair")
        if len(self._rows) < speakers:
            raise ValueError(
                f"batches of {speakers} speakers need as many with {min(utterances, 2)} or more utterances; "
                f"the labels hold {len(self._rows)}"
            )
        self._speakers, self._utterances, self._seed = speakers, utterances, seed
        self._sessions = integers("sessions", np.zeros_like(order) if sessions is None else sessions, len(order))

    def __getitem__(self, step: int) -> np.ndarray:
        """Returns the rows of a step, [P * K] integers, speaker by speaker."""
        rng = _drawn(self._seed, step)
        chosen = rng.choice(len(self._rows), self._speakers, replace=False)
        drawn = [self._spread(rng.permutation(self._rows[i])) for i in chosen]
        # np.resize cuts a permutation that is too long and repeats one that is too short.
        return np.concatenate([np.resize(rows, self._utterances) for rows in drawn])

    def _spread(self, rows: np.ndarray) -> np.ndarray:
        """Returns the rows in rounds: the first of every session, then the second, each round in their old order."""
        order, starts, counts = grouped(self._sessions[rows])
        rounds = np.empty_like(order)
        rounds[order] = np.arange(len(rows)) - np.repeat(starts, counts)
        return rows[np.argsort(rounds, kind="stable")]


class TripletSampler:
    """Triplets as `deep_speaker` takes them: `sampler[step]` gives anchors, then positives, then negatives.

    An anchor is any row whose speaker has another; its positive is any of these others, and its negative any row of
    another speaker, all drawn uniformly.

    Args:
        labels: Speaker of each row of the data set, [N] integers.
        triplets: Number of triplets in a batch, B.
        seed: Seed of the draws, a non-negative integer, or a tuple of some.
        shares: Among how many devices a batch is spread by rows: each has thirds of its own, of the same triplets.

    Raises:
        ValueError: If `labels` are not [N] integers, B is not positive or not a multiple of the shares, there are fewer
            than two speakers, or no speaker has two utterances.

    Example:
        >>> import numpy as np
        >>> from jaxtriplet.data import TripletSampler
        >>> labels = np.array([7, 7, 7, 8, 8, 9])
        >>> anchors, positives, negatives = labels[TripletSampler(labels, triplets=4, seed=0)[0]].reshape(3, 4)
        >>> bool((anchors == positives).all()), bool((anchors == negatives).any())
        (True, False)
    """

    def __init__(self, labels: ArrayLike, *, triplets: int, seed: int | Sequence[int], shares: int = 1) -> None:
        """Checks that the labels can fill a batch, and sorts the rows by speaker."""
        _checks.positive_integer("triplets", triplets)
        _checks.positive_integer("shares", shares)
        check_seed(seed)
        if triplets % shares:
            raise ValueError(f"{triplets} triplets do not divide among {shares} devices")
        self._order, starts, counts = grouped(integers("labels", labels, "N"))
        if len(counts) < 2:
            raise ValueError(f"a negative needs a second speaker; the labels hold {len(counts)}")
        if counts.max() < 2:
            raise ValueError("no speaker has two utterances, so there is no positive pair")
        self._start, self._count = np.repeat(starts, counts), np.repeat(counts, counts)
        self._triplets, self._seed, self._shares = triplets, seed, shares

    def __getitem__(self, step: int) -> np.ndarray:
        """Returns the rows of a step, [3 * B] integers: thirds of anchors, positives, negatives."""
        rng = _drawn(self._seed, step)
        anchor = rng.choice(np.flatnonzero(self._count > 1), self._triplets)
        start, count = self._start[anchor], self._count[anchor]
        # Rows are in order of speaker: a positive is some steps ahead on the circle of the speaker's own rows, and a
        # negative is some steps past the end of that block on the circle of all rows.
        positive = start + (anchor - start + rng.integers(1, count)) % count
        negative = (start + count + rng.integers(0, len(self._order) - count)) % len(self._order)
        thirds = np.reshape([anchor, positive, negative], (3, self._shares, -1))
        return self._order[thirds.swapaxes(0, 1).ravel()]


class ShuffledSampler:
    """Batches of rows in a random order, `sampler[step]`: each row once in an epoch, and then in another order.

    Where an epoch ends within a batch, the next one goes on, so that all batches are of one size.

    Args:
        size: Number of rows of the data set, N.
        rows: Number of rows in a batch, B.
        seed: Seed of the draws, a non-negative integer, or a tuple of some.

    Raises:
        ValueError: If N or B is not positive.

    Example:
        >>> import numpy as np
        >>> from jaxtriplet.data import ShuffledSampler
        >>> sampler = ShuffledSampler(6, rows=4, seed=0)
        >>> np.bincount(np.concatenate([sampler[step] for step in range(3)])).tolist()
        [2, 2, 2, 2, 2, 2]
    """

    def __init__(self, size: int, *, rows: int, seed: int | Sequence[int]) -> None:
        """Remembers the sizes."""
        _checks.positive_integer("size", size)
        _checks.positive_integer("rows", rows)
        check_seed(seed)
        self._size, self._rows, self._seed = size, rows, seed
        self._order = functools.lru_cache(maxsize=2)(self._permutation)  # an epoch may have millions of rows

    def __getitem__(self, step: int) -> np.ndarray:
        """Returns the rows of a step, [B] integers."""
        first, place = divmod(number_of(step) * int(self._rows), int(self._size))  # of no size that an array has
        epochs, places = np.divmod(place + np.arange(self._rows), self._size)
        return np.concatenate([self._order(first + int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self._seed, epoch)).permutation(self._size)


def sampler_of(
    labels: ArrayLike,
    *,
    speakers: int,
    utterances: int,
    seed: int | Sequence[int],
    sessions: ArrayLike | None = None,
    shuffled: bool = False,
    triplet_shares: int | None = None,
) -> Sampler:
    """Returns the sampler of batches of P * K rows: P speakers with K utterances each, or what is asked for instead.

    Args:
        labels: Speaker of each row of the data set, [N] integers.
        speakers: Number of speakers, P.
        utterances: Number of utterances of each, K.
        seed: Seed of the draws, a non-negative integer, or a tuple of some.
        sessions: Session of each row, [N] integers; None if all are alike.
        shuffled: Whether rows are drawn as `ShuffledSampler` does.
        triplet_shares: None; or a number of devices for P * K // 3 triplets, as `TripletSampler` draws them.

    Raises:
        ValueError: The labels do not fill a batch, or triplets are asked for that are shuffled.

    Example:
        >>> sampler_of([7, 7, 8, 8], speakers=2, utterances=2, seed=0, shuffled=True)[0].shape
        (4,)
    """
    if triplet_shares is not None:
        if shuffled:
            raise ValueError("triplets are drawn, and no shuffled rows")
        return TripletSampler(labels, triplets=speakers * utterances // 3, seed=seed, shares=triplet_shares)
    if shuffled:
        return ShuffledSampler(len(integers("labels", labels, "N")), rows=speakers * utterances, seed=seed)
    return SpeakerSampler(labels, speakers=speakers, utterances=utterances, seed=seed, sessions=sessions)


def grouped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the rows in order of value, where in them each value starts, and how many rows each has."""
    _, starts, counts = np.unique(np.sort(values), return_index=True, return_counts=True)
    return np.argsort(values, kind="stable"), starts, counts


def check_seed(seed: int | Sequence[int]) -> None:
    """Raises a `ValueError` unless a seed is what NumPy takes together with the number of a step."""
    for one in seed if isinstance(seed, list | tuple) else (seed,):
        _checks.whole_number("seed", one)


def _drawn(seed: Any, step: int) -> np.random.Generator:
    return np.random.default_rng((seed, number_of(step)))


def number_of(step: Any) -> int:
    """Returns the number of a step, whatever kind of integer it is."""
    try:
        number = operator.index(step)
    except TypeError:  # arrays of more than no axes among others
        number = step
    _checks.whole_number("step", number)
    return number


def integers(name: str, values: ArrayLike, size: int | str) -> np.ndarray:
    """Returns values as an array if they are integers [size], or [N] of any size."""
    numbers = _checks.hosted(values, f"{name} must be integers of shape [{size}]")
    if numbers.dtype.kind in "UOT" and numbers.ndim == 1:
        advice = f"; number names by `np.unique({name}, return_inverse=True)[1]`"
        raise ValueError(f"{name} must be integers of shape [{size}]; got {_checks.seen(numbers)}{advice}")
    if numbers.ndim != 1 or size not in ("N", len(numbers)) or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"{name} must be integers of shape [{size}]; got {_checks.seen(numbers)}")
    return numbers
