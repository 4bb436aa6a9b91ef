"""The command `fits`."""

import json
from typing import Any

import click

from jaxtriplet.cli.options import options_of
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.words import whole_numbers


@click.command(params=options_of(Program))
@click.option(
    "--devices", default="1", show_default=True, help="How many; several numbers, joined by commas: a table of scaling."
)
@click.option("--install", is_flag=True, help="Fetch the compilers first: 600 MB, once, into a folder of their own.")
@click.option(
    "--largest/--no-largest", default=True, show_default=True, help="Look for the largest batch that fits: minutes."
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.option("--quiet", is_flag=True, help="Do not tell each compilation on standard error.")
def fits(devices: str, install: bool, largest: bool, as_json: bool, quiet: bool, **numbers: Any) -> None:
    """Tell whether a batch fits an accelerator: peak memory, collectives, launches, and the largest batch that fits.

    No accelerator is needed: the program is compiled for it, ahead of time, by its own compiler. This predicts memory,
    not speed. --install fetches the compilers (Linux on x86-64), which JAX itself does not see.
    """
    from jaxtriplet.tools.fits import job, report

    programs = [Program(devices=count, **numbers) for count in whole_numbers("devices", devices)]
    answers = job.fits(programs, install=install, largest=largest, quiet=quiet)
    print(json.dumps(report.as_json(answers)) if as_json else report.markdown(answers))
