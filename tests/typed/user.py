"""What a user with a type checker writes; it is checked, and run."""

from functools import partial
from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

import jaxtriplet as jt
from jaxtriplet import losses, reductions
from jaxtriplet.losses import registry
from jaxtriplet.training import Batch, Metrics, TrainState, create_state, make_optimizer, make_update, trained_model

labels: NDArray[np.int32] = np.array([0, 0, 1, 1], np.int32)
rows: NDArray[np.float32] = np.eye(4, dtype=np.float32)

# Losses of NumPy arrays and of JAX's are arrays, and arithmetic goes on with them.
assert_type(0.1 * jt.semi_hard(labels, rows, 0.2), jax.Array)
assert_type(jt.semi_hard(jnp.asarray(labels), jnp.asarray(rows), jnp.float32(0.2), negatives="all"), jax.Array)
assert_type(jt.batch_all(labels, rows, max_class_size=2, memory=None), jax.Array)
assert_type(jt.ge2e(labels, rows, scale=10.0, bias=-5.0, method="contrast", num_speakers=2), jax.Array)
assert_type(jt.batch_hard(labels, rows, hinge_fn=jax.nn.softplus, where=np.ones(4, bool), precision="fast"), jax.Array)
assert_type(jt.deep_speaker(rows[:3], 0.1) + jt.triplet(rows, rows, rows), jax.Array)
assert_type(jt.siamese_kl_hinge(labels == 0, rows, rows, symmetric=False), jax.Array)

# Statistics come where they are asked for, and only there.
loss, stats = jt.batch_all(labels, rows, 0.2, has_aux=True)
assert_type(loss, jax.Array)
assert_type(stats, jt.Stats)
assert_type(stats.fraction_active, jax.Array)
assert_type(jt.batch_all(labels, rows, 0.2, has_aux=False), jax.Array)
terms: jax.Array = jt.kl_hinge(labels, rows, reduce_fn=None)

# They go into JAX's transformations, and into functions of functions.
margin_fixed = partial(jt.semi_hard, margin=0.3, distance_fn=jt.distances.cosine)
value: jax.Array = margin_fixed(labels, rows)
gradient: jax.Array = jax.grad(jt.semi_hard, argnums=1)(labels, rows)
compiled: jax.Array = jax.jit(jt.batch_hard)(labels, rows)


def objective(weights: jax.Array) -> jax.Array:
    return jt.batch_hard(labels, jt.l2_normalize(rows @ weights), reduce_fn=reductions.mean_active)


value, gradient = jax.value_and_grad(objective)(jnp.eye(4))


# Distances, hinges and reductions are functions of a user's own.
def manhattan(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum(jnp.abs(x[:, None, :] - y[None, :, :]), axis=-1)


def twice_the_mean(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
    return 2 * reductions.mean(total, valid, active)


own: jax.Array = jt.batch_all(labels, rows, distance_fn=manhattan, reduce_fn=twice_the_mean)
near: jax.Array = jt.distances.euclidean(jnp.asarray(rows), jnp.asarray(rows))
distance_fn: jt.types.DistanceFn = manhattan

# Losses by name, and their sums.
known: registry.Loss = registry.find("semi-hard-all")
loss_fn: losses.Weighted = losses.weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.3})
total, by_name = loss_fn(loss_fn.init(jax.random.key(0)), jnp.asarray(labels), jnp.asarray(rows))
assert_type(total, jax.Array)
assert_type(by_name, dict[str, jt.Stats])


# A training step of any model.
class Linear(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layer = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.layer(inputs)


state: TrainState = create_state(Linear(nnx.Rngs(0)), loss_fn, make_optimizer(1e-3), seed=0)
update = make_update(loss_fn, average_decay=0.9)
state, metrics = update(state, Batch(rows, jnp.asarray(labels)))
assert_type(metrics, Metrics)
embeddings: jax.Array = trained_model(state)(rows)
