"""The contenders in JAX: this library, the floor, and the textbook formulas."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import masks
from jaxtriplet.distances import euclidean, squared_euclidean
from jaxtriplet.losses import registry

Loss = Callable[..., Any]


def prepare(
    contender: str, loss: str, labels: np.ndarray, embeddings: np.ndarray, margin: float
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function of the memory limit in bytes that compiles the contender and returns what to call.

    That function raises a `MemoryError` of how many bytes the compiled plan needs, if those are more.
    """
    arguments = jnp.asarray(labels), jnp.asarray(embeddings), jnp.float32(margin)
    loss_fn = TEXTBOOK[loss] if contender == "textbook" else _ours(loss)
    graded = floor if contender == "floor" else jax.value_and_grad(loss_fn, argnums=1)

    def build(memory_limit: int) -> dict[str, Callable[[], Any]]:
        compiled = jax.jit(graded).lower(*arguments).compile()
        plan = compiled.memory_analysis()
        needed = int(plan.temp_size_in_bytes + plan.output_size_in_bytes) if plan else 0
        if needed > memory_limit:
            raise MemoryError(needed)
        return {"": lambda: jax.block_until_ready(compiled(*arguments))}

    return build


def _ours(name: str) -> Loss:
    # A plain function around it: gradients by the embeddings alone, and the margin traced.
    loss = registry.find(name)
    return lambda labels, x, margin: loss(labels, x, **({"margin": margin} if "margin" in loss.numbers else {}))


def floor(labels: jax.Array, x: jax.Array, margin: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All inner products, and the gradient that a matrix of as many weights would have."""
    inner = jnp.matmul(x, x.T, precision="highest")
    weights = inner * margin
    by_rows = jnp.matmul(weights, x, precision="highest")
    by_columns = jnp.matmul(weights.T, x, precision="highest")
    return inner[0, 0], by_rows + by_columns


def textbook_semi_hard(labels: jax.Array, x: jax.Array, margin: jax.Array) -> jax.Array:
    """The nearest negative beyond each positive, else the farthest negative; over [anchor, positive, negative]."""
    distances = squared_euclidean(x, x)
    positive, negative = masks.anchor_positive(labels), masks.anchor_negative(labels)
    beyond = negative[:, None, :] & (distances[:, None, :] > distances[:, :, None])
    nearest = jnp.min(jnp.where(beyond, distances[:, None, :], jnp.inf), axis=2)
    farthest = jnp.max(jnp.where(negative, distances, -jnp.inf), axis=1)
    chosen = jnp.where(jnp.isfinite(nearest), nearest, farthest[:, None])
    return jnp.mean(jax.nn.relu(distances - chosen + margin), where=positive)


def textbook_batch_all(labels: jax.Array, x: jax.Array, margin: jax.Array) -> jax.Array:
    """The mean of the terms above zero; over [anchor, positive, negative]."""
    distances = euclidean(x, x)
    terms = jax.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)
    return jnp.mean(terms, where=masks.triplet(labels) & (terms > 0))


def textbook_batch_hard(labels: jax.Array, x: jax.Array, margin: jax.Array) -> jax.Array:
    """The farthest positive against the nearest negative; over [anchor, candidate]."""
    distances = euclidean(x, x)
    farthest = jnp.max(jnp.where(masks.anchor_positive(labels), distances, -jnp.inf), axis=1)
    nearest = jnp.min(jnp.where(masks.anchor_negative(labels), distances, jnp.inf), axis=1)
    return jnp.mean(jax.nn.relu(farthest - nearest + margin))


TEXTBOOK: dict[str, Loss] = {
    "semi-hard": textbook_semi_hard,
    "batch-all": textbook_batch_all,
    "batch-hard": textbook_batch_hard,
}
