"""Arrays, and what they must be of each other."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxtriplet._checks.words import seen
from jaxtriplet.types import Memory

_LABELS = "labels must be integers of shape [B]"
_IDS = "ids must be integers, one for each document"
_MEMORY = "memory must be one of `jaxtriplet.memory.create`"
_KNOWN = "the number of rows must be known when a loss is compiled, since they are compared a tile at a time"


def _require(assertion: Callable[..., None], *args: Any, says: str) -> None:
    try:
        assertion(*args)
    except AssertionError:
        raise ValueError(says) from None


def taken(x: Any, wants: str) -> Any:
    """Returns what JAX takes: its own arrays as they are, anything else as NumPy makes an array of it.

    Args:
        x: Arrays of any library, lists, tables, numbers.
        wants: What it must be, for the error.

    Returns:
        An array of JAX or NumPy.

    Raises:
        ValueError: It is no array of numbers.
    """
    if isinstance(x, jax.Array):
        return x
    if hasattr(x, "__jax_array__"):
        return x.__jax_array__()
    try:
        holds_jax = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(x))
        array = jnp.asarray(x) if holds_jax else np.asarray(x)
        jax.typeof(array)
    except Exception as error:  # whatever another library's arrays raise
        ragged = isinstance(x, list | tuple) and "inhomogeneous" in str(error)
        raise ValueError(f"{wants}; got {'rows of different lengths' if ragged else _found(x)}") from error
    return array


def _found(x: Any) -> str:
    return seen(np.asarray(x)) if isinstance(x, list | tuple) else seen(x)


def host_labels(labels: Any, wants: str = _LABELS) -> Any:
    """Returns labels that JAX can take without two of them becoming one, as 64-bit integers would without a word."""
    array = taken(labels, wants)
    if isinstance(array, jax.Array):
        return array
    name = wants.split(maxsplit=1)[0]
    if array.size == 0:
        return array.astype(np.int32) if array.ndim == 1 else array
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{wants}; got {seen(array)}{_advice(array)}")
    fits = np.iinfo(jax.dtypes.canonicalize_dtype(array.dtype))
    if array.min() < fits.min or array.max() > fits.max:
        raise ValueError(
            f"{name} must fit in {fits.dtype}, or two of them could become one; number them anew with "
            f"`np.unique({name}, return_inverse=True)[1]`, or set jax_enable_x64"
        )
    return array


def _advice(labels: Any) -> str:
    """Returns how to make labels of what is none, where that is known."""
    if labels.ndim == 2:
        return "; a column, by `labels[:, 0]`" if labels.shape[1] == 1 else "; one-hot rows by `argmax(1)`"
    is_number = jnp.issubdtype(labels.dtype, np.floating) or labels.dtype == bool
    return "; `labels.astype(int)`, if they are whole" if is_number and labels.ndim == 1 else ""


def rows_as_given(name: str, value: Any) -> Any:
    """Returns the rows of an argument of that name as JAX takes them."""
    return host_labels(value) if name == "labels" else taken(value, wants_rows(name))


def by_name(name: str, value: Any) -> Any:
    """Returns the array, or the memory, that a keyword of that name holds."""
    if name == "where":
        return taken(value, "where must be bool of shape [B]")
    if name == "ids":
        return host_labels(value, _IDS)
    if not isinstance(value, Memory):
        raise ValueError(f"{_MEMORY}; got {seen(value)}")
    return Memory(*(taken(part, _MEMORY) for part in value))


def wants_rows(name: str) -> str:
    """Returns what rows must be, in words."""
    if name == "same":
        return "same must be bool, or numbers 0 and 1, of shape [B]"
    if name in ("weights", "proxies", "centers"):
        return f"{name} must be floats of shape [C, D], or of shape [C, K, D] with K centres for each class"
    return f"{name} must be floats of shape [B, {'C' if name in ('x', 'y') else 'D'}]"


def _matrix(x: ArrayLike, name: str) -> jax.Array:
    array = jnp.asarray(x)
    says = f"{wants_rows(name)}; got {seen(array)}"
    _require(chex.assert_rank, array, 2, says=says)
    _require(chex.assert_type, array, float, says=says)
    return array


def rows(x: ArrayLike, name: str = "embeddings") -> jax.Array:
    """Returns `x`, having checked that it is a matrix of floats."""
    array = _matrix(x, name)
    if not isinstance(array.shape[0], int):
        raise ValueError(f"{_KNOWN}; got {name} of shape {list(array.shape)}")
    return array


def integers(labels: ArrayLike) -> jax.Array:
    """Returns the labels, having checked that they are a vector of integers."""
    array = jnp.asarray(host_labels(labels))
    says = f"{_LABELS}; got {seen(array)}{_advice(array)}"
    _require(chex.assert_type, array, int, says=says)
    _require(chex.assert_rank, array, 1, says=says)
    return array


def batch(
    labels: ArrayLike, embeddings: ArrayLike, where: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Returns labels [B], embeddings [B, D] and the optional mask [B], having checked them against each other."""
    labels, embeddings = integers(labels), rows(embeddings)
    says = f"labels and embeddings must have as many rows; got {list(labels.shape)} and {list(embeddings.shape)}"
    _require(chex.assert_equal_shape_prefix, [labels, embeddings], 1, says=says)
    return labels, embeddings, mask(where, embeddings)


