"""Data of another kind, which train in a second: points around four places in the plane.

As a program, `python -m tests.points`, this is the command line with them: a class, a line in the table, a recipe.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxtriplet import parallel
from jaxtriplet.data import sampler_of
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources import SOURCES
from jaxtriplet.jobs.sources.source import Judged, Run, Source, weights_of, with_weights
from jaxtriplet.metrics import equal_error_rate, judge_unseen, pair_scores
from jaxtriplet.training import Batch

LINE = ("points", "tests.points:Points")
NUMBERS = {
    "source": "points",
    "speakers": 4,
    "utterances": 4,
    "learning_rate": 0.1,
    "warmup": 0,
    "steps": 6,
    "evaluate_every": 3,
}


class PointsRun(NamedTuple):
    config: Config
    model: nnx.Linear

    def embed(self, points: Any, lengths: Any = None) -> np.ndarray:
        return np.asarray(self.model(jnp.asarray(points)))

    def arrays(self) -> dict[str, Any]:
        return {"encoder": weights_of(self.model)}


class Points(Source):
    """Points around four places in the plane, for a model without lengths and keys."""

    def __init__(self, config: Config, **_: Any) -> None:
        self.config, self.num_classes = config, 4
        self._labels = np.repeat(np.arange(4, dtype=np.int32), 10)
        places = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])[self._labels]
        self._points = (places + 0.4 * np.random.default_rng(0).normal(size=(40, 2))).astype(np.float32)

    def build(self) -> nnx.Linear:
        return nnx.Linear(2, 3, rngs=nnx.Rngs(self.config.training.seed))

    def batches(self, shares: int) -> Callable[[int], Iterator[Batch]]:
        data, steps = self.config.data, self.config.training.steps
        shuffled = data.batches == "shuffled"
        sampler = sampler_of(
            self._labels, speakers=data.speakers, utterances=data.utterances, seed=0, shuffled=shuffled
        )

        def from_step(begin: int) -> Iterator[Batch]:
            for step in range(begin, steps):
                rows = sampler[step][parallel.share_of(len(sampler[step]))]
                yield Batch(jnp.asarray(self._points[rows]), jnp.asarray(self._labels[rows]))

        return from_step

    def rate(self, model: Any) -> float:
        return equal_error_rate(*pair_scores(self.run(model).embed(self._points), self._labels))

    def run(self, model: Any) -> PointsRun:
        return PointsRun(self.config, model)

    def judge(self, run: Run) -> Judged:
        embeddings = run.embed(self._points, np.zeros(40))
        return Judged(judge_unseen(embeddings, self._labels, judged="training"), arrays={"points": self._points})

    @classmethod
    def read(cls, config: Config, arrays: Mapping[str, Any]) -> PointsRun:
        return PointsRun(config, with_weights(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), arrays["encoder"]))


if __name__ == "__main__":
    from jaxtriplet.cli import main

    SOURCES[LINE[0]], RECIPES["points"] = LINE[1], NUMBERS  # type: ignore[index]
    main()
