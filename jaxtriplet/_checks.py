"""Bad input, said in the user's words at trace time: the one place that calls chex for users."""

import difflib
import functools
import inspect
import math
import typing
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxtriplet import numerics

_Args = ParamSpec("_Args")


def _require(assertion: Callable[..., None], *args: Any, says: str) -> None:
    try:
        assertion(*args)
    except AssertionError:
        raise ValueError(says) from None


def seen(x: Any) -> str:
    """Returns what an error says of a value: its dtype and shape, if it has those."""
    return f"{x.dtype} of shape {list(x.shape)}" if hasattr(x, "dtype") else repr(x)


def entry(function: Callable[_Args, Any]) -> Callable[_Args, Any]:
    """Compiles a public function of rows, behind the checks that its signature asks for.

    - Positional arguments without a default are rows; if the first are `labels`, they are looked at before they are
      traced: JAX turns 64-bit NumPy integers into 32-bit ones without a word, so that two speakers could become one.
    - Those with a default are numbers: traced scalars, in the dtype to compute the rows in.
    - Keywords but `where` are static: functions (`*_fn`), sizes (`int | None`), words (`Literal`), flags.
    """
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    rows = rows_of(signature)
    numbers = numbers_of(signature)
    static = [name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY and name != "where"]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        for name in static:
            _static(name, given.arguments[name], hints.get(name))
        dtype = numerics.compute_dtype(given.arguments[rows[:2][-1]])
        for name in numbers:
            given.arguments[name] = scalar(name, given.arguments[name], dtype)
        return function(*given.args, **given.kwargs)

    jitted: Any = jax.jit(checked, static_argnames=static)
    if rows[0] != "labels":
        return functools.wraps(function)(lambda *args, **kwargs: jitted(*args, **kwargs))

    @functools.wraps(function)
    def call(labels: Any, *args: Any, **kwargs: Any) -> Any:
        return jitted(_host_labels(labels), *args, **kwargs)

    return cast(Callable[_Args, Any], call)


def rows_of(signature: inspect.Signature) -> list[str]:
    """Returns the names of the arguments that are rows: those that must be given."""
    return [name for name, one in signature.parameters.items() if one.default is one.empty]


def numbers_of(signature: inspect.Signature) -> dict[str, Any]:
    """Returns the numbers of a loss, with their defaults: its positional arguments that need not be given."""
    return {
        name: one.default
        for name, one in signature.parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty
    }


def words_of(hint: Any) -> tuple[str, ...]:
    """Returns the words that an option takes by its annotation, none if it takes something else."""
    return tuple(word for word in typing.get_args(hint) if isinstance(word, str))


def _static(name: str, value: Any, hint: Any) -> None:
    if name.endswith("_fn"):
        functions(**{name: value})
    elif words := words_of(hint):
        option(name, value, words)
    elif hint == int | None and value is not None:
        positive_integer(name, value)


def _host_labels(labels: Any) -> Any:
    if isinstance(labels, jax.Array | jax.ShapeDtypeStruct):
        return labels
    array = np.asarray(labels)
    if array.size == 0:
        return array.astype(np.int32) if array.ndim == 1 else array
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be integers of shape [B]; got {seen(array)}")
    fits = np.iinfo(jax.dtypes.canonicalize_dtype(array.dtype))
    if array.min() < fits.min or array.max() > fits.max:
        raise ValueError(
            f"labels must fit in {fits.dtype}, or two of them could become one; number them anew with "
            "`np.unique(labels, return_inverse=True)[1]`, or set jax_enable_x64"
        )
    return array


def rows(x: ArrayLike, name: str = "embeddings") -> jax.Array:
    """Returns `x`, having checked that it is a matrix of floats."""
    array = jnp.asarray(x)
    wants = f"{name} must be floats of shape [B, {'C' if name in 'xy' else 'D'}]; got {seen(array)}"
    _require(chex.assert_rank, array, 2, says=wants)
    _require(chex.assert_type, array, float, says=wants)
    return array


def integers(labels: ArrayLike) -> jax.Array:
    """Returns the labels, having checked that they are a vector of integers."""
    array = jnp.asarray(labels)
    wants = f"labels must be integers of shape [B]; got {seen(array)}"
    _require(chex.assert_type, array, int, says=wants)
    _require(chex.assert_rank, array, 1, says=wants)
    return array


