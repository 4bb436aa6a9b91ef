"""Prints the lowest versions that pyproject.toml admits, one a line, those of the extras that are named included.

`pip install $(python .ci/lowest.py speech audio)` and the tests tell whether they work: a bound untried is a guess.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
_REQUIREMENT = re.compile(r"([\w.-]+)(\[[\w.,-]+\])?\s*([^;]*?)\s*(;.*)?")


def lowest(project: dict[str, Any], extras: Sequence[str] = ()) -> Iterator[str]:
    """Yields a project's requirements, each pinned to the lowest version that it may have.

    Args:
        project: The table `project` of a pyproject.toml.
        extras: The extras that are wanted too; one may name others of the project.

    Raises:
        ValueError: There is no such extra, or a requirement without a lowest version.

    Example:
        >>> extras = {"all": ["me[sound]"], "sound": ["soxr>=1.0"]}
        >>> list(lowest({"name": "me", "dependencies": ["numpy<3,>=2.0"], "optional-dependencies": extras}, ["all"]))
        ['numpy==2.0', 'soxr==1.0']
    """
    known = project["optional-dependencies"]
    if unknown := set(extras) - set(known):
        raise ValueError(f"no such extra: {', '.join(sorted(unknown))}")
    wanted = [one for extra in extras for one in known[extra]]
    for requirement in [*project["dependencies"], *wanted]:
        name, of_extras, versions, marker = _parts(requirement)
        if name == project["name"]:
            yield from lowest({**project, "dependencies": []}, of_extras.strip("[]").split(","))
        elif bound := re.search(r">=\s*([\w.]+)", versions):
            yield f"{name}{of_extras}=={bound[1]}{marker}"
        else:
            raise ValueError(f"{requirement} has no lowest version")


def _parts(requirement: str) -> Sequence[str]:
    match = _REQUIREMENT.fullmatch(requirement)
    if not match:
        raise ValueError(f"not a requirement: {requirement}")
    return match.groups("")


if __name__ == "__main__":
    print(*lowest(tomllib.loads(PYPROJECT.read_text())["project"], sys.argv[1:]), sep="\n")
