"""A loss of a batch whose rows are spread over a mesh, in the global view."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxtriplet import _checks
from jaxtriplet.parallel.automatic import automatic, of_automatic_axes
from jaxtriplet.parallel.meshes import axes_of, check_divides, size_of
from jaxtriplet.types import AxisName

ROW_KEYWORDS = ("where", "ids")
"""Keywords with a number for each row."""


def sharded(
    loss: Callable[..., Any], mesh: Mesh, *, axis_name: AxisName = None, class_axis_name: AxisName = None
) -> Callable[..., Any]:
    """Returns the loss of a batch whose rows are spread over a mesh: the same number, a share of the work per device.

    Each device compares its own anchors with the rows of all devices; or, with `class_axis_name`, the rows of all with
    its share of the classes, whose weights never leave it, and neither does their gradient. Take the gradient of the
    returned function, inside `jax.jit`.

    Args:
        loss: A loss of `jaxtriplet`, or any function with its keywords `where` and `axis_name`. Its arguments that are
            rows are spread: those that its attribute `row_arguments` names, or else every positional array with axes.
            Others (margins, class weights) are the same everywhere, and so are keywords, `memory` among them; but for
            `where` and `ids`, which have a number for each row.
        mesh: The mesh.
        axis_name: The axes of the mesh over which rows are spread; None for all of them.
        class_axis_name: The axes of the mesh over which classes are spread, often the same; None: every device holds
            all. Of the arguments that the loss's attribute `class_arguments` names, or a tree that they hold, arrays
            of two axes or more are class weights; a margin for each class stays whole.

    Returns:
        A function of the loss's arguments in the global view. With `reduce_fn=None` it returns the terms of all rows
        (of `proxy_anchor` those of all classes, where a device's share may be filled up with zeros). `deep_speaker`
        sees each device's rows as thirds, and `info_nce` the first of each device's documents as those of its queries:
        arrange them so.

    Raises:
        ValueError: The mesh has no such axes; or when it is called: rows or classes do not divide among the devices, no
            argument is class weights, or `reduce_fn=None` and the axes of classes are not the first of those of rows.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtriplet
        >>> mesh = jaxtriplet.parallel.data_mesh()
        >>> loss = jaxtriplet.parallel.sharded(jaxtriplet.semi_hard, mesh)
        >>> labels, embeddings = jnp.repeat(jnp.arange(8), 2), jnp.eye(16)
        >>> float(jax.jit(loss)(labels, embeddings, 0.5))
        0.5
        >>> loss = jaxtriplet.parallel.sharded(jaxtriplet.proxy_nca, mesh, class_axis_name="data")
        >>> round(float(jax.jit(loss)(labels, jnp.ones((16, 8)), jnp.eye(8))), 4)  # log 8
        2.0794
    """
    if not callable(loss):
        raise ValueError(f"loss must be a function of rows; got {_checks.seen(loss)}")
    axes = axes_of(mesh, axis_name)
    apart = () if class_axis_name is None else axes_of(mesh, class_axis_name, name="class_axis_name")
    rows, classes, everywhere = PartitionSpec(axes), PartitionSpec(apart), PartitionSpec()
    declared, of_classes = declared_rows(loss), declared_classes(loss)

    def spec(name: str, argument: Any) -> Any:
        if apart and name in of_classes:
            return jax.tree.map(lambda array: classes if np.ndim(array) > 1 else everywhere, argument)
        if declared is not None:
            return rows if name in declared else everywhere
        return jax.tree.map(lambda array: rows if np.ndim(array) else everywhere, argument)

    def over_devices(*arguments: Any, where: jax.Array | None = None, **keywords: Any) -> Any:
        names, arguments = by_position(loss, arguments, keywords)
        if "axis_name" in keywords:
            raise ValueError(
                "axis_name is told where the loss is spread: `parallel.sharded(loss, mesh, axis_name=...)`"
            )
        for name, one in zip(names, arguments, strict=True):
            if isinstance(one, str):
                raise ValueError(f"{name} must be an array or a number; got {one!r}")
        if where is not None:
            where = _checks.by_name("where", where)
            if np.ndim(where) != 1:
                raise ValueError(f"where must be bool, one for each row; got {_checks.seen(where)}")
            check_divides(len(where), mesh, axes)
        if apart:
            keywords |= {name: as_weights(name, keywords[name]) for name in of_classes if name in keywords}
            held = [*zip(names, arguments, strict=True), *keywords.items()]
            check_classes([one for name, one in held if name in of_classes], mesh, apart)
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
        if apart:
            lie |= {name: spec(name, traced[name]) for name in of_classes if name in traced}
            if by_row and axes[: len(apart)] != apart:
                raise ValueError("`reduce_fn=None`: name the axes of classes first among those of rows")
            keywords["class_axis_name"] = apart
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


def check_classes(arguments: Sequence[Any], mesh: Mesh, axes: Sequence[str]) -> None:
    """Raises a `ValueError` unless there are class weights, and all of them divide among the devices along the axes."""
    weights = [leaf for leaf in jax.tree.leaves(arguments) if np.ndim(leaf) > 1]
    if not weights:
        raise ValueError("`class_axis_name`: no argument that `class_arguments` of the loss names is class weights")
    devices = size_of(mesh, axes)
    for count in (len(array) for array in weights):
        if count % devices:
            more = -count % devices
            raise ValueError(
                f"{count} classes do not divide among {devices} devices: let each hold all, or draw weights of "
                f"{count + more}, of which no label names the last {more}"
            )


def _is_traced(keyword: Any) -> bool:
    """Returns whether a keyword is an array, or a tree of them such as a memory."""
    leaves = jax.tree.leaves(keyword)
    return bool(leaves) and all(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves)


def declared_rows(loss: Callable[..., Any]) -> Sequence[str] | None:
    """Returns which arguments a loss says are rows, in its attribute `row_arguments`; None where it does not say."""
    return _declared(loss, "row_arguments")


def declared_classes(loss: Callable[..., Any]) -> Sequence[str]:
    """Returns which arguments a loss says hold class weights, in its attribute `class_arguments`."""
    return _declared(loss, "class_arguments") or ()


def _declared(loss: Callable[..., Any], attribute: str) -> Sequence[str] | None:
    plain = inspect.unwrap(loss, stop=lambda one: hasattr(one, attribute))
    return getattr(getattr(plain, "func", plain), attribute, None)


def by_position(
    loss: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[list[str], tuple[Any, ...]]:
    """Returns the names of positional arguments, and these, of which declared ones are as JAX takes them.

    Raises:
        ValueError: Declared rows are no arrays, or given by name.
    """
    declared, names = declared_rows(loss) or (), names_of(loss, len(arguments))
    if named := [name for name in keywords if name in declared]:
        raise ValueError(f"rows are spread by their position: give {', '.join(named)} so, not by name")
    of_classes = declared_classes(loss)

    def taken(name: str, argument: Any) -> Any:
        if name in declared:
            return _checks.rows_as_given(name, argument)
        return as_weights(name, argument) if name in of_classes else argument

    return names, tuple(taken(name, one) for name, one in zip(names, arguments, strict=True))


def as_weights(name: str, argument: Any) -> Any:
    """Returns class weights, or a tree that holds some, as JAX takes them: lists of numbers, and arrays of others."""
    leaves = jax.tree.leaves(argument)
    is_listed = isinstance(argument, list | tuple) and all(isinstance(leaf, bool | int | float) for leaf in leaves)
    return _checks.rows_as_given(name, argument) if is_listed or hasattr(argument, "__array__") else argument


def names_of(function: Callable[..., Any], count: int) -> list[str]:
    """Returns the names of as many positional arguments; those of `*rest` have one name."""
    names: list[str] = []
    for name, one in inspect.signature(function).parameters.items():
        more = count - len(names) if one.kind is one.VAR_POSITIONAL else 1
        names += [name] * more if one.kind is not one.KEYWORD_ONLY else []
    return names[:count]
