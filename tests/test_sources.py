"""Sources of data: one of another kind joins with a class, a line in a table and a recipe."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxtriplet import jobs, parallel
from jaxtriplet.data import SpeakerSampler
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import fresh_state
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources import SOURCES
from jaxtriplet.jobs.sources.japanese_vowels import JapaneseVowels
from jaxtriplet.jobs.sources.source import Judged, Run, Source, weights_of, with_weights
from jaxtriplet.metrics import equal_error_rate, judge_unseen, pair_scores
from jaxtriplet.training import Batch


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
        sampler = SpeakerSampler(self._labels, speakers=data.speakers, utterances=data.utterances, seed=0)

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


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of data that has joined: a class, a line in the table, a recipe."""
    monkeypatch.setitem(SOURCES, "points", f"{__name__}:Points")
    numbers = {"source": "points", "speakers": 4, "utterances": 4, "learning_rate": 0.1, "warmup": 0, "steps": 6}
    monkeypatch.setitem(RECIPES, "points", numbers | {"evaluate_every": 3})


@pytest.mark.usefixtures("points")
def test_data_of_another_kind_train_with_a_class_a_line_and_a_recipe(tmp_path: Path, call: Any) -> None:
    config = jobs.Config.of_recipe("points", loss="batch-hard+0.1*ge2e", margin=0.5)
    done = jobs.train(config, out=tmp_path / "run", quiet=True)
    assert done.figures is not None
    assert done.run is not None
    assert done.figures["judged"] == "training"
    assert done.figures == json.loads((done.folder / "metrics.json").read_text())
    assert [row["step"] for row in done.history if "equal_error_rate" in row] == [3, 6]
    saved, again = np.load(done.folder / "embeddings.npz"), runs.load(done.folder)
    assert again.config == config
    for run in (done.run, again):
        np.testing.assert_allclose(run.embed(saved["points"], np.zeros(40)), saved["embeddings"], atol=1e-6)

    # A file goes where a config goes, and the command line knows the recipe.
    other = jobs.train(done.folder / "config.json", out=tmp_path / "other", quiet=True)
    assert other.history == done.history
    assert call("train", "--recipe", "points", "--steps", 1, "--quiet", "--out", tmp_path / "third").status == 0
    refused = call("train", "--recipe", "points", "--data", tmp_path, "--quiet")
    assert (refused.status, refused.err) == (2, "jaxtriplet: --data: of no use with the recipe points\n")


@pytest.mark.usefixtures("points", "toys")
def test_a_loss_that_is_declared_trains_by_name_and_its_class_weights_with_it(tmp_path: Path, call: Any) -> None:
    words = ("--recipe", "points", "--loss", "toy-softmax+0.1*ge2e", "--quiet", "--out", tmp_path / "run")
    status, _, err = call("train", *words)
    assert status == 0, err
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("toys")
def test_class_weights_have_the_width_of_a_recurrent_encoder_too() -> None:
    source = JapaneseVowels(Config.of_recipe("japanese-vowels", loss="toy-softmax", hidden=4, embedding_dim=6))
    assert fresh_state(source, source.batches(1)).params["loss"]["toy_softmax"]["weights"].shape == (9, 6)
