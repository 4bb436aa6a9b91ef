"""The command line before it works: what starting it imports, completion, and help for those who mistype."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jaxtriplet
from jaxtriplet.cli import app

MODULES = sorted(path.stem for path in Path(jaxtriplet.__file__).parent.glob("cli/[!_]*.py"))
# Whatever waits for more than the losses and the library of options is felt at every TAB.
LIGHT = ("jaxtriplet", "click", "msgspec")
HEAVY = tuple(f"jaxtriplet.{wing}" for wing in ("data", "metrics", "models", "pages", "speech", "training"))
WHOLE = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))
from jaxtriplet.cli import main
main()
"""
EACH = """
import importlib, json, sys
found = {"": sorted(sys.modules)}
for name in sys.argv[1:]:
    before = set(sys.modules)
    importlib.import_module(name)
    found[name] = sorted(set(sys.modules) - before)
print(json.dumps(found))
"""


def python(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=given, check=False)


def packages(modules: list[str]) -> set[str]:
    """The packages that modules belong to, those of Python itself left out."""
    return {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """What each module of the command line brings when it is imported after those before it; "" is Python's own."""
    done = python(EACH, *LIGHT, *(f"jaxtriplet.cli.{name}" for name in MODULES))
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def complete(words: str) -> dict[str, str]:
    """What the environment of a completing shell says; the last word is the one to complete."""
    typed = f"jaxtriplet {words}"
    return {"_JAXTRIPLET_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}


def completions(words: str) -> list[str]:
    done = python("from jaxtriplet.cli import main; main()", **complete(words))
    assert done.returncode == 0, done.stderr
    return [line.split(",")[1] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "variables", "status", "answer"),
    [
        (["--help"], {}, 0, "throughput"),
        (["-h"], {}, 0, "throughput"),
        (["--version"], {}, 0, jaxtriplet.__version__),
        (["trian"], {}, 2, ""),
        (["train", "--stepz", "3"], {}, 2, ""),
        (["cluster", "--help"], {}, 0, "--num-speakers"),
        ([], complete("tr"), 0, "plain,train"),
        ([], complete("train --mar"), 0, "plain,--margin"),
    ],
    ids=["help", "short help", "version", "command mistyped", "option mistyped", "help of a command", "tr", "--mar"],
)
def test_it_starts_without_what_only_work_needs(
    words: list[str], variables: dict[str, str], status: int, answer: str, imported: dict[str, list[str]]
) -> None:
    done = python(WHOLE, *words, **variables)
    assert done.returncode == status, done.stderr
    assert answer in done.stdout
    modules = json.loads(done.stderr.splitlines()[-1])
    assert packages(modules) <= packages([name for one in ("", *LIGHT) for name in imported[one]])
    assert not [name for name in modules if name.startswith(HEAVY)]


@pytest.mark.parametrize("command", MODULES)
def test_commands_import_what_they_need_when_they_are_called(command: str, imported: dict[str, list[str]]) -> None:
    own = imported[f"jaxtriplet.cli.{command}"]
    assert packages(own) <= {"jaxtriplet"}
    assert not [name for name in own if name.startswith(HEAVY)]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("cl", ["cluster"]),
        ("", list(app.COMMANDS)),
        ("cluster --num", ["--num-speakers"]),
        ("cluster runs/mine --estimate s", ["silhouette"]),
        ("cluster runs/mine --estimate ", ["threshold", "silhouette"]),
    ],
)
def test_a_shell_completes_commands_options_and_words(words: str, offered: list[str]) -> None:
    assert completions(words) == offered


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["cluster", "--overwritten"], "No such option '--overwritten'. Did you mean '--overwrite'?"),
        (["cluster", "--estimate", "silhuette"], "; did you mean silhouette?"),
        (["cluster", "--estimate", "x"], "--estimate must be one of threshold, silhouette; got 'x'"),
        (["compare"], "RUN is missing; see jaxtriplet compare --help"),
        (["zzz"], "No such command 'zzz'; see jaxtriplet --help"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_is_mistyped_is_answered_by_the_nearest_in_one_line(words: list[str], complaint: str, call: Any) -> None:
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert err.startswith("jaxtriplet: ")
    assert err.endswith(f"{complaint}\n")
    assert err.count("\n") == 1


def test_underscores_are_understood(call: Any) -> None:
    status, _, err = call("cluster", "nowhere", "--data", "x", "--num_speakers", "2", "--max_speakers", "3")
    assert (status, err) == (2, "jaxtriplet: nowhere holds no weights of a finished run: there is no such folder\n")


@pytest.mark.parametrize("command", [(), ("cluster",), ("embed",), ("evaluate",), ("export",)], ids=" ".join)
def test_short_help_is_help(command: tuple[str, ...], call: Any) -> None:
    assert call(*command, "-h") == call(*command, "--help")


def test_without_words_there_is_help(call: Any) -> None:
    status, out, err = call()
    assert (status, out) == (2, "")
    assert "Usage: jaxtriplet" in err


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "jaxtriplet", "-h"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: jaxtriplet [OPTIONS]")


def test_the_first_page_of_help_knows_every_command() -> None:
    shared = {"app", "kinds", "options"}
    assert {name.replace("-", "_") for name in app.COMMANDS} == set(MODULES) - shared


def test_what_was_typed_is_told_as_it_was_typed(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("`out`").mkdir()
    Path("`out`", "mine").touch()
    status, _, err = call("train", "--out", "`out`", "--quiet")
    assert (status, err.count("\n")) == (2, 1)
    assert "`out` is not empty" in err
    assert "--overwrite" in err


@pytest.mark.parametrize("command", ["train", "cluster"])
def test_a_number_without_bounds_shows_none(command: str, call: Any) -> None:
    out = call(command, "--help").out
    assert "None" not in out
    assert ("--dev-fraction X " if command == "train" else "--threshold X ") in out


def test_the_first_page_tells_the_exit_statuses(call: Any) -> None:
    out = " ".join(call("--help").out.split())
    assert "Exit status: 0; 2 for what you can mend" in out
    assert "needs JAX and flatbuffers alone" in out
