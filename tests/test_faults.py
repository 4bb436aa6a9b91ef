"""Faults of disks, processes and people: what is damaged is named, nothing else is lost, and nobody is let in."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxtriplet import _files, jobs
from jaxtriplet.cli import _ending, app
from jaxtriplet.cli._ending import Stopped, ending, heeding_signals
from jaxtriplet.data import recordings_of
from jaxtriplet.jobs import lock, nonfinite, notes, runs, training
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.embedding import Parts
from jaxtriplet.jobs.fit import fresh_state
from jaxtriplet.jobs.history import History
from tests.audio_files import voice, write
from tests.points import Points
from tests.saved import save

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.usefixtures("points")]

ROOT = Path(__file__).parent.parent
WORDS = ("train", "--recipe", "points", "--checkpoint-every", 2, "--devices", 1, "--quiet")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a run is half of what a run of six updates takes."""

    def page(folder: Path, **_: Any) -> None:
        with _files.replacing(folder / "report.html") as file:
            file.write("<html>")

    monkeypatch.setattr(training.pages, "run_page", page)


@pytest.fixture
def base(base_folder: Path, call: Any) -> Path:
    """A run of six updates with checkpoints after four and six, not to be changed."""
    if not base_folder.exists():
        assert call(*WORDS, "--out", base_folder).status == 0
    return base_folder


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base") / "run"


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    """A copy of it, elsewhere."""
    return Path(shutil.copytree(base, tmp_path / "moved" / "run"))


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(runs.load(folder).arrays())]


