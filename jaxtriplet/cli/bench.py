"""The command `bench`."""

import json
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli.options import options_of
from jaxtriplet.tools.bench.plan import Plan


@click.command(params=options_of(Plan))
@click.option("--quick", is_flag=True, help="Small batches and few rounds, no picture: some minutes.")
@click.option("--plot/--no-plot", default=None, help="The picture; on the CPU an hour.  [default: not if --quick]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.  [default: runs/bench-<time>]")
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
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
