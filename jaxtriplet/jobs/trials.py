"""Which trials are judged: those of a list, or pairs of recordings in a folder that tells who speaks."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data import Recordings, Trials, all_pairs, drawn_pairs, read_trials
from jaxtriplet.data.pairs import SAME_SESSION, SameSession
from jaxtriplet.jobs import listening
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.parallel.shares import ALONE, Processes


class Chosen(NamedTuple):
    """What is judged.

    Attributes:
        recordings: The recordings, N of them.
        trials: Pairs of them.
        one_session: Pairs of one speaker in one session that are judged apart; None if they are not.
        speakers: Who speaks in each recording, [N] integers; None if nobody knows.
        names: The names of these speakers; () if nobody knows.
        figures: Where the trials are from, and how many are left out.
    """

    recordings: Recordings
    trials: Trials
    one_session: Trials | None
    speakers: np.ndarray | None
    names: tuple[str, ...]
    figures: dict[str, Any]

    @property
    def sides(self) -> np.ndarray | None:
        """The speakers of both sides of each trial, [T, 2]."""
        if self.speakers is None:
            return None
        return np.stack([self.speakers[self.trials.first], self.speakers[self.trials.second]], axis=1)


class Wanted(NamedTuple):
    """Which trials are asked for; `checked` says what does not fit.

    Attributes:
        trials: A list; None for pairs of the recordings.
        pairs: How many pairs to draw; None for all.
        seed: Of the draw.
        same_session: What becomes of pairs of one speaker in one session.
        write_trials: The file that they are to be written into, if any.
    """

    trials: str | Path | None = None
    pairs: int | None = None
    seed: int = 0
    same_session: SameSession = "keep"
    write_trials: str | Path | None = None

    def checked(self) -> "Wanted":
        """Returns the same, if it makes sense.

        Raises:
            ValueError: It does not.

        Example:
            >>> Wanted("trials.txt", pairs=1000).checked()
            Traceback (most recent call last):
            ...
            ValueError: `pairs`: of no use with `trials`, which says what to score
        """
        if self.trials is not None:
            for name, usual in Wanted()._asdict().items():
                if name != "trials" and getattr(self, name) != usual:
                    raise ValueError(f"`{name}`: of no use with `trials`, which says what to score")
        if self.pairs is not None:
            _checks.positive_integer("`pairs`", self.pairs)
        _checks.whole_number("`seed`", self.seed)
        if self.seed and self.pairs is None:
            raise ValueError("`seed`: of no use without `pairs`, which are drawn by it")
        _checks.option("`same_session`", self.same_session, SAME_SESSION)
        return self

    def of_folder(self, data: str | Path, *, allow_outside: bool, processes: Processes = ALONE, quiet: bool) -> Chosen:
        """Returns pairs of the recordings in a folder.

        Args:
            data: The folder.
            allow_outside: Whether Kaldi's `wav.scp` may name files outside the folder.
            processes: Who shares the reading.
            quiet: Whether to show no progress.

        Raises:
            ValueError: The folder cannot be used, or does not tell who speaks; or as in `data.all_pairs`.
        """
        try:
            index = listening.listen(data, known=True, allow_outside=allow_outside, processes=processes, quiet=quiet)
        except ValueError as error:
            hinted = listening.lacks_speakers(error)
            raise ValueError(f"{error}{'; whoever speaks, a list of `trials` can be judged' * hinted}") from error
        return processes.agree(lambda: self._of(index))

    def _of(self, index: Recordings) -> Chosen:
        if self.pairs is None:
            found, drawn = all_pairs(index, same_session=self.same_session), dict[str, Any]()
        else:
            found = drawn_pairs(index, self.pairs, same_session=self.same_session, seed=self.seed)
            drawn = {"num_pairs_asked": self.pairs, "seed": self.seed}
        figures = {
            "trials_from": "all pairs" if self.pairs is None else "drawn pairs",
            **drawn,
            "same_session": self.same_session,
            "num_same_session_pairs": found.num_of_one_session,
            "num_trials_left_out": 0,
        }
        apart = found.one_session if self.same_session == "apart" else None
        return Chosen(index, found.trials, apart, index.labels, index.speakers, figures)


class Listed(NamedTuple):
    """A list of trials; `of` reads one.

    Attributes:
        path: The list.
        data: The folder of its recordings.
        trials: All that it names.
    """

    path: str | Path
    data: str | Path
    trials: Trials

    @classmethod
    def of(cls, path: str | Path | None, data: str | Path, *, allow_outside: bool) -> "Listed | None":
        """Returns a list, none of no path, and tells of trials that are none; see `data.read_trials`."""
        if path is None:
            return None
        trials = read_trials(path, data, allow_outside=allow_outside)
        if alone := np.sum(trials.first == trials.second):
            warn(f"{path}: in {alone:,} of {len(trials.same):,} trials a recording meets itself, which tells nothing")
        sides = np.sort(np.stack([trials.first, trials.second]), axis=0).astype(np.int64)
        pairs = sides[0] * len(trials.paths) + sides[1]
        if len(both := np.intersect1d(pairs[trials.same], pairs[~trials.same])):
            names = " and ".join(trials.paths[side] for side in divmod(int(both[0]), len(trials.paths)))
            count = "1 pair is" if len(both) == 1 else f"{len(both):,} pairs are"
            warn(f"{path}: {count} said to be of one speaker and of two: {names}{' and so on' * (len(both) > 1)}")
        return cls(path, data, trials)

    def require_both_kinds(self) -> None:
        """Refuses a list of which nothing can be learnt.

        Raises:
            ValueError: All trials are of one speaker, or none is.
        """
        same = self.trials.same
        if len(np.unique(same)) < 2:
            kinds = ("one speaker", "two speakers")
            held, missing = kinds if same[0] else kinds[::-1]
            raise ValueError(f"{self.path} holds no trials of {missing}, and {len(same):,} of {held}; both are needed")

    def chosen(self, words: str = "recordings", *, processes: Processes = ALONE, quiet: bool) -> Chosen:
        """Returns the trials whose recordings can be used.

        Args:
            words: What is read, for the bar.
            processes: Who shares the reading.
            quiet: Whether to show no progress.

        Raises:
            ValueError: Of such trials there are not both kinds.
        """
        index = listening.listen(self.data, paths=self.trials.paths, words=words, processes=processes, quiet=quiet)
        return processes.agree(lambda: self._of(index))

    def _of(self, index: Recordings) -> Chosen:
        row = {name: place for place, name in enumerate(index.names.tolist())}
        places = np.array([row.get(name, -1) for name in self.trials.paths], np.int32)
        first, second = places[self.trials.first], places[self.trials.second]
        usable = self.trials._replace(first=first, second=second, paths=tuple(row)).take((first >= 0) & (second >= 0))
        targets, total = int(usable.same.sum()), len(usable.same)
        if not 0 < targets < total:
            raise ValueError(
                "trials of one speaker and trials of two speakers are needed, of recordings that can be used; "
                f"{self.path} has {targets:,} and {total - targets:,}"
            )
        figures = {"trials_from": "a list", "num_trials_left_out": len(self.trials.same) - total}
        return Chosen(index, usable, None, *first_folders(usable), figures)


def first_folders(trials: Trials) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns the speaker of each path, and the speakers, if first folders agree with the truth of every trial.

    Args:
        trials: The trials.

    Returns:
        Integers, one for each path, and the names; None and () if nobody knows.
    """
    folders = [Path(path).parts[0] if len(Path(path).parts) > 1 else "" for path in trials.paths]
    names, speakers = np.unique(folders, return_inverse=True)
    agrees = np.array_equal(speakers[trials.first] == speakers[trials.second], trials.same)
    return (speakers, tuple(names.tolist())) if agrees and names[0] else (None, ())
