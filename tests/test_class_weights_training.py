"""Training with class weights: runs, and what comes of them, with shuffled batches and fine-tuning."""

import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxtriplet.cli import app
from jaxtriplet.jobs import Config
from jaxtriplet.jobs.fit import _words
from jaxtriplet.jobs.monitor import CollapseMonitor
from jaxtriplet.jobs.sources.recordings import FolderOfRecordings
from jaxtriplet.types import Stats

from .audio_files import corpus

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("class weights"), pytest.mark.usefixtures("cache_of_module")]

STEPS = 8
SMALL = (
    *("--recipe", "aam", "--seconds", "0.4", "--speakers", "3", "--utterances", "4", "--embedding-dim", "8"),
    *("--bands", "40", "--room-share", "0", "--channel-share", "0", "--quiet"),
)
WORDS = (
    "--encoder lstm --margin-begin 1 --margin-end 4 --learning-rate 0.01 --warmup 0 --checkpoint-every 3 --devices 2 "
    f"--steps {STEPS} --fine-tune 3 --fine-tune-seconds 0.5 --fine-tune-rate 0.001"
).split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers with four recordings each."""
    return corpus(tmp_path_factory.mktemp("data") / "calls", speakers=4)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    out = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["jaxtriplet", *map(str, command(data, out))])
        assert app.run() == 0
    return out


def command(data: Path, out: Path, *more: str) -> list[str | Path]:
    return ["train", "--data", data, *SMALL, *WORDS, "--out", out, *more]


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights_in(folder: Path) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder.absolute())


def test_the_recipe_of_margin_softmax_trains_and_its_class_weights_stay_with_the_checkpoints(run: Path) -> None:
    rows = rows_of(run)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert all(0 <= row["fraction_wrong"] <= 1 and "fraction_active" not in row for row in rows)
    assert "wrong rows (%)" in (run / "report.html").read_text()
    assert set(weights_in(run / "weights")) == {"encoder", "cohort"}
    of_checkpoint = weights_in(run / "checkpoints" / str(STEPS) / "default")
    # Four speakers at three speeds.
    shapes = {name: array.shape for name, array in of_checkpoint.items() if name.startswith("params.loss")}
    assert shapes == {"params.loss.aam_softmax.weights": (12, 8)}


def test_a_run_with_class_weights_goes_on_as_if_undisturbed_while_it_fine_tunes(
    run: Path, data: Path, call: Any, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    shutil.copytree(run, before)
    shutil.rmtree(before / "checkpoints" / str(STEPS))  # that of update 6 is left, the first that fine-tunes
    status, _, err = call(*command(data, before, "--resume"))
    assert status == 0, err
    assert rows_of(before) == rows_of(run)
    jax.tree.map(np.testing.assert_array_equal, weights_in(before / "weights"), weights_in(run / "weights"))


@pytest.mark.usefixtures("points")
def test_the_config_of_a_run_makes_the_same_run(call: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = ("--loss", "aam-softmax:0.3+0.5*semi-hard", "--centers", 2, "--class-rate", 2, "--batches", "shuffled")
    margins = ("--margin-schedule", "linear", "--margin-end", 3, "--fine-tune", 2, "--fine-tune-margin", 0.4)
    assert call("train", "--recipe", "points", *words, *margins, "--quiet", "--out", first).status == 0
    assert call("train", "--config", first / "config.json", "--quiet", "--out", second).status == 0
    assert rows_of(first) == rows_of(second)
    # Wrong are rows of the first loss, active are terms of the mined one.
    assert all({"fraction_wrong", "fraction_active"} <= row.keys() for row in rows_of(first))
    # Four classes of two centres each.
    assert weights_in(first / "checkpoints" / "6" / "default")["params.loss.aam_softmax.weights"].shape == (4, 2, 3)


def test_its_encoder_evaluates_embeds_and_is_exported(run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.wav"))
    pairs = ((f"{int(a[:2] == b[:2])}", a, b) for a, b in itertools.combinations(paths, 2))
    trials = tmp_path / "trials.txt"
    trials.write_text("".join(f"{' '.join(pair)}\n" for pair in pairs))
    for words in (
        ("evaluate", run, "--data", data, "--trials", trials, "--quiet", "--out", tmp_path / "evaluated"),
        ("embed", run, "--data", data, "--quiet", "--out", tmp_path / "rows.npz"),
        ("export", run, "--out", tmp_path / "encoder"),
    ):
        status, _, err = call(*words)
        assert status == 0, err


def test_batches_are_shuffled_until_the_last_updates_which_hear_longer_crops_at_speed_1(data: Path) -> None:
    numbers: dict[str, Any] = {"speakers": 3, "utterances": 4, "steps": 8, "fine_tune": 3, "fine_tune_seconds": "0.5"}
    config = Config.of_recipe("aam", seconds="0.4", **numbers)
    source = FolderOfRecordings(config, data=data, quiet=True)
    assert source.num_classes == 12
    batches = list(itertools.islice(source.batches(1)(0), 8))
    assert [batch.inputs.shape for batch in batches] == 5 * [(12, 6400)] + 3 * [(12, 8000)]
    assert {int(label) for batch in batches[:4] for label in batch.labels} == set(range(12))  # 48 rows: an epoch
    assert {int(label) for batch in batches[5:] for label in batch.labels} == set(range(4))
    # Batches of speakers have no more of them than there are at speed 1.
    balanced = FolderOfRecordings(config.replace(batches="balanced", speakers=6), data=data, quiet=True)
    assert balanced.config.data.speakers == 4
    drawn = itertools.islice(balanced.batches(1)(0), 8)
    assert [len(set(batch.labels.tolist())) for batch in drawn] == 8 * [4]
    # Those that are shuffled are as large as was asked for.
    assert FolderOfRecordings(config.replace(speakers=40), data=data, quiet=True).config.num_rows == 160


@pytest.mark.exhaustive
def test_the_network_of_the_recipe_makes_updates(data: Path, call: Any, tmp_path: Path) -> None:
    words = ["train", "--data", data, *SMALL, "--steps", "2", "--devices", "1", "--json", "--out", tmp_path / "run"]
    status, out, err = call(*words)
    assert status == 0, err
    assert 0 <= json.loads(out)["equal_error_rate"] <= 1


@pytest.mark.usefixtures("points")
def test_a_margin_that_will_not_be_whole_is_told(tmp_path: Path, call: Any) -> None:
    words = ("--recipe", "points", "--loss", "aam-softmax", "--margin-schedule", "linear", "--margin-end")
    done = call("train", *words, 7, "--quiet", "--out", tmp_path / "run")
    assert (done.status, done.err) == (0, "jaxtriplet: the margin is whole after 7 updates, and this run has 6\n")
    done = call("train", *words, 6, "--quiet", "--out", tmp_path / "whole")
    assert (done.status, done.err) == (0, "")


@pytest.mark.usefixtures("points")
def test_the_share_that_is_shown_is_that_of_the_first_loss_of_a_sum(tmp_path: Path, call: Any) -> None:
    words = ("--recipe", "points", "--loss", "semi-hard+0.1*ge2e", "--quiet", "--out", tmp_path / "run")
    assert call("train", *words).status == 0
    assert rows_of(tmp_path / "run")[-1]["fraction_active"] < 1  # all terms of GE2E are above 0
    assert [*_words({"loss": 0.5, "fraction_wrong": 0.25}, "training")] == ["loss 0.5000", "wrong 25%"]


def test_distances_to_class_weights_are_no_sign_of_a_collapse_and_hide_none() -> None:
    alike = Stats(*np.float32([4, 4, 1.0, 0.001, 0.001, 0.002, 0.0, 1.0]))
    spread = Stats(*np.float32([4, 4, 1.0, 0.9, 1.0, 1.3, 0.6, 1.0]))
    both, alone = CollapseMonitor(patience=2), CollapseMonitor(patience=2)
    assert [both({"aam_softmax": spread, "semi_hard": alike}) is None for _ in range(2)] == [True, False]
    assert [alone({"aam_softmax": alike}) for _ in range(3)] == [None, None, None]
