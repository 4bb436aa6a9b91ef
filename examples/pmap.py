"""`jax.pmap`: each device has its share of a batch, and its anchors meet the rows of all devices.

The whole difference to one device is `axis_name="data"` in the loss, which is then that of the whole batch on every
device, and `jax.lax.pmean` of the gradient. JAX now recommends `jax.shard_map`, under which the same step works.

    pip install jaxtriplet
    XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/pmap.py   # a CPU as eight devices

Prints on how many devices it runs, how far loss and weights are from those of one device that had the whole batch, and
how the loss falls.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtriplet as jt

CLASSES, WIDTH, STEPS = 16, 12, 60

optimizer = optax.sgd(0.5)


def step(weights: jax.Array, state: Any, points: jax.Array, labels: jax.Array, axis_name: str | None = None) -> Any:
    """Returns weights and state after a step, and the loss before it: of the rows of all devices along the axis."""

    def objective(weights: jax.Array) -> jax.Array:
        return jt.batch_hard(labels, jt.l2_normalize(points @ weights), margin=0.5, axis_name=axis_name)

    loss, gradient = jax.value_and_grad(objective)(weights)
    if axis_name is not None:
        gradient = jax.lax.pmean(gradient, axis_name)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(weights, change), state, loss


def main() -> None:
    """Compares a step with one device, and trains."""
    devices, rng = jax.local_device_count(), np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, WIDTH))
    rows = 16 * devices
    labels = rng.integers(0, CLASSES, rows).astype(np.int32)
    points = (centres[labels] + 0.3 * rng.normal(size=(rows, WIDTH))).astype(np.float32)
    weights = jax.random.normal(jax.random.key(0), (WIDTH, 8))
    state = optimizer.init(weights)

    # Arrays under pmap have a first axis of devices; what all devices hold whole is given once, by in_axes=None.
    on_all = jax.pmap(partial(step, axis_name="data"), axis_name="data", in_axes=(None, None, 0, 0), out_axes=None)
    shares = points.reshape(devices, -1, WIDTH), labels.reshape(devices, -1)

    alone, together = jax.jit(step)(weights, state, points, labels), on_all(weights, state, *shares)
    apart = [float(jnp.max(jnp.abs(one - other))) for one, other in zip(alone[::2], together[::2], strict=True)]
    print(f"{devices} devices and one: weights differ by {apart[0]:.0e} at most, losses by {apart[1]:.0e}")
    assert max(apart) < 1e-5

    history = []
    for _ in range(STEPS):
        weights, state, loss = on_all(weights, state, *shares)
        history.append(float(loss))
    print(f"{STEPS} steps: loss from {history[0]:.3f} to {history[-1]:.3f}")


if __name__ == "__main__":
    main()
