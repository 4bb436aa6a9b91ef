"""Values that are no arrays: words, sizes, numbers, functions, names of axes."""

import difflib
import math
import reprlib
from collections.abc import Collection
from numbers import Real
from typing import Any

import numpy as np

# What to give in place of what is no function.
_SUCH_AS = {
    "reduce_fn": "jaxtriplet.reductions.mean",
    "distance_fn": "jaxtriplet.distances.euclidean",
    "hinge_fn": "jax.nn.relu",
}


def seen(x: Any) -> str:
    """Returns what an error says of a value: its dtype and shape, if it has those.

    Example:
        >>> seen(np.zeros((2, 3))), seen("three")
        ('float64 of shape [2, 3]', "'three'")
    """
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype} of shape {list(x.shape)}"
    return reprlib.repr(x)


def option(name: str, value: object, known: Collection[str]) -> None:
    """Checks a keyword that takes one of a few words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}{nearest(value, known)}")


def nearest(word: object, known: Collection[str]) -> str:
    """Returns a hint at the nearest of the known words, in capitals or not; empty if none is near.

    Example:
        >>> nearest("margn", ["margin", "scale"]), nearest("AAM", ["am", "aam"])
        ('; did you mean margin?', '; did you mean aam?')
    """
    small = {one.lower(): one for one in known}
    found = difflib.get_close_matches(str(word).lower(), small, 1)
    return f"; did you mean {small[found[0]]}?" if found else ""


def functions(**callables: object) -> None:
    """Checks keywords that take a function; `reduce_fn` may be None."""
    for name, value in callables.items():
        if value is None and name == "reduce_fn":
            continue
        if not callable(value):
            hint = f" ({_SUCH_AS[name]}, say)" if name in _SUCH_AS else ""
            raise ValueError(f"{name} must be a function{hint}; got {seen(value)}")
        if not _is_hashable(value):
            raise ValueError(f"{name} must be hashable, as functions are, to be compiled for; got {seen(value)}")


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def positive_integer(name: str, value: object) -> None:
    """Checks a static size."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0; got {seen(value)}")


def whole_number(name: str, value: object) -> None:
    """Checks a static count, which may be 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name} must be a whole number, at least 0; got {seen(value)}")


def flag(name: str, value: object) -> None:
    """Checks a keyword that is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {seen(value)}")


def axes(value: object) -> None:
    """Checks the names of mapped axes."""
    names = value if isinstance(value, tuple) else (value,)
    if value is not None and not all(isinstance(name, str) for name in names):
        raise ValueError(f"axis_name must be the name of a mapped axis, or a tuple of names; got {seen(value)}")


def finite(name: str, value: object, least: float = -math.inf) -> None:
    """Checks a number that is fixed when something is built: a real one, not NaN, not infinite, not below the least.

    Example:
        >>> finite("weight_decay", -1.0, least=0)
        Traceback (most recent call last):
        ...
        ValueError: weight_decay must be a finite number, at least 0; got -1.0
    """
    fits = isinstance(value, Real) and not isinstance(value, bool)
    if not (fits and math.isfinite(value) and value >= least):  # type: ignore[arg-type,operator]
        at_least = f", at least {least}" if math.isfinite(least) else ""
        raise ValueError(f"{name} must be a finite number{at_least}; got {seen(value)}")


def printable(text: str) -> str:
    r"""Returns a text on one line, that moves no cursor: a file may be called anything.

    Example:
        >>> printable("a\x1b[31m b\nc")
        'a\\x1b[31m b\\nc'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
