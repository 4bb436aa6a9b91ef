"""The folder of a training run: how it is claimed, what a run leaves in it, and how that is read again."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources import find
from jaxtriplet.jobs.sources.recordings import SpeechRun as SpeechRun
from jaxtriplet.jobs.sources.source import Run


def choose(out: str | Path | None, *, overwrite: bool, job: str = "") -> Path:
    """Returns the folder for a run's results, which is not made yet.

    Args:
        out: The folder; None for `runs/<time>`, with the job before the time.
        overwrite: Whether it may hold something already.
        job: What is done, with a hyphen; training has no name.

    Returns:
        The folder.

    Raises:
        ValueError: It is a file, or it holds something and may not.
    """
    folder = Path("runs", job + time.strftime("%Y-%m-%d_%H-%M-%S")) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"{folder} is not empty; name another folder, or add `overwrite=True` to replace the results in it"
        )
    return folder


def claim(out: Path | None, *, overwrite: bool) -> Path:
    """Makes the folder for a run's results, and returns it; see `choose`."""
    folder = choose(out, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose_file(out: str | Path, *, overwrite: bool) -> Path:
    """Returns the file for the result of a job, which is not made yet.

    Args:
        out: The file.
        overwrite: Whether it may be there already.

    Raises:
        ValueError: It is there, and may not.
    """
    file = Path(out)
    if file.exists() and not overwrite:
        raise ValueError(f"{file} is there already; name another file, or add `overwrite=True` to replace it")
    return file


def choose_to_train(numbers: Mapping[str, Any], out: Path | None, *, overwrite: bool, resume: bool) -> Path:
    """Returns the folder of a run, not made yet.

    Args:
        numbers: Those of the run, by flat names.
        out: The folder; None for `runs/<time>`.
        overwrite: Whether it may hold something.
        resume: Whether it may hold a run of the same numbers. One that is empty or not there has not begun.

    Raises:
        ValueError: There is no folder to resume, or it holds something else than such a run.
    """
    if not resume:
        return choose(out, overwrite=overwrite)
    if overwrite:
        raise ValueError("`resume=True` goes on with what is there, `overwrite=True` begins anew: give one of them")
    if out is None:
        raise ValueError("`resume=True` needs `out`, the folder of the run that is to go on")
    if not out.is_dir() or not any(out.iterdir()):
        return choose(out, overwrite=False)
    if not (out / "config.json").is_file():
        raise ValueError(f"{out} holds no run to resume: it has no config.json")
    begun = Config.read(out / "config.json").flat()
    if "format" not in json.loads((out / "config.json").read_text()):
        raise ValueError(f"{out} was begun by version 0.1, whose checkpoints cannot go on; train anew by its `config`")
    if begun["source"] != numbers["source"]:
        raise ValueError(f"{out} was begun on {begun['source']}, and this is to train on {numbers['source']}")
    if other := [_given(name, begun.get(name)) for name, now in numbers.items() if begun.get(name) != now]:
        raise ValueError(f"{out} was begun with other numbers; resume it with {' '.join(other)}")
    return out


def _given(name: str, value: Any) -> str:
    return f"no `{name}`" if value is None else f"`{name}={value}`"


def begin(folder: Path, settings: dict[str, Any], content: dict[str, Any] | None, *, overwrite: bool) -> None:
    """Makes the folder of a run, and writes config.json, and data.json if there is something to say.

    Args:
        folder: The folder.
        settings: What config.json is to hold.
        content: What data.json says of the data, or None.
        overwrite: Whether checkpoints that are there may go.
    """
    if overwrite:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", settings)
    if content is not None:
        write_json(folder / "data.json", content)


def save(folder: Path, run: Run) -> None:
    """Writes `config.json` and the weights of a run into a folder.

    Args:
        folder: The run's folder.
        run: What to save.
    """
    write_json(folder / "config.json", run.config.nested())
    save_weights(folder, run)


def save_weights(folder: Path, run: Run) -> None:
    """Writes the weights of a run into a folder that has its config already.

    Args:
        folder: The run's folder.
        run: What to save.
    """
    # This process alone writes, whether there are others or not.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="weights"
    )
    with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        checkpointer.save((folder / "weights").absolute(), jax.device_get(run.arrays()), force=True)


def load(folder: Path | str) -> Run:
    """Reads a trained encoder again, of version 0.1 too.

    Args:
        folder: The folder of a finished run of `jaxtriplet train`.

    Returns:
        The run.

    Raises:
        ValueError: The folder holds no finished run.
    """
    folder = Path(folder)
    if not (folder / "weights").is_dir():
        raise ValueError(f"{folder} holds no weights of a finished run")
    config = Config.read(folder / "config.json")
    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore((folder / "weights").absolute())
    return find(config.data.source).read(config, arrays)


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
        raise ValueError(f"{folder} holds a run of {run.config.recipe}; recordings need one that was trained on `data`")
    return run


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes an object as a readable JSON file."""
    path.write_text(json.dumps(content, indent=2) + "\n")
