"""The examples run, and what they print is what they promise."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import jax
import pytest

from tests.test_on_metrics import events_of

FOLDER = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(name: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What an example prints, run as its users do: without JAX's strict modes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        imported(name).main(*arguments)
    return capsys.readouterr().out


def shares(text: str, name: str) -> list[float]:
    return [float(found) / 100 for found in re.findall(rf"{name} ([\d.]+)\s?%", text)]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "least"), [("plain_jax", 0.85), ("flax_linen", 0.8), ("equinox_model", 0.85)])
def test_an_example_learns_digits(name: str, least: float, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(name, capsys)
    assert shares(text, "recall@1")[-1] > 0.95
    assert shares(text, "MAP@R")[-1] > least


@pytest.mark.exhaustive
def test_questions_find_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    untrained, trained, short = shares(printed("text_pairs", capsys), "recall@1")
    assert untrained < 0.3
    assert min(trained, short) > 0.8


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["pmap", "sharded_head"])
def test_devices_share_an_examples_work(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(name, capsys)  # which compares with one device itself
    assert text.startswith(f"{jax.device_count()} devices")
    first, last = map(float, re.findall(r"loss from ([\d.]+) to ([\d.]+)", text)[0])
    assert last < 0.8 * first


@pytest.mark.exhaustive
def test_an_example_logs_each_step_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("tensorboard_logging", capsys, str(tmp_path))
    events = [(step, figure) for step, name, figure in events_of(tmp_path) if name == "loss"]
    assert [step for step, _ in events] == list(range(1, 41))
    assert f"step 40, loss {events[-1][1]:.3f}" in text


@pytest.mark.parametrize(("name", "library"), [("equinox_model", "equinox"), ("tensorboard_logging", "tensorboardX")])
def test_what_an_example_lacks_is_said_in_a_line(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit, match=f"^this example needs {library}: pip install [^\n]*$"):
        imported(name)


def test_the_index_has_every_example_and_each_says_how_it_is_run() -> None:
    listed = re.findall(r"^\| \[(\w+)\.py\]\((\w+)\.py\)", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(name for name, _ in listed) == NAMES
    assert all(name == link for name, link in listed)
    for name in NAMES:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert text.startswith('"""')
        assert f"python examples/{name}.py" in text.split('"""')[1]
        assert 'if __name__ == "__main__":' in text
