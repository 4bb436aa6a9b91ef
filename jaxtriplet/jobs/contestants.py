"""What is compared: finished runs and evaluations, each as its folder holds it."""

import math
import zipfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _files, metrics
from jaxtriplet.data import Trials
from jaxtriplet.data.lists import lines
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.evaluation import Evaluated
from jaxtriplet.jobs.history import Row, read_history
from jaxtriplet.jobs.results import KINDS
from jaxtriplet.jobs.told import flat_words
from jaxtriplet.jobs.trials import first_folders
from jaxtriplet.pages.comparison import COMPARED

_INTERVALS = [name for name in COMPARED if name.endswith("_interval")]
_NUMBERS = [name for name, best in COMPARED.items() if best is not None]
_SAME_RATE = 1e-3
_AGAIN = "put back a copy of it, or evaluate anew"
_TRAINED = "put back a copy of it, or have `train --resume` write it again"


class Contestant(NamedTuple):
    """A run, or an evaluation of one or several.

    Attributes:
        name: What it is called among the others.
        folder: Where it is.
        figures: The content of its metrics.json.
        trials: What it was judged on, T trials.
        sides: Who speaks in each of either side, [T, 2]; None if nobody knows.
        scores: Of each trial, [T], by the prefix of their figures.
        source: What tells trials of the same names from each other, for a message: "" if nothing does.
        history: The figures of its updates; () of an evaluation.
        settings: What it was trained with, in words by flat names; {} of an evaluation.
    """

    name: str
    folder: Path
    figures: Mapping[str, Any]
    trials: Trials
    sides: np.ndarray | None
    scores: Mapping[str, np.ndarray]
    source: str = ""
    history: Sequence[Row] = ()
    settings: Mapping[str, Any] = {}


def is_run(folder: Path) -> bool:
    """Returns whether a folder holds a training run, not an evaluation.

    Args:
        folder: The folder.

    Raises:
        ValueError: It holds neither.
    """
    if (folder / "config.json").is_file():
        return True
    if all((folder / name).is_file() for name in ("metrics.json", "scores.txt")):
        return False
    reason = "" if folder.is_dir() else ": it is a file" if folder.exists() else ": there is no such folder"
    raise ValueError(f"{folder} is neither the folder of a run of `train` nor one that `evaluate` wrote{reason}")


def of_run(name: str, folder: Path) -> Contestant:
    """Returns a finished run, judged by the pairs of what training has judged it on.

    Args:
        name: What to call it.
        folder: Its folder.

    Raises:
        ValueError: It is not finished, or a file is damaged.
    """
    path = folder / "embeddings.npz"
    if not (path.is_file() and (folder / "metrics.json").is_file()):
        raise ValueError(f"{folder} is no finished run, and tells nothing of its encoder; name `data` to judge it on")
    figures = _figures(folder / "metrics.json", _TRAINED, [""])
    try:
        with np.load(path) as file:
            rows, labels = file["embeddings"], file["labels"]
            names = file["paths"] if "paths" in file else np.arange(len(labels)).astype(str)
        scores, same = metrics.pair_scores(rows, labels)
        if not 0 < same.sum() < len(same) or names.shape != labels.shape:
            raise ValueError("it holds no pairs of both kinds")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())[:200]}); {_TRAINED}") from error
    first, second = (side.astype(np.int32) for side in np.triu_indices(len(labels), k=1))
    trials = Trials(same, first, second, tuple(names.tolist()))
    sides = np.stack([labels[first], labels[second]], axis=1)
    source = f"{figures.get('judged')} {_content(folder, 'development', 'training').get('sha256', '')}"
    return Contestant(name, folder, figures, trials, sides, {"": scores}, source, *_course(folder))


def of_evaluation(name: str, folder: Path) -> Contestant:
    """Returns an evaluation.

    Args:
        name: What to call it.
        folder: The folder that `evaluate` wrote.

    Raises:
        ValueError: A file is damaged.
    """
    scores = dict[str, np.ndarray]()
    for prefix, kind in KINDS.items():
        path = folder / f"scores{kind}.txt"
        if path.is_file():
            trials, scores[prefix] = read_scores(path)
    figures = _figures(folder / "metrics.json", _AGAIN, list(scores))
    return Contestant(name, folder, figures, trials, _sides(trials), scores)


def of_evaluated(name: str, run: Path, done: Evaluated) -> Contestant:
    """Returns a run that has been evaluated just now.

    Args:
        name: What to call it.
        run: Its folder.
        done: The evaluation.
    """
    judged = (done.figures, done.trials, done.sides, done.scores)
    return Contestant(name, done.folder, *judged, "", *_course(run))


