"""A loss of a batch whose rows are spread over a mesh, in the global view."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxtriplet import _checks
from jaxtriplet.parallel.automatic import automatic, of_automatic_axes
from jaxtriplet.parallel.meshes import axes_of, check_divides
from jaxtriplet.types import AxisName

ROW_KEYWORDS = ("where", "ids")
"""Keywords with a number for each row."""


def sharded(loss: Callable[..., Any], mesh: Mesh, *, axis_name: AxisName = None) -> Callable[..., Any]:
    """Returns the loss of a batch whose rows are spread over a mesh: the same number, a share of the work per device.

    Each device compares its own anchors with the rows of all devices. Take the gradient of the returned function,
    inside `jax.jit`.

    Args:
        loss: A loss of `jaxtriplet`, or any function with its keywords `where` and `axis_name`. Its arguments that are
            rows are spread: those that its attribute `row_arguments` names, or else every positional array with axes.
            Others (margins, class weights) are the same everywhere, and so are keywords, `memory` among them; but for
            `where` and `ids`, which have a number for each row.
        mesh: The mesh.
        axis_name: The axes of the mesh over which rows are spread; None for all of them.

    Returns:
        A function of the loss's arguments in the global view. With `reduce_fn=None` it returns the terms of all rows.
        `deep_speaker` sees each device's rows as thirds, and `info_nce` the first of each device's documents as those
        of its queries: arrange them so.

    Raises:
        ValueError: When it is called: the rows do not divide among the devices.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtriplet
        >>> loss = jaxtriplet.parallel.sharded(jaxtriplet.semi_hard, jaxtriplet.parallel.data_mesh())
        >>> labels, embeddings = jnp.repeat(jnp.arange(8), 2), jnp.eye(16)
        >>> float(jax.jit(loss)(labels, embeddings, 0.5))
        0.5
    """
    axes = axes_of(mesh, axis_name)
    rows, everywhere = PartitionSpec(axes), PartitionSpec()
    declared = declared_rows(loss)

    def spec(name: str, argument: Any) -> Any:
        if declared is not None:
            return rows if name in declared else everywhere
        return jax.tree.map(lambda array: rows if np.ndim(array) else everywhere, argument)

    def over_devices(*arguments: Any, where: jax.Array | None = None, **keywords: Any) -> Any:
        names, arguments = by_position(loss, arguments, keywords)
        specs = tuple(spec(*one) for one in zip(names, arguments, strict=True))
        for argument, lies in zip(arguments, specs, strict=True):
            if lies == rows:
                check_divides(len(argument), mesh, axes)
        if keywords.get("ids") is not None:
            keywords["ids"] = _checks.by_name("ids", keywords["ids"])
            check_divides(len(keywords["ids"]), mesh, axes)
        traced = {name: keywords.pop(name) for name in [*keywords] if _is_traced(keywords[name])}
        lie = {name: rows if name in ROW_KEYWORDS else everywhere for name in traced}
        by_row = "reduce_fn" in keywords and keywords["reduce_fn"] is None
        found: Any = rows if by_row else everywhere
        out_specs = (found, everywhere) if keywords.get("has_aux") else found
        mapped = jax.shard_map(
            lambda where, traced, *given: loss(*given, where=where, axis_name=axes, **traced, **keywords),
            mesh=of_automatic_axes(mesh),
            in_specs=(rows, lie, *specs),
            out_specs=out_specs,
        )
        return automatic(mapped, mesh, out_specs)(where, traced, *arguments)

    return over_devices


def _is_traced(keyword: Any) -> bool:
    """Returns whether a keyword is an array, or a tree of them such as a memory."""
    leaves = jax.tree.leaves(keyword)
    return bool(leaves) and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves)


def declared_rows(loss: Callable[..., Any]) -> Sequence[str] | None:
    """Returns which arguments a loss says are rows, in its attribute `row_arguments`; None where it does not say."""
    plain = inspect.unwrap(loss, stop=lambda one: hasattr(one, "row_arguments"))
    return getattr(getattr(plain, "func", plain), "row_arguments", None)


def by_position(
    loss: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[list[str], tuple[Any, ...]]:
    """Returns the names of positional arguments, and these, of which declared rows are as JAX takes them.

    Raises:
        ValueError: Declared rows are no arrays, or given by name.
    """
    declared, names = declared_rows(loss) or (), names_of(loss, len(arguments))
    if named := [name for name in keywords if name in declared]:
        raise ValueError(f"rows are spread by their position: give {', '.join(named)} so, not by name")
    given = zip(names, arguments, strict=True)
    return names, tuple(_checks.rows_as_given(name, one) if name in declared else one for name, one in given)


def names_of(function: Callable[..., Any], count: int) -> list[str]:
    """Returns the names of as many positional arguments; those of `*rest` have one name."""
    names: list[str] = []
    for name, one in inspect.signature(function).parameters.items():
        more = count - len(names) if one.kind is one.VAR_POSITIONAL else 1
        names += [name] * more if one.kind is not one.KEYWORD_ONLY else []
    return names[:count]
