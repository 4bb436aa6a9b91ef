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
>>> frames = np.random.default_rng(0).normal(size=(16, 5, 3)).astype(np.float32)
>>> batch = Batch(frames, np.repeat(np.arange(8, dtype=np.int32), 2), lengths=np.full(16, 5, np.int32))
>>> mesh = parallel.data_mesh()  # all devices of all processes

**The global view**, the one to prefer: one `jax.jit` over arrays under `NamedSharding`. `spread_rows` takes what this
process has loaded (`share_of` says which rows); `state_sharding=parallel.fully_sharded(state, mesh)` spreads the state
too. For a training step of your own, `sharded(loss, mesh)` is the loss.

**Class weights** need not be whole anywhere: with `state_sharding=parallel.by_classes(state, mesh)` (`fully_sharded`
too) each device keeps a share of the classes, and of what the optimizer remembers of them, and meets the rows of all.
In a step of your own, `sharded(loss, mesh, class_axis_name="data")` does so. A checkpoint of such a state is restored
onto any number of devices.

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

A mesh may be one of `data_mesh` or of `jax.make_mesh`, its axes of any kind (Explicit ones included), set by
`jax.set_mesh` or not: all of this works alike. Outside of `jax.jit`, JAX itself takes the gradient of rows that are
spread over Explicit axes only under `jax.set_mesh`.

XLA's partitioner does not split a loop over tiles: a loss under plain `jit` and `NamedSharding` is right, but does all
of the work on every device. That is why `sharded` exists.

`check` compares a loss of your own over devices with one device, value and gradient, under all three, and names in
words what is usually wrong: a sum where a mean belongs, rows that are compared within devices only. Simulated devices
will do.

Several processes call `initialize` before anything else; `jaxtriplet train --distributed` does.
"""

from jaxtriplet.parallel.automatic import automatic as automatic
from jaxtriplet.parallel.checking import check as check
from jaxtriplet.parallel.meshes import (
    axes_of as axes_of,
    by_classes as by_classes,
    by_rows as by_rows,
    check_divides as check_divides,
    data_mesh as data_mesh,
    fully_sharded as fully_sharded,
    gathered as gathered,
    on_this_process as on_this_process,
    place as place,
    replicated as replicated,
    spread_rows as spread_rows,
)
from jaxtriplet.parallel.processes import initialize as initialize, share_of as share_of
from jaxtriplet.parallel.sharding import sharded as sharded
