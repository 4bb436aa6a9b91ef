"""Trials of a folder that tells who speaks: all pairs of its recordings, or a balanced draw of them."""

from typing import Literal, NamedTuple, get_args

import numpy as np

from jaxtriplet.data.layouts import LAYOUT
from jaxtriplet.data.recordings import Recordings
from jaxtriplet.data.speakers import require_pairs
from jaxtriplet.data.trials import Trials

MOST_PAIRS = 20_000_000
"""More trials than this are scored only if there is a list of them: each takes some 200 bytes."""

SameSession = Literal["keep", "leave-out", "apart"]
SAME_SESSION = get_args(SameSession)


class Pairs(NamedTuple):
    """Trials made of recordings whose speakers and sessions are known.

    Attributes:
        trials: Those to judge; places are those of the index.
        one_session: Those of one speaker in one session, if they are to be judged apart; else none.
        num_of_one_session: How many such pairs there are: in `trials`, in `one_session`, or left out.
    """

    trials: Trials
    one_session: Trials
    num_of_one_session: int


def all_pairs(index: Recordings, *, same_session: SameSession = "keep") -> Pairs:
    """Returns every pair of recordings once, in the order (0, 1), (0, 2), ..., (1, 2), ...

    Args:
        index: The recordings, N of them.
        same_session: What becomes of two recordings of one speaker in one session, which share a microphone and a
            room: "keep", "leave-out", or judge them "apart" from the others.

    Raises:
        ValueError: Nobody has two recordings (in two sessions, if only such are judged), there is one speaker, or there
            are more pairs than `MOST_PAIRS`.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> names, ones = np.array(["a/1", "a/2", "b/1"]), np.ones(3)
        >>> index = Recordings(pathlib.Path(), names, ("a", "b"), np.array([0, 0, 1]), np.array([0, 1, 2]), ones, ones)
        >>> trials = all_pairs(index).trials
        >>> trials.same.tolist(), trials.first.tolist(), trials.second.tolist()
        ([True, False, False], [0, 0, 1], [1, 2, 2])
    """
    _require_kinds(index, same_session)
    total = len(index) * (len(index) - 1) // 2
    if total > MOST_PAIRS:
        raise ValueError(
            f"{index.root} holds {total:,} pairs of recordings, more than {MOST_PAIRS:,}; draw some with `pairs`"
        )
    first, second = np.triu_indices(len(index), 1)
    trials = _trials(index, first, second)
    one_session = index.sessions[first] == index.sessions[second]
    judged = np.ones_like(one_session) if same_session == "keep" else ~one_session
    apart = one_session & (same_session == "apart")
    return Pairs(trials.take(judged), trials.take(apart), int(one_session.sum()))


