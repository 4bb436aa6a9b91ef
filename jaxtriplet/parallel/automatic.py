"""Functions that run on a mesh with its axes left to XLA's partitioner, of whatever kind these are by themselves.

The axes of `jax.make_mesh` are Explicit: types say how arrays lie, each operation must be told how its result lies, and
under `jax.set_mesh` arrays of another mesh are refused. Neither encoders nor losses tell.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec


def of_automatic_axes(mesh: Mesh) -> Mesh:
    """Returns the mesh with all of its axes of the kind that XLA's partitioner looks after.

    Example:
        >>> of_automatic_axes(jax.make_mesh((1,), ("data",))).axis_types
        (Auto,)
    """
    return Mesh(mesh.devices, mesh.axis_names)


def automatic(function: Callable[..., Any], mesh: Mesh, out_specs: Any) -> Callable[..., Any]:
    """Returns the function, run on a mesh of automatic axes, whatever its own are, and whatever `jax.set_mesh` says.

    Args:
        function: A function of arrays in the global view.
        mesh: The mesh.
        out_specs: How the results lie where types must say it: a `PartitionSpec`, or a tree prefix of them.

    Returns:
        A function of the same arguments, whose results are of the mesh that `jax.set_mesh` has set, else of this one.
    """
    inside = of_automatic_axes(mesh).abstract_mesh

    def call(*arguments: Any) -> Any:
        context = jax.sharding.get_abstract_mesh()
        outside = mesh.abstract_mesh if context.empty else context
        with jax.sharding.use_abstract_mesh(inside):
            found = function(*jax.sharding.reshard(arguments, NamedSharding(inside, PartitionSpec())))
        if AxisType.Explicit not in outside.axis_types:
            return found
        return jax.sharding.reshard(found, jax.tree.map(lambda spec: _typed(spec, outside), out_specs))

    return call


def _typed(spec: PartitionSpec, mesh: AbstractMesh) -> NamedSharding:
    """Returns what a type can say of the spec: only Explicit axes of the mesh are named there."""
    explicit = {axis for axis, kind in zip(mesh.axis_names, mesh.axis_types, strict=True) if kind == AxisType.Explicit}

    def told(part: Any) -> tuple[str, ...] | None:
        names = (part,) if isinstance(part, str) else part or ()
        return tuple(name for name in names if name in explicit) or None

    return NamedSharding(mesh, PartitionSpec(*map(told, spec)))
