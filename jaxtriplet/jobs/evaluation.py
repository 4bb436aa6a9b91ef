"""The job `evaluate`: a list of trials, scored and judged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _checks, _files, metrics, pages
from jaxtriplet.data import Recordings, Trials, read_trials
from jaxtriplet.jobs import listening, runs
from jaxtriplet.jobs.scoring import Comparison, disjoint
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.pages.figures import AS_NORM

LEVEL = 0.95


class Evaluated(NamedTuple):
    """What `evaluate` found.

    Attributes:
        folder: Where it is written.
        figures: The content of `metrics.json`.
        trials: The trials that could be scored, T of them.
        scores: Of each trial, [T], by the prefix of their figures: "" as they are, and "as_norm_" after AS-norm.
    """

    folder: Path
    figures: dict[str, Any]
    trials: Trials
    scores: Mapping[str, np.ndarray]


def evaluate(
    run: str | Path | Sequence[str | Path],
    data: str | Path,
    trials: str | Path,
    *,
    backend: str | None = None,
    backend_layer: str | None = None,
    fit_on: str | Path | None = None,
    crops: int = 0,
    crop_seconds: float = 4.0,
    as_norm: bool = False,
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

    A score is a cosine or, with the back-end "plda", a log-likelihood ratio of its model, which is not to be taken at
    its word: where both errors are equal for strangers is known from development speakers. Of several runs it is the
    mean of theirs, before AS-norm and after it.

    Args:
        run: The folder of a finished run on recordings, or several such.
        data: The folder of the recordings.
        trials: The list: lines `1 path path` (one speaker) or `0 path path` (two), paths relative to `data`; of
            Kaldi's folders, names of utterances.
        backend: How to compare recordings: "none" (the cosine of embeddings), "centered", "wccn", "lda" or "plda"; None
            for the run's own.
        backend_layer: What of the encoder a back-end sees that is fitted anew: "pooled" or "embedding"; None for
            what the run says.
        fit_on: A folder of recordings of other, known speakers to fit the back-end on; None for those trained on.
        crops: How many crops of a recording to take the mean of; 0 for the whole recording.
        crop_seconds: How long they are.
        as_norm: Whether to add figures after AS-norm.
        cohort: A folder of recordings of others to measure against, which asks for AS-norm too; None for those in
            `fit_on` or some of those trained on.
        top: How many of the cohort, those nearest to a recording, to measure it against, at least 2.
        draws: Draws of the bootstrap.
        allow_outside: Whether the list may name files outside `data`, and Kaldi's `wav.scp` such outside its folder.
        out: The folder for the results; None for `runs/evaluate-<time>`.
        overwrite: Whether it may hold something.
        quiet: Whether to show no progress on standard error.

    Returns:
        The figures, all rates from 0 to 1, and the scores.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: A number is too small, a run, the list, the recordings or the folder cannot be used, the cohort
            or what to fit on shares a file with the trials, or scores of several kinds would be averaged.

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
    comparison = Comparison(backend, backend_layer, fit_on, crops, crop_seconds).checked()
    asked = read_trials(trials, data, allow_outside=allow_outside)
    folder = runs.choose(out, overwrite=overwrite, job="evaluate-")
    names = [run] if isinstance(run, str | Path) else list(run)
    normalizes, encoders = as_norm or cohort is not None, {str(name): comparison.load(name) for name in names}
    _check_alike(names, {name: comparison.kind(one) for name, one in encoders.items()})
    for name, one in encoders.items():
        if normalizes and cohort is fit_on is None and one.cohort is None:
            raise ValueError(f"{name} holds none of the recordings it was trained on; name a `cohort` of others")
    index = listening.listen(data, paths=asked.paths, quiet=quiet)
    others = None if cohort is None else _cohort(cohort, index, allow_outside=allow_outside, quiet=quiet)
    known = comparison.recordings(judged=index, allow_outside=allow_outside, quiet=quiet)
    usable = _usable(asked, index)
    scored, used = list[dict[str, np.ndarray]](), list[SpeechRun]()
    for one in encoders.values():
        used.append(comparison.fit(one, known, quiet=quiet))
        scored.append(_scores(used[-1], index, usable, others, top=top if normalizes else None, quiet=quiet))
    scores = {prefix: np.mean([one[prefix] for one in scored], axis=0) for prefix in scored[0]}
    figures: dict[str, Any] = {
        **_judged(usable, scores, draws, _development_threshold(names, comparison, used[0])),
        "compared_by": ", ".join(dict.fromkeys(one.compared_by for one in used)),
        "num_runs": len(names),
        "num_recordings": len(index),
        "num_trials_left_out": len(asked.same) - len(usable.same),
        **listening.problems_as_json(index.problems),
    }
    settings = {
        "run": ", ".join(map(str, names)),
        "data": str(data),
        "trials": str(trials),
        "cohort": cohort and str(cohort),
        **{name: value and str(value) for name, value in comparison._asdict().items()},
    }
    runs.claim(folder, overwrite=overwrite)
    _write(folder, figures, usable, scores, settings)
    return Evaluated(folder, figures, usable, scores)


def _scores(
    run: SpeechRun, index: Recordings, trials: Trials, others: Recordings | None, *, top: int | None, quiet: bool
) -> dict[str, np.ndarray]:
    """Returns a run's scores of the trials; with a `top`, those after AS-norm too, by others or by its own cohort."""
    with listening.progress("embedding", quiet=quiet) as show:
        rows = run.rows(index, show)
    pairs, backend = (trials.first, trials.second), run.backend
    scores = {"": metrics.trial_scores(rows, *pairs, backend=backend)}
    if top is None:
        return scores
    with listening.progress("cohort", quiet=quiet) as show:
        nearby = run.cohort if others is None else run.rows(others, show)
    assert nearby is not None  # it was looked for before, and what was fitted just now has one
    return {**scores, AS_NORM: metrics.adaptive_s_norm(rows, *pairs, nearby, top=top, backend=backend)}


def _check_alike(names: Sequence[str | Path], kinds: Mapping[str, str]) -> None:
    """Refuses no run, one that is named twice, and runs whose scores are of two kinds."""
    if len(kinds) != len(names) or not names:
        raise ValueError(f"`run` must be one or several different folders; got {', '.join(map(str, names)) or 'none'}")
    if len({kind == "plda" for kind in kinds.values()}) > 1:
        words = ", ".join(f"{name} has {kind}" for name, kind in kinds.items())
        raise ValueError(
            f"the mean of log-likelihood ratios (plda) and of cosines tells nothing; name a `backend`: {words}"
        )


def _development_threshold(names: Sequence[str | Path], comparison: Comparison, run: SpeechRun) -> float | None:
    """Returns the threshold that training chose for such scores, if there is one."""
    if len(names) > 1 or not comparison.is_own(run):
        return None
    return listening.threshold_of(names[0], "development", "threshold" if run.backend is None else "backend_threshold")


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
    disjoint("the cohort", index, others)
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
