"""The job of `jaxtriplet bench`: measure a plan, and keep the files of its folder up to date meanwhile."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxtriplet import _files
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.progress import Bar
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
        plot: Whether to draw the picture, and measure what it needs, which takes an hour on the processor.
        overwrite: Whether the folder may hold something.
        quiet: Whether to show no progress.

    Returns:
        The folder, and the content of `bench.json`.

    Raises:
        ValueError: The plan or the folder does not fit, no contender is installed, or the accelerator is not there.
    """
    asked, plan = plan or Plan(), (plan or Plan()).resolved(quick=quick)
    left_out = {one.name: report.not_installed(one) for one in plan.contenders if one.missing}
    described = machine.describe()
    if not plan.on_processor:
        there, unable = machine.accelerator(plan.device, [one for one in plan.contenders if not one.missing])
        plan, left_out = asked.resolved(quick=quick, memory=there["memory"]), left_out | unable
        described["accelerator"] = f"{there['name']}, {there['memory'] / 2**30:.0f} GiB for JAX"
    present = [one for one in plan.contenders if one.name not in left_out]
    if not present:
        raise ValueError("; ".join(left_out.values()))
    folder = runs.claim(runs.choose(out, overwrite=overwrite, job="bench-"), overwrite=overwrite)
    found: dict[str, Any] = {"machine": described, "plan": dataclasses.asdict(plan)}
    found["left_out"] = [*left_out.values()]
    results: list[race.Result] = []
    table, lines = plan.table(), list(plan.lines(plot=plot))
    total = len({setting for line in lines for setting in line.settings})
    with Bar("measuring", "setting", total, quiet=quiet) as bar:
        for result in race.run(plan, lines, present, bar.says):
            results.append(result)
            # After every setting, so that an interrupted run keeps what it measured.
            measured = [one for one in results if one[0] in table]
            found["table"] = [report.as_json(one) for one in measured]
            found["sweep"] = [report.as_json(one) for one in results if one[0] not in table]
            _files.write_json(folder / "bench.json", found)
            with _files.replacing(folder / "bench.md") as file:
                file.write(report.markdown(found["machine"], plan, measured, found["left_out"]))
            bar.to(len(results))
    if plot:
        with _files.replacing(folder / "bench.png", "wb") as file:
            picture.draw(results, plan.rows_per_class, plan.device).savefig(file, format="png", dpi=130)
    return folder, found
