"""What is found in a folder: a recording that it names, or one that cannot be used."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A recording that a folder names.

    Attributes:
        path: The file, relative to the folder or absolute.
        speaker: Who speaks.
        session: The recordings of one session name the same one; two speakers share none.
        name: The utterance, if it has a name other than its path.
        times: Where in the file it begins and ends, in seconds, infinity for its end; None for the whole file.
    """

    path: str
    speaker: str = ""
    session: str = ""
    name: str = ""
    times: tuple[float, float] | None = None


class Problem(NamedTuple):
    """A recording that cannot be used.

    Attributes:
        path: The file, relative to the folder of the index.
        reason: Why, in a few words.
    """

    path: str
    reason: str
