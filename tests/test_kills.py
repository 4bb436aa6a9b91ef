"""Processes that are killed at random moments, again and again: the run that comes of it is the undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxtriplet.jobs import runs
from tests.test_processes import ROOT, environment, free_port

pytestmark = [pytest.mark.exhaustive, pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("points")]

STEPS = 400
WORDS = (
    *("-m", "tests.points", "train", "--recipe", "points", "--steps", STEPS, "--evaluate-every", 50),
    *("--checkpoint-every", 5, "--quiet"),
)


def start(folder: Path, processes: int) -> list[subprocess.Popen[str]]:
    """Starts the processes of a job that goes on, or begins."""
    port, running = free_port(), []
    for index in range(processes):
        place = ("--distributed", "--coordinator", f"127.0.0.1:{port}", "--num-processes", processes)
        words = [*WORDS, "--out", folder, "--resume", *((*place, "--process-id", index) if processes > 1 else ())]
        running.append(
            subprocess.Popen(
                [sys.executable, *map(str, words)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment(1),
            )
        )
    return running


def wait(running: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    said = [one.communicate(timeout=300)[1] for one in running]
    return [(one.returncode, words) for one, words in zip(running, said, strict=True)]


def progress(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(runs.load(folder).arrays())]


@pytest.mark.parametrize(("processes", "kills"), [(1, 20), (2, 6)], ids=["one process", "two processes"])
def test_a_run_that_is_killed_again_and_again_is_the_undisturbed_one(
    processes: int, kills: int, tmp_path: Path, record_property: Any
) -> None:
    draw, alone, folder = random.Random(0), tmp_path / "alone", tmp_path / "run"
    assert [status for status, _ in wait(start(alone, processes))] == [0] * processes
    moments = []
    for number in range(kills):
        running = start(folder, processes)
        # Some die before the first step, some while they write, some within any step.
        aim, at_start = progress(folder) + draw.randint(1, STEPS // kills), number % 5 == 0
        begun = time.monotonic()
        while running[0].poll() is None and (
            time.monotonic() - begun < draw.uniform(0.5, 3) if at_start else progress(folder) < aim
        ):
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.05))
        running[draw.randrange(processes)].send_signal(signal.SIGKILL)
        moments.append(progress(folder))
        for one in running:  # The others end by themselves, or are ended after a while, as a launcher does.
            try:
                one.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                one.kill()
                one.communicate()
    done = wait(start(folder, processes))
    assert [status for status, _ in done] == [0] * processes, done
    assert (folder / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
    for ours, theirs in zip(weights(folder), weights(alone), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    figures = [json.loads((one / "metrics.json").read_text()) for one in (folder, alone)]
    assert figures[0]["equal_error_rate"] == figures[1]["equal_error_rate"]
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in alone.iterdir()}, "something is left over"
    assert os.listdir(folder / "checkpoints").__len__() == 2
    record_property("killed after so many updates", str(moments))
    print(f"{kills} kills of {processes} process(es), after so many updates: {moments}")
