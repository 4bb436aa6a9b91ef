"""Lists of verification trials, as VoxCeleb and Kaldi write them."""

import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtriplet.data import kaldi
from jaxtriplet.data.lists import lines, require_inside

_WORDS: tuple[Mapping[str, bool], ...] = ({"1": True, "0": False}, {"target": True, "nontarget": False})


class Trials(NamedTuple):
    """Pairs of recordings, and whether one speaker is heard in both.

    Attributes:
        same: [M] bool.
        first: Recording of the enrolment, [M] int32: a place in `paths`.
        second: Recording of the test, [M] int32: a place in `paths`.
        paths: The files of all trials, each once, relative to the folder of the recordings, or their names in
            Kaldi's folder; sorted.
    """

    same: np.ndarray
    first: np.ndarray
    second: np.ndarray
    paths: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "Trials":
        """Returns some of the trials alone, of the same paths.

        Args:
            rows: Which, places or a mask.
        """
        return self._replace(same=self.same[rows], first=self.first[rows], second=self.second[rows])

    def lines(self, scores: np.ndarray | None = None) -> Iterator[str]:
        """Yields the lines of a list that `read_trials` reads: `1 path path`, with tabs if a name holds spaces.

        Args:
            scores: A number to add to each, [M]; None for none.

        Raises:
            ValueError: A name holds what ends a field or a line.
        """
        if odd := [path for path in self.paths if not path or set(path) & set("\t\n\r")]:
            raise ValueError(f"a name with a tab or an end of line has no place in a list of trials: {odd[0]!r}")
        separator = " " if all(path.split() == [path] for path in self.paths) else "\t"
        paths, columns = self.paths, [self.same.tolist(), self.first.tolist(), self.second.tolist()]
        if scores is None:
            for same, first, second in zip(*columns, strict=True):
                yield f"{same:d}{separator}{paths[first]}{separator}{paths[second]}\n"
        else:
            for same, first, second, score in zip(*columns, scores.tolist(), strict=True):
                yield f"{same:d}{separator}{paths[first]}{separator}{paths[second]}{separator}{score:.9f}\n"


def read_trials(path: str | Path, root: str | Path, *, allow_outside: bool = False) -> Trials:
    r"""Reads trials: two names and the truth, in one form throughout, and in the order of the list.

    A line is `1 path path` (one speaker) or `0 path path` (two), as VoxCeleb has it, or `path path target` or
    `path path nontarget`, as Kaldi has it; either kind of words may come first or last. A number after `1 path path`
    is a score, and passed over: what `evaluate` writes is a list, too. Fields are separated by white space or, if there
    are tabs in the first line, by single tabs, so that names may hold spaces.

    Paths are relative to a folder. Of Kaldi's folders, names of utterances stand for paths; where `segments` cut the
    files, nothing else does.

    Args:
        path: The list.
        root: The folder of the recordings.
        allow_outside: Whether paths may lead out of the folder, absolute or by `..`; links in it may anyway.

    Returns:
        The trials, in the order of the list.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If the list is empty, a line is malformed or of another form than the first (the message says
            which), a file lies outside the folder, or files are missing (the message names the first ten, and how many
            there are).

    Example:
        >>> import pathlib, tempfile
        >>> from jaxtriplet.data import read_trials
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.wav", "b.wav", "c.wav"):
        ...         pathlib.Path(folder, name).touch()
        ...     pathlib.Path(folder, "trials.txt").write_text("1 a.wav c.wav\n0 a.wav b.wav\n") and None
        ...     same, first, second, paths = read_trials(f"{folder}/trials.txt", folder)
        >>> same.tolist(), first.tolist(), second.tolist(), paths
        ([True, False], [0, 0], [2, 1], ('a.wav', 'b.wav', 'c.wav'))

    Reference:
        Nagrani, Chung, Zisserman, "VoxCeleb: a large-scale speaker identification dataset", Interspeech 2017.
    """
    same, places, found = _parsed(Path(path))
    _require_there(found, Path(root), path, allow_outside=allow_outside)
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    first, second = rank[places].reshape(-1, 2).T.copy()
    return Trials(same, first, second, tuple(found[place] for place in order))


