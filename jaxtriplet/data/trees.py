"""The recordings in a tree of folders: each file once, whatever links lead to it."""

import os
from collections import deque
from pathlib import Path

from jaxtriplet.data.audio import EXTENSIONS
from jaxtriplet.data.entry import Problem


def audio_files(root: Path) -> tuple[list[str], list[Problem]]:
    """Finds the recordings below a folder; hidden files and folders are passed over.

    Links are followed, out of the folder, too: who made it put them there. But every file and folder is met once, and
    by its own name if it has one in here: a link to what is met already, or to a folder that this one lies in, is left
    out.

    Args:
        root: The folder.

    Returns:
        Paths relative to the folder, in order, and what is left out.
    """
    return _Search(root).found()


class _Search:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: list[str] = []
        self._problems: list[Problem] = []
        self._links: deque[str] = deque()
        self._met: set[str] = set()  # by their own paths, without links
        self._above = {str(folder) for folder in Path(os.path.realpath(root)).parents}

    def found(self) -> tuple[list[str], list[Problem]]:
        self._enter(str(self._root))
        while self._links:  # after all that has a name of its own; those that a link leads to may add to them
            link = self._links.popleft()
            target = os.path.realpath(link)
            if target in self._met or target in self._above:
                self._leave_out(link, "a link to what is there already")
            elif os.path.isdir(target):
                self._enter(link)
            else:
                self._add(link, target)
        return sorted(self._files, key=_place), sorted(self._problems, key=lambda problem: _place(problem.path))

    def _enter(self, top: str) -> None:
        for folder, folders, files in os.walk(top, onerror=self._not_read):
            real = os.path.realpath(folder)
            self._met.add(real)
            kept = []
            for name in sorted(name for name in folders if not name.startswith(".")):
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    self._links.append(path)
                elif os.path.join(real, name) in self._met:
                    self._leave_out(path, "a link leads here, too, and was followed before")
                else:
                    kept.append(name)
            folders[:] = kept
            for name in sorted(name for name in files if _is_audio(name)):
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    self._links.append(path)
                else:
                    self._add(path, os.path.join(real, name))

    def _add(self, path: str, real: str) -> None:
        if real in self._met:
            self._leave_out(path, "a link leads here, too, and was followed before")
            return
        self._met.add(real)
        try:
            path.encode()
        except UnicodeEncodeError:
            self._leave_out(path, "its name is not in UTF-8; give it another")
            return
        self._files.append(self._relative(path))

    def _not_read(self, error: OSError) -> None:
        self._leave_out(str(error.filename), f"a folder that cannot be read: {error.strerror}")

    def _leave_out(self, path: str, reason: str) -> None:
        shown = self._relative(path).encode(errors="backslashreplace").decode()
        self._problems.append(Problem(shown, reason))

    def _relative(self, path: str) -> str:
        return Path(path).relative_to(self._root).as_posix()


def _is_audio(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _place(path: str) -> list[tuple[bool, str]]:
    """Sorts paths as folders list them: first the files of a folder, then those of the folders in it."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]
