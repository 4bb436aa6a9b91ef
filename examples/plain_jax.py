"""A training loop in plain JAX and Optax: a dict of arrays, `jax.value_and_grad`, and a loss of this library in it.

A network of two layers learns embeddings of handwritten digits, by semi-hard triplets; 597 images that it has not
trained on then look for their like among each other.

    pip install ".[speech]"   # for scikit-learn, which has the digits
    python examples/plain_jax.py

Prints the loss every 50 steps, and recall@1 and MAP@R of the held-out images, by their pixels and by their embeddings.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxtriplet as jt
from jaxtriplet.metrics import map_at_r, recall_at_k

STEPS, ROWS = 150, 128


def init(key: jax.Array) -> dict[str, jax.Array]:
    """Returns the parameters at first."""
    first, second = jax.random.split(key)
    return {
        "hidden": jax.random.normal(first, (64, 128)) / 8,
        "bias": jnp.zeros((1, 128)),
        "embedding": jax.random.normal(second, (128, 32)) / 12,
    }


def embed(params: dict[str, jax.Array], images: jax.Array) -> jax.Array:
    """Returns embeddings of unit length, [B, 32], of images [B, 64]."""
    hidden = jax.nn.relu(images @ params["hidden"] + params["bias"])
    return jt.l2_normalize(hidden @ params["embedding"])


optimizer = optax.adam(3e-3)


@jax.jit
def step(params: Any, state: Any, images: jax.Array, labels: jax.Array) -> Any:
    """Returns parameters and state after a step, and the loss before it."""

    def objective(params: Any) -> jax.Array:
        return jt.semi_hard(labels, embed(params, images), margin=0.2)

    loss, gradient = jax.value_and_grad(objective)(params)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, change), state, loss


def main() -> None:
    """Trains and judges."""
    digits, rng = load_digits(), np.random.default_rng(0)
    images, labels = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    order = rng.permutation(len(images))
    train, test = order[:1200], order[1200:]

    params = init(jax.random.key(0))
    state = optimizer.init(params)
    for number in range(STEPS):
        rows = rng.choice(train, ROWS, replace=False)
        params, state, loss = step(params, state, images[rows], labels[rows])
        if (number + 1) % 50 == 0:
            print(f"step {number + 1}: loss {loss:.4f}")

    for name, vectors in (("pixels", images[test]), ("embeddings", embed(params, images[test]))):
        found = recall_at_k(vectors, labels[test], k=1), map_at_r(vectors, labels[test])
        print(f"{name}: recall@1 {found[0]:.1%}, MAP@R {found[1]:.1%}")


if __name__ == "__main__":
    main()