class _Form(NamedTuple):
    """A form of lines.

    Attributes:
        separator: What is between fields; None for any white space.
        words: What says whether there is one speaker.
        first: Whether that comes before the names, not after them.
        size: How many fields there are; the fourth is a score.
    """

    separator: str | None
    words: Mapping[str, bool]
    first: bool
    size: int

    def __str__(self) -> str:
        """Says what a line should be."""
        truth, tabs = " or ".join(self.words), ", with tabs between them" if self.separator else ""
        if not self.first:
            return f"two paths and {truth}{tabs}"
        return f"{truth}{',' if self.size == 4 else ' and'} two paths{' and a score' if self.size == 4 else ''}{tabs}"

    def fits(self, fields: list[str]) -> bool:
        """Returns whether a line is of this form."""
        if len(fields) != self.size or fields[0 if self.first else -1] not in self.words:
            return False
        return self.size == 3 or _is_number(fields[3])


def _forms_of(line: str) -> list[_Form]:
    """Returns the forms that a line may be of: two, if a name at one end of it could be the truth."""
    separator = "\t" if "\t" in line else None
    kinds = ((True, 3), (False, 3), (True, 4))
    forms = [_Form(separator, words, *kind) for words in _WORDS for kind in kinds]
    return [form for form in forms if form.fits(line.split(separator))]


def _parsed(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns the truth, [M], the places of the names one after the other, [2M], and the names."""
    number, line = next(lines(path), (0, ""))
    if not number:
        raise ValueError(f"{path} holds no trials; expected lines `1 path path` and `0 path path`")
    forms, read, errors = _forms_of(line), [], []
    if not forms:
        raise ValueError(
            f"{path}, line {number}: expected 1 or 0 and two paths, or two paths and target or nontarget, all with "
            f"spaces between them or, for names that hold spaces, tabs; got `{line.strip()}`"
        )
    for form in forms:
        try:
            read.append(_parsed_as(form, path))
        except _OtherFormError as error:
            errors.append(error)
    if len(read) > 1:
        words = " and as ".join(map(str, forms))
        raise ValueError(f"{path} can be read as {words}; say `target` and `nontarget`, after the names")
    if not read:
        raise ValueError(str(max(errors, key=lambda error: error.number)))
    return read[0]


class _OtherFormError(ValueError):
    """A line of a list is of another form than the one that is tried."""

    def __init__(self, form: _Form, path: Path, number: int, line: str) -> None:
        """Says so."""
        super().__init__(f"{path}, line {number}: expected {form}; got `{line.strip()}`, unlike the lines before it")
        self.number = number


def _parsed_as(form: _Form, path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Reads a list as one of a form; what is in the loop is done millions of times."""
    separator, words, size = form.separator, form.words, form.size
    key, one, two = (0, 1, 2) if form.first else (2, 0, 1)
    known: dict[str, int] = {}
    same, places = bytearray(), array("i")
    for number, line in lines(path):
        fields = line.split(separator)
        if len(fields) != size or fields[key] not in words or (size == 4 and not _is_number(fields[3])):
            raise _OtherFormError(form, path, number, line)
        same.append(words[fields[key]])
        places.append(known.setdefault(fields[one], len(known)))
        places.append(known.setdefault(fields[two], len(known)))
    return np.frombuffer(same, np.bool_).copy(), np.frombuffer(places, np.int32).copy(), list(known)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _require_there(names: list[str], root: Path, path: str | Path, *, allow_outside: bool) -> None:
    """Refuses names that no file in the folder has, and no utterance of Kaldi's."""
    if "" in names:
        raise ValueError(f"{path}: a name is empty; there is one tab between two fields")
    utterances, is_cut = kaldi.by_name(root, allow_outside=allow_outside), kaldi.is_cut(root)
    missing = [name for name in names if name not in utterances]
    if not is_cut:
        if not allow_outside:
            require_inside(root, sorted(missing), path)
        missing = [name for name in missing if not os.path.isfile(os.path.join(root, name))]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        what, where = ("utterances", root / "segments") if is_cut else ("files", root)
        raise ValueError(
            f"{len(missing)} of the {len(names)} {what} that {path} names are not in {where}: "
            f"{', '.join(sorted(missing)[:10])}{more}"
        )
