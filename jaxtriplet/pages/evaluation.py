"""The page about scored trials."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxtriplet import _files
from jaxtriplet.metrics import det_curve
from jaxtriplet.pages import page, pictures
from jaxtriplet.pages.figures import EVALUATION, require

BAYES_THRESHOLD = math.log(99)
"""From which log-likelihood ratio on to accept if one trial in a hundred is of one speaker, and errors cost alike."""


def evaluation_page(
    folder: str | Path,
    *,
    figures: Mapping[str, Any],
    same: ArrayLike,
    scores: Mapping[str, ArrayLike],
    ratios: Mapping[str, ArrayLike] | None = None,
    settings: Mapping[str, Any],
) -> Path:
    """Write `report.html` about trials: their figures in words, how their scores are spread, and what they trade.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        figures: The content of `metrics.json`: `num_trials` and, for each kind of scores under its prefix,
            `equal_error_rate` and `threshold`; `bootstrap_over` and `equal_error_rate_interval`, or `no_interval`,
            which says why there is none; if there is a `development_threshold`, `false_acceptance_rate` and
            `false_rejection_rate` of the cosine scores there. Others are listed too; recordings left out under
            `left_out`, rows of `path` and `reason`.
        same: Truth of the trials, bool [T].
        scores: Their scores by the prefix of their figures, [T] each: "" for cosine, `AS_NORM` after normalisation.
        ratios: The log-likelihood ratios that they are calibrated to, or are, by the same prefixes, with the figures
            `calibrated_on` and, under the prefix, `cllr`, `min_cllr` and `actual_dcf`; None if they are none.
        settings: What was asked for.

    Returns:
        The path of the page.

    Raises:
        ValueError: A figure is missing, or the scores have no curve.
    """
    needed = ["num_trials"]
    if "no_interval" not in figures:
        needed += ["bootstrap_over", "equal_error_rate_interval"]
    if ratios:
        needed += [
            "calibrated_on",
            *(prefix + name for prefix in ratios for name in ("cllr", "min_cllr", "actual_dcf")),
        ]
    needed += [prefix + name for prefix in scores for name in ("equal_error_rate", "threshold")]
    if "development_threshold" in figures:
        needed += ["false_acceptance_rate", "false_rejection_rate"]
    require(figures, needed, "jobs.evaluate")
    return page.write(
        folder,
        "evaluation.html",
        figures=figures,
        meanings=EVALUATION,
        settings=settings,
        same=same,
        scores=scores,
        ratios=ratios or {},
        bayes_threshold=BAYES_THRESHOLD,
    )


def save_det_curve(path: str | Path, scores: ArrayLike, same: ArrayLike, *, equal_error_rate: float) -> None:
    """Write the detection error trade-off of trials as a picture of its own, on white.

    Args:
        path: The file; its ending says in which format.
        scores: Scores of the trials, [T].
        same: Truth, bool [T].
        equal_error_rate: Marked on the diagonal.

    Raises:
        ValueError: The scores have no curve.
    """
    curve = det_curve(scores, same)
    with matplotlib.rc_context({**pictures.THEME, "figure.facecolor": "white"}):
        figure = Figure(figsize=(5.4, 5.4), layout="constrained")
        pictures.draw_det_curve(figure.subplots(), *curve[:2], equal_error_rate=equal_error_rate)
        with _files.replacing(Path(path), "wb") as file:
            figure.savefig(file, dpi=150, format=Path(path).suffix[1:] or None)
