"""What is given as an array, of whatever library: what JAX takes of it, and what to do with what it does not take."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet._checks.words import seen
from jaxtriplet.types import Memory

LABELS = "labels must be integers of shape [B]"
IDS = "ids must be integers, one for each document"
MEMORY = "memory must be one of `jaxtriplet.memory.create(size, dim)`"


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
        found = "rows of different lengths" if ragged else _found(x)
        raise ValueError(f"{wants}; got {found}{_of_another_library(x)}{_of_names(x, wants)}") from error
    return array


def hosted(x: Any, wants: str) -> np.ndarray:
    """Returns what NumPy makes an array of, names too.

    Args:
        x: Arrays of any library, lists, tables.
        wants: What it must be, for the error.

    Raises:
        ValueError: It is no array.
    """
    try:
        array = np.asarray(x)
    except Exception as error:  # whatever another library's arrays raise
        ragged = isinstance(x, list | tuple) and "inhomogeneous" in str(error)
        found = f"rows of different lengths, {seen(x)}" if ragged else seen(x)
        raise ValueError(f"{wants}; got {found}{_of_another_library(x)}") from error
    if array.dtype == object and not array.ndim:
        raise ValueError(f"{wants}; got {seen(x)}{_of_another_library(x)}")
    return array


def _found(x: Any) -> str:
    try:
        return seen(np.asarray(x)) if isinstance(x, list | tuple) else seen(x)
    except Exception:  # as above
        return seen(x)


def _of_another_library(x: Any) -> str:
    """Returns how another library makes an array of what is none, where that is known."""
    one = x[0] if isinstance(x, list | tuple) and x else x
    if hasattr(one, "detach"):
        return "; `.detach().cpu().numpy()` of a tensor, whose gradient does not go back from JAX"
    return "; `.toarray()` of a sparse matrix" if hasattr(x, "toarray") else ""


def _of_names(x: Any, wants: str) -> str:
    """Returns how to number names, where they stand for labels."""
    name = wants.split(maxsplit=1)[0]
    is_listed = isinstance(x, list | tuple) and any(isinstance(one, str) for one in x)
    is_told = str(getattr(x, "dtype", "")).startswith(("<U", "str", "object", "category"))
    if name not in ("labels", "ids") or not (is_listed or is_told):
        return ""
    return f"; number names by `np.unique({name}, return_inverse=True)[1]`"


def host_labels(labels: Any, wants: str = LABELS) -> Any:
    """Returns labels that JAX can take without two of them becoming one, as 64-bit integers would without a word."""
    array = taken(labels, wants)
    if isinstance(array, jax.Array):
        return array
    name = wants.split(maxsplit=1)[0]
    if array.size == 0:
        return array.astype(np.int32) if array.ndim == 1 else array
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{wants}; got {seen(array)}{of_labels(array)}")
    fits = np.iinfo(jax.dtypes.canonicalize_dtype(array.dtype))
    if array.min() < fits.min or array.max() > fits.max:
        raise ValueError(
            f"{name} must fit in {fits.dtype}, or two of them could become one; number them anew with "
            f"`np.unique({name}, return_inverse=True)[1]`, or set jax_enable_x64"
        )
    return array


def of_labels(labels: Any) -> str:
    """Returns how to make labels of what is none, where that is known."""
    if labels.ndim == 2:
        return "; a column, by `labels[:, 0]`" if labels.shape[1] == 1 else "; one-hot rows by `argmax(1)`"
    is_number = jnp.issubdtype(labels.dtype, np.floating) or labels.dtype == bool
    return "; `labels.astype(int)`, if they are whole" if is_number and labels.ndim == 1 else ""


def of_rows(rows: Any, name: str) -> str:
    """Returns how to make a matrix of floats of what is none, where that is known."""
    if rows.ndim == 1 and not jnp.issubdtype(rows.dtype, jnp.integer):
        return f"; one row by `{name}[None]`, rows of one number by `{name}[:, None]`"
    if rows.ndim > 2:
        return f"; `{name}.mean(1)` is one row of each, `{name}.reshape(-1, {rows.shape[-1]})` are all of their rows"
    if rows.ndim == 2 and (rows.dtype == bool or jnp.issubdtype(rows.dtype, jnp.integer)):
        return f"; `{name}.astype(float)`"
    return ""


def rows_as_given(name: str, value: Any) -> Any:
    """Returns the rows of an argument of that name as JAX takes them."""
    return host_labels(value) if name == "labels" else taken(value, wants_rows(name))


def by_name(name: str, value: Any) -> Any:
    """Returns the array, or the memory, that a keyword of that name holds."""
    if name == "where":
        return taken(value, "where must be bool of shape [B]")
    if name == "ids":
        return host_labels(value, IDS)
    if not isinstance(value, Memory):
        raise ValueError(f"{MEMORY}; got {seen(value)}")
    return Memory(*(taken(part, MEMORY) for part in value))


def wants_rows(name: str) -> str:
    """Returns what rows must be, in words."""
    if name == "same":
        return "same must be bool, or numbers 0 and 1, of shape [B]"
    if name in ("weights", "proxies", "centers"):
        return f"{name} must be floats of shape [C, D], or of shape [C, K, D] with K centres for each class"
    return f"{name} must be floats of shape [B, {'C' if name in ('x', 'y') else 'D'}]"
