"""How folders of recordings are laid out: a folder for each speaker, or Kaldi's lists."""

import math
from pathlib import Path, PurePosixPath

from jaxtriplet.data import kaldi
from jaxtriplet.data.entry import Entry, Problem
from jaxtriplet.data.inspection import SHORTEST, Content
from jaxtriplet.data.sound import Piece
from jaxtriplet.data.trees import audio_files

LAYOUT = "<speaker>/[<session>/]<utterance>"
OVERSHOOT = 0.5
"""Seconds by which a piece may end after its file, as Kaldi allows: the times of segments are rounded."""


def entries(root: Path, *, labelled: bool, allow_outside: bool) -> tuple[list[Entry], list[Problem]]:
    """Returns the recordings of a folder, with their speakers if these are asked for.

    Args:
        root: A folder of speakers' folders, or one with Kaldi's `wav.scp`, `utt2spk` and, perhaps, `segments`.
        labelled: False for any tree of folders, or `wav.scp` without `utt2spk`: one nameless speaker.
        allow_outside: Whether `wav.scp` may name files that lie elsewhere.

    Returns:
        The recordings in order of their paths, and those that are left out.

    Raises:
        ValueError: The folder is laid out in another way, or Kaldi's files cannot be used.
    """
    if kaldi.is_here(root):
        return kaldi.utterances(root, labelled=labelled, allow_outside=allow_outside)
    paths, problems = audio_files(root)
    if not labelled:
        return [Entry(path) for path in paths], problems
    placed = [path for path in paths if "/" in path]
    problems += [Problem(path, f"lies in no speaker's folder ({LAYOUT})") for path in paths if "/" not in path]
    return [_of_tree(root, path) for path in placed], problems


def _of_tree(root: Path, path: str) -> Entry:
    folders = PurePosixPath(path).parts[:-1]
    if len(folders) > 2:
        raise ValueError(
            f"{path} in {root} lies deeper than {LAYOUT}; if {root / folders[0]} holds the speakers, give that folder"
        )
    return Entry(path, folders[0], "/".join(folders))


def piece_of(entry: Entry, content: Content) -> tuple[Piece, int, str | None]:
    """Finds a recording in its file.

    Args:
        entry: The recording.
        content: What its file holds.

    Returns:
        What is to be remembered of it, its length in samples, and why it cannot be used; None if it can.

    >>> piece_of(Entry("a.wav", name="u1", times=(1.0, 2.5)), Content(32_000, 16_000))[1:]
    (16000, None)
    >>> piece_of(Entry("a.wav", name="u1", times=(1.0, 3.5)), Content(32_000, 16_000))[2]
    'ends at 3.5 s, a.wav at 2 s'
    """
    piece, frames = Piece(entry.name, 0, content.channel, content.silences), content.frames
    if content.problem or entry.times is None:
        return piece, frames, content.problem
    rate, (begin, end) = content.sample_rate, entry.times
    total = frames / rate
    if math.isfinite(end) and end > total + OVERSHOOT:
        return piece, 0, f"ends at {end:g} s, {entry.path} at {total:g} s"
    if begin >= total:
        return piece, 0, f"begins at {begin:g} s, {entry.path} ends at {total:g} s"
    piece = piece._replace(start=round(begin * rate))
    frames = round(min(end, total) * rate) - piece.start
    sound = sum(stop - first for first, stop in piece.stretches(frames)) / rate if frames > 0 else 0.0
    return piece, frames, f"holds {sound:.2f} s of sound, less than {SHORTEST} s" if sound < SHORTEST else None
