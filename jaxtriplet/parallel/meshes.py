"""Meshes of devices, and how batches and states lie on them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtriplet.types import AxisName

_Tree = TypeVar("_Tree")


def data_mesh(devices: Sequence[Any] | None = None, *, axis_name: str = "data") -> Mesh:
    """Returns a mesh of one axis, over which the rows of a batch are spread.

    Args:
        devices: The devices; None for all, of all processes.
        axis_name: The name of the axis.

    Returns:
        The mesh; its axis is of the kind that leaves the rest of a program to XLA's partitioner.

    Raises:
        ValueError: The processes have different numbers of devices.

    Example:
        >>> dict(data_mesh(jax.devices()[:1]).shape)
        {'data': 1}
    """
    devices = jax.devices() if devices is None else devices
    counts = Counter(device.process_index for device in devices)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"process {process} has {count}" for process, count in sorted(counts.items()))
        raise ValueError(f"every process must have as many devices: {told}")
    return Mesh(np.array(devices), (axis_name,))


def axes_of(mesh: Mesh, axis_name: AxisName = None) -> tuple[str, ...]:
    """Returns the axes over which rows are spread: those named, or all of the mesh."""
    if axis_name is None:
        return tuple(mesh.axis_names)
    return (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)


def check_divides(rows: int, mesh: Mesh, axes: Sequence[str]) -> None:
    """Raises a `ValueError` if the rows do not divide among the devices along the axes."""
    devices = int(np.prod([mesh.shape[axis] for axis in axes]))
    if rows % devices:
        raise ValueError(f"a batch of {rows} rows does not divide among {devices} devices")


def by_rows(mesh: Mesh, *, axis_name: AxisName = None) -> NamedSharding:
    """Returns the sharding of an array whose rows are spread over the mesh."""
    return NamedSharding(mesh, PartitionSpec(axes_of(mesh, axis_name)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def fully_sharded(tree: _Tree, mesh: Mesh, *, least: int = 2**12) -> _Tree:
    """Returns a sharding for each array of a state, so that every device keeps a share of it (FSDP, ZeRO).

    XLA gathers a layer's parameters where it needs them, and scatters their gradients.

    Args:
        tree: The state, or anything with shapes.
        mesh: The mesh; arrays are split over all of its axes.
        least: Arrays of fewer numbers than this stay whole on every device: to gather them would cost more.

    Returns:
        The tree with a `NamedSharding` in place of each array: the longest axis that divides among devices is split.

    Example:
        >>> import jax.numpy as jnp
        >>> mesh = data_mesh(jax.devices()[:1])
        >>> fully_sharded({"w": jnp.ones((8, 1024)), "b": jnp.ones(8)}, mesh)["w"].spec == PartitionSpec(None, "data")
        True

    Reference:
        Rajbhandari, Rasley, Ruwase and He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
        2020.
    """
    axes, devices = tuple(mesh.axis_names), mesh.size

    def lies(array: Any) -> NamedSharding:
        splits = [axis for axis, length in enumerate(array.shape) if length % devices == 0]
        if array.size < least or not splits:
            return replicated(mesh)
        longest = max(splits, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[axes if axis == longest else None for axis in range(longest + 1)]))

    return jax.tree.map(lies, tree)


def place(tree: _Tree, sharding: Any) -> _Tree:
    """Puts a tree of arrays that every process holds whole onto the devices of all processes.

    Args:
        tree: Arrays, the same on every process.
        sharding: A sharding, or a tree of them (`fully_sharded`).

    Returns:
        The tree as global arrays.
    """
    shardings = sharding if not isinstance(sharding, NamedSharding) else jax.tree.map(lambda _: sharding, tree)
    return jax.tree.map(_put, tree, shardings)


def _put(array: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(array), sharding), impl=jax.random.key_impl(array))
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def spread_rows(tree: _Tree, mesh: Mesh) -> _Tree:
    """Makes a global batch of what each process has loaded.

    Args:
        tree: Arrays of this process's rows (`share_of`).
        mesh: The mesh.

    Returns:
        The tree as global arrays, spread by rows.

    Raises:
        ValueError: The rows do not divide among the devices.
    """
    sharding = by_rows(mesh)

    def spread(array: Any) -> jax.Array:
        check_divides(len(array) * jax.process_count(), mesh, mesh.axis_names)
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    return jax.tree.map(spread, tree)


def on_this_process(tree: _Tree) -> _Tree:
    """Returns arrays that every device holds whole as arrays of this process alone, to go on with locally."""
    return jax.tree.map(lambda array: array.addressable_data(0), tree)