def class_weights(weights: ArrayLike, reference: jax.Array, name: str, *, several: bool) -> jax.Array:
    """Returns the weights of classes [C, D] or [C, K, D], having checked that they are as wide as the reference."""
    array = jnp.asarray(weights)
    says = f"{wants_rows(name)}; got {seen(array)}"
    _require(chex.assert_type, array, float, says=says)
    _require(chex.assert_rank, array, {2, 3}, says=says)
    if array.ndim == 3 and not several:
        raise ValueError(f"{name} must be of shape [C, D] here, one vector for each class; got {seen(array)}")
    if 0 in array.shape[:-1]:
        raise ValueError(f"{name} must be of one class at least; got {seen(array)}")
    if array.shape[-1] != reference.shape[1]:
        raise ValueError(f"{name} must be as long as embeddings, {reference.shape[1]} numbers; got {seen(array)}")
    return array


def for_each_class(number: jax.Array, classes: int) -> None:
    """Raises a `ValueError` unless there is a number for each class."""
    if number.shape != (classes,):
        raise ValueError(f"margin must be a single number, or one for each of {classes} classes; got {seen(number)}")


def memory(given: Memory, labels: jax.Array, reference: jax.Array) -> Memory:
    """Returns the memory, having checked it, and that labels and rows are such as it can hold."""
    found = Memory(*map(jnp.asarray, given))
    says, width = f"{_MEMORY}; got {', '.join(map(seen, found))}", reference.shape[1]
    _require(chex.assert_type, list(found), [int, float, bool, int], says=says)
    _require(chex.assert_rank, list(found), [1, 2, 1, 0], says=says)
    _require(chex.assert_equal_shape_prefix, list(found[:3]), 1, says=says)
    says = f"the rows of memory must be of the length of embeddings, {width}; got {seen(found.embeddings)}"
    _require(chex.assert_shape, found.embeddings, (None, width), says=says)
    if labels.dtype.itemsize > found.labels.dtype.itemsize:
        raise ValueError(
            f"labels must fit in {found.labels.dtype}, as those of memory do, or two of them could become one; got "
            f"{seen(labels)}"
        )
    return found


def ids(given: ArrayLike, reference: jax.Array) -> jax.Array:
    """Returns the ids, having checked that they are integers, one for each row of the reference."""
    array = jnp.asarray(given)
    says = f"{_IDS}, of shape [{reference.shape[0]}]; got {seen(array)}"
    _require(chex.assert_type, array, int, says=says)
    _require(chex.assert_shape, array, reference.shape[:1], says=says)
    return array


