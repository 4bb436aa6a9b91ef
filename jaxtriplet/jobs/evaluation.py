"""The job `evaluate`: a list of trials, scored and judged."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _checks, _files, metrics, pages
from jaxtriplet.data import Recordings, Trials, read_trials
from jaxtriplet.jobs import listening, runs
from jaxtriplet.pages.figures import AS_NORM

LEVEL = 0.95


class Evaluated(NamedTuple):
    """What `evaluate` found.

    Attributes:
        folder: Where it is written.
        figures: The content of `metrics.json`.
        trials: The trials that could be scored, T of them.
        scores: Of each trial, [T], by the prefix of their figures: "" for cosines, and "as_norm_" with a cohort.
    """

    folder: Path
    figures: dict[str, Any]
    trials: Trials
    scores: Mapping[str, np.ndarray]


def evaluate(
    run: str | Path,
    data: str | Path,
    trials: str | Path,
    *,
    cohort: str | Path | None = None,
    top: int = 300,
    draws: int = 1000,
    allow_outside: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Evaluated:
    """Judges the encoder of a run by trials, and writes metrics.json, scores.txt, det.png and report.html.

    If files are missing, nothing is begun. Trials of files that cannot be decoded are left out and counted. The 95 %
    interval of the equal error rate is a bootstrap over speakers, if the first folder of every path is one; else over
    trials, which is narrower than the truth.

    Args:
        run: The folder of a finished run on recordings.
        data: The folder of the recordings.
        trials: The list: lines `1 path path` (one speaker) or `0 path path` (two), paths relative to `data`; of
            Kaldi's folders, names of utterances.
        cohort: A folder of recordings of others, such as those trained on: adds figures after AS-norm.
        top: How many of the cohort, those nearest to a recording, to measure it against, at least 2.
        draws: Draws of the bootstrap.
        allow_outside: Whether the list may name files outside `data`, and Kaldi's `wav.scp` such outside both.
        out: The folder for the results; None for `runs/evaluate-<time>`.
        overwrite: Whether it may hold something.
        quiet: Whether to show no progress on standard error.

    Returns:
        The figures, all rates from 0 to 1, and the scores.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: A number is too small, the run, the list, the recordings or the folder cannot be used, or the cohort
            shares a file with the trials.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxtriplet import jobs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, "trials.txt").write_text("yes a.wav b.wav") and None
        ...     jobs.evaluate("runs/mine", folder, f"{folder}/trials.txt")
        Traceback (most recent call last):
        ...
        ValueError: ...trials.txt, line 1: expected 1 or 0 and two paths; got `yes a.wav b.wav`
    """
    _checks.positive_integer("`draws`", draws)
    if top < 2:
        raise ValueError(f"`top` must be at least 2; got {top}")
    asked = read_trials(trials, data, allow_outside=allow_outside)
    folder = runs.choose(out, overwrite=overwrite, job="evaluate-")
    encoder = runs.load_speech(run)
    index = listening.listen(data, paths=asked.paths, quiet=quiet)
    others = None if cohort is None else _cohort(cohort, index, allow_outside=allow_outside, quiet=quiet)
    usable = _usable(asked, index)
    with listening.progress("embedding", quiet=quiet) as show:
        embeddings = encoder.embed_recordings(index, show)
    scores = {"": metrics.trial_scores(embeddings, usable.first, usable.second)}
    if others is not None:
        with listening.progress("cohort", quiet=quiet) as show:
            nearby = encoder.embed_recordings(others, show)
        scores[AS_NORM] = metrics.adaptive_s_norm(embeddings, usable.first, usable.second, nearby, top=top)
    figures: dict[str, Any] = {
        **_judged(usable, scores, draws, listening.threshold_of(run, "development")),
        "num_recordings": len(index),
        "num_trials_left_out": len(asked.same) - len(usable.same),
        **listening.problems_as_json(index.problems),
    }
    settings = {"run": str(run), "data": str(data), "trials": str(trials), "cohort": cohort and str(cohort)}
    runs.claim(folder, overwrite=overwrite)
    _write(folder, figures, usable, scores, settings)
    return Evaluated(folder, figures, usable, scores)


def _usable(asked: Trials, index: Recordings) -> Trials:
    """Returns the trials of recordings in the index alone, places being those of the index."""
    row = {name: place for place, name in enumerate(index.names.tolist())}
    places = np.array([row.get(path, -1) for path in asked.paths])
    first, second = places[asked.first], places[asked.second]
    kept = (first >= 0) & (second >= 0)
    if not 0 < np.sum(asked.same[kept]) < np.sum(kept):
        raise ValueError("trials of one speaker and trials of two speakers are needed, of recordings that can be used")
    return Trials(asked.same[kept], first[kept], second[kept], tuple(index.names.tolist()))


def _cohort(folder: str | Path, index: Recordings, *, allow_outside: bool, quiet: bool) -> Recordings:
    words = "cohort's recordings"
    others = listening.listen(folder, labelled=False, allow_outside=allow_outside, words=words, quiet=quiet)
    files = [{(one.root / path).resolve() for path in one.paths.tolist()} for one in (index, others)]
    if both := sorted(files[0] & files[1]):
        raise ValueError(f"the cohort must be of other speakers than the trials; {len(both)} in both: {both[0]}")
    return others


def _speakers(trials: Trials) -> np.ndarray | None:
    """Returns the speakers of both sides, [T, 2]: the first folders, if these agree with the truth of every trial."""
    names = np.array([Path(path).parts[0] if len(Path(path).parts) > 1 else "" for path in trials.paths])
    sides = np.stack([names[trials.first], names[trials.second]], axis=1)
    agrees = np.array_equal(sides[:, 0] == sides[:, 1], trials.same)
    return sides if agrees and names.all() else None


def _judged(trials: Trials, scored: Mapping[str, np.ndarray], draws: int, threshold: float | None) -> dict[str, Any]:
    same, speakers = trials.same, _speakers(trials)
    figures: dict[str, Any] = {}
    for prefix, scores in scored.items():
        interval = metrics.bootstrap_interval(scores, same, speakers, level=LEVEL, draws=draws)
        own = {
            "equal_error_rate": metrics.equal_error_rate(scores, same),
            "equal_error_rate_interval": list(interval),
            "min_dcf": metrics.min_dcf(scores, same),
            "min_dcf_0.05": metrics.min_dcf(scores, same, p_target=0.05),
            "threshold": metrics.equal_error_threshold(scores, same),
        }
        figures |= {prefix + name: value for name, value in own.items()}
    if threshold is not None:
        rates = metrics.error_rates(scored[""], same, threshold)
        figures |= {
            "development_threshold": threshold,
            "false_acceptance_rate": rates.false_acceptance,
            "false_rejection_rate": rates.false_rejection,
        }
    figures["bootstrap_over"] = "trials" if speakers is None else "speakers"
    if speakers is not None:
        figures["num_speakers"] = len(np.unique(speakers))
    return figures | {"num_trials": len(same), "num_target_trials": int(same.sum())}


def _write(
    folder: Path, figures: dict[str, Any], trials: Trials, scored: Mapping[str, np.ndarray], settings: dict[str, Any]
) -> None:
    _files.write_json(folder / "metrics.json", figures)
    for prefix, scores in scored.items():
        kind, rate = "_as_norm" if prefix else "", figures[f"{prefix}equal_error_rate"]
        with _files.replacing(folder / f"scores{kind}.txt") as file:
            file.writelines(_lines(trials, scores))
        pages.save_det_curve(folder / f"det{kind}.png", scores, trials.same, equal_error_rate=rate)
    pages.evaluation_page(folder, figures=figures, same=trials.same, scores=scored, settings=settings)


def _lines(trials: Trials, scores: np.ndarray) -> Iterator[str]:
    for same, first, second, score in zip(trials.same, trials.first, trials.second, scores, strict=True):
        yield f"{int(same)} {trials.paths[first]} {trials.paths[second]} {score:.6f}\n"
