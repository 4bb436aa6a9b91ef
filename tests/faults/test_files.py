"""Files that are whole or not at all, one writer at a time, and what somebody else's file is taken for."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxtriplet import _files, jobs
from jaxtriplet.data import recordings_of
from jaxtriplet.jobs import lock, runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.parts import Parts
from jaxtriplet.jobs.scoring import Comparison
from tests.audio_files import voice, write
from tests.faults.disturbed import ROOT, WORDS, assert_same, flip, full_disk
from tests.saved import save

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("files"), pytest.mark.usefixtures("points")]


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
    told = "is damaged and removed, and its recordings are embedded again"
    assert all(line.endswith(f"00{number}.npz {told}") for number, line in enumerate(lines))
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


def test_a_place_that_can_take_no_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"folder\.npz is a folder, not a file; name another file"):
        runs.choose_file(tmp_path / "folder.npz", overwrite=True)
    with pytest.raises(ValueError, match=r"/file is a file, not a folder"):
        runs.choose_file(tmp_path / "file" / "x.npz", overwrite=False)


def test_two_do_not_embed_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparison, "load", lambda *_: None)
    with (
        lock.writing(tmp_path / ".rows.npz.lock", tmp_path),
        pytest.raises(ValueError, match=r"rows\.npz is being written by another process"),
    ):
        jobs.embed(tmp_path, tmp_path, tmp_path / "rows.npz")
