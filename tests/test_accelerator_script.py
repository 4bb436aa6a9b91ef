"""`benchmarks/accelerator.py`, tried where there is no accelerator: its stages on the processor, in small shapes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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
        assert f"\n## {stage}, " in page
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
    found = results(tmp_path, "--only", "numerics,losses,tiles,update,bench", "--seconds", 280)
    for row in found["numerics"]["rows"]:
        rounding = {"float32": 2**-23, "bfloat16": 2**-8, "float16": 2**-11}[row["dtype"]]
        assert row["value_error"] < 1e-6
        assert row["gradient_error"] < (20 if row["dtype"] == "float32" else 1.5) * rounding
    losses = {(row["loss"], row["batch_size"], row["variant"]): row for row in found["losses"]["rows"]}
    assert losses["semi-hard", 128, "exact"]["times_products"] > 1
    assert losses["semi-hard", 128, "products"]["times_products"] == 1
    assert losses["semi-hard", 128, "textbook"]["ms"] > losses["semi-hard", 128, "exact"]["ms"]
    assert {row["numbers"] for row in found["tiles"]["rows"]} == {"default", 2**10, 2**12}
    for row in found["update"]["rows"]:
        donated, _, everything = row["donated"].removesuffix(" arrays").partition(" of ")
        assert donated == everything
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "bench").iterdir()} == {"bench.json", "bench.md"}


def test_a_stage_without_time_is_skipped_and_says_so(tmp_path: Path) -> None:
    assert "s were left" in results(tmp_path, "--only", "losses", "--seconds", 0.001)["losses"]["skipped"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "car"], "no stage car; there are card, "),
        (["--profile", "semi-hard", "many"], "BATCH a whole number"),
        (["--options", "fast", "--device", "cpu"], "--options is one JSON object"),
    ],
    ids=["stage", "batch", "options"],
)
def test_what_is_not_there_is_refused(words: list[str], complaint: str) -> None:
    ended = run(*words)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
