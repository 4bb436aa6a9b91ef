"""A model of Equinox: a module is a tree, so that the loss is one line in `equinox.filter_value_and_grad`.

A multilayer perceptron learns embeddings of handwritten digits, and a vector for each digit along with them
(ProxyAnchor): model and proxies are one tree.

    pip install ".[speech]" equinox   # scikit-learn, which has the digits, comes with [speech]
    python examples/equinox_model.py

Prints the loss every 50 steps, and recall@1 and MAP@R of 597 held-out images.
"""

from typing import Any

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

import jaxtriplet as jt
from jaxtriplet.metrics import map_at_r, recall_at_k

try:
    import equinox as eqx
except ImportError:
    raise SystemExit("this example needs equinox: pip install equinox") from None

STEPS, ROWS = 150, 128

optimizer = optax.adam(3e-3)


class Model(eqx.Module):
    """The encoder, and a vector for each class."""

    encoder: eqx.nn.MLP
    proxies: jax.Array

    def __init__(self, key: jax.Array) -> None:
        """Draws both."""
        of_encoder, of_proxies = jax.random.split(key)
        self.encoder = eqx.nn.MLP(64, 32, width_size=128, depth=1, key=of_encoder)
        self.proxies = jax.random.normal(of_proxies, (10, 32))

    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns embeddings of unit length, [B, 32], of images [B, 64]."""
        return jt.l2_normalize(jax.vmap(self.encoder)(images))


@eqx.filter_value_and_grad
def objective(model: Model, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the loss of a batch."""
    return jt.proxy_anchor(labels, model(images), model.proxies)


@eqx.filter_jit
def step(model: Model, state: Any, images: jax.Array, labels: jax.Array) -> Any:
    """Returns model and state after a step, and the loss before it."""
    loss, gradient = objective(model, images, labels)
    change, state = optimizer.update(gradient, state)
    return eqx.apply_updates(model, change), state, loss


def main() -> None:
    """Trains and judges."""
    digits, rng = load_digits(), np.random.default_rng(0)
    images, labels = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    order = rng.permutation(len(images))
    train, test = order[:1200], order[1200:]

    model = Model(jax.random.key(0))
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    for number in range(STEPS):
        rows = rng.choice(train, ROWS, replace=False)
        model, state, loss = step(model, state, images[rows], labels[rows])
        if (number + 1) % 50 == 0:
            print(f"step {number + 1}: loss {loss:.3f}")

    embeddings = model(images[test])
    found = recall_at_k(embeddings, labels[test], k=1), map_at_r(embeddings, labels[test])
    print(f"recall@1 {found[0]:.1%}, MAP@R {found[1]:.1%}")


if __name__ == "__main__":
    main()
