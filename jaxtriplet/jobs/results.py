"""What `evaluate` leaves in its folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxtriplet import _files, pages
from jaxtriplet.data import Trials
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.judging import Verdict
from jaxtriplet.jobs.trials import Chosen

KINDS = {"": "", "as_norm_": "_as_norm"}
"""The ends of files' names, by the prefix of figures."""
_ALL = (
    "metrics.json",
    "report.html",
    *(f"det{kind}.png" for kind in KINDS.values()),
    *(f"scores{kind}{end}.txt" for kind in KINDS.values() for end in ("", "_calibrated", "_same_session")),
)


def write(folder: Path, judged: Chosen, verdict: Verdict, figures: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Writes metrics.json, lists of scores, pictures and a page; what an earlier evaluation has left goes.

    First goes metrics.json and last it comes: a folder that has it holds all of one evaluation, and of no other.

    Args:
        folder: The folder, which is there.
        judged: The trials.
        verdict: Their scores.
        figures: The content of metrics.json.
        settings: What was asked for.
    """
    for name in _ALL:
        _files.remove(folder / name)
    trials = judged.trials
    for prefix, kind in KINDS.items():
        if prefix not in verdict.scores:
            continue
        scores, rate = verdict.scores[prefix], figures[f"{prefix}equal_error_rate"]
        _write_lines(folder / f"scores{kind}.txt", trials.lines(scores))
        pages.save_det_curve(folder / f"det{kind}.png", scores, trials.same, equal_error_rate=rate)
        if prefix in verdict.calibrations:
            _write_lines(folder / f"scores{kind}_calibrated.txt", trials.lines(verdict.ratios[prefix]))
        if judged.one_session is not None and verdict.one_session is not None:
            lines = judged.one_session.lines(verdict.one_session[prefix])
            _write_lines(folder / f"scores{kind}_same_session.txt", lines)
    pages.evaluation_page(
        folder, figures=figures, same=trials.same, scores=verdict.scores, ratios=verdict.ratios, settings=settings
    )
    _files.write_json(folder / "metrics.json", figures)


def choose_list(file: str | Path, folder: Path, *, overwrite: bool) -> Path:
    """Returns the file for a list of trials, which is not made yet.

    Args:
        file: The file.
        folder: Where results are to be.
        overwrite: Whether the file may be there already.

    Raises:
        ValueError: It may not, it is a folder, or results are to be where it is.
    """
    found, place = runs.choose_file(file, overwrite=overwrite), folder.resolve()
    if found.resolve() in {place, *place.parents, *(place / name for name in _ALL)}:
        raise ValueError(f"{found} is where results go; name another file for the trials")
    return found


def write_trials(file: Path, trials: Trials) -> None:
    """Writes a list of trials.

    Args:
        file: The file; its folder is made.
        trials: The trials.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_lines(file, trials.lines())


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with _files.replacing(path) as file:
        file.writelines(lines)
