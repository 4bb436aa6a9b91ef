"""Processes that are killed at random moments, again and again: the run that comes of it is the undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxtriplet.jobs import runs
from tests.jobs_of_processes import ROOT, environment, free_port

pytestmark = [pytest.mark.exhaustive, pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("points")]

STEPS = 200
# Of one process, and of two: KILLS=20,6 tries more.
KILLS = tuple(map(int, os.environ.get("KILLS", "3,1").split(",")))
WORDS = (
    *("-m", "tests.points", "train", "--recipe", "points", "--steps", STEPS, "--evaluate-every", 50),
    *("--checkpoint-every", 5, "--quiet"),
)


def start(folder: Path, processes: int, *more: object) -> list[subprocess.Popen[str]]:
    """Starts the processes of a job that goes on, or begins."""
    port, running = free_port(), []
    for index in range(processes):
        place = ("--distributed", "--coordinator", f"127.0.0.1:{port}", "--num-processes", processes)
        named = (*place, "--process-id", index) if processes > 1 else ()
        words = [*WORDS, "--out", folder, "--resume", *named, *more]
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


@pytest.fixture
def launch() -> Iterator[Callable[..., list[subprocess.Popen[str]]]]:
    """Starts a job, none of whose processes outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def launched(folder: Path, processes: int, *more: object) -> list[subprocess.Popen[str]]:
        running = start(folder, processes, *more)
        started.extend(running)
        return running

    yield launched
    for one in started:
        one.kill()
        one.communicate()


def wait(running: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    said = [one.communicate(timeout=300)[1] for one in running]
    return [(one.returncode, words) for one, words in zip(running, said, strict=True)]


def progress(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(runs.load(folder).arrays())]


@pytest.mark.parametrize(("processes", "kills"), [*enumerate(KILLS, 1)], ids=["one process", "two processes"])
def test_a_run_that_is_killed_again_and_again_is_the_undisturbed_one(
    processes: int, kills: int, launch: Any, tmp_path: Path, record_property: Any
) -> None:
    draw, alone, folder = random.Random(0), tmp_path / "alone", tmp_path / "run"
    assert [status for status, _ in wait(launch(alone, processes))] == [0] * processes
    moments = []
    for number in range(kills):
        running = launch(folder, processes)
        # Some die before the first step, some while they write, some within any step.
        aim, at_start = progress(folder) + draw.randint(1, STEPS // kills), number % 3 == 1
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
    done = wait(launch(folder, processes))
    assert [status for status, _ in done] == [0] * processes, done
    assert (folder / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
    for ours, theirs in zip(weights(folder), weights(alone), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    figures = [json.loads((one / "metrics.json").read_text()) for one in (folder, alone)]
    assert figures[0]["equal_error_rate"] == figures[1]["equal_error_rate"]
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in alone.iterdir()}, "something is left over"
    assert len(os.listdir(folder / "checkpoints")) == 2
    record_property("killed after so many updates", str(moments))
    print(f"{kills} kills of {processes} process(es), after so many updates: {moments}")


def under_way(launch: Any, folder: Path) -> list[subprocess.Popen[str]]:
    """Starts a job of two processes, and waits until it has made some updates."""
    running: list[subprocess.Popen[str]] = launch(folder, 2)
    while progress(folder) < 20:
        assert running[0].poll() is None, wait(running)
        time.sleep(0.05)
    return running


def told(words: str) -> list[str]:
    """Returns our lines that are no account of what a process does; Gloo's greetings are not ours."""
    ours = [line for line in words.splitlines() if line.startswith("jaxtriplet: ")]
    return [line for line in ours if "of 2: " not in line or "gone" in line]


def test_all_processes_of_a_job_agree(launch: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = under_way(launch, folder)
    beside = wait(launch(folder, 2))
    assert [status for status, _ in beside] == [2, 2], beside
    assert f"{folder} is being written by another process" in beside[0][1]
    assert told(beside[1][1]) == ["jaxtriplet: process 0 cannot begin, and says why"]
    for one in running:  # as a launcher does
        one.send_signal(signal.SIGTERM)
    ended = wait(running)
    assert [status for status, _ in ended] == [143, 143], ended
    for _, words in ended:
        assert len(told(words)) == 1
        assert told(words)[0].startswith("jaxtriplet: stopped; to go on: jaxtriplet train ")
        assert f"--out {folder}" in told(words)[0]
        assert told(words)[0].endswith(" --resume")

    newest, before = sorted((int(path.name) for path in (folder / "checkpoints").glob("[0-9]*[0-9]")), reverse=True)[:2]
    os.truncate(folder / "checkpoints" / str(newest) / "default" / "_METADATA", 3)
    done = wait(launch(folder, 2))
    assert [status for status, _ in done] == [0, 0], done
    assert f"{newest} cannot be used (default/_METADATA is not what was written): it is removed, and" in done[0][1]
    for _, words in done:
        assert f"goes on after {before} updates" in words


def test_every_process_keeps_its_rows_of_a_batch_whose_loss_is_not_finite(launch: Any, tmp_path: Path) -> None:
    ended = wait(launch(tmp_path / "run", 2, "--learning-rate", 3e38))
    assert [status for status, _ in ended] == [2, 2], ended
    for _, words in ended:
        assert len(told(words)) == 1, words
        assert "try a smaller --learning-rate; its batch and the state before it are in" in told(words)[0]
    kept = tmp_path / "run" / "nan"
    assert {path.name for path in kept.iterdir()} == {"batch-0.npz", "batch-1.npz", "state.npz", "nan.json"}
    rows = [np.load(kept / f"batch-{index}.npz")["labels"] for index in (0, 1)]
    assert not {*rows[0]} & {*rows[1]}


def test_where_one_process_cannot_write_all_end(launch: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = under_way(launch, folder)
    folder.rename(tmp_path / "gone")
    begun = time.monotonic()
    ended = wait(running)
    assert time.monotonic() - begun < 60
    assert ended[0][0] == 1, ended
    assert ended[1][0] != 0
    assert told(ended[0][1])[0].startswith("jaxtriplet: [Errno 2] No such file or directory: ")
    assert "--resume" in told(ended[0][1])[0]
    assert "Traceback" not in ended[0][1] + ended[1][1]
