"""What a job shows of its progress, how to go on is told, and where `runs/latest` leads."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jaxtriplet import jobs
from jaxtriplet.cli import _ending, kinds
from jaxtriplet.jobs import latest, notes, progress, runs
from jaxtriplet.jobs.progress import Bar

RUN = "2026-01-02_03-04-05"


class Terminal(io.StringIO):
    """Standard error that somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_times_are_rounded_before_they_are_worded() -> None:
    assert [progress._clock(seconds) for seconds in (59.4, 59.6, 3599.7)] == ["0:59", "1:00", "1:00:00"]
    assert progress._pace(0.9999, "step") == progress._pace(1.0, "step") == "1.0 steps a second"
    assert progress._pace(0.5, "step") == "2.0 seconds a step"


def test_where_nobody_watches_there_is_a_line_every_so_often(capsys: Any, clock: list[float]) -> None:
    with Bar("training", "step", 60, quiet=False) as bar:
        bar.start(10)
        bar.doing("compiling")
        clock[0] += 30
        for step in range(11, 61):
            clock[0] += 1
            bar.to(step, figures=f"loss {step / 100}")
    assert capsys.readouterr().err.splitlines() == [
        "jaxtriplet: training: compiling",
        "jaxtriplet: training: 11 of 60 steps, loss 0.11",
        *(
            f"jaxtriplet: training: {n} of 60 steps, loss {n / 100}, 1.0 steps a second, 0:{60 - n:02} left"
            for n in (21, 31, 41, 51)
        ),
        "jaxtriplet: training: 60 of 60 steps, loss 0.6, 1:20 in all",
    ]


def test_what_takes_a_moment_says_nothing_and_what_is_quiet_neither(capsys: Any, clock: list[float]) -> None:
    for quiet, seconds in ((False, 1), (True, 100)):
        with Bar("recordings", "file", quiet=quiet) as bar:
            if quiet:
                bar.doing("compiling")
            for done in range(1, 4):
                clock[0] += seconds
                bar.to(done, 3)
    assert capsys.readouterr() == ("", "")


def test_an_error_ends_the_lines_without_a_last_one(capsys: Any) -> None:
    bar = Bar("embedding", "file", quiet=False)
    bar.doing("compiling")
    bar.to(1, 3)
    bar.__exit__(ValueError, ValueError("x"), None)
    assert capsys.readouterr().err == "jaxtriplet: embedding: compiling\n"


def test_a_terminal_gets_a_bar_that_says_when_it_compiles(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "100")
    with Bar("training", "step", 2, quiet=False) as bar:
        bar.doing("compiling")
        bar.to(1, figures="loss 1.0")
        bar.note("a warning")
        bar.to(2)
    frames = shown.getvalue().split("\r")
    assert any(frame.startswith("compiling:") for frame in frames)
    assert "training: 100%" in frames[-1]
    assert "jaxtriplet: a warning\n" in shown.getvalue()
    assert shown.getvalue().endswith("\n")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("typed", "folder", "told"),
    [
        (["train", "--steps", "5"], "runs/x y", "jaxtriplet train --steps 5 --out 'runs/x y' --resume"),
        (["train", "--out=a", "--overwrite"], "a", "jaxtriplet train --out=a --resume"),
        (["train", "--out", "a", "--resume"], "a", "jaxtriplet train --out a --resume"),
        (["train", "--out", "runs/latest"], f"runs/{RUN}", f"jaxtriplet train --out runs/{RUN} --resume"),
        (["train", "--out=runs/latest"], f"runs/{RUN}", f"jaxtriplet train --out=runs/{RUN} --resume"),
        (["embed", "run", "--data", "a b", "--overwrite"], None, "jaxtriplet embed run --data 'a b' --overwrite"),
        (["embed", "k  run", "--data", "a\nb"], None, r"jaxtriplet embed 'k  run' --data $'a\nb'"),
        (["embed", "\udcff", "--data", "it's\xa0"], None, r"jaxtriplet embed $'\xff' --data $'it\'s\xc2\xa0'"),
    ],
)
def test_to_go_on_the_whole_command_is_told(
    typed: list[str], folder: str | None, told: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["jaxtriplet", *typed])
    with pytest.raises(KeyboardInterrupt) as caught, notes.resumable(None if folder is None else Path(folder)):
        raise KeyboardInterrupt
    assert _ending.ending(caught.value) == (130, f"stopped; to go on: {told}")
    assert notes.at_once(_ending.again) == f"to go on: {told}"
    monkeypatch.setattr(_ending, "_said", [])
    _ending.say(f"stopped;\n  to go on: {told}")
    assert capsys.readouterr().err == f"jaxtriplet: stopped; to go on: {told}\n"
    shell = subprocess.run(["bash", "-c", f"printf '%s\\0' {told}"], capture_output=True, check=True).stdout
    if folder is None:
        assert shell.split(b"\0")[1:-1] == [os.fsencode(word) for word in typed]
    monkeypatch.setattr(sys, "argv", ["/lib/jaxtriplet/__main__.py", *typed])
    assert notes.at_once(_ending.again) == f"to go on: python -m {told}"
    with notes.resumable():
        pass
    assert notes.at_once(_ending.again) == ""


def test_latest_leads_to_the_newest_run_and_spares_what_is_somebodys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "runs"
    link = place / "latest"
    for name in (RUN, RUN[:-1] + "6"):
        (place / name).mkdir(parents=True)
        assert latest.point_at(place / name) is None
        assert link.readlink() == Path(name)
        assert latest.resolved(link) == place / name
        assert kinds.RunFolder().convert(str(link), None, None) == place / name
    assert {path.name for path in place.iterdir()} == {RUN, RUN[:-1] + "6", "latest"}

    def no_links(*_: Any, **__: Any) -> None:
        raise OSError("no links here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", no_links)
        latest.point_at(place / RUN)
    assert link.read_text() == f"{RUN}\n"
    assert latest.resolved(link) == place / RUN
    latest.point_at(place / RUN)  # a text of ours is replaced by a link
    assert link.is_symlink()

    for make in (link.mkdir, link.touch, lambda: link.symlink_to("mine"), lambda: link.write_text("mine")):
        link.unlink(missing_ok=True)
        make()
        assert "is your own, so it stays as it is" in str(latest.point_at(place / RUN))
        assert latest.resolved(link) == link
        if link.is_dir():
            link.rmdir()


@pytest.mark.parametrize("is_link", [True, False])
def test_a_training_stays_in_the_run_that_latest_led_to_when_it_began(
    is_link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, folder = tmp_path / "latest", tmp_path / RUN
    folder.mkdir()
    link.symlink_to(RUN) if is_link else link.write_text(f"{RUN}\n")
    used = []

    def choose(numbers: object, out: Path, **_: bool) -> Path:
        used.append(out)
        (tmp_path / (later := RUN[:-1] + "6")).mkdir(exist_ok=True)
        latest.point_at(tmp_path / later)  # another run ends meanwhile
        return out

    def begin(place: Path, *_: object, **__: object) -> None:
        used.append(place)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "choose_to_train", choose)
    monkeypatch.setattr(runs, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        jobs.train(out=link, resume=True, quiet=True)
    assert used == [folder] * 3
    assert latest.resolved(link) != folder


def test_a_shell_reads_the_script_of_completion(call: Any) -> None:
    for shell in ("bash", "zsh", "fish"):
        status, out, _ = call("completion", shell)
        assert status == 0
        assert f"_JAXTRIPLET_COMPLETE={shell}_complete" in out
    done = subprocess.run(["bash", "-n"], input=call("completion", "bash").out, text=True, check=False)
    assert done.returncode == 0
