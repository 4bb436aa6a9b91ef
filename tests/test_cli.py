"""The command line as a user meets it: results, refusals, and help."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxtriplet.data import japanese_vowels
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of
from jaxtriplet.jobs.objective import parse_loss
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.losses import registry
from jaxtriplet.metrics import equal_error_rate, pair_scores

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("cli")

SMALL = [
    *("--hidden", "8", "--embedding-dim", "8", "--speakers", "9", "--utterances", "4"),
    *("--devices", "1", "--quiet"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A short run of the real command in a process of its own."""
    folder = tmp_path_factory.mktemp("run") / "out"
    words = ["train", "--steps", "12", "--evaluate-every", "6", "--json", "--out", str(folder), *SMALL]
    done = subprocess.run([sys.executable, "-m", "jaxtriplet", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_leaves_everything_it_promises(trained: Any) -> None:
    folder, done = trained
    names = {path.name for path in folder.iterdir()}
    files = {"config.json", "embeddings.npz", "metrics.json", "metrics.jsonl", "report.html"}
    assert names == files | {"weights", "checkpoints"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert json.loads(done.stdout) == metrics
    assert {"equal_error_rate", "min_dcf", "accuracy", "threshold", "purity", "nmi", "misclassification_rate"} <= set(
        metrics
    )
    assert metrics["num_trials"] == 68265
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if "equal_error_rate" in row] == [6, 12]
    config = json.loads((folder / "config.json").read_text())
    usual = RECIPES["japanese-vowels"]
    assert (config["loss"]["name"], config["loss"]["temperature"]) == (usual["loss"], usual["temperature"])


def test_saved_weights_give_the_saved_embeddings_and_those_the_figures(trained: Any) -> None:
    folder, _ = trained
    test = japanese_vowels("test")
    saved = np.load(folder / "embeddings.npz")
    assert saved["speakers"].tolist() == [str(label + 1) for label in test.labels]  # as on the page
    again = runs.load(folder).embed(test.features, test.lengths)
    np.testing.assert_allclose(again, saved["embeddings"], atol=1e-6)
    rate = json.loads((folder / "metrics.json").read_text())["equal_error_rate"]
    assert equal_error_rate(*pair_scores(saved["embeddings"], saved["labels"])) == pytest.approx(rate, abs=1e-9)


def test_a_folder_with_results_is_refused_and_left_as_it_is(trained: Any, call: Any) -> None:
    folder, _ = trained
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, out, err = call("train", "--steps", "1", "--out", str(folder), *SMALL)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "is not empty" in err
    assert "--overwrite" in err
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_same_seed_gives_the_same_run_and_overwrite_keeps_strangers_files(
    trained: Any, tmp_path: Path, call: Any
) -> None:
    folder, _ = trained
    (tmp_path / "notes.txt").write_text("mine")
    words = ["--steps", "12", "--evaluate-every", "6", "--out", str(tmp_path), "--overwrite", *SMALL]
    status, out, _ = call("train", *words)
    assert status == 0
    assert "equal error rate" in out
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "metrics.jsonl").read_text() == (folder / "metrics.jsonl").read_text()


# Each run compiles an update: these see all names.
NAMES = {
    "semi-hard+0.1*ge2e+batch-hard+batch-all": [],
    "kl-hinge": [],
    "deep-speaker": [],
    "supervised-contrastive+0.1*angular-prototypical": ["--temperature", "0.3"],
    "circle+contrastive+multi-similarity+nca": ["--scale", "20", "--margin", "0.5"],
    "lifted-structure+nt-xent+prototypical+tuplet-margin": ["--temperature", "0.3", "--margin", "0.2"],
    "aam-softmax+am-softmax+normalized-softmax+proxy-anchor+proxy-nca+soft-triple+0.1*sphereface2": [
        *(
            "--centers",
            "2",
            "--class-sample",
            "3",
            "--batches",
            "shuffled",
            "--margin-schedule",
            "exponential",
            "--margin-end",
            "2",
        ),
    ],
}


@pytest.mark.usefixtures("points")
@pytest.mark.parametrize("loss", NAMES)
def test_every_loss_trains_by_name(loss: str, tmp_path: Path, call: Any) -> None:
    source = SMALL if loss == "deep-speaker" else ["--recipe", "points", "--quiet"]  # which has no triplets
    status, out, err = call(
        "train", *source, "--loss", loss, *NAMES[loss], "--steps", "2", "--json", "--out", tmp_path / "run"
    )
    assert status == 0, err
    assert 0 <= json.loads(out)["equal_error_rate"] <= 1


def test_no_name_is_left_out() -> None:
    every = {loss.command for loss in registry.LOSSES.values() if loss.rows != "given"}
    assert {name for loss in NAMES for name in parse_loss(loss)} == every


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--loss", "semihard"], "unknown loss 'semihard'"),
        (["--loss", "semi-hard+x*ge2e"], "the weight 'x'"),
        (["--loss", "ge2e+ge2e"], "names ge2e twice"),
        (["--loss", "kl-hinge+ge2e"], "cannot be summed"),
        (["--loss", "ge2e", "--margin", "0.3"], "ge2e has no margin"),
        (["--loss", "ge2e", "--scale", "3"], "ge2e has no scale to set: it is trained along"),
        (["--loss", "circle", "--temperature", "0.3"], "circle has no temperature"),
        (["--loss", "nt-xent", "--temperature", "0"], "--temperature"),
        (["--loss", "nca", "--scale", "nan"], "--scale"),
        (["--speakers", "10"], "10 speakers"),
        (["--steps", "0"], "--steps"),
        (["--steps", "many"], "--steps"),
        (["--learning-rate", "-1"], "--learning-rate"),
        (["--seeds", "1"], "--seeds"),
        (["--out", __file__], "is a file"),
        (["--out", str(Path(__file__).parent), "--resume"], "holds no run to resume"),
        (["--resume"], "--resume needs --out"),
        (["--resume", "--overwrite", "--out", "x"], "give one of them"),
        (["--devices", "7"], "90 rows of a batch do not divide among 7 devices"),
        (["--distributed"], "--distributed needs --out"),
        (["--process-id", "1"], "belong to --distributed"),
        (
            ["--micro-batch", "7", "--out", "run", "--devices", "1"],
            "micro-batches of 7 rows do not divide a batch of 90",
        ),
    ],
    ids=lambda value: (
        " ".join(value) if isinstance(value, list) and not {__file__, str(Path(__file__).parent)} & set(value) else ""
    ),
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], complaint: str, monkeypatch: Any, tmp_path: Path, call: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = call("train", "--quiet", *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert complaint in err
    assert not (tmp_path / "runs").exists()


def test_a_run_resumes_with_its_own_numbers_only(trained: Any, tmp_path: Path, call: Any) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    words = ["--evaluate-every", "6", "--out", str(folder), "--resume", "--json", *SMALL]
    status, _, err = call("train", "--steps", "13", *words)
    assert (status, err) == (2, f"jaxtriplet: {folder} was begun with other numbers; resume it with --steps 12\n")
    # A finished run has nothing left to train, and is judged again.
    status, out, _ = call("train", "--steps", "12", *words)
    assert status == 0
    before, after = (json.loads(words) for words in (trained[1].stdout, out))
    assert before.keys() == after.keys()
    assert before["equal_error_rate"] == after["equal_error_rate"]
    assert (folder / "metrics.jsonl").read_text() == (trained[0] / "metrics.jsonl").read_text()


def test_a_diverged_run_says_so(tmp_path: Path, call: Any) -> None:
    words = ["--learning-rate", "1e30", "--steps", "5", "--out", str(tmp_path / "run"), *SMALL]
    status, _, err = call("train", *words)
    assert status == 2
    assert "the loss is nan at step" in err


def test_help_names_every_number_with_its_default_and_reason(call: Any) -> None:
    status, out, _ = call("train", "--help")
    assert status == 0
    said = "".join(out.split())  # lines are broken at hyphens too
    for name, field in fields_of(Config).items():
        assert field.meta.description, name
        if field.extra["option"]:
            assert f"--{name.replace('_', '-')}" in said
            assert "".join(field.meta.description.split()) in said


def test_the_version_and_a_missing_extra(capsys: Any, monkeypatch: Any, call: Any) -> None:
    from jaxtriplet import __version__, cli

    status, out, _ = call("--version")
    assert (status, out.strip()) == (0, __version__)
    for name in [name for name in sys.modules if name.startswith("jaxtriplet.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert 'pip install "jaxtriplet[speech]"' in err


def test_missing_recordings_name_their_extra_in_one_line(capsys: Any, monkeypatch: Any) -> None:
    from jaxtriplet import cli

    monkeypatch.setitem(sys.modules, "sktime.datasets", None)
    monkeypatch.setattr(sys, "argv", ["jaxtriplet", "train", "--quiet"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert 'pip install "jaxtriplet[speech]"' in err


def test_sums_of_losses_are_read() -> None:
    assert parse_loss(" 2*batch-hard:0.3+0.5 * ge2e") == {"batch-hard": 2.0, "ge2e": 0.5}
