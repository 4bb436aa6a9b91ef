"""The command `evaluate`: a list of trials, scored and judged."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from jaxtriplet import metrics
from jaxtriplet.cli import recorded
from jaxtriplet.data import Problem, Recordings, Trials, read_trials, recordings, recordings_of
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.progress import progress
from jaxtriplet.pages import evaluation_page, save_det_curve
from jaxtriplet.pages.figures import AS_NORM

LEVEL = 0.95


class Scored(NamedTuple):
    """Trials that could be scored.

    Attributes:
        trials: The trials, places being those of the embeddings.
        scores: Scores by the prefix of their figures: "" for cosine, and "as_norm_" if there is a cohort; [T] each.
        problems: The recordings that could not be used.
        left_out: How many trials they take with them.
    """

    trials: Trials
    scores: Mapping[str, np.ndarray]
    problems: tuple[Problem, ...]
    left_out: int


@click.command()
@recorded.RUN
@recorded.DATA
@click.option("--trials", type=click.Path(path_type=Path), required=True, help="Lines `1 path path` or `0 path path`.")
@click.option("--as-norm", is_flag=True, help="Normalise scores with --cohort as well.")
@click.option("--cohort", type=click.Path(path_type=Path), help="Recordings of others, such as those trained on.")
@click.option("--top", type=click.IntRange(2), default=300, show_default=True, help="Nearest of the cohort to use.")
@click.option("--draws", type=click.IntRange(1), default=1000, show_default=True, help="Draws of the bootstrap.")
@recorded.out_folder("evaluate")
@recorded.OVERWRITE
@recorded.JSON
@recorded.QUIET
def evaluate(
    run: Path,
    data: Path,
    trials: Path,
    as_norm: bool,
    cohort: Path | None,
    top: int,
    draws: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge the encoder in the folder RUN by trials: is it one speaker in both recordings?

    A trial is a line `1 path path` (one speaker) or `0 path path` (two), paths relative to --data. If files are
    missing, nothing is begun. Trials of files that cannot be decoded are left out and counted.

    The 95 % interval of the equal error rate is a bootstrap over speakers, if the first folder of every path is one;
    else over trials, which is narrower than the truth. --cohort adds figures after AS-norm, under names of their own.

    The folder gets metrics.json, scores.txt (the trials, each with its score), det.png and report.html.
    """
    if as_norm and cohort is None:
        raise ValueError("--as-norm needs --cohort, a folder of recordings of other speakers")
    asked = read_trials(trials, data)
    folder = runs.choose(out or Path("runs") / time.strftime("evaluate-%Y-%m-%d_%H-%M-%S"), overwrite=overwrite)
    scored = _score(runs.load_speech(run), data, asked, cohort, top=top, quiet=quiet)
    figures = _figures(scored, draws, recorded.threshold_of(run, "development"))
    runs.claim(folder, overwrite=overwrite)
    _write(folder, figures, scored, {"run": str(run), "data": str(data), "trials": str(trials), "cohort": cohort})
    print(json.dumps(figures) if as_json else _in_words(figures, folder))


def _score(
    run: recorded.EmbedsRecordings, data: Path, asked: Trials, cohort: Path | None, *, top: int, quiet: bool
) -> Scored:
    with progress("recordings", quiet=quiet) as show:
        index = recordings_of(data, asked.paths, progress_fn=show)
    recorded.name_problems(index.problems, len(index))
    others = None if cohort is None else _cohort(cohort, index, quiet=quiet)
    trials, left_out = _usable(asked, index)
    embeddings = recorded.embed(run, index, quiet=quiet)
    scores = {"": metrics.trial_scores(embeddings, trials.first, trials.second)}
    if others is not None:
        nearby = recorded.embed(run, others, quiet=quiet, words="cohort")
        scores[AS_NORM] = metrics.adaptive_s_norm(embeddings, trials.first, trials.second, nearby, top=top)
    return Scored(trials, scores, index.problems, left_out)


