"""Checkpoints and other files of a run that are damaged: they are named, or passed over, and nothing else is lost."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxtriplet.jobs import listening, runs
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.history import History
from tests.faults.disturbed import WORDS, assert_same, biggest, flip, weights

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("checkpoints"), pytest.mark.usefixtures("points")]


# --- checkpoints ------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda step: os.truncate(biggest(step), 10),
    "emptied": lambda step: os.truncate(biggest(step), 0),
    "a bit flipped": lambda step: flip(biggest(step), 100),
    "a file deleted": lambda step: biggest(step).unlink(),
    "a stranger's file": lambda step: (step / "default" / "more").touch(),
    "metadata cut": lambda step: os.truncate(step / "default" / "_METADATA", 20),
    "metadata of the step empty": lambda step: os.truncate(step / "_CHECKPOINT_METADATA", 0),
    "metadata of the step garbage": lambda step: (step / "_CHECKPOINT_METADATA").write_bytes(b"\xff\xfe"),
    "metadata of the step gone": lambda step: (step / "_CHECKPOINT_METADATA").unlink(),
    "a folder gone": lambda step: shutil.rmtree(step / "default"),
    "checksums gone": lambda step: (step / "SHA256SUMS").unlink(),
    "checksums emptied": lambda step: os.truncate(step / "SHA256SUMS", 0),
    "checksums cut": lambda step: os.truncate(step / "SHA256SUMS", 200),
    "checksums flipped": lambda step: flip(step / "SHA256SUMS", 7),
    "everything gone": lambda step: [shutil.rmtree(step), step.mkdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_newest_checkpoint_is_passed_over(damage: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGES[damage](run / "checkpoints" / "6")
    with Checkpoints(run / "checkpoints", every=2, last=6) as checkpoints:
        assert (checkpoints.newest(), checkpoints.best()) == (4, 4)
    err = capsys.readouterr().err
    assert err.startswith(f"jaxtriplet: {run}/checkpoints/6 cannot be used (")
    assert err.endswith("): it is removed, and the run goes on from 4\n")
    assert err.count("\n") == 1


def test_what_is_no_checkpoint_is_nobody_elses_to_remove(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in ("007/a", "-5/a", "notes/a", "a.orbax-checkpoint-tmp-notes.txt")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with Checkpoints(tmp_path, every=1, last=3) as checkpoints:
        assert checkpoints.newest() == 0
    for path in (tmp_path / "2024" / "photo.jpg", tmp_path / "77"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(ValueError, match=r"is no checkpoint, though its name is a number as theirs are: move it"):
            Checkpoints(tmp_path, every=1, last=3)
        assert {one.read_text() for one in [*mine, path]} == {"mine"}
        path.rename(tmp_path / f"moved-{path.name}")
        if path.parent != tmp_path:
            path.parent.rmdir()


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        ({"a.b": np.ones(1), "a": {"b": np.ones(1)}}, "must have different names; two are called a.b"),
        ({}, "a state must be a tree of arrays; it holds none"),
        ({"step": 3}, r"a state must be a tree of arrays; step is of type int: give `jnp.asarray\(3\)`"),
    ],
)
def test_a_state_that_cannot_be_read_again_is_not_written(
    state: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with Checkpoints(tmp_path, every=1, last=3) as checkpoints, pytest.raises(ValueError, match=complaint):
        checkpoints.write(1, state)
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_from_the_checkpoint_before_as_if_undisturbed(run: Path, base: Path, call: Any) -> None:
    DAMAGES["a bit flipped"](run / "checkpoints" / "6")
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (0, 1)
    assert f"{run}/checkpoints/6 cannot be used (default/" in err
    assert_same(run, base)


def test_a_broken_older_checkpoint_is_told_too(run: Path, base: Path, call: Any) -> None:
    DAMAGES["cut"](run / "checkpoints" / "4")
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (0, 1)
    assert f"{run}/checkpoints/4 cannot be used" in err
    assert_same(run, base)


def test_where_no_checkpoint_is_left_nothing_but_the_config_is_written(run: Path, call: Any) -> None:
    for step in ("4", "6"):
        DAMAGES["cut"](run / "checkpoints" / step)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    status, out, err = call(*WORDS, "--out", run, "--resume")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "holds no checkpoint that can be used (6: " in err
    assert "begin anew with --overwrite" in err
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert {*before} == {*after}
    assert [path for path in before if before[path] != after[path]] == [run / "config.json"]


def test_what_a_kill_leaves_is_cleared(run: Path, base: Path, call: Any) -> None:
    for name in ("checkpoints/8.orbax-checkpoint-tmp/default.orbax-checkpoint-tmp", "weights.orbax-checkpoint-tmp"):
        (run / name).mkdir(parents=True)
    (run / ".notes.draft").write_text("mine")
    (run / "checkpoints" / "more").mkdir()  # what is no checkpoint is let be, too
    for name in (".config.json.7.jaxtriplet-draft", ".report.html.8.jaxtriplet-draft", ".lock"):
        (run / name).write_text("half")
    shutil.rmtree(run / "checkpoints" / "6")
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err) == (0, "")
    assert_same(run, base)
    assert (run / ".notes.draft").read_text() == "mine"
    assert (run / "checkpoints" / "more").is_dir()


@pytest.mark.parametrize("words", [pytest.param((), id="anew", marks=pytest.mark.exhaustive), ("--resume",)])
def test_a_folder_in_which_a_run_died_at_once_is_as_good_as_empty(
    words: tuple[str, ...], tmp_path: Path, base: Path, call: Any
) -> None:
    for name in (".config.json.7.jaxtriplet-draft", ".lock"):
        (tmp_path / name).touch()
    assert call(*WORDS, "--out", tmp_path, *words).status == 0
    assert_same(tmp_path, base)


def test_no_checkpoint_is_given_up_for_lost_figures(run: Path, tmp_path: Path, capsys: Any) -> None:
    lines, path = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True), tmp_path / "metrics.jsonl"
    for damaged, known in (
        (lines, 6),
        ([*lines, b"half a li"], 6),
        (lines[:5], 5),
        ([*lines[:5], lines[5][:-3]], 5),  # its last line cut
        ([*lines[:5], lines[5][:-1]], 5),  # what comes next would be put behind it
        ([*lines[:2], *lines[3:]], 5),
        ([*lines[:4], b"\xff\xfe\n", *lines[5:]], 5),
        ([*lines[:4], b"[]\n", *lines[5:]], 5),
        ([*lines[:4], b'{"step": 5, "loss": "low"}\n', *lines[5:]], 5),
        ([*lines[:4], lines[3], *lines[4:]], 6),  # a line twice
        ([], 0),
    ):
        path.write_bytes(b"".join(damaged))
        with History(path, after=6, writes=True) as history:
            assert [json.dumps(row).encode() + b"\n" for row in history.rows()] == [
                line for line in lines if line in damaged
            ]
            assert len(history.rows()) == known
        err = capsys.readouterr().err
        said = f"metrics.jsonl lacks the figures of {6 - known} of the first 6 updates: the run goes on, with a gap"
        assert (said in err, err.count("\n")) == ((True, 1) if known < 6 else (False, 0))


def test_a_run_goes_on_without_its_figures(run: Path, base: Path, call: Any) -> None:
    lines, path = (base / "metrics.jsonl").read_bytes().splitlines(keepends=True), run / "metrics.jsonl"
    # Longer than the checkpoint: what came after it is done again.
    shutil.rmtree(run / "checkpoints" / "6")
    assert call(*WORDS, "--out", run, "--resume")[::2] == (0, "")
    assert_same(run, base)
    shutil.rmtree(run / "checkpoints" / "6")
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (0, 1)
    assert "lacks the figures of 1 of the first 4 updates" in err
    assert path.read_bytes().splitlines(keepends=True) == [*lines[:2], *lines[3:]]
    path.unlink()
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (0, 1)
    assert "lacks the figures of 6 of the first 6 updates" in err
    for ours, theirs in zip(weights(run), weights(base), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_goes_on_through_links_to_another_disk(run: Path, base: Path, tmp_path: Path, call: Any) -> None:
    for name in ("checkpoints", "weights"):
        (run / name).rename(tmp_path / name)
        (run / name).symlink_to(tmp_path / name)
    shutil.rmtree(run / "checkpoints" / "6")
    assert call(*WORDS, "--out", run, "--resume")[::2] == (0, "")
    assert_same(run, base)
    assert (tmp_path / "checkpoints" / "6").is_dir()


# --- damaged files ----------------------------------------------------------------------------------------------------

GARBAGE = {
    "empty": b"",
    "cut": b'{"format": 3, "recipe": "poi',
    "a list": b"[]",
    "a number": b"3",
    "no text": b"\xff\xfe\x00",
    "zeros": bytes(100),
    "too deep": b"[" * 100_000,
    "wrong types": b'{"format": 3, "training": {"steps": "many"}}',
    "nan": b'{"format": 3, "loss": {"margin": NaN}}',
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_damaged_config_is_named_with_what_to_do(content: bytes, run: Path, call: Any) -> None:
    (run / "config.json").write_bytes(content)
    status, out, err = call(*WORDS, "--out", run, "--resume")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"jaxtriplet: {run}/config.json is no config of a run that this version reads: ")
    assert "put back a copy of it, or begin anew with --overwrite" in err
    with pytest.raises(ValueError, match=r"config\.json is no config"):
        runs.load(run)


def test_folders_where_files_should_be_are_named(run: Path, call: Any) -> None:
    for name in ("metrics.jsonl", "config.json"):
        (run / name).unlink()
        (run / name).mkdir()
        status, out, err = call(*WORDS, "--out", run, "--resume")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert name in err


@pytest.mark.parametrize("name", [name for name in GARBAGE if name not in ("wrong types", "nan")])
def test_what_a_run_says_of_itself_is_named_if_it_is_damaged(name: str, tmp_path: Path) -> None:
    for file, read in (
        ("data.json", lambda: runs.check_data(tmp_path, {})),
        ("metrics.json", lambda: listening.threshold_of(tmp_path)),
    ):
        (tmp_path / file).write_bytes(GARBAGE[name])
        with pytest.raises(ValueError, match=rf"{file} is damaged \(.*\); put back a copy of it, or ") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_threshold_is_a_finite_number(tmp_path: Path) -> None:
    for word, said in (("NaN", "nan"), ("true", "True"), ('"high"', "'high'"), ("[1]", r"\[1\]"), ("1e999", "inf")):
        (tmp_path / "metrics.json").write_text(f'{{"threshold": {word}}}')
        with pytest.raises(ValueError, match=f"its threshold is {said}"):
            listening.threshold_of(tmp_path)


def test_a_state_of_ones_own_is_a_tree_of_arrays(tmp_path: Path) -> None:
    with (
        Checkpoints(str(tmp_path), every=1, last=1) as checkpoints,
        pytest.raises(ValueError, match="a state must be a tree of arrays; apply is of type builtin_function"),
    ):
        checkpoints.write(1, {"weights": np.ones(2), "apply": len})
