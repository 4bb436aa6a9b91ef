"""Meshes of devices, and how batches and states lie on them."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtriplet import _checks
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
    _checks.word("the axis", axis_name, such_as="data")
    if not isinstance(devices, Sequence | np.ndarray) or not all(hasattr(one, "process_index") for one in devices):
        first = f"jax.devices()[:{devices}]" if isinstance(devices, int) else "jax.devices()"
        raise ValueError(f"devices must be a list of devices, such as `{first}`; got {_checks.seen(devices)}")
    if not len(devices):
        raise ValueError("devices must be one at least; got none")
    counts = Counter(device.process_index for device in devices)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"process {process} has {count}" for process, count in sorted(counts.items()))
        raise ValueError(f"every process must have as many devices: {told}")
    return Mesh(np.array(devices), (axis_name,))


def axes_of(mesh: Mesh, axis_name: AxisName = None, *, name: str = "axis_name") -> tuple[str, ...]:
    """Returns the axes over which rows are spread: those named, or all of the mesh.

    Args:
        mesh: The mesh.
        axis_name: The axes, or None.
        name: What the argument that names them is called.

    Raises:
        ValueError: The mesh has no such axis.
    """
    _checks.mesh(mesh)
    if axis_name is None:
        return tuple(mesh.axis_names)
    axes = (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
    if unknown := [axis for axis in axes if axis not in mesh.shape]:
        raise ValueError(f"{name} must name axes of the mesh ({', '.join(mesh.axis_names)}); got {unknown[0]!r}")
    return axes


def size_of(mesh: Mesh, axes: Sequence[str]) -> int:
    """Returns how many devices share something along the axes."""
    return math.prod(mesh.shape[axis] for axis in axes)


def check_divides(rows: int, mesh: Mesh, axes: Sequence[str]) -> None:
    """Raises a `ValueError` if the rows do not divide among the devices along the axes."""
    if rows % (devices := size_of(mesh, axes)):
        raise ValueError(f"a batch of {rows} rows does not divide among {devices} devices")


def by_rows(mesh: Mesh, *, axis_name: AxisName = None) -> NamedSharding:
    """Returns the sharding of an array whose rows are spread over the mesh."""
    return NamedSharding(mesh, PartitionSpec(axes_of(mesh, axis_name)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds whole."""
    _checks.mesh(mesh)
    return NamedSharding(mesh, PartitionSpec())


def fully_sharded(tree: _Tree, mesh: Mesh, *, least: int = 2**12) -> _Tree:
    """Returns a sharding for each array of a state, so that every device keeps a share of it (FSDP, ZeRO).

    XLA gathers a layer's parameters where it needs them, and scatters their gradients; but for class weights, which
    stay where they are.

    Args:
        tree: The state, or anything with shapes.
        mesh: The mesh; arrays are split over all of its axes.
        least: Arrays of fewer numbers than this stay whole on every device: to gather them would cost more.

    Returns:
        The tree with a `NamedSharding` in place of each array: the longest axis that divides among devices is split,
        and of class weights that of the classes, if they divide.

    Example:
        >>> import jax.numpy as jnp
        >>> mesh = data_mesh(jax.devices()[:1])
        >>> fully_sharded({"w": jnp.ones((8, 1024)), "b": jnp.ones(8)}, mesh)["w"].spec == PartitionSpec(None, "data")
        True

    Reference:
        Rajbhandari, Rasley, Ruwase and He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
        2020.
    """
    axes = axes_of(mesh)
    devices = mesh.size

    def lies(path: Any, array: Any) -> NamedSharding:
        splits = [axis for axis, length in enumerate(array.shape) if length % devices == 0]
        if array.size < least or not splits:
            return replicated(mesh)
        if 0 in splits and _is_of_classes(path, array):
            return NamedSharding(mesh, PartitionSpec(axes))
        longest = max(splits, key=lambda axis: array.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*[axes if axis == longest else None for axis in range(longest + 1)]))

    return jax.tree.map_with_path(lies, tree)


def by_classes(tree: _Tree, mesh: Mesh, *, axis_name: AxisName = None, least: int = 2**12) -> _Tree:
    """Returns a sharding for each array of a state, so that every device keeps a share of the classes and all the rest.

    Class weights, and what an optimizer remembers of each, are spread by their classes; they are what lies below
    `"loss"` in parameters and has two axes or more. `make_update` then lets each device meet its own.

    Args:
        tree: The state, or anything with shapes, such as `jax.eval_shape(start)` of a function that makes a state:
            `jax.jit(start, out_shardings=...)()` then draws the weights where they are to lie.
        mesh: The mesh.
        axis_name: The axes of the mesh over which classes are spread; None for all of them.
        least: Weights of fewer numbers than this stay whole on every device: to let rows travel would cost more.

    Returns:
        The tree with a `NamedSharding` in place of each array. Classes that do not divide among the devices stay whole.

    Example:
        >>> import jax.numpy as jnp
        >>> mesh = data_mesh(jax.devices()[:1])
        >>> params = {"encoder": jnp.ones((64, 64)), "loss": {"proxy_nca": {"proxies": jnp.ones((1024, 64))}}}
        >>> [tuple(lies.spec) for lies in jax.tree.leaves(by_classes(params, mesh))]
        [(), ('data',)]

    Reference:
        An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2020.
    """
    axes = axes_of(mesh, axis_name)
    classes, devices = by_rows(mesh, axis_name=axes), size_of(mesh, axes)

    def lies(path: Any, array: Any) -> NamedSharding:
        is_spread = _is_of_classes(path, array) and array.size >= least and array.shape[0] % devices == 0
        return classes if is_spread else replicated(mesh)

    return jax.tree.map_with_path(lies, tree)


def _is_of_classes(path: Sequence[Any], array: Any) -> bool:
    """Returns whether an array of a state is class weights, or what an optimizer remembers of each of their numbers."""
    return array.ndim > 1 and any(getattr(key, "key", None) == "loss" for key in path)


def place(tree: _Tree, sharding: Any) -> _Tree:
    """Puts a tree of arrays that every process holds whole onto the devices of all processes.

    Args:
        tree: Arrays, the same on every process.
        sharding: A sharding, or a tree of them (`fully_sharded`).

    Returns:
        The tree as global arrays.
    """
    if isinstance(sharding, Mesh):
        raise ValueError("sharding must say how arrays lie on the mesh, such as `jaxtriplet.parallel.replicated(mesh)`")
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
        if not np.ndim(array):
            raise ValueError(f"tree must hold arrays with rows to spread; got {_checks.seen(array)}")
        check_divides(len(array) * jax.process_count(), mesh, mesh.axis_names)
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    return jax.tree.map(spread, tree)


def gathered(tree: _Tree, mesh: Mesh) -> _Tree:
    """Returns global arrays, however they lie on the mesh, as arrays that every device holds whole.

    Args:
        tree: The arrays.
        mesh: The mesh; all of its processes call this.
    """
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))(tree)


def on_this_process(tree: _Tree) -> _Tree:
    """Returns arrays that every device holds whole as arrays of this process alone, to go on with locally.

    Raises:
        ValueError: An array is spread over devices.
    """

    def whole(array: jax.Array) -> jax.Array:
        _checks.given("each of the tree", array, jax.Array, "an array of JAX")
        if not array.is_fully_replicated:
            raise ValueError(f"an array of shape {array.shape} is spread over devices: `gathered` makes it whole")
        return array.addressable_data(0)

    return jax.tree.map(whole, tree)
