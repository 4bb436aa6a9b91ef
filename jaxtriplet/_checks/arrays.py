"""Arrays, and what they must be of each other."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet._checks import conversion
from jaxtriplet._checks.words import seen
from jaxtriplet.types import Memory

_KNOWN = "the number of rows must be known when a loss is compiled, since they are compared a tile at a time"


def _require(assertion: Callable[..., None], *args: Any, says: str) -> None:
    try:
        assertion(*args)
    except AssertionError:
        raise ValueError(says) from None


def _matrix(x: ArrayLike, name: str) -> jax.Array:
    array = jnp.asarray(x)
    says = f"{conversion.wants_rows(name)}; got {seen(array)}{conversion.of_rows(array, name)}"
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
    array = jnp.asarray(conversion.host_labels(labels))
    says = f"{conversion.LABELS}; got {seen(array)}{conversion.of_labels(array)}"
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
    hint = "" if array.ndim else f"; {name} come third, numbers such as the margin after them"
    says = f"{conversion.wants_rows(name)}; got {seen(array)}{hint}"
    _require(chex.assert_type, array, float, says=says)
    _require(chex.assert_rank, array, {2, 3}, says=says)
    if array.ndim == 3 and not several:
        raise ValueError(f"{name} must be of shape [C, D] here, one vector for each class; got {seen(array)}")
    if 0 in array.shape[:-1]:
        raise ValueError(f"{name} must be of one class at least; got {seen(array)}")
    if array.shape[-1] != reference.shape[1]:
        hint = f"; transposed? `{name}.T`" if array.ndim == 2 and len(array) == reference.shape[1] else ""
        raise ValueError(f"{name} must be as long as embeddings, {reference.shape[1]} numbers; got {seen(array)}{hint}")
    return array


def for_each_class(number: jax.Array, classes: int) -> None:
    """Raises a `ValueError` unless there is a number for each class."""
    if number.shape != (classes,):
        raise ValueError(f"margin must be a single number, or one for each of {classes} classes; got {seen(number)}")


def memory(given: Memory, labels: jax.Array, reference: jax.Array) -> Memory:
    """Returns the memory, having checked it, and that labels and rows are such as it can hold."""
    found = Memory(*map(jnp.asarray, given))
    says, width = f"{conversion.MEMORY}; got {', '.join(map(seen, found))}", reference.shape[1]
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
    says = f"{conversion.IDS}, of shape [{reference.shape[0]}]; got {seen(array)}"
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


def pairwise(name: str, scores: Any, axis: Any, **masks: Any) -> tuple[int, list[jax.Array]]:
    """Returns the axis, counted from the first, and masks of pairs, having checked them against the scores of these."""
    array = jnp.asarray(conversion.taken(scores, f"{name} must be floats [candidate, anchor]"))
    if axis not in (0, 1, -1, -2):
        raise ValueError(f"axis must be 0 for [candidate, anchor], or 1 for [anchor, candidate]; got {axis!r}")
    checked = []
    for key, given in masks.items():
        wants = f"{key} must be bool of the shape of {name}, {list(array.shape)}"
        found = jnp.asarray(conversion.taken(given, wants))
        fits = found.ndim == array.ndim and all(
            own in (1, other) for own, other in zip(found.shape, array.shape, strict=True)
        )
        if not fits or not (found.dtype == bool or jnp.issubdtype(found.dtype, jnp.integer)):
            raise ValueError(f"{wants}; got {seen(found)}")
        checked.append(found.astype(bool))
    return axis % 2, checked


def two_sets(x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Returns two sets of rows, having checked that their rows are floats, and as long as each other's."""
    first, second = (
        _matrix(conversion.taken(matrix, conversion.wants_rows(name)), name) for matrix, name in ((x, "x"), (y, "y"))
    )
    says = f"the rows of x and y must be of one length; got {seen(first)} and {seen(second)}"
    _require(chex.assert_equal_shape_suffix, [first, second], 1, says=says)
    return first, second


def mask(where: ArrayLike | None, reference: jax.Array) -> jax.Array | None:
    """Returns `where`, having checked that it is None or a boolean for each row of the reference."""
    if where is None:
        return None
    array = jnp.asarray(where)
    wants = f"where must be bool of shape [{reference.shape[0]}], True for rows to keep; got {seen(array)}"
    if jnp.issubdtype(array.dtype, jnp.integer):
        is_mask = array.shape == reference.shape[:1]
        wants += "; `where.astype(bool)`, if 1 is to keep" if is_mask else "; a flag for each row, not places of some"
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
    if callable(value) and not hasattr(value, "dtype"):
        raise ValueError(f"{wants}; got {seen(value)}; `jaxtriplet.losses.weighted` takes schedules of the step")
    try:
        found = conversion.taken(value, wants)
    except ValueError as error:
        raise ValueError(f"{error}{_as_number(value)}") from error
    if not _is_real(found):
        raise ValueError(f"{wants}; got {seen(value)}{_as_number(value)}")
    return value if isinstance(value, int | float) else found


def _as_number(value: Any) -> str:
    """Returns how to give a number that is given as something else, where that is known."""
    if value is None:
        return "; left out, it has a default"
    try:
        return f"; {float(value):g}, without quotes" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _is_real(array: Any) -> bool:
    return any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer))


def scalar(name: str, value: Any, dtype: jnp.dtype) -> jax.Array:
    """Returns the number as a scalar of `dtype`, having checked that it is one."""
    array = jnp.asarray(value)
    of_classes = "; one for each class is for losses of class weights" if name == "margin" and array.ndim == 1 else ""
    _require(chex.assert_rank, array, 0, says=f"{name} must be a single number; got {seen(array)}{of_classes}")
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