def require_own_scores(one: Contestant) -> None:
    """Refuses figures that are not of the scores beside them.

    Args:
        one: A run or an evaluation.

    Raises:
        ValueError: The equal error rates differ by more than what the digits of scores in a file account for.
    """
    for prefix, scores in one.scores.items():
        told, found = one.figures[f"{prefix}equal_error_rate"], metrics.equal_error_rate(scores, one.trials.same)
        if abs(told - found) > _SAME_RATE:
            raise ValueError(
                f"{one.folder}: its metrics.json says an equal error rate of {told:.2%}, and its scores have one of "
                f"{found:.2%}: they are of two evaluations"
            )


def read_scores(path: Path) -> tuple[Trials, np.ndarray]:
    r"""Reads a list of trials with their scores, as `evaluate` writes it.

    Args:
        path: The file, with lines `1 path path score`.

    Returns:
        The trials and their scores, [T].

    Raises:
        ValueError: A line is not of this form, or a score is not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "scores.txt")
        ...     _ = file.write_text("1 a.wav b.wav 0.5\n0 a.wav c.wav -0.25\n")
        ...     trials, scores = read_scores(file)
        >>> trials.same, trials.paths, scores
        (array([ True, False]), ('a.wav', 'b.wav', 'c.wav'), array([ 0.5 , -0.25]))
    """
    known, separator = dict[str, int](), ""
    same, places, scores = bytearray(), array("i"), array("d")  # of millions, lists would fill the memory
    for number, line in lines(path):
        separator = separator or ("\t" if "\t" in line else " ")
        fields = line.split(separator)
        try:
            truth, *names, score = fields
            scores.append(float(score))
            if truth not in ("0", "1") or len(names) != 2 or not math.isfinite(scores[-1]):
                raise ValueError
        except ValueError:
            reason = f"line {number}: expected 1 or 0, two paths and a score; got `{line.strip()}`"
            raise ValueError(f"{path} is damaged ({reason}); {_AGAIN}") from None
        same.append(truth == "1")
        places.extend(known.setdefault(one, len(known)) for one in names)
    if not 0 < sum(same) < len(same):
        raise ValueError(f"{path} is damaged (it holds no trials of both kinds); {_AGAIN}")
    first, second = np.array(places, np.int32).reshape(-1, 2).T
    return Trials(np.array(same, np.bool_), first, second, tuple(known)), np.array(scores)


def _sides(trials: Trials) -> np.ndarray | None:
    speakers, _ = first_folders(trials)
    return None if speakers is None else np.stack([speakers[trials.first], speakers[trials.second]], axis=1)


def _course(folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """Returns the figures of a run's updates, and what it was trained with and on."""
    settings = {name: told.value for name, told in flat_words(Config.read(folder / "config.json")).items()}
    if known := _content(folder, "training"):
        speakers, recordings, hours = len(known["speakers"]), known["recordings"], known["hours"]
        told = f"{speakers:,} speakers, {recordings:,} recordings, {hours} h ({known['sha256'][:8]})"
        settings["trained on"] = told
    return read_history(folder / "metrics.jsonl"), settings


def _content(folder: Path, *kinds: str) -> dict[str, Any]:
    """Returns what data.json says of the first of these kinds of recordings that it tells of; {} if it does not."""
    path = folder / "data.json"
    content = _files.read_json(path, _TRAINED) if path.is_file() else {}
    known: dict[str, Any] = next((content[kind] for kind in kinds if content.get(kind)), {})
    wanted = {"speakers": list, "recordings": int, "hours": float, "sha256": str}
    if known and not (isinstance(known, dict) and all(isinstance(known.get(k), t) for k, t in wanted.items())):
        raise ValueError(f"{path} is damaged (it does not say what recordings there were); {_TRAINED}")
    return known


def _figures(path: Path, remedy: str, prefixes: Sequence[str]) -> dict[str, Any]:
    """Reads figures, those that are compared being numbers."""
    figures = _files.read_json(path, remedy)
    needed = [f"{prefix}equal_error_rate" for prefix in prefixes]
    for name in (*needed, *(name for name in _NUMBERS if name in figures)):
        value = figures.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{path} is damaged (its {name.replace('_', ' ')} is {value!r}); {remedy}")
    for name in (name for name in _INTERVALS if figures.get(name) is not None):
        bounds = figures[name]
        if not (isinstance(bounds, list) and len(bounds) == 2 and all(map(_is_rate, bounds))):
            raise ValueError(f"{path} is damaged (its {name.replace('_', ' ')} is {bounds!r}); {remedy}")
    return figures


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
