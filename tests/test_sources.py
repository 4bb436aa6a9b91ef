"""Sources of data: one of another kind joins with a class, a line in a table and a recipe."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxtriplet import jobs
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import fresh_state
from jaxtriplet.jobs.sources.japanese_vowels import JapaneseVowels


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