def batch(
    labels: ArrayLike, embeddings: ArrayLike, where: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Returns labels [B], embeddings [B, D] and the optional mask [B], having checked them against each other."""
    labels, embeddings = integers(labels), rows(embeddings)
    says = f"labels and embeddings must have as many rows; got {list(labels.shape)} and {list(embeddings.shape)}"
    _require(chex.assert_equal_shape_prefix, [labels, embeddings], 1, says=says)
    return labels, embeddings, mask(where, embeddings)


def paired(where: ArrayLike | None, **matrices: ArrayLike) -> tuple[list[jax.Array], jax.Array | None]:
    """Returns the named matrices and the optional mask, having checked that they have one shape, and as many rows."""
    arrays = [rows(matrix, name) for name, matrix in matrices.items()]
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in zip(matrices, arrays, strict=True))
    _require(chex.assert_equal_shape, arrays, says=f"these must have one shape: {shapes}")
    return arrays, mask(where, arrays[0])


def mask(where: ArrayLike | None, reference: jax.Array) -> jax.Array | None:
    """Returns `where`, having checked that it is None or a boolean for each row of the reference."""
    if where is None:
        return None
    array = jnp.asarray(where)
    wants = f"where must be bool of shape [{reference.shape[0]}], True for rows to keep; got {seen(array)}"
    _require(chex.assert_type, array, bool, says=wants)
    _require(chex.assert_shape, array, reference.shape[:1], says=wants)
    return array


def flags(same: ArrayLike, reference: jax.Array) -> jax.Array:
    """Returns `same`, having checked that it is a boolean or a number for each row of the reference."""
    array = jnp.asarray(same)
    wants = f"same must be bool, or numbers 0 and 1, of shape [{reference.shape[0]}]; got {seen(array)}"
    _require(chex.assert_shape, array, reference.shape[:1], says=wants)
    return array


def scalar(name: str, number: Any, dtype: jnp.dtype) -> jax.Array:
    """Returns the number as a scalar of `dtype`, having checked that it is one."""
    says = f"{name} must be a single number; got {seen(number)}"
    if number is None:
        raise ValueError(says)
    _require(chex.assert_rank, jnp.asarray(number), 0, says=says)
    return jnp.asarray(number).astype(dtype)


def option(name: str, value: object, known: Collection[str]) -> None:
    """Checks a keyword that takes one of a few words."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}{nearest(value, known)}")


def nearest(word: object, known: Collection[str]) -> str:
    """Returns a hint at the nearest of the known words, empty if none is near.

    Example:
        >>> nearest("margn", ["margin", "scale"])
        '; did you mean margin?'
    """
    found = difflib.get_close_matches(str(word), known, 1)
    return f"; did you mean {found[0]}?" if found else ""


def functions(**callables: object) -> None:
    """Checks keywords that take a function; `reduce_fn` may be None."""
    for name, value in callables.items():
        if not (callable(value) or (name == "reduce_fn" and value is None)):
            hint = f"jaxtriplet.{name.removesuffix('_fn')}s has some" if name != "hinge_fn" else "jax.nn.relu, say"
            raise ValueError(f"{name} must be a function ({hint}); got {value!r}")


def thirds(embeddings: ArrayLike) -> jax.Array:
    """Returns the rows, having checked that they are anchors, positives and negatives, as many of each."""
    array = rows(embeddings)
    says = f"embeddings must hold anchors, positives and negatives, a multiple of 3 rows; got {seen(array)}"
    _require(chex.assert_is_divisible, array.shape[0], 3, says=says)
    return array


def positive_integer(name: str, value: object) -> None:
    """Checks a static size."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0; got {value!r}")


def finite(name: str, value: object) -> None:
    """Checks a number of the host that is neither nan nor infinite; what is no float is not looked at."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value}")


def distances(found: jax.Array, anchors: int, candidates: int) -> None:
    """Checks what a user's `distance_fn` returned."""
    says = f"distance_fn must map [M, D] and [N, D] to [M, N]; here [{anchors}, {candidates}], got {seen(found)}"
    _require(chex.assert_shape, found, (anchors, candidates), says=says)
