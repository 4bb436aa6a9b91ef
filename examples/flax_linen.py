"""A model of Flax Linen in the compiled update of this library: `module.apply` is the function, its variables the rest.

A small convolutional network learns embeddings of handwritten digits with the supervised contrastive loss, in batches
of `EpochSampler`: eight images of each of the ten digits, every image at most once in an epoch.

    pip install ".[speech]"   # for scikit-learn, which has the digits
    python examples/flax_linen.py

Prints loss and norm of the gradient after each epoch, and recall@1 and MAP@R of 597 held-out images.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from sklearn.datasets import load_digits

import jaxtriplet as jt
from jaxtriplet import losses, training
from jaxtriplet.data import EpochSampler
from jaxtriplet.metrics import map_at_r, recall_at_k

EPOCHS = 4


class Network(linen.Module):
    """Two convolutions and a dense layer."""

    @linen.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns embeddings of unit length, [B, 32], of images [B, 8, 8, 1]."""
        x = linen.relu(linen.Conv(16, (3, 3), strides=(2, 2))(images))
        x = linen.relu(linen.Conv(32, (3, 3))(x))
        return jt.l2_normalize(linen.Dense(32)(x.reshape(len(x), -1)))


def main() -> None:
    """Trains and judges."""
    digits = load_digits()
    images, labels = (digits.images[..., None] / 16).astype(np.float32), digits.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1200], order[1200:]

    network = Network()
    variables = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    loss_fn = losses.weighted({"supervised_contrastive": 1.0})
    optimizer = training.make_optimizer(3e-3)
    state = training.create_state(network.apply, loss_fn, optimizer, seed=0, params=variables)
    update = training.make_update(loss_fn)

    sampler = EpochSampler(labels[train], speakers=10, utterances=8, seed=0)
    for step in range(EPOCHS * sampler.steps_per_epoch):
        rows = sampler[step]
        batch = training.Batch(images[train][rows], labels[train][rows], where=rows >= 0)  # -1 is padding
        state, metrics = update(state, batch)
        if (step + 1) % sampler.steps_per_epoch == 0:
            print(f"epoch {step // sampler.steps_per_epoch + 1}: loss {metrics.loss:.3f}, ", end="")
            print(f"norm of the gradient {metrics.gradient_norm:.2f}")

    embeddings = training.trained_model(state)(images[test])  # by the average of the weights
    found = recall_at_k(embeddings, labels[test], k=1), map_at_r(embeddings, labels[test])
    print(f"recall@1 {found[0]:.1%}, MAP@R {found[1]:.1%}")


if __name__ == "__main__":
    main()
