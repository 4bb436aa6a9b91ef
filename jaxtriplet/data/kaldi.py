"""Kaldi's data folders: the lists `wav.scp`, `utt2spk` and `segments`."""

import math
from pathlib import Path

from jaxtriplet.data.entry import Entry, Problem
from jaxtriplet.data.lists import lines, require_inside


def is_here(root: Path) -> bool:
    """Returns whether a folder holds Kaldi's list of recordings."""
    return (root / "wav.scp").is_file()


def by_name(root: Path, *, allow_outside: bool) -> dict[str, Entry]:
    """Returns the utterances of a data folder, of nobody knows whom, by their names; of another folder, none.

    Args:
        root: The folder.
        allow_outside: Whether files may lie outside the folder.
    """
    if not is_here(root):
        return {}
    return {one.name: one for one in utterances(root, labelled=False, allow_outside=allow_outside)[0]}


def is_cut(root: Path) -> bool:
    """Returns whether the recordings of a data folder are cut into pieces, so that a file is no utterance."""
    return is_here(root) and (root / "segments").is_file()


def utterances(root: Path, *, labelled: bool, allow_outside: bool) -> tuple[list[Entry], list[Problem]]:
    """Returns the utterances of a data folder: whole files or, if there are `segments`, pieces of these.

    A file is a session, if it is cut into pieces: these share its microphone and room.

    Args:
        root: The folder.
        labelled: Whether to look up who speaks, in `utt2spk`.
        allow_outside: Whether files may lie outside the folder.

    Returns:
        The utterances in order of their files, and those without one.

    Raises:
        ValueError: A line cannot be used (a command, which is never run, is one), a file lies outside the folder, or
            nothing says who speaks.
    """
    waves, segments = _waves(root, allow_outside=allow_outside), _segments(root)
    problems = []
    if segments is None:
        found = [Entry(path, name=name) for name, path in waves.items()]
    else:
        lost = {name: wave for name, (wave, *_) in segments.items() if wave not in waves}
        problems = [Problem(name, f"a piece of {wave}, which is not in wav.scp") for name, wave in lost.items()]
        found = [
            Entry(waves[wave], "", waves[wave], name, (begin, end))
            for name, (wave, begin, end) in segments.items()
            if name not in lost
        ]
    if labelled:
        speakers = _table(root / "utt2spk")
        if strangers := {one.name for one in found} - speakers.keys():
            raise ValueError(f"{root / 'utt2spk'} does not say who speaks in {min(strangers)}")
        found = [_spoken(one, speakers[one.name]) for one in found]
        named, source = (waves, "wav.scp") if segments is None else (segments, "segments")
        problems += [Problem(name, f"in utt2spk, but not in {source}") for name in speakers if name not in named]
    return sorted(found, key=lambda one: (one.path, one.times or (0, 0), one.speaker, one.name)), problems


def _spoken(one: Entry, speaker: str) -> Entry:
    return one._replace(speaker=speaker, session=f"{speaker}/{one.session}" if one.session else speaker)


def _waves(root: Path, *, allow_outside: bool) -> dict[str, str]:
    """The files of Kaldi's recordings."""
    source = root / "wav.scp"
    waves = _table(source)
    for name, path in waves.items():
        if path.endswith("|"):
            raise ValueError(f"{source}: {name} is a command, which is never run; name a file: {path}")
    if not waves:
        raise ValueError(f"{root} holds no recording that can be used: {source.name} names none")
    if not allow_outside:
        require_inside(root, waves.values(), source)
    return waves


def _segments(root: Path) -> dict[str, tuple[str, float, float]] | None:
    """The pieces of recordings: the recording, beginning and end in seconds; None if there is no such list."""
    source = root / "segments"
    if not source.is_file():
        return None
    pieces: dict[str, tuple[str, float, float]] = {}
    for number, line in lines(source):
        fields = line.split()
        try:
            name, wave, begin, end = fields[0], fields[1], float(fields[2]), float(fields[3])
        except (IndexError, ValueError):
            begin = end = math.nan
        if math.isinf(end):
            begin = math.nan
        elif end < 0:  # Kaldi's word for the end of the recording
            end = math.inf
        if len(fields) != 4 or not 0 <= begin < end or name in pieces:
            words = "a new utterance, a recording, and the seconds of beginning and end"
            raise ValueError(f"{source}, line {number}: expected {words}; got {line.strip()!r}")
        pieces[name] = wave, begin, end
    return pieces


def _table(path: Path) -> dict[str, str]:
    """Reads lines of an utterance, white space and a value."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    table: dict[str, str] = {}
    for number, line in lines(path):
        match line.split(maxsplit=1):
            case [name, value] if name not in table:
                table[name] = value.strip()
            case _:
                raise ValueError(f"{path}, line {number}: expected a new utterance and its value; got {line!r}")
    return table
