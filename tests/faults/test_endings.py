"""What comes between: a loss that is not finite, a machine that says no, a signal. One line, and a way on."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxtriplet import _files, jobs
from jaxtriplet.cli import _ending, app, main
from jaxtriplet.cli._ending import Stopped, ending, heeding_signals
from jaxtriplet.jobs import nonfinite, notes, runs, training
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import fresh_state
from jaxtriplet.jobs.history import History
from tests.faults.disturbed import ROOT, WORDS, assert_same, full_disk
from tests.points import Points

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("endings"), pytest.mark.usefixtures("points")]
seldom = partial(pytest.param, marks=pytest.mark.exhaustive)  # of several that end alike, one runs always


# --- a loss that is not finite ----------------------------------------------------------------------------------------


def broken_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the inputs of a step nan, counted from 0."""
    whole = Points.batches

    def batches(self: Points, shares: int) -> Any:
        from_step = whole(self, shares)

        def broken(begin: int) -> Iterator[Any]:
            for place, batch in enumerate(from_step(begin), begin):
                yield batch._replace(inputs=batch.inputs * np.float32("nan")) if place == step else batch

        return broken

    monkeypatch.setattr(Points, "batches", batches)


def test_a_loss_that_is_not_finite_leaves_its_batch_and_state(
    base: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        broken_at(3, patch)
        status, out, err = call(*WORDS, "--out", folder)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the loss is nan at step 4; try a smaller --learning-rate; its batch and the state before it are in" in err
    assert {path.name for path in (folder / "nan").iterdir()} == {"batch-0.npz", "state.npz", "nan.json"}
    assert json.loads((folder / "nan" / "nan.json").read_text()) == {"step": 4, "problem": "the loss is nan"}
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["2"]

    # What was kept is the state before the update, and the update gives nan again, as the module shows.
    lines = (line.removeprefix("    ") for line in str(nonfinite.__doc__).splitlines() if line.startswith("    "))
    found: dict[str, Any] = {}
    exec("\n".join(lines).replace("runs/mine", str(folder)), found)
    assert int(found["after"].step) == 4
    assert np.isnan(found["batch"].inputs).all()
    assert np.isnan(found["metrics"].loss)
    source, batches = found["source"], found["batches"]
    again = nonfinite.read(folder / "nan", (next(batches(0)), fresh_state(source, batches)))[1]
    _, figures = found["update"](again, next(batches(3)))
    line = json.loads((base / "metrics.jsonl").read_text().splitlines()[3])
    assert float(figures.loss) == pytest.approx(line["loss"], rel=1e-6)

    # Without the fault, it goes on as if nothing had been.
    assert call(*WORDS, "--out", folder, "--resume").status == 0
    assert_same(folder, base)
    assert not (folder / "nan").exists()


def test_weights_that_are_not_finite_are_no_checkpoint(tmp_path: Path, call: Any) -> None:
    status, _, err = call(*WORDS, "--learning-rate", 3e38, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "at step" in err
    checkpoints = [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdecimal()]
    assert checkpoints == []


@pytest.mark.exhaustive
def test_a_batch_that_cannot_be_kept_hides_no_error(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonfinite, "keep", full_disk)
    status, _, err = call(*WORDS, "--learning-rate", 3e38, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "its batch cannot be kept: [Errno 28]" in err


def test_every_number_is_finite(call: Any, tmp_path: Path) -> None:
    from jaxtriplet.jobs.fields import fields_of

    floats = {name: field for name, field in fields_of(Config).items() if field.kind is float}
    assert len(floats) > 15
    for name, field in floats.items():
        for word in ("nan", "inf", "-inf"):
            with pytest.raises(ValueError, match=f"`{name}` must be a finite number; got {word}"):
                Config().replace(**{name: float(word)})
            status, out, err = call("train", f"--{name.replace('_', '-')}", word, "--out", tmp_path / "run")
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert f"--{name.replace('_', '-')}" in err
        section, _, own = field.path.partition(".")
        text = json.dumps({"format": 3, section: {own: float("inf")}})
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=f"'{name}' must be a finite number; got inf"):
            Config.read(tmp_path / "config.json")
    for words in (
        ("cluster", "run", "--data", "x", "--threshold"),
        ("train", "--data", "x", "--dev-fraction"),
        ("bench", "--time-limit"),
        ("bench", "--memory-limit"),
    ):
        for word in ("nan", "inf"):
            status, out, err = call(*words, word)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert f"{words[-1]} must be a finite number" in err
    with pytest.raises(ValueError, match="`threshold` must be a finite number; got nan"):
        jobs.cluster("run", "x", threshold=float("nan"))
    with pytest.raises(ValueError, match="`dev_fraction` must be a finite number; got inf"):
        jobs.train(Config.of_recipe("points"), dev_fraction=float("inf"))


# --- the machine says no ----------------------------------------------------------------------------------------------


def interrupted(call: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fn: Any) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fn)
        return call(*WORDS, "--out", folder)


def typed(folder: Path, *more: str) -> str:
    """What goes on with an interrupted run."""
    return shlex.join(["jaxtriplet", *map(str, WORDS), *more, "--out", str(folder), "--resume"])


def at_step(number: int, error: BaseException) -> Any:
    whole = History.add

    def add(self: History, row: Any) -> None:
        whole(self, row)
        if row["step"] == number:
            raise error

    return add


OUT_OF_MEMORY = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")
OUT_OF_MEMORY.add_note("JAX has removed its internal frames")  # as JAX does
NEED_LESS = "to need less memory, give a --micro-batch, or fewer --speakers or --utterances, and begin anew"


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        seldom(KeyboardInterrupt(), 130, "stopped"),
        seldom(OSError(errno.ENOSPC, "No space left on device", "x"), 1, "[Errno 28] No space left on device: 'x'"),
        seldom(OSError(errno.EROFS, "Read-only file system", "x"), 1, "[Errno 30] Read-only file system: 'x'"),
        seldom(MemoryError(), 1, f"out of memory; {NEED_LESS}; to go on"),
        (OUT_OF_MEMORY, 1, f"out of memory (RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.); {NEED_LESS}"),
    ],
    ids=["Ctrl-C", "full disk", "read-only", "memory of the host", "memory of the device"],
)
def test_what_stops_a_run_is_a_line_that_tells_how_to_go_on(
    error: BaseException, status: int, words: str, base: Path, tmp_path: Path, call: Any, monkeypatch: Any
) -> None:
    folder = tmp_path / "run"
    ended = interrupted(call, folder, monkeypatch, History, "add", at_step(5, error))
    assert (ended.status, ended.out, ended.err.count("\n")) == (status, "", 1)
    assert ended.err.startswith(f"jaxtriplet: {words}")
    assert ended.err.endswith(f"; to go on: {typed(folder)}\n")
    assert (folder / "checkpoints" / "4").is_dir()
    assert call(*WORDS, "--out", folder, "--resume")[::2] == (0, "")
    assert_same(folder, base)


