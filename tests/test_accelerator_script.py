"""`benchmarks/accelerator.py`, tried where there is no accelerator: its stages on the processor, in small shapes."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accelerator.py"


def run(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def results(out: Path, *words: object) -> dict[str, Any]:
    """What the script has measured, with the page that it made of it."""
    ended = run("--device", "cpu", "--quick", "--out", out, *words)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    page = (out / "results.md").read_text()
    for stage, result in found.items():
        assert ("skipped" in result) != (f"\n## {stage}, " in page)
        assert "failed" not in result, result
    return found


def test_the_card_and_a_profile_are_measured(tmp_path: Path) -> None:
    found = results(tmp_path, "--only", "card,profile", "--profile", "batch-hard", 64)
    assert [*found] == ["card", "profile"]
    rows = {(row["size"], row["precision"]): row for row in found["card"]["products"]}
    exact = rows["512 x 512", "float32 HIGHEST"]
    assert exact["largest_error"] < 1e-6 < rows["512 x 512", "bfloat16 rows"]["largest_error"] < 1e-2
    assert exact["three_ms"] > exact["one_ms"] > 0
    assert "not supported" in rows["512 x 512", "TF32"]["failed"]  # what fails says so in its place
    for how in ("as it is", "kernels one by one"):
        profile = found["profile"][f"batch-hard, 64, {how}"]
        assert profile["launches"] >= len(profile["kernels"]) > 3
        assert profile["device_us"] >= profile["kernels"][0]["us"] > 0


@pytest.mark.exhaustive
def test_every_other_stage_is_measured(tmp_path: Path) -> None:
    found = results(tmp_path, "--only", "numerics,losses,tiles,large,update,bench", "--seconds", 280)
    assert [*found] == ["losses", "numerics", "update", "tiles", "large", "bench"]
    assert "No time was left" not in (tmp_path / "results.md").read_text()
    numerics = {(row["loss"], row["dtype"], row["precision"]) for row in found["numerics"]["rows"]}
    assert {("semi_hard", dtype, "fast") for dtype in ("float32", "bfloat16", "float16")} < numerics
    for row in found["numerics"]["rows"]:
        rounding = {"float32": 2**-23, "bfloat16": 2**-8, "float16": 2**-11}[row["dtype"]]
        assert row["value_error"] < 1e-6
        assert row["gradient_error"] < (20 if row["dtype"] == "float32" else 1.5) * rounding
    losses = {(row["loss"], row["batch_size"], row["variant"]): row for row in found["losses"]["rows"]}
    assert losses["semi-hard", 128, "exact"]["times_products"] > 1
    assert losses["semi-hard", 128, "products"]["times_products"] == 1
    assert losses["semi-hard", 128, "textbook"]["ms"] > losses["semi-hard", 128, "exact"]["ms"]
    assert {row["numbers"] for row in found["tiles"]["rows"]} == {"default", 2**10, 2**12}
    large = {(row["batch_size"], row["dim"]) for row in found["large"]["rows"]}
    assert large == {(96, 256), (80, 256), (96, 768)}
    assert {row["batch_size"] for row in found["large"]["tiles"]} == {96}
    assert {row["size"] for row in found["large"]["products"]} == {"96 x 96"}
    for row in found["update"]["rows"]:
        donated, _, everything = row["donated"].removesuffix(" arrays").partition(" of ")
        assert donated == everything
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "bench").iterdir()} == {"bench.json", "bench.md"}


def test_a_stage_without_time_is_skipped_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "results.png").write_text("of another run")
    found = results(tmp_path, "--only", "losses", "--seconds", 0.001, "--overwrite")
    assert "s were left" in found["losses"]["skipped"]
    assert not (tmp_path / "results.png").exists()
    assert "No time was left for the stages losses." in (tmp_path / "results.md").read_text()


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the script."""
    monkeypatch.syspath_prepend(SCRIPT.parent)


