"""The arrays of a state by their names, as they are written, and a state of them again."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

_State = TypeVar("_State")


def arrays_of(state: Any) -> dict[str, jax.Array]:
    """Returns the arrays of a state by their paths in it; a key as its numbers.

    Args:
        state: The state.

    Raises:
        ValueError: It holds something else than arrays, none at all, or two by one name.
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    if not leaves:
        raise ValueError("a state must be a tree of arrays; it holds none")
    named = dict[str, Any]()
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if not hasattr(leaf, "dtype"):
            remedy = f": give `jnp.asarray({leaf!r})`" if isinstance(leaf, bool | int | float | complex) else ""
            raise ValueError(
                f"a state must be a tree of arrays; {name or 'it'} is of type {type(leaf).__name__}{remedy}"
            )
        if name in named:
            raise ValueError(f"the arrays of a state must have different names; two are called {name}")
        named[name] = leaf
    return {name: jax.random.key_data(leaf) if _is_key(leaf) else leaf for name, leaf in named.items()}


def with_arrays(state: _State, arrays: Any) -> _State:
    """Returns a state of the same run with other arrays.

    Args:
        state: The state.
        arrays: What `arrays_of` made of another one.
    """
    leaves, tree = jax.tree.flatten(state)
    named = zip(leaves, arrays_of(state), strict=True)
    return jax.tree.unflatten(tree, [_like(leaf, arrays[name]) for leaf, name in named])


def _like(leaf: Any, array: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
