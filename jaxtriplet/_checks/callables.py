"""Functions that users give: whether they are any, and what they make of shapes."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet._checks.words import nearest, seen

# What to give: the form, where ready ones are, and what these are called. (These rooms are above this one; a test holds
# the names against them.)
_FORMS = {
    "reduce_fn": ("(total, valid, active) -> scalar", "jaxtriplet.reductions", ("mean", "mean_active", "sum")),
    "distance_fn": (
        "(x [M, D], y [N, D]) -> floats [M, N]",
        "jaxtriplet.distances",
        ("euclidean", "squared_euclidean", "cosine", "inner_product", "kl", "symmetric_kl", "probability_kl"),
    ),
    "hinge_fn": ("from floats to floats of the same shape", "jax.nn", ("relu", "softplus")),
}
# What else people call them.
_CALLED = {
    "distance_fn": {
        "cos": "cosine",
        "dot": "inner_product",
        "l2": "euclidean",
        "sqeuclidean": "squared_euclidean",
        "squared-l2": "squared_euclidean",
    },
    "hinge_fn": {"hard": "relu", "hinge": "relu", "soft": "softplus"},
}


def functions(**callables: object) -> None:
    """Checks keywords that take a function; `reduce_fn` may be None."""
    for name, value in callables.items():
        if value is None and name == "reduce_fn":
            continue
        if not callable(value):
            raise ValueError(f"{name} must be {_form(name)}; got {seen(value)}{_instead(name, value)}")
        if not _is_hashable(value):
            raise ValueError(f"{name} must be hashable, as functions are, to be compiled for; got {seen(value)}")


def makes(
    name: str, function: Callable[..., Any], found: tuple[int, ...], shapes: tuple[Any, ...], dtype: jnp.dtype
) -> None:
    """Raises a `ValueError` unless a function makes floats of one shape of floats of others."""
    told = _told(name, shapes)
    try:
        # Arguments of a function of one's own: JAX keeps weak references, which some of NumPy's functions refuse.
        got = jax.eval_shape(lambda *args: function(*args), *(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
    except Exception as error:
        raise ValueError(
            f"{name} must be {_form(name)}; {told} it {_fails(error)}{_instead(name, function)}"
        ) from error
    if getattr(got, "shape", None) != found or not jnp.issubdtype(got.dtype, jnp.floating):
        raise ValueError(f"{name} must be {_form(name)}; {told} it makes {seen(got)}{_instead(name, function)}")


def fits(name: str, function: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    """Raises a `ValueError` if a function does not take so many arguments by position."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # it tells none
        return
    try:
        signature.bind_partial(*arguments)
    except TypeError as error:
        raise ValueError(
            f"{name} must take ({', '.join(arguments)}), as the batch has them; it takes {signature}"
        ) from error


def _form(name: str) -> str:
    if name not in _FORMS:
        return "a function"
    form, place, known = _FORMS[name]
    also = ", or None" if name == "reduce_fn" else ""
    *others, last = known[:3]
    return f"a function {form}, such as {place}.{', '.join(others)} or {last}{also}"


def _told(name: str, shapes: tuple[Any, ...]) -> str:
    if name == "reduce_fn":
        return "of three scalars"
    return f"of {' and '.join(str(list(shape)) for shape in shapes)}"


def _fails(error: Exception) -> str:
    """Returns why a function makes nothing, in a line; JAX's own words go on for many."""
    if isinstance(error, jax.errors.ConcretizationTypeError | jax.errors.TracerArrayConversionError):
        return "asks for numbers, and not for arrays to be traced (`jax.numpy` does not, `numpy` does)"
    return f"makes none ({str(error).strip().partition(chr(10))[0] or type(error).__name__})"


def _instead(name: str, value: object) -> str:
    """Returns what to give in place of what is none, where that is known."""
    if name not in _FORMS:
        return ""
    _, place, known = _FORMS[name]
    if value is None:
        return "; left out, it has a default"
    if isinstance(value, types.ModuleType):
        return f"; one of its functions, {name}={place}.{known[0]}, say"
    if hasattr(value, "dtype"):
        return f"; the function itself, {name}={place}.{known[0]}, say, and not what it returns"
    if isinstance(value, functools.partial):
        value = value.func
    word = str(value if isinstance(value, str) else getattr(value, "__name__", "")).lower().replace("-", "_")
    if word == "none" and name == "reduce_fn":
        return "; reduce_fn=None, without quotes"
    called = _CALLED.get(name, {}).get(word, word)
    near = called if called in known else nearest(word, known).removeprefix("; did you mean ").removesuffix("?")
    if near:
        return f"; give {name}={place}.{near}"
    return f"; known by name: {', '.join(known)}" if isinstance(value, str) else ""


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
