"""How folders of recordings are laid out: a folder for each speaker, or Kaldi's lists."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jaxtriplet.data.audio import EXTENSIONS

LAYOUT = "<speaker>/[<session>/]<utterance>"


class Problem(NamedTuple):
    """A recording that cannot be used.

    Attributes:
        path: The file, relative to the folder of the index.
        reason: Why, in a few words.
    """

    path: str
    reason: str


class Entry(NamedTuple):
    """A recording that a folder names.

    Attributes:
        path: The file, relative to the folder or absolute.
        speaker: Who speaks.
        session: The recordings of one session name the same one; two speakers share none.
    """

    path: str
    speaker: str
    session: str


def labelled(root: Path) -> tuple[list[Entry], list[Problem]]:
    """Returns the recordings of a folder with their speakers.

    Args:
        root: A folder of speakers' folders, or one with Kaldi's `wav.scp` and `utt2spk`.

    Returns:
        The recordings in order of their paths, and those that the layout has no place for.

    Raises:
        ValueError: The folder is laid out in another way.
    """
    return _kaldi(root) if _is_kaldi(root) else _tree(root)


def unlabelled(root: Path) -> list[str]:
    """Returns the recordings of any tree of folders, or those that Kaldi's `wav.scp` names.

    Args:
        root: The folder.

    Returns:
        Paths, relative to the folder or absolute, in order.

    Raises:
        ValueError: Kaldi's files cannot be used.
    """
    return sorted(_waves(root).values()) if _is_kaldi(root) else list(_audio_files(root))


def _is_kaldi(root: Path) -> bool:
    return (root / "wav.scp").is_file()


def _audio_files(root: Path) -> Iterator[str]:
    """The recordings below a folder, in order, relative to it."""
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS:
                yield Path(folder, name).relative_to(root).as_posix()


def _tree(root: Path) -> tuple[list[Entry], list[Problem]]:
    entries, problems = [], []
    for path in _audio_files(root):
        folders = PurePosixPath(path).parts[:-1]
        if len(folders) > 2:
            raise ValueError(
                f"{path} in {root} lies deeper than {LAYOUT}; if {root / folders[0]} holds the speakers, give that "
                "folder"
            )
        if folders:
            entries.append(Entry(path, folders[0], "/".join(folders)))
        else:
            problems.append(Problem(path, f"lies in no speaker's folder ({LAYOUT})"))
    return entries, problems


def _waves(root: Path) -> dict[str, str]:
    """The files of Kaldi's utterances."""
    if (root / "segments").exists():
        raise ValueError(f"{root / 'segments'} cuts recordings into utterances; write these as files of their own")
    waves = _table(root / "wav.scp")
    for utterance, path in waves.items():
        if path.endswith("|"):
            raise ValueError(f"{root / 'wav.scp'}: {utterance} is a command, which is never run; name a file: {path}")
    return waves


def _kaldi(root: Path) -> tuple[list[Entry], list[Problem]]:
    waves, speakers = _waves(root), _table(root / "utt2spk")
    if strangers := waves.keys() - speakers.keys():
        raise ValueError(f"{root / 'utt2spk'} does not say who speaks in {min(strangers)}")
    entries = [Entry(path, speakers[utterance], speakers[utterance]) for utterance, path in waves.items()]
    problems = [Problem(name, "in utt2spk, but not in wav.scp") for name in speakers if name not in waves]
    return sorted(entries), problems


def _table(path: Path) -> dict[str, str]:
    """Reads lines of an utterance, white space and a value."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    table: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match line.split(maxsplit=1):
            case [name, value] if name not in table:
                table[name] = value.strip()
            case _:
                raise ValueError(f"{path}, line {number}: expected a new utterance and its value; got {line!r}")
    return table
