"""The command `fits`."""

import json
from typing import Any

import click

from jaxtriplet.cli import options
from jaxtriplet.jobs.fields import Field
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.words import whole_numbers

HOW, ENCODER = "How to ask", "Encoder"
SECTIONS = {
    "What it must fit": ("target",),
    "The loss and its batch": ("loss", "batch_size", "dim", "rows_per_class", "max_class_size", "exchange"),
    ENCODER: ("encoder", "preset", "frames", "features", "seconds", "micro_batch"),
    "Class weights": ("classes", "class_weights"),
}


def _section(field: Field) -> str:
    return next((title for title, names in SECTIONS.items() if field.name in names), HOW)


@click.command(
    cls=options.Sections,
    params=options.options_of(Program, _section),
    examples=[
        ("--target h100 --loss semi-hard --batch-size 65536 --install", "The loss alone; fetches the compilers once."),
        ("--target tpu-v5e --devices 8 --encoder ecapa-tdnn --seconds 3", "A whole update, from waveforms on."),
    ],
)
@options.option(
    "--devices",
    default="1",
    show_default=True,
    metavar="N,N,...",
    help="How many; several numbers, joined by commas: a table of scaling.",
    section="What it must fit",
)
@options.option(
    "--install", is_flag=True, help="Fetch the compilers first: 600 MB, once, into a folder of their own.", section=HOW
)
@options.option(
    "--largest/--no-largest",
    default=True,
    show_default=True,
    help="Look for the largest batch that fits: minutes.",
    section=HOW,
)
@options.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.", section=options.OUTPUT)
@options.option("--quiet", is_flag=True, help="Do not tell each compilation on standard error.", section=options.OUTPUT)
def fits(devices: str, install: bool, largest: bool, as_json: bool, quiet: bool, **numbers: Any) -> None:
    """Tell whether a batch fits an accelerator: peak memory, collectives, launches, and the largest batch that fits.

    No accelerator is needed: the program is compiled for it, ahead of time, by its own compiler. This predicts memory,
    not speed. --install fetches the compilers (Linux on x86-64), which JAX itself does not see.
    """
    from jaxtriplet.tools.fits import job, report

    programs = [Program(devices=count, **numbers) for count in whole_numbers("devices", devices)]
    answers = job.fits(programs, install=install, largest=largest, quiet=quiet)
    print(json.dumps(report.as_json(answers)) if as_json else report.markdown(answers))