def _usable(asked: Trials, index: Recordings) -> tuple[Trials, int]:
    """Returns the trials of recordings in the index alone, and how many are left out."""
    row = {path: place for place, path in enumerate(index.paths.tolist())}
    places = np.array([row.get(path, -1) for path in asked.paths])
    first, second = places[asked.first], places[asked.second]
    kept = (first >= 0) & (second >= 0)
    if not 0 < np.sum(asked.same[kept]) < np.sum(kept):
        raise ValueError("trials of one speaker and trials of two speakers are needed, of recordings that can be used")
    return Trials(asked.same[kept], first[kept], second[kept], tuple(index.paths.tolist())), int(np.sum(~kept))


def _cohort(folder: Path, index: Recordings, *, quiet: bool) -> Recordings:
    with progress("cohort's recordings", quiet=quiet) as show:
        others = recordings(folder, labelled=False, progress_fn=show)
    recorded.name_problems(others.problems, len(others))
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


def _figures(scored: Scored, draws: int, threshold: float | None) -> dict[str, Any]:
    same, speakers = scored.trials.same, _speakers(scored.trials)
    figures: dict[str, Any] = {}
    for prefix, scores in scored.scores.items():
        own = {
            "equal_error_rate": metrics.equal_error_rate(scores, same),
            "equal_error_rate_interval": list(
                metrics.bootstrap_interval(scores, same, speakers, level=LEVEL, draws=draws)
            ),
            "min_dcf": metrics.min_dcf(scores, same),
            "min_dcf_0.05": metrics.min_dcf(scores, same, p_target=0.05),
            "threshold": metrics.equal_error_threshold(scores, same),
        }
        figures |= {prefix + name: value for name, value in own.items()}
    if threshold is not None:
        rates = metrics.error_rates(scored.scores[""], same, threshold)
        figures |= {
            "development_threshold": threshold,
            "false_acceptance_rate": rates.false_acceptance,
            "false_rejection_rate": rates.false_rejection,
        }
    figures["bootstrap_over"] = "trials" if speakers is None else "speakers"
    if speakers is not None:
        figures["num_speakers"] = len(np.unique(speakers))
    figures |= {
        "num_trials": len(same),
        "num_target_trials": int(same.sum()),
        "num_recordings": len(scored.trials.paths),
        "num_trials_left_out": scored.left_out,
    }
    return figures | recorded.problems_as_json(scored.problems)


def _write(folder: Path, figures: Mapping[str, Any], scored: Scored, settings: Mapping[str, Any]) -> None:
    runs.write_json(folder / "metrics.json", dict(figures))
    for prefix, scores in scored.scores.items():
        kind = "_as_norm" if prefix else ""
        (folder / f"scores{kind}.txt").write_text("".join(_lines(scored.trials, scores)))
        rate = figures[f"{prefix}equal_error_rate"]
        save_det_curve(folder / f"det{kind}.png", scores, scored.trials.same, equal_error_rate=rate)
    evaluation_page(folder, figures=figures, same=scored.trials.same, scores=scored.scores, settings=settings)


def _lines(trials: Trials, scores: np.ndarray) -> Iterator[str]:
    for same, first, second, score in zip(trials.same, trials.first, trials.second, scores, strict=True):
        yield f"{int(same)} {trials.paths[first]} {trials.paths[second]} {score:.6f}\n"


def _in_words(figures: Mapping[str, Any], folder: Path) -> str:
    def line(prefix: str, words: str) -> str:
        low, high = figures[f"{prefix}equal_error_rate_interval"]
        return (
            f"{words}equal error rate {figures[f'{prefix}equal_error_rate']:.2%} (95% interval {low:.2%} to "
            f"{high:.2%}, drawn over {figures['bootstrap_over']}), minDCF {figures[f'{prefix}min_dcf']:.3f} at 0.01, "
            f"{figures[f'{prefix}min_dcf_0.05']:.3f} at 0.05"
        )

    lines = [line("", "")]
    if f"{AS_NORM}threshold" in figures:
        lines.append(line(AS_NORM, "after AS-norm: "))
    lines.append(f"{figures['num_trials']:,} trials, {figures['num_trials_left_out']:,} left out")
    return "\n".join([*lines, f"pictures: {folder / 'report.html'}"])