def test_what_is_being_written_is_written_to_its_end(
    base: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = Checkpoints._seal, tmp_path / "run"

    def seal(self: Checkpoints) -> None:
        time.sleep(0.5)
        whole(self)

    monkeypatch.setattr(Checkpoints, "_seal", seal)
    ended = interrupted(call, folder, monkeypatch, History, "add", at_step(5, KeyboardInterrupt()))
    assert (ended.status, ended.err.count("\n")) == (130, 1)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["2", "4"]
    assert call(*WORDS, "--out", folder, "--resume")[::2] == (0, "")
    assert_same(folder, base)


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = call(*WORDS, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert err.endswith(f"No space left on device: '{tmp_path}/run/config.json'\n")  # nothing has begun to go on with


@pytest.mark.parametrize(
    "name", [seldom("config.json"), "metrics.json", seldom("embeddings.npz"), seldom("report.html")]
)
def test_a_disk_that_fills_up_costs_what_was_not_written_alone(
    name: str, base: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = os.replace, tmp_path / "run"

    def replace(draft: Path, path: Path) -> None:
        if Path(path).name == name:
            full_disk()
        whole(draft, path)

    ended = interrupted(call, folder, monkeypatch, os, "replace", replace)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "No space left on device" in ended.err
    assert ("--resume" in ended.err) == (name != "config.json")  # before which nothing has begun
    assert not (folder / name).exists()
    assert call(*WORDS, "--out", folder, "--resume")[::2] == (0, "")
    assert (folder / name).exists()
    assert_same(folder, base)


@pytest.mark.parametrize(
    "error",
    [
        seldom(OSError(errno.ENOSPC, "No space left on device")),
        ValueError("RESOURCE_EXHAUSTED: Failed to write 7 bytes: No space left on device [os_error_code='28']"),
    ],
    ids=["of Python", "of TensorStore"],
)
def test_an_error_of_the_background_writer_is_one_line_too(
    error: Exception, base: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seal(self: Checkpoints) -> None:
        raise error

    ended = interrupted(call, tmp_path / "run", monkeypatch, Checkpoints, "_seal", seal)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "No space left on device" in ended.err
    assert "--resume" in ended.err
    assert call(*WORDS, "--out", tmp_path / "run", "--resume")[::2] == (0, "")
    assert_same(tmp_path / "run", base)


def test_a_run_that_replaces_another_leaves_nothing_of_it_to_be_mistaken(
    run: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "notes.txt").write_text("mine")
    monkeypatch.setattr(training, "fit", full_disk)
    assert call(*WORDS, "--out", run, "--overwrite", "--seed", 5).status == 1
    assert {path.name for path in run.iterdir()} == {"config.json", "notes.txt"}


def test_a_run_that_replaces_another_lets_be_what_its_links_lead_to(
    run: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("checkpoints", "weights", "nan"):
        scratch = tmp_path / "scratch" / name
        scratch.mkdir(parents=True)
        (scratch / "mine").touch()
        _files.remove(run / name)
        (run / name).symlink_to(scratch)
    monkeypatch.setattr(training, "fit", full_disk)
    assert call(*WORDS, "--out", run, "--overwrite").status == 1
    assert {path.name for path in run.iterdir()} == {"config.json"}
    assert len([*(tmp_path / "scratch").glob("*/mine")]) == 3


def test_what_keeps_a_run_from_beginning_is_no_reason_to_resume_it(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "begin", full_disk)
    status, _, err = call(*WORDS, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert "--resume" not in err
    (tmp_path / "file").touch()
    status, _, err = call(*WORDS, "--out", tmp_path / "file" / "run")
    assert (status, err) == (2, f"jaxtriplet: {tmp_path}/file is a file, not a folder\n")


def test_errors_of_files_that_were_named_are_the_users_to_mend() -> None:
    for error, status in (
        (FileNotFoundError(2, "No such file", "x"), 2),
        (IsADirectoryError(21, "Is a directory", "x"), 2),
        (PermissionError(13, "Permission denied", "x"), 1),
        (EOFError("No data left in file"), 2),
        (ValueError("no"), 2),
    ):
        found = ending(error)
        assert found is not None
        assert found[0] == status
    assert ending(AttributeError("a fault of ours")) is None


def test_only_training_is_told_of_its_options(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(runs, "load_speech", out_of_memory)
    status, out, err = call("embed", tmp_path, "--data", tmp_path, "--out", tmp_path / "rows.npz")
    assert (status, out, err) == (1, "", "jaxtriplet: out of memory\n")


def test_no_error_moves_the_cursor(tmp_path: Path, call: Any) -> None:
    name = tmp_path / "a\x1b[31m\udcff"
    status, out, err = call("train", "--config", name)
    assert (status, out) == (2, "")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert "\\x1b[31m\\udcff" in err


@pytest.mark.parametrize("in_a_job", [False, True], ids=["alone", "one of several"])
def test_only_who_is_expected_waits_for_the_other_processes(in_a_job: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: in_a_job)
    alone, known = ValueError("of one process"), ValueError("of all")
    with pytest.raises(ValueError, match="of all"), notes.shared():
        raise known
    for error, status, cut_short in (
        (alone, 2, in_a_job),
        (known, 2, False),
        (OSError(errno.ENOSPC, "full"), 1, True),
        (Stopped(15), 143, True),
    ):
        monkeypatch.setattr(_ending, "_said", [])

        def fails(error: BaseException = error, **_: Any) -> None:
            raise error

        monkeypatch.setattr(app, "app", fails)
        assert app.run() == status
        assert _ending.is_cut_short(status) == cut_short
    monkeypatch.setattr(_ending, "_said", [])
    assert not _ending.is_cut_short(0)


# --- signals ----------------------------------------------------------------------------------------------------------


# The second checkpoint is hardly begun, and what writes it not known to anybody yet, when the signal comes.
IN_A_SAVE = """
import os, signal, threading
from jaxtriplet.jobs.checkpoints import Checkpoints
whole = Checkpoints.write
def write(self, step, *rest):
    if step == 4:
        threading.Timer(0.002, os.kill, (os.getpid(), signal.SIGTERM)).start()
    whole(self, step, *rest)
Checkpoints.write = write
import runpy
runpy.run_module("tests.points", run_name="__main__")
"""


def ended(program: list[str], folder: Path, signals: list[int]) -> tuple[int, str, str]:
    """Returns how a long run ends that is sent signals after its first checkpoint."""
    command = [sys.executable, *program, *map(str, WORDS), "--steps", "1000000", "--out", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (folder / "checkpoints" / "2").exists() and process.poll() is None:
                time.sleep(0.05)
            for number in signals:
                process.send_signal(number)
                time.sleep(0.005)
            return process.wait(60), *process.communicate()
        finally:
            process.kill()


def test_a_signal_in_the_midst_of_a_save_ends_a_run_in_a_line(tmp_path: Path) -> None:
    status, out, err = ended(["-c", IN_A_SAVE], tmp_path / "run", [])
    assert (status, out) == (143, "")
    assert err == f"jaxtriplet: stopped; to go on: {typed(tmp_path / 'run', '--steps', '1000000')}\n"


def test_ctrl_c_before_signals_are_heeded_is_a_line_too(monkeypatch: Any, capsys: Any) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "run", stopped)
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, capsys.readouterr().err) == (130, "jaxtriplet: stopped\n")


def test_a_signal_that_comes_in_a_finalizer_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    class Late:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    before = signal.getsignal(signal.SIGTERM)

    def dies_late() -> None:
        Late()
        time.sleep(30)

    with pytest.raises(Stopped, match="15"), heeding_signals():
        dies_late()
    assert signal.getsignal(signal.SIGTERM) is before
    assert capfd.readouterr().err == ""


def test_ctrl_c_twice_ends_a_run_in_a_line(tmp_path: Path) -> None:
    status, out, err = ended(["-m", "tests.points"], tmp_path / "run", [signal.SIGINT, signal.SIGINT])
    assert (status, out, err.count("\n")) == (130, "", 1), err
    assert err.startswith("jaxtriplet: stopped")
    assert "--resume" in err
