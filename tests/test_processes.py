"""Several processes on this machine, as on several hosts: the same losses, the same training, and a clear end."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from .global_batch import SPREAD, batch, figures
from .jobs_of_processes import ROOT, ends, environment, job, wait_for

STEPS = 6  # 50 gave the same, in nine minutes
SMALL = [
    *("--steps", str(STEPS), "--speakers", "8", "--utterances", "4", "--hidden", "8", "--embedding-dim", "8"),
    *("--evaluate-every", "3", "--checkpoint-every", "2", "--quiet", "--json"),
]
# All in one worker: the processes of one job have enough to do.
pytestmark = pytest.mark.xdist_group("processes")


@cache
def of_one_device() -> dict[str, Any]:
    with jax.enable_x64(True):
        return jax.device_get(jax.jit(lambda *args: figures(SPREAD, *args))(*batch("float64")))


def judge_losses(out: Path, processes: int) -> None:
    found = np.load(out)
    assert (int(found["processes"]), int(found["devices"])) == (processes, 8)
    for name, (value, gradient) in of_one_device().items():
        np.testing.assert_allclose(found[f"{name}/value"], value, 1e-12, err_msg=name)
        allowed = 1e-12 * max(np.abs(gradient).max(), 1)
        np.testing.assert_allclose(found[f"{name}/gradient"], gradient, 0, allowed, err_msg=name)


@pytest.mark.parametrize(("processes", "devices"), [(2, 4)])
def test_every_loss_over_processes_is_that_of_one_device(processes: int, devices: int, tmp_path: Path) -> None:
    out = tmp_path / "found.npz"
    with job(processes, devices, ["-m", "tests.global_batch", str(out)], named=False) as running:
        for status, _, errors in ends(running):
            assert status == 0, errors
    judge_losses(out, processes)


@pytest.mark.parametrize("launcher", [name for name in ("mpirun",) if shutil.which(name)])
def test_a_launcher_tells_the_processes_their_places(launcher: str, tmp_path: Path) -> None:
    words = [launcher, "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable, "-m", "tests.global_batch"]
    done = subprocess.run(
        [*words, str(tmp_path / "found.npz")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(4),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    judge_losses(tmp_path / "found.npz", 2)


def curve(folder: Path) -> np.ndarray:
    return np.array([json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run on one device, never disturbed."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    command = [sys.executable, "-m", "jaxtriplet", "train", *SMALL, "--out", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment(1), timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def train_together(folder: Path, *words: str) -> list[str]:
    return ["-m", "jaxtriplet", "train", *SMALL, "--out", str(folder), "--distributed", "--micro-batch", "16", *words]


def judge_training(folder: Path, metrics: dict[str, Any], alone: tuple[Path, dict[str, Any]]) -> None:
    assert len(curve(folder)) == STEPS
    np.testing.assert_allclose(curve(folder), curve(alone[0]), rtol=0, atol=1e-4)
    # One pair of 68,265 that changes places moves the rate by 1 / 7,585 targets at most.
    assert metrics["equal_error_rate"] == pytest.approx(alone[1]["equal_error_rate"], abs=2e-4)


def test_a_killed_process_ends_the_job_and_a_resumed_one_is_as_if_undisturbed(alone: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with job(2, 1, train_together(folder), named=True) as running:
        wait_for(lambda: any((folder / "checkpoints").glob("[0-9]")), running)
        running[1].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        (status, out, errors), _ = ends(running)
        assert time.monotonic() - killed < 30
    assert status != 0
    assert out == ""
    assert "another process is gone" in errors or "another task died" in errors
    begun = len(curve(folder))
    assert 2 <= begun < STEPS
    with job(2, 1, train_together(folder, "--resume"), named=True) as running:
        (status, out, errors), (other, other_out, other_errors) = ends(running)
    assert status == 0, errors
    # The first one writes, and the other says what it does.
    assert (other, other_out) == (0, ""), other_errors
    assert "process 1 of 2: rows 17 to 32 of 32, 1 of 2 devices" in other_errors
    assert "goes on after" in errors
    judge_training(folder, json.loads(out), alone)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--speakers", "1"], "--speakers"),
        (["--speakers", "3", "--utterances", "8"], "3 speakers do not divide among 2 processes"),
        (["--speakers", "6", "--utterances", "3"], "18 rows does not divide among 4 devices"),
    ],
    ids=["too few speakers", "speakers", "rows"],
)
def test_what_does_not_divide_is_said_by_every_process_before_the_first_step(
    words: list[str], complaint: str, tmp_path: Path
) -> None:
    with job(2, 2, train_together(tmp_path / "run", *words), named=True) as running:
        for status, out, errors in ends(running):
            assert (status, out) == (2, "")
            assert complaint in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.exhaustive
def test_class_weights_that_two_processes_share_are_whole_for_one(tmp_path: Path) -> None:
    words = ["-m", "tests.places", "train", "--recipe", "points", "--loss", "am-softmax", "--scale", "10", "--quiet"]
    words += ["--speakers", "8", "--utterances", "2", "--learning-rate", "0.01", "--checkpoint-every", "2"]
    with job(2, 2, [*words, "--out", str(tmp_path / "run"), "--distributed"], named=True) as running:
        for status, _, errors in ends(running):
            assert status == 0, errors
    together = curve(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "6")
    for folder, more in (("run", "--resume"), ("whole", "--quiet")):
        command = [sys.executable, *words, "--out", str(tmp_path / folder), more]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(1), check=False)
        assert done.returncode == 0, done.stderr
    for found in (together, curve(tmp_path / "run")):
        np.testing.assert_allclose(found, curve(tmp_path / "whole"), 1e-4)


ONE_FAILS = """
import jax, runpy
from tests.points import Points
whole = Points.batches
def batches(self, shares):
    from_step = whole(self, shares)
    def broken(begin):
        for place, batch in enumerate(from_step(begin), begin):
            if place == 3 and jax.process_index():
                raise ValueError("a recording is damaged")
            yield batch
    return broken
Points.batches = batches
runpy.run_module("tests.points", run_name="__main__")
"""


@pytest.mark.exhaustive
def test_what_one_process_alone_meets_ends_the_job_at_once(tmp_path: Path) -> None:
    words = ["train", "--recipe", "points", "--quiet", "--distributed", "--out", str(tmp_path / "run")]
    begun = time.monotonic()
    with job(2, 2, ["-c", ONE_FAILS, *words], named=True) as running:
        (status, out, errors), (other, other_out, other_errors) = ends(running)
    assert time.monotonic() - begun < 120  # an ordinary exit would wait five minutes for the others
    assert (other, other_out) == (2, ""), other_errors
    assert "jaxtriplet: a recording is damaged\n" in other_errors
    assert status != 0
    assert out == ""
    assert "another process is gone" in errors or "another task died" in errors
