"""The job of `jaxtriplet bench`: measure a plan, and keep the files of its folder up to date meanwhile."""

import dataclasses
from pathlib import Path
from typing import Any

from tqdm import tqdm

from jaxtriplet import _files
from jaxtriplet.jobs import runs
from jaxtriplet.tools.bench import machine, picture, race, report
from jaxtriplet.tools.bench.plan import Plan


def bench(
    plan: Plan | None = None,
    out: Path | None = None,
    *,
    quick: bool = False,
    plot: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Measures, and writes `bench.md`, `bench.json` and, with `plot`, `bench.png`.

    Args:
        plan: What to measure; None for the usual.
        out: The folder for the results; None for `runs/bench-<time>`.
        quick: Whether what the plan leaves open is to take some minutes.
        plot: Whether to measure what the picture needs, which takes an hour, and draw it.
        overwrite: Whether the folder may hold something.
        quiet: Whether to show no progress bar.

    Returns:
        The folder, and the content of `bench.json`.

    Raises:
        ValueError: The plan or the folder does not fit, or no contender is installed.
    """
    plan = (plan or Plan()).resolved(quick=quick)
    present = [contender for contender in plan.contenders if not contender.missing]
    missing = [contender for contender in plan.contenders if contender.missing]
    if not present:
        raise ValueError("; ".join(map(report.not_installed, missing)))
    folder = runs.claim(runs.choose(out, overwrite=overwrite, job="bench-"), overwrite=overwrite)
    found: dict[str, Any] = {"machine": machine.describe(), "plan": dataclasses.asdict(plan)}
    found["left_out"] = [report.not_installed(contender) for contender in missing]
    results: list[race.Result] = []
    table, lines = plan.table(), list(plan.lines(plot=plot))
    with tqdm(total=len({setting for line in lines for setting in line.settings}), disable=quiet) as bar:
        for result in race.run(plan, lines, present, bar.set_postfix_str):
            results.append(result)
            # After every setting, so that an interrupted run keeps what it measured.
            measured = [one for one in results if one[0] in table]
            found["table"] = [report.as_json(one) for one in measured]
            found["sweep"] = [report.as_json(one) for one in results if one[0] not in table]
            _files.write_json(folder / "bench.json", found)
            with _files.replacing(folder / "bench.md") as file:
                file.write(report.markdown(found["machine"], plan, measured, missing))
            bar.update()
    if plot:
        with _files.replacing(folder / "bench.png", "wb") as file:
            picture.draw(results, plan.rows_per_class).savefig(file, format="png", dpi=130)
    return folder, found
