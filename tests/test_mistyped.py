"""What is typed wrongly, for every option of every command: a line that names the option, and nothing is begun."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from jaxtriplet.cli import app, kinds

# What a command needs before it looks at anything else.
NEEDED = {
    "evaluate": ("run", "--data", "calls"),
    "compare": ("run", "other"),
    "embed": ("run", "--data", "calls", "--out", "rows.npz"),
    "cluster": ("run", "--data", "calls"),
    "export": ("run", "--out", "encoder.jax"),
    "throughput": ("--data", "calls"),
    "completion": ("bash",),
}


def parameters(command: str) -> list[click.Parameter]:
    found: list[click.Parameter] = getattr(import_module(f"jaxtriplet.cli.{command}"), command).params
    return found


def bad_values(parameter: click.Parameter) -> dict[str, str]:
    """Values that no option of a kind takes, and what is said of them."""
    kind = parameter.type
    if isinstance(kind, kinds.Whole):
        below = {} if kind.min is None else {str(kind.min - 1): "must be a whole number"}
        return {**dict.fromkeys(("many", "1.5", "nan", "", str(10**20)), "must be a whole number"), **below}
    if isinstance(kind, kinds.Number):
        below = {} if kind.min is None else {str(kind.min - 1): "must be a finite number"}
        return {**dict.fromkeys(("many", "nan", "-inf", ""), "must be a finite number"), **below}
    if isinstance(kind, kinds.Choice):
        return dict.fromkeys(("?", ""), f"must be one of {', '.join(kind.choices)}; got")
    return {"": "must name a file or folder; got ''"} if isinstance(kind, kinds.Place) else {}


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_option_says_what_it_takes(
    command: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for parameter in parameters(command):
        for value, said in bad_values(parameter).items():
            if isinstance(parameter, click.Option):
                name = parameter.opts[-1]
                status, out, err = call(command, *NEEDED.get(command, ()), f"{name}={value}")
                assert (status, out) == (2, "")
                assert err.startswith(f"jaxtriplet: {name} {said}"), (value, err)
                assert err.count("\n") == 1
    status, out, err = call(command, *NEEDED.get(command, ()), "--zzzzzz")
    assert (status, out) == (2, "")
    assert err == f"jaxtriplet: No such option '--zzzzzz'; see jaxtriplet {command} --help\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("evaluate run", "--data is missing: name the folder of the recordings"),
        ("embed run --data x", "--out is missing: name the file for the embeddings, FILE.npz"),
        ("export run", "--out is missing: name the file to write"),
        ("evaluate --data x", "RUN must name the folder of a finished run, since there is no runs/latest here"),
        ("cluster one two --data x", "Got unexpected extra argument (two); see jaxtriplet cluster --help"),
        ("completion tcsh", "SHELL must be one of bash, zsh, fish; got 'tcsh'"),
        ("compare", "RUN is missing; see jaxtriplet compare --help"),
        ("train --config nowhere.json", "nowhere.json: no such file or directory"),
        ("train --config .", ".: a folder, not a file"),
        ("train --recipe best", "the recipe best trains on recordings: name their folder, --data"),
        ("train --data x --dev-fraction 1.5", "--dev-fraction must lie between 0 and 1; got 1.5"),
        ("train --devices 9", "--devices is 9, and there are 8 devices here; leave it out for as many as divide a"),
        (
            "train --devices 7",
            "the 90 rows of a batch do not divide among 7 devices: give --devices of 1, 2, 3, 5",
        ),
        ("train --resume", "--resume needs --out, the folder of the run that is to go on, such as runs/latest"),
        ("throughput --data x --recipe japanese-vowels", "--recipe: japanese-vowels trains on no recordings"),
        ("fits --devices 3", "--devices of tpu-v5e must be of 1, 2, 4, 8, 16, 32, 64, 128, 256; got 3"),
        ("fits --devices 1,x", "--devices must be whole numbers, joined by commas; got '1,x'"),
        ("fits --batch-size 7 --devices 4", "a batch of 7 rows does not divide among 4 devices: take a multiple of 4"),
        ("bench --batch-sizes 0", "--batch-sizes: a batch of 0 rows is not two or more classes of 8"),
        ("bench --batch-sizes=", "--batch-sizes must be whole numbers, joined by commas; got ''"),
        ("bench --losses semihard", "--losses must be one of batch-all, "),
        ("bench --only nobody", "--only must be one of jaxtriplet, "),
    ],
)
def test_what_does_not_fit_is_said_in_the_words_of_the_command_line(
    words: str, complaint: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = call(*words.split(), "--quiet") if "completion" not in words else call(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"jaxtriplet: {complaint}")
    assert "`" not in err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ((), "it is empty; expected <speaker>/[<session>/]<utterance>"),
        (("ada/notes.txt", "list.md"), "of 2 files, none ends as audio does (.md, .txt); expected <speaker>/"),
        (("ada/a call.m4a",), "ada/a call.m4a: no audio that libsndfile can read; convert it with ffmpeg: ffmpeg -i "),
        (("ada/film.mp4",), "convert it with ffmpeg: ffmpeg -i film.mp4 film.wav"),
        (("ada/a.wav",), "no audio that libsndfile can read (it reads wav, flac, ogg, mp3 and more)"),
        (("a.wav",), "a.wav: lies in no speaker's folder"),
        (("a/b/c/d.wav",), "lies deeper than <speaker>/"),
    ],
    ids=["empty", "texts", "m4a", "mp4", "broken", "flat", "deep"],
)
@pytest.mark.usefixtures("cache_of_module")
def test_a_folder_without_recordings_says_what_it_lacks(
    names: tuple[str, ...], complaint: str, call: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in names:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"\0\0\0\x20ftypM4A " * 20)
    status, out, err = call("train", "--data", data, "--quiet", "--out", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert not (tmp_path / "run").exists()
    (data / "file").touch()
    assert call("train", "--data", data / "file", "--quiet").err.endswith("/file: a file, not a folder\n")


def test_help_fits_a_terminal_and_begins_with_examples(call: Any) -> None:
    assert max(map(len, call("--help").out.splitlines())) <= 80
    for command in app.COMMANDS:
        status, out, _ = call(command, "--help")
        lines = out.splitlines()
        assert status == 0
        assert max(map(len, lines)) <= 80, command
        assert lines[2] == "Examples:"
        assert lines[3].startswith(f"  jaxtriplet {command}")
        for parameter in parameters(command):
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in out, command
    titles = [line for line in call("train", "--help").out.splitlines() if line.endswith(":") and line[0] != " "]
    assert [title for title in titles if title in ("Data:", "Encoder:", "Loss:", "Augmentation:", "Output:")] == [
        *("Data:", "Encoder:", "Loss:", "Augmentation:", "Output:")
    ]


@pytest.mark.parametrize("command", app.COMMANDS)
def test_the_examples_in_help_are_commands(command: str, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name options that there are, and values that these take."""
    found = getattr(import_module(f"jaxtriplet.cli.{command}"), command)
    assert found.examples
    monkeypatch.setattr(found, "callback", lambda **_: None)
    for words, _ in found.examples:
        typed = words.partition(" >")[0].split()
        status, _, err = call(command, *typed)
        assert status == 0, err
