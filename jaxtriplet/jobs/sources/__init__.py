"""Sources of data, by the names that a config has for them.

A new kind of data joins with a file that holds a `Source`, a line in this table and a recipe that names it.
"""

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtriplet.jobs.sources.source import Source

SOURCES: dict[str, str] = {
    "japanese-vowels": "jaxtriplet.jobs.sources.japanese_vowels:JapaneseVowels",
    "recordings": "jaxtriplet.jobs.sources.recordings:FolderOfRecordings",
}
"""Where each source is, so that it can be imported when it is needed."""


def find(name: str) -> "type[Source]":
    """Returns a source of data by its name.

    Args:
        name: A key of `SOURCES`.

    Example:
        >>> find("japanese-vowels").needs_data
        False
    """
    source: type[Source] = pkgutil.resolve_name(SOURCES[name])
    return source