def assert_same(folder: Path, base: Path) -> None:
    """The curve and the weights are those of a run that nothing has disturbed, to the bit."""
    assert (folder / "metrics.jsonl").read_bytes() == (base / "metrics.jsonl").read_bytes()
    for ours, theirs in zip(weights(folder), weights(base), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not _files.leftovers(folder) + _files.leftovers(folder / "checkpoints")
    assert not (folder / ".lock").exists()


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


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


def test_a_folder_in_which_a_run_died_at_once_is_as_good_as_empty(tmp_path: Path, base: Path, call: Any) -> None:
    for words in ((), ("--resume",)):
        folder = tmp_path / f"run{len(words)}"
        folder.mkdir()
        for name in (".config.json.7.jaxtriplet-draft", ".lock"):
            (folder / name).touch()
        assert call(*WORDS, "--out", folder, *words).status == 0
        assert_same(folder, base)


def test_figures_and_checkpoints_go_together(run: Path, base: Path, call: Any) -> None:
    lines, path = (base / "metrics.jsonl").read_bytes().splitlines(keepends=True), run / "metrics.jsonl"
    for damaged, known in (
        (lines, 6),
        ([*lines, b"half a li"], 6),
        (lines[:5], 5),  # shorter than the newest checkpoint
        ([*lines[:5], lines[5][:-3]], 5),  # its last line cut
        ([*lines[:4], b"\xff\xfe\n", *lines[5:]], 4),
        ([*lines[:4], b"[]\n", *lines[5:]], 4),
        ([*lines[:4], lines[3], *lines[4:]], 4),  # a line twice
        ([], 0),
    ):
        path.write_bytes(b"".join(damaged))
        assert History.known(path) == known
    path.write_bytes(b"".join(lines[:5]))
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (0, 1)
    assert "checkpoints/6 cannot be used (metrics.jsonl holds the figures of 5 updates, and so of fewer)" in err
    assert_same(run, base)
    # Longer than the checkpoint: what came after it is done again.
    shutil.rmtree(run / "checkpoints" / "6")
    assert call(*WORDS, "--out", run, "--resume")[::2] == (0, "")
    assert_same(run, base)
    path.unlink()
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (2, 1)
    assert "metrics.jsonl holds the figures of 0 updates" in err


# --- checksums --------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_of_the_weights_is_refused_by_name(run: Path, base: Path) -> None:
    rng = np.random.default_rng(0)
    files = sorted(path for path in (base / "weights").rglob("*") if path.is_file())
    assert len(files) > 5
    for path in files:
        copy = run / path.relative_to(base)
        for bit in rng.integers(8 * path.stat().st_size, size=4):
            flip(copy, int(bit))
            with pytest.raises(ValueError, match=r"weights: the weights are damaged \(.*--resume"):
                runs.load(run)
            flip(copy, int(bit))
    runs.load(run)


def test_a_flipped_bit_of_embeddings_is_noticed_or_changes_nothing(base: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(base / "embeddings.npz", tmp_path))

    def read() -> dict[str, np.ndarray]:
        with path.open("rb") as file, np.load(file) as found:
            return {name: found[name] for name in sorted(found)}

    whole, noticed = read(), 0
    bits = np.random.default_rng(0).integers(8 * path.stat().st_size, size=300)
    for bit in map(int, bits):
        flip(path, bit)
        try:
            found = read()
        except Exception:  # of zip files and arrays, there are many
            noticed += 1
        else:
            assert found.keys() == whole.keys(), bit
            for name, array in found.items():
                np.testing.assert_array_equal(array, whole[name])
        flip(path, bit)
    assert noticed > 200


def test_runs_of_before_the_checksums_are_read_and_newer_ones_refused(run: Path, call: Any) -> None:
    (run / "weights" / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match=r"damaged \(SHA256SUMS is missing\)"):
        runs.load(run)
    config = json.loads((run / "config.json").read_text())
    _files.write_json(run / "config.json", config | {"format": 2})
    runs.load(run)
    status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (2, 1)
    assert "begun by an earlier version (format 2), whose checkpoints cannot go on" in err
    for number in (4, 2.0, True, "3", None):
        _files.write_json(run / "config.json", config | {"format": number})
        with pytest.raises(ValueError, match=f"its format is {number!r}, and this version knows 2 and 3 and what"):
            runs.load(run)


class Changed(NamedTuple):
    """A run whose arrays are what they are said to be."""

    config: Config
    changed: Any
    model: Any = None

    def arrays(self) -> Any:
        return self.changed

    def embed(self, inputs: Any, lengths: Any) -> Any:
        raise NotImplementedError


def test_weights_that_do_not_fit_are_refused_by_the_first_difference(tmp_path: Path) -> None:
    from jaxtriplet.jobs.sources.japanese_vowels import JapaneseVowels

    source = JapaneseVowels(Config.of_recipe("japanese-vowels", hidden=4, embedding_dim=4))
    save(tmp_path, source.run(source.build()))
    other = JapaneseVowels(Config.of_recipe("japanese-vowels", hidden=6, embedding_dim=4))
    _files.write_json(tmp_path / "config.json", other.config.nested())
    with pytest.raises(
        ValueError, match=r"weights do not fit the config: \S+ is float32 of shape \[.*\], and would be "
    ):
        runs.load(tmp_path)
    arrays = source.run(source.build()).arrays()
    for change, words in (
        (lambda tree: tree.pop("std"), "there is no 'std'"),
        (lambda tree: tree["encoder"].pop("embedding"), "embedding.bias is nothing, and would be float32"),
        (lambda tree: tree["encoder"].update(more=np.zeros(2)), "more is float64 of shape .2., and would be nothing"),
        (lambda tree: tree.update(encoder=jax.tree.map(np.float64, tree["encoder"])), "is float64 of shape"),
    ):
        changed = jax.tree.map(lambda leaf: leaf, arrays)
        change(changed)
        save(tmp_path, Changed(source.config, changed))
        with pytest.raises(ValueError, match=words):
            runs.load(tmp_path)


def test_replacing_leaves_the_old_file_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    _files.write_json(path, {"a": 1})
    for point in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, point, full_disk)
            with pytest.raises(OSError, match="No space left"):
                _files.write_json(path, {"a": 2})
        assert json.loads(path.read_text()) == {"a": 1}
        assert list(tmp_path.iterdir()) == [path]


