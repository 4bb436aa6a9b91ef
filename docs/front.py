"""The picture on the first page: `python docs/front.py` trains for a minute and draws `docs/front.png`.

Utterances that were not trained on, before and after training, and what value and gradient of a batch take of memory.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxtriplet as jt
from jaxtriplet import jobs
from jaxtriplet.data import japanese_vowels
from jaxtriplet.jobs.sources.japanese_vowels import JapaneseVowels
from jaxtriplet.metrics import equal_error_rate, pair_scores
from jaxtriplet.pages.pictures import DIFFERENT, NEUTRAL, SAME, THEME, draw_embedding_map, project

SIZES = [2**k for k in range(7, 17)]


def whole_cube(labels: jax.Array, embeddings: jax.Array, margin: float) -> jax.Array:
    """Batch-all as its formula stands in textbooks: all triplets at once."""
    distances = jt.distances.euclidean(embeddings, embeddings)
    terms = jax.nn.relu(distances[:, :, None] - distances[:, None, :] + margin)
    terms = jnp.where(jt.masks.triplet(labels), terms, 0)
    return jnp.sum(terms) / jnp.maximum(jnp.sum(terms > 0), 1)


def whole_matrix(labels: jax.Array, embeddings: jax.Array, margin: float) -> jax.Array:
    """Batch-hard, likewise: all distances at once."""
    distances = jt.distances.euclidean(embeddings, embeddings)
    farthest = jnp.max(jnp.where(jt.masks.anchor_positive(labels), distances, -jnp.inf), axis=1)
    nearest = jnp.min(jnp.where(jt.masks.anchor_negative(labels), distances, jnp.inf), axis=1)
    return jnp.mean(jax.nn.relu(farthest - nearest + margin))


def mebibytes(loss: Callable[..., jax.Array], rows: int) -> float:
    """Returns what value and gradient of so many rows of 256 numbers take, of the compiled program; nothing is run."""
    given = jax.ShapeDtypeStruct((rows,), jnp.int32), jax.ShapeDtypeStruct((rows, 256), jnp.float32)
    graded = jax.jit(jax.value_and_grad(lambda labels, embeddings: loss(labels, embeddings, 0.2), argnums=1))
    return float(graded.lower(*given).compile().memory_analysis().temp_size_in_bytes / 2**20)


def draw_memory(ax: Axes) -> None:
    """Draws memory over the rows of a batch."""
    for loss, name, colour, most in (
        (whole_cube, "all triplets at once", DIFFERENT, 2048),
        (whole_matrix, "all distances at once", NEUTRAL, SIZES[-1]),
        (jt.batch_all, "jaxtriplet.batch_all", SAME, SIZES[-1]),
    ):
        sizes = [size for size in SIZES if size <= most]
        taken = [mebibytes(loss, size) for size in sizes]
        print(name, {size: round(each, 1) for size, each in zip(sizes, taken, strict=True)})
        ax.loglog(sizes, taken, color=colour, marker="o", markersize=4, base=2)
        ax.annotate(name, (sizes[-1], taken[-1]), (0, 6), textcoords="offset points", ha="right", color=colour)
    ax.set(xlabel="rows of a batch", title="memory of value and gradient", ylim=(None, 2**19))
    ax.set_xticks(SIZES[::3], [f"{size:,}" for size in SIZES[::3]])
    ax.set_yticks([1, 2**5, 2**10, 2**15], ["1 MiB", "32 MiB", "1 GiB", "32 GiB"])
    ax.minorticks_off()


def main() -> None:
    """Trains with the defaults, and draws."""
    test = japanese_vowels("test")
    with tempfile.TemporaryDirectory() as folder:
        trained = jobs.train(out=Path(folder) / "run", quiet=True).run
    assert trained is not None
    source = JapaneseVowels(trained.config, data=None, dev=None, dev_fraction=None, allow_outside=False, quiet=True)
    runs: dict[str, Any] = {"untrained": source.run(source.build()), "after a minute": trained}
    with rc_context(THEME):
        figure = Figure(figsize=(12, 3.8), facecolor="white", layout="constrained")
        axes = figure.subplots(1, 3)
        for ax, (words, run) in zip(axes, runs.items(), strict=False):
            embeddings = run.embed(test.features, test.lengths)
            rate = equal_error_rate(*pair_scores(embeddings, test.labels))
            points, method = project(embeddings)
            draw_embedding_map(ax, points, [f"{label + 1}" for label in test.labels], method=method)
            ax.set(title=f"{words}: {100 * rate:.1f} % equal error", xlabel="", ylabel="")
            ax.grid(visible=False)
        draw_memory(axes[2])
        figure.savefig(Path(__file__).with_name("front.png"), dpi=110)


if __name__ == "__main__":
    main()
