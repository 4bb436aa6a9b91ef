"""Several processes on this machine, as on several hosts, that share recordings: what one gives, and a clear end."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from tests.audio_files import corpus, voice, write
from tests.jobs_of_processes import ends, job
from tests.modes import trials
from tests.saved import save

# All in one worker: the processes of one job have enough to do.
pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("cache_of_module")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose weights are as they were drawn."""
    config = Config().replace(encoder="tdnn", embedding_dim=8, bands=40, backend_speeds="1")
    folder = tmp_path_factory.mktemp("run")
    save(folder, runs.SpeechRun(config, build_speech_encoder(config)))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers with four recordings each, one of them longer, and a broken one."""
    root = corpus(tmp_path_factory.mktemp("data") / "calls")
    write(root / "s1" / "day0" / "long.wav", voice(3))
    (root / "s1" / "day0" / "broken.wav").write_bytes(b"RIFF of nothing")
    return root


def apart(tmp_path: Path) -> Callable[[int], tuple[Sequence[object], dict[str, str]]]:
    """Gives each process a cache of its own, as a host would."""
    return lambda index: ((), {"XDG_CACHE_HOME": str(tmp_path / f"cache{index}")})


def alone(call: Any, words: Sequence[object]) -> tuple[dict[str, Any], list[str]]:
    """Runs a command in this process, and returns its figures and what it said."""
    status, out, err = call(*words)
    assert status == 0, err
    return json.loads(out), lines(err)


def lines(errors: str) -> list[str]:
    """Returns what our program said; Gloo greets its peers, too."""
    return [line.removeprefix("jaxtriplet: ") for line in errors.splitlines() if line.startswith("jaxtriplet: ")]


def assert_same(file: Path, other: Path) -> None:
    with np.load(file) as found, np.load(other) as expected:
        assert set(found) == set(expected)
        for name in set(found) - {"embeddings"}:
            np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_allclose(found["embeddings"], expected["embeddings"], rtol=0, atol=1e-6)


def test_what_processes_tell_each_other() -> None:
    with job(2, 2, ["-m", "tests.shares"], named=False) as running:
        for status, out, errors in ends(running):
            assert (status, out.splitlines()[-1:]) == (0, ["told"]), errors


def test_two_processes_embed_what_one_does(run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    words = ["embed", run, "--data", data, "--fit-on", data, "--backend", "wccn", "--json", "--out"]
    whole, _ = alone(call, [*words, tmp_path / "one.npz"])
    together = ["-m", "jaxtriplet", *words, tmp_path / "two.npz", "--distributed"]
    with job(2, 2, together, named=True, each=apart(tmp_path)) as running:
        (status, out, errors), (other, other_out, other_errors) = ends(running)
    assert (status, other, other_out) == (0, 0, ""), errors + other_errors
    assert json.loads(out) == whole | {"file": str(tmp_path / "two.npz")}
    assert_same(tmp_path / "two.npz", tmp_path / "one.npz")
    assert [path.name for path in tmp_path.glob("*two.npz*")] == ["two.npz"]
    # Process 0 says what concerns all; who has the longer one has few others.
    assert [line for line in lines(errors) if "left out" in line] == ["1 file left out, 13 recordings used"] * 2
    # Of progress it tells alone, and of the files of both.
    progress = [line for line in lines(errors) if line.startswith("embedding: ")]
    assert progress[-1].startswith("embedding: 13 of 13 files, ")
    assert [line for line in lines(errors) if line not in progress][-1] == (
        "process 0 of 2: embeds 4 of 13 recordings, 0.00 h"
    )
    assert lines(other_errors) == ["process 1 of 2: embeds 9 of 13 recordings, 0.00 h"]
    # Each has read some of the files, and remembers what all have read.
    known = [(tmp_path / cache).rglob("recordings-*.json") for cache in ("cache0", "cache1")]
    first, second = ([json.loads(file.read_text())["files"] for file in files] for files in known)
    assert first == second
    assert [len(files) for files in first] == [14]


QUICK = """
import runpy
from jaxtriplet.jobs import embedding, parts
from jaxtriplet.parallel import shares
parts.SIGHT, embedding.SAVE_SECONDS, shares.ROUND = 0.5, 0.0, 0.2
"""
START = "runpy.run_module('jaxtriplet', run_name='__main__')"
UNLIKE = {
    "recordings": "the files in {data} (names, sizes, times of change) are not the same in process 0 and process 1",
    "names": "the recordings that {data} names are not the same in process 0 and process 1",
    "options": "the options are not the same in process 0 and process 1",
    "weights": "config and weights of {run} are not the same in process 0 and process 1",
    "place": "process 1 does not see {place}/rows.npz.partial/run.txt, which another one has written; ",
    "a missing run": "{run} holds no weights of a finished run",
}


@trials("differs", UNLIKE, always=lambda differs: differs == "recordings")
def test_what_processes_do_not_see_alike_is_said_by_each(differs: str, run: Path, data: Path, tmp_path: Path) -> None:
    seen = [{"data": data, "run": run, "place": tmp_path / "out"} for _ in range(2)]
    first, second = seen
    if differs in ("recordings", "names"):
        second["data"] = Path(shutil.copytree(data, tmp_path / "copy"))  # with the times of change
        path = second["data"] / "s0" / "day0" / "00.wav"
        path.touch() if differs == "recordings" else path.rename(path.with_name("02.wav"))
    elif differs == "weights":
        second["run"] = Path(shutil.copytree(run, tmp_path / "copy"))
        config = second["run"] / "config.json"
        config.write_text(config.read_text().replace('"speakers": ', '"speakers":  '))
    elif differs == "a missing run":
        second["run"] = tmp_path / "nowhere"
    elif differs == "place":
        second["place"] = tmp_path / "elsewhere"

    def each(index: int) -> tuple[Sequence[object], dict[str, str]]:
        one, more = seen[index], ["--unlabelled"] if differs == "options" and index else []
        words = ("embed", one["run"], "--data", one["data"], "--out", one["place"] / "rows.npz", "--distributed")
        return (*words, *more), {}

    with job(2, 1, ["-c", QUICK + START], named=True, each=each) as running:
        ended = ends(running)
    for one, (status, out, errors) in zip(seen, ended, strict=True):
        assert (status, out) == (2, ""), errors
        (line,) = [line for line in lines(errors) if "left out" not in line and "broken.wav" not in line]
        elsewhere = one is first and differs in ("place", "a missing run")
        assert line.startswith(
            "process 1 cannot go on, and says why" if elsewhere else UNLIKE[differs].format_map(one)
        ), line
    assert not [*tmp_path.rglob("*.npz"), *tmp_path.rglob(".*.lock")]


ONE_FAILS = """
from jaxtriplet.jobs import embedding
import jax
whole = embedding.embed_batches
def embed_batches(*args, **options):
    for number, batch in enumerate(whole(*args, **options)):
        if number == 1 and jax.process_index():
            FAILS
        yield batch