def test_two_writers_share_no_draft_and_nobody_elses_is_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    (tmp_path / ".notes.draft").write_text("mine")
    with _files.replacing(path) as one:
        one.write("1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 7)
            with _files.replacing(path) as other:
                other.write("2")
                assert len(_files.leftovers(tmp_path)) == 2
        assert path.read_text() == "2"
    assert path.read_text() == "1"
    _files.clear(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {"a.json", ".notes.draft"}


def test_the_cache_is_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert _files.cache_folder() == Path("/elsewhere/jaxtriplet")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert _files.cache_folder() == Path("/home/me/.cache/jaxtriplet")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user whom the machine does not know
    assert _files.cache_folder() is None


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


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


@pytest.mark.parametrize("content", [one for name, one in GARBAGE.items() if name not in ("wrong types", "nan")])
def test_what_a_run_says_of_itself_is_named_if_it_is_damaged(content: bytes, tmp_path: Path) -> None:
    from jaxtriplet.jobs.listening import threshold_of

    for name, read in (
        ("data.json", lambda: runs.check_data(tmp_path, {})),
        ("metrics.json", lambda: threshold_of(tmp_path)),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is damaged \(.*\); put back a copy of it, or ") as caught:
            read()
        assert "\n" not in str(caught.value)
    (tmp_path / "metrics.json").write_text('{"threshold": NaN}')
    with pytest.raises(ValueError, match="its threshold is nan"):
        threshold_of(tmp_path)


# --- one writer -------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from jaxtriplet.jobs import lock
with lock.writing(Path(sys.argv[1]), Path("it")):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Another process that holds a lock."""
    file = tmp_path / "held" / ".lock"
    words = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield file, process
        process.kill()


def test_a_second_writer_is_refused_until_the_first_one_dies(holder: Any, call: Any) -> None:
    file, process = holder
    folder = file.parent
    for words in ((), ("--overwrite",), ("--resume",)):
        status, out, err = call(*WORDS, "--out", folder, *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"{folder} is being written by another process (host " in err
        assert f"pid {process.pid}, since " in err
    for refused in (runs.claim, partial(runs.choose, job="evaluate-")):
        with pytest.raises(ValueError, match="is being written by another process"):
            refused(folder, overwrite=True)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    process.kill()
    process.wait()
    assert call(*WORDS, "--out", folder).status == 0
    assert not file.exists()


def test_a_live_run_is_not_resumed_beside_it(run: Path, call: Any) -> None:
    with runs.writing(run):
        status, _, err = call(*WORDS, "--out", run, "--resume")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{run} is being written by another process" in err
    assert call(*WORDS, "--out", run, "--resume").status == 0


def test_who_comes_second_sees_what_the_first_one_left(
    base: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = runs.writing

    def late(folder: Path) -> Any:
        shutil.copytree(base, folder)  # since this process looked, another has come and gone
        return held(folder)

    monkeypatch.setattr(runs, "writing", late)
    status, _, err = call(*WORDS, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "is not empty" in err
    assert_same(tmp_path / "run", base)


@pytest.mark.parametrize("locks", ["its own", "none on the disk", "none in the system"])
def test_signs_of_life_count_where_locks_do_not_reach(
    locks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if locks == "none on the disk":
        monkeypatch.setattr("fcntl.flock", no_locks)
    if locks == "none in the system":  # as in Windows
        monkeypatch.setattr(lock, "fcntl", None)
        for name in ("pread", "pwrite"):
            monkeypatch.delattr(os, name)
    file = tmp_path / ".lock"
    file.write_text('{"host": "elsewhere", "pid": 7}')
    with pytest.raises(ValueError, match="host elsewhere, pid 7"), lock.writing(file, tmp_path):
        raise AssertionError
    assert file.exists()
    old = time.time() - lock.SILENT - 1
    os.utime(file, (old, old))
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.writing(file, tmp_path):
        os.utime(file, (old, old))
        time.sleep(0.2)
        assert time.time() - file.stat().st_mtime < 5  # it has given a sign of life
        with pytest.raises(ValueError, match=f"pid {os.getpid()}"), lock.writing(file, tmp_path):
            raise AssertionError
    assert not file.exists()
    for content in ("", "[]", '{"host"', "\0" * 9):  # a lock that was cut, or that nobody signed
        file.write_text(content)
        with lock.writing(file, tmp_path):
            pass


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


def test_weights_that_are_not_finite_are_no_checkpoint(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--learning-rate", 3e38, "--out", tmp_path / "run")
    status, _, err = call(*WORDS, *words)
    assert (status, err.count("\n")) == (2, 1)
    assert "at step" in err
    checkpoints = [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdecimal()]
    assert checkpoints == []
    monkeypatch.setattr(nonfinite, "keep", full_disk)
    status, _, err = call(*WORDS, *words, "--overwrite")
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
            assert f"{words[-1]}': must be a finite number; got {word}" in err
    with pytest.raises(ValueError, match="`threshold` must be a finite number; got nan"):
        jobs.cluster("run", "x", threshold=float("nan"))
    with pytest.raises(ValueError, match="`dev_fraction` must be a finite number; got inf"):
        jobs.train(Config.of_recipe("points"), dev_fraction=float("inf"))


# --- the machine says no ----------------------------------------------------------------------------------------------


def interrupted(call: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, fn: Any) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fn)
        return call(*WORDS, "--out", folder)


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
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1, "[Errno 28] No space left on device: 'x'"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 1, "[Errno 30] Read-only file system: 'x'"),
        (MemoryError(), 1, f"out of memory; {NEED_LESS}; to go on"),
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
    assert ended.err.endswith(f"; to go on, give the same options with --out {folder} and --resume\n")
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
    assert f"No space left on device: '{tmp_path}/run/config.json'; to go on" in err


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "embeddings.npz", "report.html"])
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
    assert "--resume" in ended.err
    assert not (folder / name).exists()
    assert call(*WORDS, "--out", folder, "--resume")[::2] == (0, "")
    assert (folder / name).exists()
    assert_same(folder, base)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
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
    assert err == f"jaxtriplet: stopped; to go on, give the same options with --out {tmp_path / 'run'} and --resume\n"


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


# --- embed ------------------------------------------------------------------------------------------------------------


def test_parts_that_are_damaged_are_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [write(tmp_path / f"{i}.wav", voice(0.2, pitch=90 + 30 * i)).name for i in range(6)]
    index = recordings_of(tmp_path, names, cache_dir=tmp_path / "cache")
    rows, folder = np.arange(12, dtype=np.float32).reshape(6, 2), tmp_path / "rows.npz.partial"
    parts = Parts(folder, "me", overwrite=False)
    for row in range(6):
        parts.add(index.take([row]), rows[row : row + 1])
    for number, content in enumerate((b"", b"garbage", (folder / "000002.npz").read_bytes()[:-30])):
        (folder / f"{number:06}.npz").write_bytes(content)
    part = folder / "000003.npz"
    flip(part, 8 * part.read_bytes().index(rows[3].tobytes()))
    found = dict(Parts(folder, "me", overwrite=False).read(index))
    assert [*found] == [4, 5]
    np.testing.assert_array_equal(np.stack([*found.values()]), rows[4:])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(f"00{number}.npz is damaged and removed" in line for number, line in enumerate(lines))
    # What is made again takes the place of none that is there.
    parts.add(index.take(range(4)), rows[:4])
    again = dict(Parts(folder, "me", overwrite=False).read(index))
    np.testing.assert_array_equal(np.stack([again[row] for row in range(6)]), rows)
    (folder / "run.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="was begun with another encoder"):
        Parts(folder, "me", overwrite=False)
    Parts(folder, "me", overwrite=True)
    folder.mkdir()  # as a kill leaves it that comes between the folder and what is in it
    Parts(folder, "me", overwrite=False).add(index, rows)
    assert len(dict(parts.read(index))) == 6


def test_what_is_not_embeds_own_is_let_be(tmp_path: Path) -> None:
    folder = tmp_path / "rows.npz.partial"
    for begun in (False, True):
        folder.mkdir()
        folder.joinpath("thesis.txt").write_text("mine")
        if begun:
            folder.joinpath("run.txt").write_text("notes of a run")
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=r"rows\.npz\.partial is not `embed`'s own; name another `out`"):
                Parts(folder, "me", overwrite=overwrite)
        assert folder.joinpath("thesis.txt").read_text() == "mine"
        assert folder.joinpath("run.txt").exists() == begun
        shutil.rmtree(folder)
    folder.write_text("mine")
    with pytest.raises(ValueError, match="is not `embed`'s own"):
        Parts(folder, "me", overwrite=True)
    assert folder.read_text() == "mine"
    folder.unlink()
    folder.mkdir()
    for name in ("run.txt", "000000.npz", ".run.txt.7.jaxtriplet-draft"):
        folder.joinpath(name).write_text("another")
    with pytest.raises(ValueError, match="was begun with another encoder"):
        Parts(folder, "me", overwrite=False)
    Parts(folder, "me", overwrite=True)
    assert not folder.exists()
    # What somebody adds meanwhile stays, too.
    parts = Parts(folder, "me", overwrite=False)
    for name in ("run.txt", "000000.npz", "thesis.txt"):
        folder.mkdir(exist_ok=True)
        folder.joinpath(name).write_text("me")
    parts.remove()
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_two_do_not_embed_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "load_speech", lambda _: None)
    with (
        lock.writing(tmp_path / ".rows.npz.lock", tmp_path),
        pytest.raises(ValueError, match=r"rows\.npz is being written by another process"),
    ):
        jobs.embed(tmp_path, tmp_path, tmp_path / "rows.npz")
