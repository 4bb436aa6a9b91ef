"""Class weights apart: each device keeps the weights of its share of the classes, and no device holds them all.

A softmax over a million identities has more weights than its encoder, and optimizers remember as many again. Two ways
to spread them, both for AAM-softmax (ArcFace):

1. a step of one's own: `parallel.sharded(loss, mesh, class_axis_name=...)`, and inside a `shard_map` or `pmap` the
   keyword `class_axis_name` of the loss itself;
2. `training.make_update` with `state_sharding=parallel.by_classes(state, mesh)`, which spreads the optimizer's too.

    pip install jaxtriplet
    XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/sharded_head.py   # a CPU as eight devices

Prints which share of the weights a device holds, how far loss and gradient are from those of one device, and how the
loss falls.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxtriplet as jt
from jaxtriplet import losses, parallel, training

CLASSES, WIDTH, ROWS, STEPS = 1024, 32, 64, 30


def main() -> None:
    """Compares both ways with one device, and trains by the second."""
    rng, mesh = np.random.default_rng(0), parallel.data_mesh()
    centres = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)

    def batch(step: int) -> training.Batch:
        labels = np.random.default_rng(step).integers(0, CLASSES, ROWS).astype(np.int32)
        return training.Batch(centres[labels], labels)

    # 1. A step of one's own. Weights lie by their classes, and so does their gradient.
    weights = jax.random.normal(jax.random.key(0), (CLASSES, WIDTH))
    spread = parallel.place(weights, parallel.by_rows(mesh))
    points, labels, *_ = batch(0)
    of_mesh = parallel.sharded(jt.aam_softmax, mesh, class_axis_name="data")
    loss, gradient = jax.jit(jax.value_and_grad(of_mesh, argnums=2))(labels, points, spread)
    alone, whole = jax.jit(jax.value_and_grad(jt.aam_softmax, argnums=2))(labels, points, weights)
    apart = float(jnp.max(jnp.abs(jax.device_get(gradient) - whole)))
    print(f"{mesh.size} devices, each with {gradient.addressable_data(0).shape[0]} of {CLASSES} classes: ", end="")
    print(f"loss {loss:.4f}, on one device {alone:.4f}; gradients differ by {apart:.0e} at most")
    assert apart < 1e-5

    # 2. The update of this library, with an encoder that is one matrix.
    def apply(params: dict[str, jax.Array], inputs: jax.Array) -> jax.Array:
        return inputs @ params["kernel"]

    loss_fn, optimizer = losses.weighted({"aam_softmax": 1.0}), training.make_optimizer(1e-2, weight_decay=0.0)
    sizes = {"width": WIDTH, "num_classes": CLASSES}
    state = training.create_state(apply, loss_fn, optimizer, seed=0, params={"kernel": jnp.eye(WIDTH)}, **sizes)
    lies = parallel.by_classes(state, mesh)
    state = parallel.place(state, lies)
    update = training.make_update(loss_fn, mesh=mesh, state_sharding=lies)
    history = []
    for step in range(STEPS):
        state, metrics = update(state, parallel.spread_rows(batch(step), mesh))
        history.append(float(metrics.loss))
    head = jax.tree.leaves(state.params["loss"])[0]
    print(f"{STEPS} updates: loss from {history[0]:.2f} to {history[-1]:.2f}; the head lies {head.sharding.spec}")


if __name__ == "__main__":
    main()