embedding.embed_batches = embed_batches
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("fails", ["raise ValueError('a recording is damaged')", "os.kill(os.getpid(), 9)"])
def test_where_one_process_fails_nothing_is_lost(fails: str, run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    many = Path(shutil.copytree(data, tmp_path / "many"))
    for row in range(4):
        write(
            many / "s2" / "day2" / f"{row}.wav", voice(1.1 + 0.3 * row, seed=row)
        )  # of other shapes, so other batches
    words = ["embed", run, "--data", many, "--json", "--out"]
    alone(call, [*words, tmp_path / "one.npz"])
    file, partial = tmp_path / "rows.npz", tmp_path / "rows.npz.partial"
    script = QUICK + "import os" + ONE_FAILS.replace("FAILS", fails) + START
    begun = time.monotonic()
    with job(2, 1, ["-c", script, *words, file, "--distributed"], named=True, each=apart(tmp_path)) as running:
        (status, out, errors), (other, other_out, other_errors) = ends(running)
    assert time.monotonic() - begun < 60
    assert (out, other_out) == ("", "")
    if "kill" in fails:
        assert (status, other) == (1, -signal.SIGKILL), errors
        assert lines(errors)[-1].startswith("process 0 of 2: another process is gone, so the job ends; start all again")
    else:
        assert (status, other) == (2, 2), errors + other_errors
        assert lines(errors)[-1] == "process 1 cannot go on, and says why"
        assert lines(other_errors)[-1] == "a recording is damaged"
    assert "Traceback" not in errors
    kept = [*partial.glob("[0-9]*.npz")]
    assert {path.name[:4] for path in kept} == {"000-", "001-"}
    assert not file.exists()
    assert not (tmp_path / ".rows.npz.lock").exists()

    # Any number of processes goes on from what both have done.
    count = sum(len(np.load(path)["paths"]) for path in kept)
    assert count >= 2
    for processes in (1, 3) if "kill" in fails else (2,):
        copied = tmp_path / f"of{processes}.npz"
        shutil.copytree(partial, tmp_path / f"of{processes}.npz.partial")
        if processes == 1:
            figures, said = alone(call, [*words, copied])
        else:
            command = ["-m", "jaxtriplet", *words, copied, "--distributed"]
            with job(processes, 1, command, named=True, each=apart(tmp_path)) as running:
                ended = ends(running)
            assert [status for status, *_ in ended] == [0] * processes, ended
            figures, said = json.loads(ended[0][1]), lines(ended[0][2])
        assert figures["num_resumed"] == count
        assert f"goes on after {count} of 17 recordings" in said
        assert_same(copied, tmp_path / "one.npz")
        assert not (tmp_path / f"of{processes}.npz.partial").exists()


@pytest.mark.exhaustive
def test_a_file_that_is_there_is_refused_by_each(run: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    file.write_text("mine")
    with job(
        2, 1, ["-m", "jaxtriplet", "embed", run, "--data", data, "--out", file, "--distributed"], named=True
    ) as all_:
        for status, out, errors in ends(all_):
            assert (status, out) == (2, "")
            assert lines(errors) == [f"{file} is there already; name another file, or add --overwrite to replace it"]
    assert file.read_text() == "mine"


@pytest.mark.exhaustive
def test_two_processes_judge_as_one_does_and_go_on(run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    for row in range(5):
        write(cohort / f"{row}.wav", voice(0.5 + 0.2 * row, pitch=100 + 30 * row, seed=row))
    words = ["evaluate", run, "--data", data, "--cohort", cohort, "--retrieval", "--draws", "20", "--json", "--out"]
    whole, _ = alone(call, [*words, tmp_path / "one"])
    out = tmp_path / "two"
    script = QUICK + "import os" + ONE_FAILS.replace("FAILS", "os.kill(os.getpid(), 9)") + START
    with job(2, 1, ["-c", script, *words, out, "--distributed"], named=True, each=apart(tmp_path)) as running:
        (status, _, errors), (other, *_) = ends(running)
    assert (status, other) == (1, -signal.SIGKILL), errors
    assert "another process is gone" in errors
    assert not out.exists()
    kept = [*(tmp_path / "two.partial" / "0" / "embedding").glob("[0-9]*.npz")]
    count = sum(len(np.load(path)["paths"]) for path in kept)
    assert {path.name[:4] for path in kept} == {"000-", "001-"}
    for processes in (2, 0):  # the last one without the option
        copied = tmp_path / f"of{processes}"
        shutil.copytree(tmp_path / "two.partial", tmp_path / f"of{processes}.partial")
        if processes:
            command = ["-m", "jaxtriplet", *words, copied, "--distributed"]
            with job(processes, 1, command, named=True, each=apart(tmp_path)) as running:
                (status, printed, errors), *others = ends(running)
            assert [status, *(one[0] for one in others)] == [0] * processes, errors
            assert [one[1] for one in others] == [""] * (processes - 1)
            found, said = json.loads(printed), lines(errors)
        else:
            found, said = alone(call, [*words, copied])
        assert f"goes on after {count} of 13 recordings" in said
        assert found == json.loads((copied / "metrics.json").read_text())
        assert found.keys() == whole.keys()
        for name, value in whole.items():
            expected = (
                pytest.approx(value, abs=1e-5) if isinstance(value, float | list) and name != "left_out" else value
            )
            assert found[name] == expected, name
        assert {path.name for path in copied.iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
        assert not [*tmp_path.glob(f"*of{processes}.*")], "something is left over"
