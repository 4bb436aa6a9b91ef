"""Lists of verification trials, as VoxCeleb writes them."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxtriplet.data import kaldi
from jaxtriplet.data.lists import lines, require_inside


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


def read_trials(path: str | Path, root: str | Path, *, allow_outside: bool = False) -> Trials:
    r"""Reads trials: lines `1 path path` (one speaker) or `0 path path` (two), paths relative to a folder.

    Of Kaldi's folders, names of utterances stand for paths; where `segments` cut the files, nothing else does.

    Args:
        path: The list.
        root: The folder of the recordings.
        allow_outside: Whether paths may lead out of the folder, absolute or by `..`; links in it may anyway.

    Returns:
        The trials, in the order of the list.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If the list is empty, a line is malformed (the message says which), a file lies outside the folder,
            or files are missing (the message names the first ten, and how many there are).

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
    trials = [(number, line.split()) for number, line in lines(path)]
    for number, fields in trials:
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise ValueError(f"{path}, line {number}: expected 1 or 0 and two paths; got `{' '.join(fields)}`")
    if not trials:
        raise ValueError(f"{path} holds no trials; expected lines `1 path path` and `0 path path`")
    names, places = np.unique([fields[1:] for _, fields in trials], return_inverse=True)
    utterances, is_cut = kaldi.by_name(Path(root), allow_outside=allow_outside), kaldi.is_cut(Path(root))
    missing = [name for name in names.tolist() if name not in utterances]
    if not is_cut:
        if not allow_outside:
            require_inside(root, missing, path)
        missing = [name for name in missing if not os.path.isfile(os.path.join(root, name))]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        what, where = ("utterances", Path(root, "segments")) if is_cut else ("files", root)
        raise ValueError(
            f"{len(missing)} of the {len(names)} {what} that {path} names are not in {where}: "
            f"{', '.join(missing[:10])}{more}"
        )
    first, second = places.reshape(-1, 2).T.astype(np.int32)
    return Trials(np.array([fields[0] == "1" for _, fields in trials]), first, second, tuple(names.tolist()))
