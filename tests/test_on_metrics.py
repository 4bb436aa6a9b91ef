"""Whoever is told the figures of a run as it goes: a function of the user's own, and event files for TensorBoard."""

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jaxtriplet import cli, jobs
from jaxtriplet.jobs import event_files, runs


def events_of(folder: Path) -> list[tuple[int, str, float]]:
    """Steps, names and figures in all event files, as they lie there."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:  # a record: its length, a checksum of that, itself, a checksum of it
            size = struct.unpack("<Q", content[:8])[0]
            event = Event.FromString(content[12 : 12 + size])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            content = content[16 + size :]
    return found


@pytest.mark.exhaustive
@pytest.mark.usefixtures("points")
def test_figures_are_told_and_event_files_have_none_twice(tmp_path: Path, call: Callable[..., Any]) -> None:
    folder, told = tmp_path / "run", list[tuple[int, dict[str, float]]]()
    config = jobs.Config.of_recipe("points", seed=0)

    def full(step: int, figures: dict[str, float]) -> None:
        told.append((step, figures))
        if step == 5:
            raise OSError(28, "No space left on device")

    how: dict[str, Any] = {"checkpoint_every": 4, "on_metrics": full, "tensorboard": True}
    with pytest.raises(OSError, match="No space left") as caught:
        jobs.train(config, out=folder, quiet=True, devices=1, **how)
    assert "resume=True" in "".join(caught.value.__notes__)
    assert [step for step, _ in told] == [1, 2, 3, 4, 5]
    events = folder / "tensorboard"
    (events / "mine.txt").write_text("kept")
    assert [step for step, name, _ in events_of(events) if name == "loss"] in ([1, 2, 3, 4], [1, 2, 3, 4, 5])
    # From update 4 on once more, of which the files have update 5 already.
    words = "train", "--recipe", "points", "--quiet", "--out", folder, "--devices", 1
    assert call(*words, "--resume", "--tensorboard").status == 0
    history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert [{"step": step, **figures} for step, figures in told] == history[:5]
    assert [("equal_error_rate" in row) for row in history] == [False, False, True, False, False, True]
    expected = [(row["step"], name, row[name]) for row in history for name in row if name != "step"]
    assert events_of(events) == [(*where, pytest.approx(figure)) for *where, figure in expected]
    assert (events / "mine.txt").read_text() == "kept"


def test_a_run_in_the_place_of_another_removes_event_files_and_nothing_else(tmp_path: Path) -> None:
    events, shared = tmp_path / "run" / "tensorboard", tmp_path / "shared"
    for place in (events, shared):
        place.mkdir(parents=True)
        (place / "events.out.tfevents.1.host").touch()
    (events / "mine.txt").touch()
    runs.begin(events.parent, {}, None, overwrite=True)
    assert [path.name for path in events.iterdir()] == ["mine.txt"]
    (events / "mine.txt").unlink()
    runs.begin(events.parent, {}, None, overwrite=True)
    assert not events.exists()
    events.symlink_to(shared)
    runs.begin(events.parent, {}, None, overwrite=True)
    assert events.is_symlink()
    with pytest.raises(ValueError, match="tensorboard is a link, and event files need a folder of their own: move it"):
        jobs.train(out=events.parent, overwrite=True, tensorboard=True, quiet=True)
    with pytest.raises(ValueError, match="is a link"):
        event_files.EventFiles(events.parent)(1, {"loss": 1.0})
    assert [path.name for path in shared.iterdir()] == ["events.out.tfevents.1.host"]


def test_who_cannot_be_told_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`on_metrics` must be a function of a step and its figures; got 5"):
        jobs.train(out=tmp_path / "run", on_metrics=5)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_without_the_library_a_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="event files need tensorboardX"):
        jobs.train(out=tmp_path / "run", tensorboard=True)
    monkeypatch.setattr(sys, "argv", ["jaxtriplet", "train", "--out", str(tmp_path / "run"), "--tensorboard"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    line = 'jaxtriplet: event files need tensorboardX: pip install "jaxtriplet[tensorboard]"\n'
    assert capsys.readouterr().err == line
    assert not list(tmp_path.iterdir())
