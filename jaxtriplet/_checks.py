"""Bad input, said in the user's words at trace time: the one place that calls chex for users."""

import functools
from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def _require(assertion: Callable[..., None], *args: Any, says: str) -> None:
    try:
        assertion(*args)
    except AssertionError:
        raise ValueError(says) from None


def _seen(x: Any) -> str:
    return f"{x.dtype} of shape {list(x.shape)}" if hasattr(x, "dtype") else repr(x)


def jit_with_labels(*static: str) -> Callable[[Callable[_Args, _Result]], Callable[_Args, _Result]]:
    """Returns a decorator: `jax.jit`, behind a look at the labels that a traced function can no longer take.

    JAX turns 64-bit NumPy integers into 32-bit ones without a word, so that two speakers could become one.
    """

    def decorate(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
        jitted: Any = jax.jit(function, static_argnames=static)

        @functools.wraps(function)
        def call(labels: Any, *args: Any, **kwargs: Any) -> _Result:
            return cast(_Result, jitted(_host_labels(labels), *args, **kwargs))

        return cast(Callable[_Args, _Result], call)

    return decorate


def _host_labels(labels: Any) -> Any:
    if isinstance(labels, jax.Array | jax.ShapeDtypeStruct):
        return labels
    array = np.asarray(labels)
    if array.size == 0:
        return array.astype(np.int32) if array.ndim == 1 else array
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be integers of shape [B]; got {_seen(array)}")
    fits = np.iinfo(jax.dtypes.canonicalize_dtype(array.dtype))
    if array.min() < fits.min or array.max() > fits.max:
        raise ValueError(
            f"labels must fit in {fits.dtype}, or two of them could become one; number them anew with "
            "`np.unique(labels, return_inverse=True)[1]`, or set jax_enable_x64"
        )
    return array


def rows(x: jax.Array, name: str = "embeddings") -> None:
    """Checks that `x` is a matrix of floats."""
    wants = f"{name} must be floats of shape [B, {'C' if name in 'xy' else 'D'}]; got {_seen(x)}"
    _require(chex.assert_rank, x, 2, says=wants)
    _require(chex.assert_type, x, float, says=wants)


def integers(labels: jax.Array) -> None:
    """Checks that labels are a vector of integers."""
    wants = f"labels must be integers of shape [B]; got {_seen(labels)}"
    _require(chex.assert_type, labels, int, says=wants)
    _require(chex.assert_rank, labels, 1, says=wants)


def batch(labels: jax.Array, embeddings: jax.Array, where: jax.Array | None) -> None:
    """Checks labels [B] against embeddings [B, D] and the optional mask [B]."""
    integers(labels)
    rows(embeddings)
    says = f"labels and embeddings must have as many rows; got {list(labels.shape)} and {list(embeddings.shape)}"
    _require(chex.assert_equal_shape_prefix, [labels, embeddings], 1, says=says)
    mask(where, embeddings)


def paired(where: jax.Array | None, **matrices: jax.Array) -> None:
    """Checks that the named matrices of floats have one shape, and the optional mask as many rows."""
    for name, matrix in matrices.items():
        rows(matrix, name)
    shapes = ", ".join(f"{name} {list(matrix.shape)}" for name, matrix in matrices.items())
    _require(chex.assert_equal_shape, list(matrices.values()), says=f"these must have one shape: {shapes}")
    mask(where, next(iter(matrices.values())))


def mask(where: jax.Array | None, reference: jax.Array) -> None:
    """Checks that `where` is None or a boolean for each row of the reference."""
    if where is not None:
        wants = f"where must be bool of shape [{reference.shape[0]}], True for rows to keep; got {_seen(where)}"
        _require(chex.assert_type, where, bool, says=wants)
        _require(chex.assert_shape, where, reference.shape[:1], says=wants)


def flags(same: jax.Array, reference: jax.Array) -> None:
    """Checks that `same` is a boolean or a number for each row of the reference."""
    wants = f"same must be bool, or numbers 0 and 1, of shape [{reference.shape[0]}]; got {_seen(same)}"
    _require(chex.assert_shape, same, reference.shape[:1], says=wants)


def scalar(name: str, number: Any, dtype: jnp.dtype) -> jax.Array:
    """Returns the number as a scalar of `dtype`, having checked that it is one."""
    says = f"{name} must be a single number; got {_seen(number)}"
    if number is None:
        raise ValueError(says)
    _require(chex.assert_rank, jnp.asarray(number), 0, says=says)
    return jnp.asarray(number).astype(dtype)


def option(name: str, value: object, known: Collection[str]) -> None:
    """Checks a keyword that takes one of a few words."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")


def functions(**callables: object) -> None:
    """Checks keywords that take a function; `reduce_fn` may be None."""
    for name, value in callables.items():
        if not (callable(value) or (name == "reduce_fn" and value is None)):
            hint = f"jaxtriplet.{name.removesuffix('_fn')}s has some" if name != "hinge_fn" else "jax.nn.relu, say"
            raise ValueError(f"{name} must be a function ({hint}); got {value!r}")


def thirds(embeddings: jax.Array) -> None:
    """Checks that the rows are anchors, positives and negatives, as many of each."""
    rows(embeddings)
    says = f"embeddings must hold anchors, positives and negatives, a multiple of 3 rows; got {_seen(embeddings)}"
    _require(chex.assert_is_divisible, embeddings.shape[0], 3, says=says)


def positive_integer(name: str, value: object) -> None:
    """Checks a static size."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number above 0; got {value!r}")


def block_size(value: object) -> None:
    """Checks the number of rows in a tile."""
    if value is not None:
        positive_integer("block_size", value)


def distances(found: jax.Array, anchors: int, candidates: int) -> None:
    """Checks what a user's `distance_fn` returned."""
    says = f"distance_fn must map [M, D] and [N, D] to [M, N]; here [{anchors}, {candidates}], got {_seen(found)}"
    _require(chex.assert_shape, found, (anchors, candidates), says=says)
