"""The job `compare`: several runs beside each other, judged on the same trials."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _checks, _files, metrics, pages
from jaxtriplet.jobs import contestants, runs
from jaxtriplet.jobs.contestants import Contestant
from jaxtriplet.jobs.evaluation import evaluate
from jaxtriplet.jobs.judging import LEVEL
from jaxtriplet.jobs.told import asked_words

_WRITTEN = ("metrics.json", "comparison.csv", "report.html")


class Compared(NamedTuple):
    """What `compare` found.

    Attributes:
        folder: Where it is written.
        figures: The content of metrics.json: `runs`, the figures of each by its name; `differences` from the first;
            and what holds for all.
    """

    folder: Path
    figures: dict[str, Any]


def compare(
    run: Sequence[str | Path],
    data: str | Path | None = None,
    *,
    draws: int = 1000,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **evaluation: Any,
) -> Compared:
    """Compares several runs, and writes metrics.json, comparison.csv (a row for each) and report.html.

    With `data`, each run is evaluated on the same trials, into a folder of its own in `out`. Without it, folders of
    training runs are compared by the pairs of those recordings that training has judged them on, and folders that
    `evaluate` wrote by the scores in them. What was not judged on the same trials is not compared.

    Each is set against the first one: the 95 % interval of the difference of their equal error rates is a bootstrap
    over speakers, the same ones drawn for both; over trials if nobody says who speaks.

    Args:
        run: Two folders or more, of finished runs or of evaluations.
        data: The folder of recordings to evaluate runs on.
        draws: Draws of the bootstrap.
        out: The folder for the results; None for `runs/compare-<time>`.
        overwrite: Whether it may hold something.
        quiet: Whether to show no progress on standard error.
        **evaluation: What `evaluate` is to be asked beside this, such as `trials`.

    Returns:
        The figures, all rates from 0 to 1.

    Raises:
        FileNotFoundError: There is no such list of trials.
        ValueError: There are fewer than two folders, or one is named twice; they are of two kinds, or were judged on
            different trials; a file in them is damaged; or as in `evaluate`.

    Example:
        >>> from jaxtriplet import jobs
        >>> jobs.compare(["runs/mine"])
        Traceback (most recent call last):
        ...
        ValueError: `run` must be two folders or more, each named once; got runs/mine
    """
    _checks.positive_integer("`draws`", draws)
    folders = _different(run)
    if evaluation.get("distributed"):
        raise ValueError("`distributed`: not in `compare`; let `evaluate` share the work, and compare what it wrote")
    if data is None and evaluation:
        raise ValueError(f"`{next(iter(evaluation))}`: of no use without `data`, a folder to evaluate runs on")
    trained = _of_one_kind(folders)
    if data is not None and not trained:
        raise ValueError(f"`data`: of no use with what was evaluated already, as {folders[0]}")
    if data is not None and (without := [one for one in folders if not (one / "weights").is_dir()]):
        raise ValueError(f"{without[0]} holds no weights of a finished run")
    folder = runs.choose(out, overwrite=overwrite, job="compare-")
    if folder.resolve() in {one.resolve() for one in folders}:
        raise ValueError(f"{folder} is one of the folders that are compared; name another one for the results")
    named = dict(zip(names_of(folders), folders, strict=True))
    if data is None:
        read = contestants.of_run if trained else contestants.of_evaluation
        found = [read(name, one) for name, one in named.items()]
    else:
        found, asked = [], dict(evaluation)
        for name, one in named.items():
            place = folder / name
            done = evaluate(one, data, draws=draws, out=place, overwrite=overwrite, quiet=quiet, **asked)
            found.append(contestants.of_evaluated(name, one, done))
            asked.pop("write_trials", None)  # they are the same of all
    _require_same_trials(found)
    for own in found:
        contestants.require_own_scores(own)
    figures = _figures(found, draws)
    told = {"data": data, **evaluation, "draws": draws}
    settings = asked_words({"run": folders, **told})
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, found, figures, settings)
    return Compared(folder, figures)


def names_of(folders: Sequence[Path]) -> list[str]:
    """Returns a name for each folder: its own or, where two have the same, with those of the folders around it.

    Args:
        folders: The folders, no two of them the same.

    >>> names_of([Path("/runs/small"), Path("/runs/large")])
    ['small', 'large']
    >>> names_of([Path("/monday/small"), Path("/tuesday/small")])
    ['monday-small', 'tuesday-small']
    """
    parts = [folder.resolve().parts[1:] or ("root",) for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["-".join(one[-depth:]) for one in parts]
        if len({*names}) == len(names) and not {*names} & {*_WRITTEN}:
            return names
    return [f"{number}-{name}" for number, name in enumerate(names, 1)]


def _different(run: Sequence[str | Path]) -> list[Path]:
    """Returns the folders, or says that there are too few."""
    folders = [Path(run)] if isinstance(run, str | Path) else [Path(one) for one in run]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        told = ", ".join(map(str, folders)) or "none"
        raise ValueError(f"`run` must be two folders or more, each named once; got {told}")
    return folders


def _of_one_kind(folders: Sequence[Path]) -> bool:
    """Returns whether the folders are training runs; if some are and some are not, says so."""
    trained = {folder: contestants.is_run(folder) for folder in folders}
    if len({*trained.values()}) > 1:
        one, other = (next(folder for folder, is_run in trained.items() if is_run == kind) for kind in (True, False))
        raise ValueError(f"{one} is a training run and {other} an evaluation: evaluate that run too, and compare these")
    return trained[folders[0]]


def _require_same_trials(found: Sequence[Contestant]) -> None:
    first = found[0]
    for other in found[1:]:
        alike = first.source == other.source and first.trials.paths == other.trials.paths
        arrays = zip(first.trials[:3], other.trials[:3], strict=True)
        if not (alike and all(np.array_equal(*pair) for pair in arrays)):
            raise ValueError(
                f"{first.folder} and {other.folder} were judged on different trials, or in another order; "
                + ("evaluate both on the same" if not first.settings else "name `data` to judge both on the same")
            )


def _figures(found: Sequence[Contestant], draws: int) -> dict[str, Any]:
    baseline, sides = found[0], found[0].sides
    count = None if sides is None else len(np.unique(sides))
    figures: dict[str, Any] = {"baseline": baseline.name}
    if count is not None and count < metrics.MIN_SPEAKERS:
        figures["no_interval"] = (
            f"too few speakers for an interval: {count}, and at least {metrics.MIN_SPEAKERS} needed"
        )
    else:
        figures["bootstrap_over"] = "trials" if count is None else "speakers"
    if count is not None:
        figures["num_speakers"] = count
    same = baseline.trials.same
    figures |= {"num_trials": len(same), "num_target_trials": int(same.sum())}
    figures["runs"] = {one.name: {"folder": str(one.folder), **one.figures} for one in found}
    figures["differences"] = [
        _difference(one, baseline, prefix, figures, draws) for prefix in _kinds(found) for one in found[1:]
    ]
    return figures


def _kinds(found: Sequence[Contestant]) -> list[str]:
    """Returns the kinds of scores that all have, by the prefixes of their figures."""
    return [prefix for prefix in found[0].scores if all(prefix in one.scores for one in found)]


def _difference(
    one: Contestant, baseline: Contestant, prefix: str, figures: Mapping[str, Any], draws: int
) -> dict[str, Any]:
    name, same = f"{prefix}equal_error_rate", one.trials.same
    own, other = one.scores[prefix], baseline.scores[prefix]
    rate, against = one.figures[name], baseline.figures[name]
    row: dict[str, Any] = {"run": one.name, "figure": name, "estimate": rate - against}
    words = f"{one.name}: equal error rate{' after AS-norm' if prefix else ''} {rate:.2%} instead of {against:.2%}"
    if "no_interval" in figures:
        return row | {"words": f"{words}; {figures['no_interval']}"}
    found = metrics.bootstrap_difference(own, other, same, baseline.sides, level=LEVEL, draws=draws)
    row |= {"low": found.low, "high": found.high, "share_lower": found.share_lower}
    words += (
        f", {_points(rate - against)} points (95% interval {_points(found.low)} to {_points(found.high)}, drawn over "
        f"{figures['bootstrap_over']}); lower in {found.share_lower:.1%} of the draws"
    )
    if found.low <= 0 <= found.high:
        words += ": the interval holds 0, these trials do not tell them apart"
    return row | {"words": words}


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"


def _differing(found: Sequence[Contestant]) -> dict[str, list[Any]]:
    """Returns the settings that are not alike, a value for each run."""
    names = dict.fromkeys(name for one in found for name in one.settings)
    values = {name: [one.settings.get(name) for one in found] for name in names}
    return {name: own for name, own in values.items() if any(value != own[0] for value in own)}


def _write(folder: Path, found: Sequence[Contestant], figures: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for name in _WRITTEN:  # metrics.json is the last to come: beside it, all are of one comparison
        _files.remove(folder / name)
    with _files.replacing(folder / "comparison.csv") as file:
        rows = list(_rows(figures))
        names = dict.fromkeys(name for row in rows for name in row)
        table = csv.DictWriter(file, list(names), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    pages.comparison_page(
        folder,
        runs={one.name: one.figures for one in found},
        same=found[0].trials.same,
        scores={prefix: {one.name: one.scores[prefix] for one in found} for prefix in _kinds(found)},
        histories={one.name: one.history for one in found if one.history},
        differing=_differing(found),
        figures={name: value for name, value in figures.items() if name != "runs"},
        settings=settings,
    )
    _files.write_json(folder / "metrics.json", figures)


def _rows(figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields a flat row for each run: its figures, and how they differ from those of the first one."""
    for name, own in figures["runs"].items():
        row: dict[str, Any] = {"run": name}
        for figure, value in own.items():
            if figure.endswith("_interval") and isinstance(value, list):
                row |= dict(zip((f"{figure}_low", f"{figure}_high"), value, strict=False))
            elif not isinstance(value, list | dict):
                row[figure] = value
        for difference in figures["differences"]:
            if difference["run"] == name:
                kinds = ("estimate", "low", "high", "share_lower")
                row |= {f"{difference['figure']}_difference_{kind}": difference.get(kind) for kind in kinds}
        yield row