def drawn_pairs(index: Recordings, number: int, *, same_session: SameSession = "keep", seed: int = 0) -> Pairs:
    """Draws pairs without replacement, half of them of one speaker, as evenly over speakers as there are pairs.

    Those of two speakers are spread as evenly over all pairs of speakers; where these are more than what is to be
    drawn, each that is drawn has one. Where there are fewer pairs than were asked for, all are taken.

    Args:
        index: The recordings.
        number: How many pairs, at least 2.
        same_session: As in `all_pairs`; of those that are judged apart, as many again are drawn at most.
        seed: Another seed is another draw.

    Raises:
        ValueError: The number is out of range, or as in `all_pairs`.

    Example:
        >>> import pathlib
        >>> import numpy as np
        >>> names, ones = np.array(["a/1", "a/2", "b/1"]), np.ones(3)
        >>> index = Recordings(pathlib.Path(), names, ("a", "b"), np.array([0, 0, 1]), np.array([0, 1, 2]), ones, ones)
        >>> drawn_pairs(index, 2).trials.same.tolist()
        [True, False]
    """
    if not 2 <= number <= MOST_PAIRS:
        raise ValueError(f"`pairs` must be 2 to {MOST_PAIRS:,}; got {number:,}")
    _require_kinds(index, same_session)
    rng = np.random.default_rng(seed)
    order = np.lexsort((index.sessions, index.labels))
    speakers, own = index.labels[order], np.arange(len(order)) + 1
    # Whom each recording meets, in this order: those after it, to the end of its session or of its speaker.
    session_ends, speaker_ends = (
        np.searchsorted(values, values, "right") for values in (_numbered(index.sessions[order]), speakers)
    )
    starts = own if same_session == "keep" else session_ends
    targets = order[_of_one_speaker(starts, speaker_ends, speakers, number // 2, rng)]
    drawn = np.concatenate([targets, order[_of_two_speakers(speakers, number - number // 2, rng)]], axis=1)
    within = _of_one_speaker(own, session_ends, speakers, number // 2 if same_session == "apart" else 0, rng)
    trials = _trials(index, *drawn)
    counted = {
        "keep": np.sum(index.sessions[drawn[0]] == index.sessions[drawn[1]]),
        "leave-out": np.sum(session_ends - own),
        "apart": within.shape[1],
    }
    return Pairs(trials, _trials(index, *order[within]), int(counted[same_session]))


def _require_kinds(index: Recordings, same_session: SameSession) -> None:
    """Refuses recordings among which there are no pairs of one speaker, or none of two speakers."""
    require_pairs(index)
    if same_session != "keep" and len(np.unique(index.sessions)) == len(index.speakers):
        raise ValueError(
            f"nobody in {index.root} has recordings of two sessions, as {LAYOUT}; judge the pairs of one session with "
            '`same_session="keep"`'
        )


def _trials(index: Recordings, first: np.ndarray, second: np.ndarray) -> Trials:
    """Returns trials in the order of the index."""
    sides = np.sort(np.stack([first, second]), axis=0).astype(np.int32)
    first, second = sides[:, np.lexsort(sides[::-1])]
    return Trials(index.labels[first] == index.labels[second], first, second, tuple(index.names.tolist()))


def _numbered(sorted_sessions: np.ndarray) -> np.ndarray:
    """Returns sessions, all recordings of one side by side, numbered as they come."""
    return np.cumsum(np.append(False, np.diff(sorted_sessions) != 0))


def _of_one_speaker(
    starts: np.ndarray, ends: np.ndarray, speakers: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws pairs, [2, n]: the other one of a recording lies between its start and its end."""
    meets = ends - starts
    totals = np.bincount(speakers, meets).astype(np.int64)
    quotas = _spread(totals, number, rng)
    before = (np.cumsum(totals) - totals)[np.repeat(np.arange(len(totals)), quotas)]
    return _pairs(starts, ends, before + _distinct(totals, quotas, rng))


def _of_two_speakers(speakers: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draws pairs, [2, n], of recordings that are in the order of their speakers."""
    sizes = np.bincount(speakers)
    begins, others = np.cumsum(sizes) - sizes, np.arange(len(sizes)) + 1
    total = len(sizes) * (len(sizes) - 1) // 2
    met = np.arange(total) if total <= number else rng.choice(total, number, replace=False, shuffle=False)
    one, two = _pairs(others, np.full_like(others, len(sizes)), met)
    totals = sizes[one] * sizes[two]
    quotas = _spread(totals, number, rng)
    one, two = np.repeat(one, quotas), np.repeat(two, quotas)
    numbers = _distinct(totals, quotas, rng)
    return np.stack([begins[one] + numbers // sizes[two], begins[two] + numbers % sizes[two]])


def _pairs(starts: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Returns pairs by their numbers, [2, n], if each meets in turn what lies between its start and its end."""
    before = np.append(0, np.cumsum(ends - starts))
    first = np.searchsorted(before, numbers, "right") - 1
    return np.stack([first, starts[first] + numbers - before[first]])


def _spread(totals: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Returns how many to take of each kind so that they are even: all of a kind where there are fewer.

    >>> _spread(np.array([1, 9, 9]), 9, np.random.default_rng(0)).tolist()
    [1, 4, 4]
    """
    low, high = 0, int(totals.max())  # all is taken up to the first, perhaps also up to the second
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(totals, middle).sum() <= number else (low, middle - 1)
    quotas = np.minimum(totals, low)
    more = np.flatnonzero(totals > low)
    quotas[rng.choice(more, min(len(more), number - int(quotas.sum())), replace=False)] += 1
    return quotas


def _distinct(totals: np.ndarray, quotas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws whole numbers below each total, as many as its quota and no two alike, one total after the other."""
    numbers = rng.integers(0, np.repeat(totals, quotas))
    ends = np.cumsum(quotas)
    for kind in np.flatnonzero(quotas > 1):
        some = rng.choice(totals[kind], quotas[kind], replace=False, shuffle=False)
        numbers[ends[kind] - quotas[kind] : ends[kind]] = some
    return numbers
