"""The command `bench`."""

import json
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli import options
from jaxtriplet.jobs.fields import Field
from jaxtriplet.tools.bench.plan import Plan

MEASURED, LIMITS = "What is measured", "Limits"


def _section(field: Field) -> str:
    return LIMITS if field.name in ("rounds", "memory_limit", "time_limit") else MEASURED


@click.command(
    cls=options.Sections,
    params=options.options_of(Plan, _section),
    examples=[
        ("--quick", "Some minutes on this machine's CPU."),
        ("--device gpu --losses semi-hard,nt-xent --batch-sizes 8192", "Two losses on a GPU."),
    ],
)
@options.option("--quick", is_flag=True, help="Small batches and few rounds, no picture: some minutes.", section=LIMITS)
@options.option(
    "--plot/--no-plot",
    default=None,
    help="The picture; on the CPU an hour.  [default: not if --quick]",
    section=options.OUTPUT,
)
@options.out_folder("bench")
@options.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.", section=options.OUTPUT)
@options.JSON
@options.QUIET
def bench(
    quick: bool, plot: bool | None, out: Path | None, overwrite: bool, as_json: bool, quiet: bool, **numbers: Any
) -> None:
    """Measure the losses beside other libraries and beside the least that such a loss can cost.

    Time and memory of value and gradient on the CPU, or with --device on an accelerator: some minutes. Contenders
    that are not installed are left out; pip install "jaxtriplet[bench]" brings them. The folder gets bench.md,
    bench.json and bench.png.
    """
    from jaxtriplet.tools.bench import job

    with_plot = not quick if plot is None else plot
    folder, found = job.bench(Plan(**numbers), out, quick=quick, plot=with_plot, overwrite=overwrite, quiet=quiet)
    print(json.dumps(found) if as_json else f"{(folder / 'bench.md').read_text()}\nresults: {folder}")