@pytest.fixture
def here(stages: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in here: a file and a folder that is not empty; what they set, nobody else sees."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "results.json").write_text("mine")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command is refused with."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("accelerator").main(words)
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    # argparse says how the program is called before.
    return next(line for line in reversed(said.err.splitlines()) if "rror: " in line)


def slow(seconds: float, begun: list[float]) -> Callable[[jax.Array], jax.Array]:
    """A function that takes so long to trace, and notes when that begins."""

    def function(x: jax.Array) -> jax.Array:
        begun.append(seconds)
        time.sleep(seconds)
        return x + seconds

    return function


@pytest.mark.usefixtures("stages")
def test_nothing_is_begun_that_would_not_be_ready_and_nothing_goes_on_behind_a_stage(tmp_path: Path) -> None:
    session_of = importlib.import_module("stages.session")
    session, begun = session_of.Session("cpu", tmp_path, quick=True, seconds=60), []
    many = 3 * session_of.COMPILING
    with session.stage("some", 2.0):
        programs = {n: session_of.Program(slow(1.2, begun), (jax.numpy.float32(n),)) for n in range(many)}
        found = session.compile(programs)
        # The first threads know of no time; after them, less is left than one takes.
        assert len(begun) == session_of.COMPILING == sum(isinstance(one, session_of.Built) for one in found.values())
        assert [found[n] for n in range(many) if n >= len(begun)] == [session_of.LATE] * (many - len(begun))
    with session.stage("the next", 2.0):
        assert 0 in session.compile({0: session_of.Program(slow(0.0, begun), (jax.numpy.float32(0),))})
    assert begun == [1.2] * session_of.COMPILING + [0.0]


@pytest.mark.usefixtures("stages")
def test_a_run_whose_time_is_up_does_not_wait_for_what_compiles(tmp_path: Path) -> None:
    session_of = importlib.import_module("stages.session")
    session, begun = session_of.Session("cpu", tmp_path, quick=True, seconds=0.5), []
    with session.stage("some", 60):
        started = time.monotonic()
        assert session.compile({0: session_of.Program(slow(2.0, begun), (jax.numpy.float32(0),))}) == {
            0: session_of.LATE
        }
    assert begun == [2.0]
    assert time.monotonic() - started < 1.5


@pytest.mark.usefixtures("stages")
def test_what_there_was_no_time_for_is_one_line_of_the_page() -> None:
    page, late = importlib.import_module("stages.page"), importlib.import_module("stages.session").LATE
    row = {"loss": "nca", "batch_size": 8, "dim": 4, "variant": "exact", "ms": 2.0, "needs_mib": 1.0}
    rows = [row, {**row, "variant": "fast", "failed": late}, {**row, "loss": "circle", "failed": late}]
    told = page.markdown({"losses": {"rows": rows, "seconds": 1}, "tiles": {"skipped": "3 s were left"}})
    assert "| nca x 8 x 4 | 2 |" in told
    assert "\nNo time was left for: nca x 8 x 4 (fast); circle x 8 x 4.\n" in told
    assert "| circle" not in told
    assert told.endswith("No time was left for the stages tiles.\n")


@pytest.mark.usefixtures("stages")
def test_the_page_of_the_h200_is_made_of_its_results() -> None:
    folder = SCRIPT.parent
    made = importlib.import_module("stages.page").markdown(json.loads((folder / "h200.json").read_text()))
    tables = [line for line in made.splitlines() if line.startswith("|")]
    assert len(tables) > 40
    assert [line for line in (folder / "h200.md").read_text().splitlines() if line.startswith("|")] == tables


def test_results_are_drawn_again(tmp_path: Path) -> None:
    copy = tmp_path / "h200.json"
    copy.write_text((SCRIPT.parent / "h200.json").read_text())
    ended = run("--draw", copy)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("# NVIDIA H200\n")
    assert copy.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("stages")
def test_what_autotuning_has_found_is_kept_unless_a_flag_says_where() -> None:
    with_cache = importlib.import_module("accelerator").with_cache
    ours = "--xla_gpu_per_fusion_autotune_cache_dir='/some where'"
    assert with_cache("", Path("/some where")) == ours
    assert with_cache("--xla_dump_to=a", Path("/some where")) == f"--xla_dump_to=a {ours}"
    assert with_cache(ours, Path("/elsewhere")) == ours
    # XLA knows the flag, and where its value ends: of one that it does not know it dies.
    environment = os.environ | {"XLA_FLAGS": ours, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=environment, check=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "car"], "no stage car; there are card, "),
        (["--profile", "semi-hard", "many"], "BATCH a whole number"),
        (["--profile", "semi-hard", "0"], "a batch has 1 row or more"),
        (["--profile", "semi-hart", "64"], "semi-hard"),
        (["--options", "fast"], "--options is one JSON object"),
        (["--options", "[1]"], "--options is one JSON object, not [1]"),
        (["--seconds", "nan"], "--seconds must be a finite number above 0, but is nan"),
        (["--seconds", "inf"], "but is inf"),
        (["--seconds", "0"], "but is 0.0"),
        (["--draw", "nowhere.json"], "nowhere.json"),
        (["--out", "file"], "file is a file, not a folder"),
        (["--out", "file/below"], "file is a file, not a folder"),
        (["--out", "full"], "full is not empty; name another folder, or add --overwrite"),
        (["--out", "n" * 300], "File name too long"),
        (["--out", "/proc", "--overwrite"], "/proc"),
        (["--device", "gpu", "--out", "new", "--autotune-cache", "file"], "file is a file, not a folder"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_refused(
    words: list[str], complaint: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complaint in refused(capsys, "--device", "cpu", *words)
    assert sorted(path.name for path in here.iterdir()) == ["file", "full"]
    assert [path.read_text() for path in (here / "file", here / "full" / "results.json")] == ["mine", "mine"]


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "3",
        "{",
        '{"a": {}}',
        '{"card": 3}',
        '{"losses": {"rows": [3]}}',
        '{"losses": {"rows": [{"ms": 1}]}}',
    ],
)
def test_what_is_no_results_is_not_drawn(content: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "some.json").write_text(content)
    assert "some.json holds no results: " in refused(capsys, "--draw", "some.json")
    assert not (here / "some.png").exists()


def test_a_picture_is_replaced_only_if_that_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "h200.json").write_text((SCRIPT.parent / "h200.json").read_text())
    (here / "h200.png").write_text("mine")
    assert "h200.png is there already; " in refused(capsys, "--draw", "h200.json")
    assert (here / "h200.png").read_text() == "mine"
    importlib.import_module("accelerator").main(["--draw", "h200.json", "--overwrite"])
    assert (here / "h200.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_device_nothing_is_made(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "here").mkdir()
    monkeypatch.chdir(here / "here")
    assert "jax has no tpu here: " in refused(capsys, "--device", "tpu")
    assert "jax has no gpu here: " in refused(capsys, "--device", "gpu")
    assert not [*(here / "here").iterdir()]


@pytest.mark.usefixtures("here")
def test_each_run_has_its_folder_and_all_have_one_cache() -> None:
    given = importlib.import_module("accelerator").options([])
    assert given.out.parent == Path("runs")
    assert time.strptime(given.out.name, "accelerator-%Y-%m-%d_%H-%M-%S")
    assert given.autotune_cache == Path("runs/autotune").resolve()
