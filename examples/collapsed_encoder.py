"""An encoder that maps all speech to nearly one point: is there a gradient to get out by?

Trains on JapaneseVowels (`pip install ".[speech]"`) from a collapsed encoder: with the distances of this
library, and with a squared distance as textbooks compute it, of which what may be rounding counts as 0. Prints a table,
and draws it into a file if one is named: `python examples/collapsed_encoder.py docs/collapsed_encoder.png`.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure

import jaxtriplet as jt
from jaxtriplet.data import SpeakerSampler, japanese_vowels
from jaxtriplet.metrics import equal_error_rate, pair_scores
from jaxtriplet.models import BLSTM, embed

MARGIN, SPREAD = 0.3, 1e-4


def uncentred(x: jax.Array, y: jax.Array) -> jax.Array:
    """|x|^2 + |y|^2 - 2 <x, y> of the rows as they are; what may be rounding is 0."""
    size = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :]
    squared = size - 2 * jnp.matmul(x, y.T, precision="highest")
    return jnp.where(squared <= 7 * jnp.finfo(x.dtype).eps * size, 0, squared)


LOSSES = {
    "semi_hard": jt.semi_hard,
    "batch_hard": jt.batch_hard,
    "semi_hard, not centred": functools.partial(jt.semi_hard, distance_fn=uncentred),
    "batch_hard, not centred": functools.partial(jt.batch_hard, distance_fn=uncentred),
}


class Collapsed(nnx.Module):
    """An encoder whose unit embeddings are all nearly one vector: what it hears comes in at one part in 10,000."""

    def __init__(self, features: int, *, rngs: nnx.Rngs) -> None:
        """Makes the encoder, and the vector."""
        self.encoder = BLSTM(features, hidden=32, layers=1, embedding_dim=32, dropout=0.0, rngs=rngs)
        self.heard = nnx.Param(jnp.float32(SPREAD))
        self.vector = nnx.Param(jt.l2_normalize(jax.random.normal(rngs.params(), (32,))))

    def __call__(self, features: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns unit embeddings, [B, 32]."""
        return jt.l2_normalize(self.heard * self.encoder(features, lengths) + self.vector[None, :])

    embed = __call__


class Course(NamedTuple):
    """How a training went."""

    losses: list[float]
    """After each step."""
    spreads: list[float]
    """How far the embeddings of the batch are from their mean, on average."""
    equal_error_rate: float
    """Of the last encoder, on the test utterances."""


def train(loss_fn: Callable[..., jax.Array], *, steps: int = 200, seed: int = 0) -> Course:
    """Trains a collapsed encoder."""
    speech, test = japanese_vowels("train"), japanese_vowels("test")
    frames = speech.features[np.arange(speech.features.shape[1]) < speech.lengths[:, None]]
    centre, scale = frames.mean(0), frames.std(0)
    sampler = SpeakerSampler(speech.labels, speakers=9, utterances=6, seed=seed)
    model = Collapsed(len(centre), rngs=nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.sgd(0.2, momentum=0.9), wrt=nnx.Param)

    @nnx.jit
    def update(model: Any, optimizer: Any, features: jax.Array, lengths: jax.Array, labels: jax.Array) -> Any:
        def objective(model: Any) -> tuple[jax.Array, jax.Array]:
            rows = model(features, lengths)
            spread = jnp.mean(jnp.linalg.norm(rows - jnp.mean(rows, axis=0, keepdims=True), axis=1))
            return loss_fn(labels, rows, MARGIN), spread

        found, gradient = nnx.value_and_grad(objective, has_aux=True)(model)
        optimizer.update(model, gradient)
        return found

    course: list[tuple[float, float]] = []
    for step in range(steps):
        rows = sampler[step]
        batch = (speech.features[rows] - centre) / scale, speech.lengths[rows], speech.labels[rows]
        loss, spread = update(model, optimizer, *batch)
        course.append((float(loss), float(spread)))
    embeddings = embed(model, (test.features - centre) / scale, test.lengths)
    losses, spreads = map(list, zip(*course, strict=True))
    return Course(losses, spreads, equal_error_rate(*pair_scores(embeddings, test.labels)))


def draw(courses: dict[str, Course], file: str) -> None:
    """Draws loss and spread of each training, step by step."""
    figure = Figure((8, 3.2), layout="constrained")
    of_loss, of_spread = figure.subplots(1, 2)
    for place, (name, course) in enumerate(courses.items()):
        style: dict[str, Any] = {"linestyle": ":" if "not" in name else "-", "color": f"C{place % 2}", "label": name}
        of_loss.plot(course.losses, **style)
        of_spread.plot(course.spreads, **style)
    for axes, title in ((of_loss, "loss"), (of_spread, "spread of embeddings")):
        axes.set(title=title, xlabel="update")
    of_spread.set_yscale("log")
    of_spread.legend(frameon=False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    courses = {name: train(loss_fn) for name, loss_fn in LOSSES.items()}
    for name, (losses, spreads, errors) in courses.items():
        first, last = (f"loss {losses[i]:.4f} spread {spreads[i]:.1e}" for i in (0, -1))
        print(f"{name:24} first: {first}   last: {last}   equal error rate {100 * errors:.1f} %")
    for file in sys.argv[1:]:
        draw(courses, file)
