"""Which distributions are installed, and in which version."""

from collections.abc import Iterable
from importlib.metadata import distributions


def installed_version(distribution: str, path: Iterable[str] | None = None) -> str | None:
    """Returns the version of an installed distribution, or None.

    Args:
        distribution: As pip calls it.
        path: Where to look; None for where Python looks.

    Example:
        >>> installed_version("no-such-distribution"), installed_version("numpy", path=[])
        (None, None)
    """
    found = distributions(name=distribution) if path is None else distributions(name=distribution, path=[*path])
    return next((one.version for one in found), None)
