"""Values that are no arrays: words, sizes, numbers, names of axes."""

import difflib
import math
import reprlib
from collections.abc import Collection
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def seen(x: Any) -> str:
    """Returns what an error says of a value: its dtype and shape, if it has those.

    Example:
        >>> seen(np.zeros((2, 3))), seen("three")
        ('float64 of shape [2, 3]', "'three'")
    """
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return f"{x.dtype} of shape {list(x.shape)}"
    return reprlib.repr(x)


def word(name: str, value: object, such_as: str) -> None:
    """Checks what is a word of no fixed choice."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be named by a word, such as {such_as!r}; got {seen(value)}")


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


def positive_integer(name: str, value: object) -> None:
    """Checks a static size."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0; got {seen(value)}")


def key(value: Any) -> None:
    """Checks a key of randomness, of either kind that JAX has."""
    if not hasattr(value, "dtype") or not (value.ndim or jnp.issubdtype(value.dtype, jax.dtypes.prng_key)):
        hint = f"({value})" if isinstance(value, int) else "(0)"
        raise ValueError(f"key must be a key of randomness, `jax.random.key{hint}`, say; got {seen(value)}")


def given(name: str, value: object, kind: Any, such_as: str) -> None:
    """Checks an object of a class, or of one of several, which something else makes."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {such_as}; got {seen(value)}")


def mesh(value: object) -> None:
    """Checks a mesh of devices."""
    given(
        "mesh",
        value,
        jax.sharding.Mesh | jax.sharding.AbstractMesh,
        "a mesh, such as `jaxtriplet.parallel.data_mesh()`",
    )


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


def angle(name: str, value: object) -> None:
    """Checks an angle that is a Python number, where degrees are a likely mistake; infinity is a limit, and may stay.

    Example:
        >>> angle("margin", 28.6)
        Traceback (most recent call last):
        ...
        ValueError: margin is in radians, at most pi; got 28.6; 28.6 degrees are 0.499
    """
    if isinstance(value, int | float) and math.pi < value < math.inf:
        raise ValueError(
            f"{name} is in radians, at most pi; got {value}; {value:g} degrees are {math.radians(value):.3g}"
        )


def temperature(name: str, value: object) -> None:
    """Checks a temperature that is a Python number: similarities are divided by it.

    Example:
        >>> temperature("temperature", 0)
        Traceback (most recent call last):
        ...
        ValueError: temperature must be above 0; got 0
    """
    if isinstance(value, int | float) and value <= 0:
        raise ValueError(f"{name} must be above 0; got {value}")


def printable(text: str) -> str:
    r"""Returns a text on one line, that moves no cursor: a file may be called anything.

    Example:
        >>> printable("a\x1b[31m b\nc")
        'a\\x1b[31m b\\nc'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
