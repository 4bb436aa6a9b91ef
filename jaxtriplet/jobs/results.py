"""What `evaluate` leaves in its folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxtriplet import _files, pages
from jaxtriplet.data import Trials
from jaxtriplet.jobs.judging import Verdict
from jaxtriplet.jobs.trials import Chosen

KINDS = {"": "", "as_norm_": "_as_norm"}
"""The ends of files' names, by the prefix of figures."""
_OPTIONAL = (
    "scores_as_norm.txt",
    "scores_calibrated.txt",
    "scores_as_norm_calibrated.txt",
    "scores_same_session.txt",
    "scores_as_norm_same_session.txt",
    "det_as_norm.png",
)


def write(folder: Path, judged: Chosen, verdict: Verdict, figures: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Writes metrics.json, lists of scores, pictures and a page; what an earlier evaluation alone has left goes.

    Args:
        folder: The folder, which is there.
        judged: The trials.
        verdict: Their scores.
        figures: The content of metrics.json.
        settings: What was asked for.
    """
    for name in _OPTIONAL:
        _files.remove(folder / name)
    _files.write_json(folder / "metrics.json", figures)
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
