"""A sampler whose epochs reach every class: of each, a table of batches, a function of the seed and its number."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.data.sampler import check_seed, grouped, integers, number_of


class EpochSampler:
    r"""Batches of P speakers with K utterances each that reach everybody in an epoch: `sampler[step]` gives its rows.

    In an epoch every speaker comes at least once and every row at most once. The K rows of a speaker in a batch are a
    group; a speaker is in a batch at most once, so with n rows it has this many groups in an epoch of T batches:

    $$g = \min(\max(\lfloor n / K \rfloor, 1), T)$$

    T is the greatest number of batches that leave fewer than P places of groups empty in the whole epoch. What is not
    there is padding, the number -1: these places, and of a speaker who has fewer than K rows the rest of its only
    group. Indexed with -1, data give their last row: pass `where=rows >= 0` to the loss, for which padding is as if it
    were not there.

    An epoch leaves out: speakers with a single row, always, if K > 1, since they would have no positive; of other
    speakers the n mod K rows that are no whole group; and of one who has more than T groups, the rest, since nobody
    else is left to compare them with. Which rows these are goes round: those left out now come first in the next epoch,
    so each comes within ceil(n / (g * K)) epochs. Who meets whom is drawn anew for each epoch.

    A batch stands speaker by speaker: of several processes, each takes `sampler[step][parallel.share_of(P * K)]`, and
    has speakers of its own if their number divides P. Two epochs are kept at a time, in the memory of their batches.

    Args:
        labels: Speaker of each row of the data set, [N] integers.
        speakers: Number of speakers in a batch, P.
        utterances: Number of utterances of each speaker in a batch, K.
        seed: Seed of the draws, a non-negative integer, or a tuple of some.

    Attributes:
        steps_per_epoch: Number of batches in an epoch, T.
        rows_per_epoch: Number of rows that come in an epoch.
        never_drawn: The rows that no epoch has, sorted integers: those of speakers with a single one.

    Raises:
        ValueError: If `labels` are not [N] integers, P or K is not positive, or fewer than P speakers can be drawn.

    Example:
        >>> import numpy as np
        >>> from jaxtriplet.data import EpochSampler
        >>> labels = np.array([7, 7, 7, 7, 8, 8, 9, 9, 5])
        >>> sampler = EpochSampler(labels, speakers=2, utterances=2, seed=0)
        >>> sampler.steps_per_epoch, sampler.rows_per_epoch, sampler.never_drawn.tolist()
        (2, 8, [8])
        >>> epoch = np.concatenate([sampler[step] for step in range(2)])
        >>> sorted(epoch[epoch >= 0].tolist())
        [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, labels: ArrayLike, *, speakers: int, utterances: int, seed: int | Sequence[int]) -> None:
        """Checks that the labels can fill a batch, and counts the batches of an epoch."""
        _checks.positive_integer("speakers", speakers)
        _checks.positive_integer("utterances", utterances)
        check_seed(seed)
        known = integers("labels", labels, "N")
        # Another stream than that of an epoch. On this circle of its rows, a speaker goes on where it was.
        circle = np.random.default_rng((seed, 0, 1)).permutation(len(known))
        order, starts, counts = grouped(known[circle])
        drawn = counts >= (least := min(utterances, 2))
        if (found := int(np.sum(drawn))) < speakers:
            raise ValueError(
                f"batches of {speakers} speakers need as many with {least} or more utterances; the labels hold {found}"
            )
        self._order, self._starts, self._counts = circle[order], starts[drawn], counts[drawn]
        groups = np.maximum(self._counts // utterances, 1)
        self.steps_per_epoch = _most_steps(groups, speakers)
        self._groups = np.minimum(groups, self.steps_per_epoch)
        self._used = np.minimum(self._counts, self._groups * utterances)
        self.rows_per_epoch = int(np.sum(self._used))
        self.never_drawn = np.sort(self._order[np.repeat(~drawn, counts)])
        self._speakers, self._utterances, self._seed = speakers, utterances, seed
        # Where batches are made ahead by threads, some are of the next epoch already.
        self._epoch = functools.lru_cache(maxsize=2)(self._table)

    def __getitem__(self, step: int) -> np.ndarray:
        """Returns the rows of a step, [P * K] integers, speaker by speaker; -1 is padding."""
        epoch, place = divmod(number_of(step), self.steps_per_epoch)
        return self._epoch(epoch)[place].copy()

    def _table(self, epoch: int) -> np.ndarray:
        """Returns the rows of all batches of an epoch, [T, P * K]."""
        rng = np.random.default_rng((self._seed, epoch))
        turn = rng.permutation(len(self._groups))
        groups, used = self._groups[turn], self._used[turn]
        rows = np.full((int(np.sum(groups)), self._utterances), -1)
        filled = np.minimum(np.repeat(used, groups) - _places(groups) * self._utterances, self._utterances)
        rows[np.arange(self._utterances) < filled[:, None]] = self._drawn(rng, epoch, turn)
        batches = _dealt(rng, groups, self.steps_per_epoch)
        table = np.full((self.steps_per_epoch, self._speakers, self._utterances), -1)
        table[batches, np.arange(len(rows)) // self.steps_per_epoch] = rows
        return table.reshape(self.steps_per_epoch, -1)

    def _drawn(self, rng: np.random.Generator, epoch: int, turn: np.ndarray) -> np.ndarray:
        """Returns the rows that an epoch has, speaker by speaker in turn, those of each in random order."""
        starts, counts, used = self._starts[turn], self._counts[turn], self._used[turn]
        turns = np.array([epoch % count for count in counts.tolist()])  # of an epoch of any size
        ahead = _places(used) + np.repeat(turns * used % counts, used)
        rows = self._order[np.repeat(starts, used) + ahead % np.repeat(counts, used)]
        return rows[np.lexsort((rng.random(len(rows)), np.repeat(np.arange(len(used)), used)))]


def _most_steps(groups: np.ndarray, speakers: int) -> int:
    """Returns in how many batches the groups, one of a speaker in each, leave fewer places empty than a batch has."""
    # How many of them t batches can have: it grows ever slower, and not at all when they have all.
    having = np.cumsum(np.cumsum(np.bincount(groups)[:0:-1])[::-1])
    steps = int(np.sum(having > speakers * np.arange(len(having))))
    return steps if steps < len(having) else -int(-having[-1] // speakers)


def _places(counts: np.ndarray) -> np.ndarray:
    """Returns 0, 1, ... up to each count, one after the other."""
    return np.arange(np.sum(counts)) - np.repeat(np.cumsum(counts) - counts, counts)


def _dealt(rng: np.random.Generator, groups: np.ndarray, steps: int) -> np.ndarray:
    """Returns the batch of each group: those of a speaker, at most as many as batches, are in different ones.

    The groups, speaker by speaker, are dealt in rounds, in each of which every batch gets one, in random order. So only
    a speaker whose groups are in two rounds could come into a batch twice: in the second one it has its choice first.

    Args:
        rng: What draws.
        groups: How many groups each speaker has.
        steps: The number of batches.
    """
    ends = np.repeat(np.cumsum(groups), groups)
    begins = ends - np.repeat(groups, groups)
    batches = np.empty(len(ends), int)
    for first in range(0, len(ends), steps):
        taken = np.zeros(steps, bool)
        taken[batches[begins[first] : first]] = True
        before = ends[first] - first if taken.any() else 0
        order = rng.permutation(steps)
        chosen = order[~taken[order]][:before]
        taken[:] = False
        taken[chosen] = True
        order = np.concatenate([chosen, order[~taken[order]]])
        batches[first : first + steps] = order[: len(ends) - first]
    return batches
