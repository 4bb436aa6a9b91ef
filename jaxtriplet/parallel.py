"""Many devices and many hosts: a mesh, how batches and states lie on it, and losses of the batch of all devices.

Each device compares its own anchors with the rows of all: one all-gather of the embeddings [B, D], one reduce-scatter
of their gradient, and sums. Three ways lead to the same numbers. What they share:

>>> import jax, jax.numpy as jnp, numpy as np
>>> from flax import nnx
>>> from jax.sharding import PartitionSpec as P
>>> from jaxtriplet import losses, parallel
>>> from jaxtriplet.models import BLSTM
>>> from jaxtriplet.training import Batch, create_state, make_optimizer, make_update
>>> loss_fn, optimizer = losses.weighted({"batch_hard": 1.0}), make_optimizer(1e-2)
>>> def fresh():
...     encoder = BLSTM(3, hidden=4, layers=1, embedding_dim=4, rngs=nnx.Rngs(0))
...     return create_state(encoder, loss_fn, optimizer, seed=0)
>>> features = np.random.default_rng(0).normal(size=(16, 5, 3)).astype(np.float32)
>>> batch = Batch(features, np.full(16, 5, np.int32), np.repeat(np.arange(8, dtype=np.int32), 2))
>>> mesh = parallel.data_mesh()  # all devices of all processes

**The global view**, the one to prefer: one `jax.jit` over arrays under `NamedSharding`. `spread_rows` takes what this
process has loaded (`share_of` says which rows); `state_sharding=parallel.fully_sharded(state, mesh)` spreads the state
too. For a training step of your own, `sharded(loss, mesh)` is the loss.

>>> update = make_update(loss_fn, mesh=mesh)
>>> state = parallel.place(fresh(), parallel.replicated(mesh))
>>> state, of_mesh = update(state, parallel.spread_rows(batch, mesh))

**`jax.pmap`**, on arrays with a leading axis of devices:

>>> update = jax.pmap(make_update(loss_fn, axis_name="data"), axis_name="data", donate_argnums=0)
>>> copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * mesh.size), fresh())
>>> copies, of_pmap = update(copies, jax.tree.map(lambda x: x.reshape(mesh.size, -1, *x.shape[1:]), batch))

**`jax.shard_map`** of the same function:

>>> update = make_update(loss_fn, axis_name="data")
>>> update = jax.shard_map(update, mesh=mesh, in_specs=(P(), P("data")), out_specs=(P(), P()))
>>> update = jax.jit(update, donate_argnums=0)
>>> state = parallel.place(fresh(), parallel.replicated(mesh))
>>> state, of_shard_map = update(state, parallel.spread_rows(batch, mesh))
>>> bool(jnp.allclose(of_pmap.loss, of_mesh.loss)), bool(jnp.allclose(of_shard_map.loss, of_mesh.loss))
(True, True)

XLA's partitioner does not split a loop over tiles: a loss under plain `jit` and `NamedSharding` is right, but does all
of the work on every device. That is why `sharded` exists.

Several processes call `initialize` before anything else; `jaxtriplet train --distributed` does.
"""

from collections import Counter
from collections.abc import Callable, Sequence
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


def sharded(loss: Callable[..., Any], mesh: Mesh, *, axis_name: AxisName = None) -> Callable[..., Any]:
    """Returns the loss of a batch whose rows are spread over a mesh: the same number, a share of the work per device.

    Each device compares its own anchors with the rows of all devices. Take the gradient of the returned function,
    inside `jax.jit`.

    Args:
        loss: A loss of `jaxtriplet`, or any function with its keywords `where` and `axis_name`. Its positional arrays
            with axes are spread by rows; scalars (margin, scale, bias) are the same everywhere.
        mesh: The mesh.
        axis_name: The axes of the mesh over which rows are spread; None for all of them.

    Returns:
        A function of the loss's arguments in the global view. With `reduce_fn=None` it returns the terms of all rows.
        `deep_speaker` sees each device's rows as thirds, so arrange them so.

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

    def over_devices(*arrays: Any, where: jax.Array | None = None, **keywords: Any) -> Any:
        rows, everywhere = PartitionSpec(axes), PartitionSpec()
        for array in jax.tree.leaves(arrays):
            if np.ndim(array):
                check_divides(len(array), mesh, axes)
        by_row = "reduce_fn" in keywords and keywords["reduce_fn"] is None
        found: Any = rows if by_row else everywhere
        return jax.shard_map(
            lambda where, *arrays: loss(*arrays, where=where, axis_name=axes, **keywords),
            mesh=mesh,
            in_specs=(rows, *jax.tree.map(lambda array: rows if np.ndim(array) else everywhere, arrays)),
            out_specs=(found, everywhere) if keywords.get("has_aux") else found,
        )(where, *arrays)

    return over_devices


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


def share_of(rows: int) -> slice:
    """Returns which rows of a batch this process loads.

    A batch stands speaker by speaker, so that a process has speakers of its own.

    Args:
        rows: The number of rows in the batch of all processes.

    Returns:
        A slice.

    Raises:
        ValueError: The rows do not divide among the processes.

    Example:
        >>> share_of(90)
        slice(0, 90, None)
    """
    count, index = jax.process_count(), jax.process_index()
    if rows % count:
        raise ValueError(f"a batch of {rows} rows does not divide among {count} processes")
    each = rows // count
    return slice(index * each, (index + 1) * each)


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


# A dead process is noticed after so many seconds without a sign of life; a live one gives ten in that time.
HEARTBEAT = 10
# The processes of a job may be started minutes apart.
PATIENCE = 300


def initialize(coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None) -> None:
    """Joins the processes of a job, with JAX's distributed runtime; call it before anything else of JAX.

    Args:
        coordinator: "host:port" of process 0; None, with the other two, for what SLURM, Open MPI or Kubernetes tell.
        num_processes: How many processes there are.
        process_id: Which of them this is, from 0.

    Raises:
        ValueError: Some but not all are given, or the environment does not tell.
    """
    given = [coordinator is not None, num_processes is not None, process_id is not None]
    if any(given) and not all(given):
        raise ValueError("coordinator, number of processes and process id belong together: give all three, or none")
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except ValueError as error:
        raise ValueError(
            "neither SLURM, Open MPI nor Kubernetes tells where the other processes are; name coordinator, number of "
            f"processes and process id ({error})"
        ) from None