def paired(where: ArrayLike | None, **matrices: ArrayLike) -> tuple[list[jax.Array], jax.Array | None]:
    """Returns the named matrices and the optional mask, having checked that they have one shape, and as many rows."""
    arrays = [rows(matrix, name) for name, matrix in matrices.items()]
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in zip(matrices, arrays, strict=True))
    _require(chex.assert_equal_shape, arrays, says=f"these must have one shape: {shapes}")
    return arrays, mask(where, arrays[0])


def views(
    x: ArrayLike,
    y: ArrayLike,
    where: ArrayLike | None,
    given: ArrayLike | None,
    *,
    equal: bool,
    names: tuple[str, str] = ("queries", "documents"),
) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array | None]:
    """Returns two views, the optional mask of the first's rows and the optional ids of the second's, checked."""
    first, second = rows(x, names[0]), rows(y, names[1])
    found = f"got {names[0]} {list(first.shape)} and {names[1]} {list(second.shape)}"
    _require(chex.assert_equal_shape_suffix, [first, second], 1, says=f"rows must be of one length; {found}")
    if len(second) < len(first) or (equal and len(first) != len(second)):
        how = "as many" if equal else "at least as many"
        raise ValueError(f"there must be {how} {names[1]} as {names[0]}; {found}")
    return first, second, mask(where, first), None if given is None else ids(given, second)


def two_sets(x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Returns two sets of rows, having checked that their rows are floats, and as long as each other's."""
    first, second = (_matrix(taken(matrix, wants_rows(name)), name) for matrix, name in ((x, "x"), (y, "y")))
    says = f"the rows of x and y must be of one length; got {seen(first)} and {seen(second)}"
    _require(chex.assert_equal_shape_suffix, [first, second], 1, says=says)
    return first, second


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
    says = f"same must be bool, or numbers 0 and 1, of shape [{reference.shape[0]}]; got {seen(array)}"
    _require(chex.assert_shape, array, reference.shape[:1], says=says)
    if not _is_real(array) and array.dtype != bool:
        raise ValueError(says)
    return array


def number(name: str, value: Any) -> Any:
    """Returns what may be traced as a number."""
    wants = f"{name} must be a single number"
    if isinstance(value, str) and value == "soft":
        wants += " (the soft margin is `hinge_fn=jax.nn.softplus`)"
    found = taken(value, wants)
    if not _is_real(found):
        raise ValueError(f"{wants}; got {seen(value)}")
    return value if isinstance(value, int | float) else found


def _is_real(array: Any) -> bool:
    return any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer))


def scalar(name: str, value: Any, dtype: jnp.dtype) -> jax.Array:
    """Returns the number as a scalar of `dtype`, having checked that it is one."""
    array = jnp.asarray(value)
    _require(chex.assert_rank, array, 0, says=f"{name} must be a single number; got {seen(array)}")
    return array.astype(dtype)


def scalar_or_vector(name: str, value: Any, dtype: jnp.dtype) -> jax.Array:
    """Returns the number as a scalar of `dtype`, or as a vector of one for each class."""
    array = jnp.asarray(value)
    says = f"{name} must be a single number, or one for each class; got {seen(array)}"
    _require(chex.assert_rank, array, {0, 1}, says=says)
    return array.astype(dtype)


def thirds(embeddings: ArrayLike) -> jax.Array:
    """Returns the rows, having checked that they are anchors, positives and negatives, as many of each."""
    array = rows(embeddings)
    says = f"embeddings must hold anchors, positives and negatives, a multiple of 3 rows; got {seen(array)}"
    _require(chex.assert_is_divisible, array.shape[0], 3, says=says)
    return array


def distances(found: jax.Array, anchors: int, candidates: int) -> jax.Array:
    """Returns what a user's `distance_fn` returned, having checked it."""
    says = f"distance_fn must map [M, D] and [N, D] to floats [M, N]; here [{anchors}, {candidates}], got {seen(found)}"
    _require(chex.assert_shape, found, (anchors, candidates), says=says)
    _require(chex.assert_type, found, float, says=says)
    return found
