"""The folder of a training run: how it is claimed, what a run leaves in it, and how that is read again."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxtriplet import _files
from jaxtriplet.jobs import event_files, lock
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of
from jaxtriplet.jobs.sources import find
from jaxtriplet.jobs.sources.source import Run
from jaxtriplet.jobs.sources.speech_run import SpeechRun as SpeechRun

_LOCK = ".lock"
_RESULTS = (
    "weights",
    "checkpoints",
    "nan",
    "metrics.jsonl",
    "metrics.json",
    "embeddings.npz",
    "report.html",
    "data.json",
)
_REMEDY = "put back a copy of it, or begin anew with `overwrite=True`"
SEALED = 3
"""The format from which on the weights and checkpoints of a run have checksums."""


def choose(out: str | Path | None, *, overwrite: bool, job: str = "") -> Path:
    """Returns the folder for a run's results, which is not made yet.

    Args:
        out: The folder; None for `runs/<time>`, with the job before the time.
        overwrite: Whether it may hold something already.
        job: What is done, with a hyphen; training has no name.

    Returns:
        The folder.

    Raises:
        ValueError: It is a file, or it holds something and may not, or a run is writing it; for another job than
            training, it holds a run.
    """
    folder = Path("runs", job + time.strftime("%Y-%m-%d_%H-%M-%S")) if out is None else Path(out)
    _refuse_files(folder, *folder.parents)
    if job and (folder / "config.json").exists():
        raise ValueError(f"{folder} holds a training run; name another folder")
    if _holds_something(folder) and not overwrite:
        raise ValueError(
            f"{folder} is not empty; name another folder, or add `overwrite=True` to replace the results in it"
        )
    if job:  # Training holds the folder itself.
        lock.check_free(folder / _LOCK, folder)
    return folder


def claim(out: Path | None, *, overwrite: bool) -> Path:
    """Makes the folder for a run's results, and returns it; see `choose`. One that a run is writing is refused."""
    folder = choose(out, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    lock.check_free(folder / _LOCK, folder)
    return folder


def writing(folder: Path) -> AbstractContextManager[None]:
    """Holds the folder of a run, so that no other process writes into it; see `lock.writing`."""
    return lock.writing(folder / _LOCK, folder)


def _refuse_files(*places: Path) -> None:
    for place in places:
        if place.exists() and not place.is_dir():
            raise ValueError(f"{place} is a file, not a folder")


def _holds_something(folder: Path) -> bool:
    """Returns whether there is more in a folder than what a process that was killed may have left."""
    return folder.is_dir() and bool({*folder.iterdir()} - {folder / _LOCK, *_files.leftovers(folder)})


def choose_file(out: str | Path, *, overwrite: bool) -> Path:
    """Returns the file for the result of a job, which is not made yet.

    Args:
        out: The file.
        overwrite: Whether it may be there already.

    Raises:
        ValueError: It is there, and may not; it is a folder, or lies in what is none.
    """
    file = Path(out)
    if file.is_dir():
        raise ValueError(f"{file} is a folder, not a file; name another file")
    _refuse_files(*file.parents)
    if file.exists() and not overwrite:
        raise ValueError(f"{file} is there already; name another file, or add `overwrite=True` to replace it")
    return file


def choose_to_train(numbers: Mapping[str, Any], out: Path | None, *, overwrite: bool, resume: bool) -> Path:
    """Returns the folder of a run, not made yet.

    Args:
        numbers: Those of the run, by flat names.
        out: The folder; None for `runs/<time>`.
        overwrite: Whether it may hold something.
        resume: Whether it may hold a run of the same numbers; if it is trained and has no weights yet, those of its
            back-end may be others. One that is empty or not there has not begun.

    Raises:
        ValueError: There is no folder to resume, or it holds something else than such a run.
    """
    if not resume:
        return choose(out, overwrite=overwrite)
    if overwrite:
        raise ValueError("`resume=True` goes on with what is there, `overwrite=True` begins anew: give one of them")
    if out is None:
        raise ValueError("`resume=True` needs `out`, the folder of the run that is to go on, such as runs/latest")
    if not _holds_something(out):
        return choose(out, overwrite=False)
    if not (out / "config.json").is_file():
        raise ValueError(f"{out} holds no run to resume: it has no config.json")
    try:
        config, number = Config.read_with_format(out / "config.json")
    except ValueError as error:
        raise ValueError(f"{error}; {_REMEDY}") from None
    begun = config.flat()
    if number < SEALED:
        version = "version 0.1" if number == 1 else f"an earlier version (format {number})"
        raise ValueError(f"{out} was begun by {version}, whose checkpoints cannot go on; train anew by its `config`")
    if begun["source"] != numbers["source"]:
        raise ValueError(f"{out} was begun on {begun['source']}, and this is to train on {numbers['source']}")
    fitted = _of_back_ends() if _awaits_its_back_end(out, begun["steps"]) else ()
    changed = [name for name, now in numbers.items() if begun.get(name) != now and name not in fitted]
    if other := [_given(name, begun.get(name)) for name in changed]:
        raise ValueError(f"{out} was begun with other numbers; resume it with {' '.join(other)}")
    return out


def _awaits_its_back_end(folder: Path, steps: int) -> bool:
    """Returns whether a run is trained, and nothing was made of it yet: it may be that no back-end could be fitted."""
    return (folder / "checkpoints" / str(steps)).is_dir() and not (folder / "weights").exists()


def _of_back_ends() -> set[str]:
    """Returns the flat names of what is looked at when training is over."""
    return {field.name for field in fields_of(Config).values() if field.path.startswith("backend.")}


def _given(name: str, value: Any) -> str:
    return f"no `{name}`" if value is None else f"`{name}={value}`"


def check_data(folder: Path, content: dict[str, Any] | None) -> None:
    """Refuses to go on with other data than a run was begun with.

    Args:
        folder: The folder of the run.
        content: What data.json is to say of the data, or None.

    Raises:
        ValueError: It says something else, or is damaged.
    """
    path = folder / "data.json"
    if path.exists() and _files.read_json(path, _REMEDY) != content:
        raise ValueError(f"{folder} was begun with other recordings than `data` now holds")


def begin(folder: Path, settings: dict[str, Any], content: dict[str, Any] | None, *, overwrite: bool) -> None:
    """Makes the folder of a run, and writes config.json, and data.json if there is something to say.

    Args:
        folder: The folder.
        settings: What config.json is to hold.
        content: What data.json says of the data, or None.
        overwrite: Whether checkpoints that are there may go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _files.clear(folder)
    if overwrite:
        for name in _RESULTS:  # Beside the numbers of this run, those of the one before would be taken for its own.
            _files.remove(folder / name)
        event_files.remove(folder)
    _files.write_json(folder / "config.json", settings)
    if content is not None:
        _files.write_json(folder / "data.json", content)


def save_weights(folder: Path, run: Run) -> None:
    """Writes the weights of a run into a folder that has its config already.

    Args:
        folder: The run's folder.
        run: What to save.
    """
    path = folder / "weights"
    if path.is_symlink():  # Orbax replaces a folder, but no link to one.
        path.unlink()
    with _checkpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.device_get(run.arrays()), force=True)
    _files.seal(path)


def _checkpointer() -> ocp.StandardCheckpointer:
    """Returns what reads and writes for this process alone, whether there are others or not."""
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"weights-{this}"
    )
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def load(folder: Path | str) -> Run:
    """Reads a trained encoder again, of earlier versions too.

    Args:
        folder: The folder of a finished run of `jaxtriplet train`.

    Returns:
        The run.

    Raises:
        ValueError: The folder holds no finished run, or its weights are damaged or of another config.
    """
    folder = Path(folder)
    path = folder / "weights"
    if not path.is_dir():
        raise ValueError(f"{folder} holds no weights of a finished run{_why(folder)}")
    config, number = Config.read_with_format(folder / "config.json")
    remedy = "put back a copy of them, or write them again from its checkpoints with `train --resume`"
    if number >= SEALED and (what := _files.flaw(path)):
        raise ValueError(f"{path}: the weights are damaged ({what}); {remedy}")
    try:
        with _checkpointer() as checkpointer:
            arrays = checkpointer.restore(path.absolute())
    except (ValueError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: the weights cannot be read ({reason}); {remedy}") from error
    try:
        return find(config.data.source).read(config, arrays)
    except KeyError as error:
        raise ValueError(f"{path}: the weights do not fit the config: there is no {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _why(folder: Path) -> str:
    """Returns why a folder holds no weights, as far as it shows."""
    if not folder.is_dir():
        return ": it is a file" if folder.exists() else ": there is no such folder"
    if not (folder / "config.json").exists():
        return ": it has no config.json"
    return ": it is begun; wait for its end, or go on with `train --resume`"


def load_speech(folder: Path | str) -> SpeechRun:
    """Reads an encoder of recordings again.

    Args:
        folder: The folder of a finished run of `jaxtriplet train --data`.

    Returns:
        The run.

    Raises:
        ValueError: The folder holds no finished run, or one of JapaneseVowels.
    """
    run = load(folder)
    if not isinstance(run, SpeechRun):
        raise ValueError(
            f"{folder} holds a run on {run.config.data.source}, which hears no recordings: train one with "
            "`jaxtriplet train --data DIR`"
        )
    return run
