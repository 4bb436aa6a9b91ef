"""The command `fits`."""

import json
import sys
from typing import Any

import click

from jaxtriplet.models import ENCODERS
from jaxtriplet.tools.fits import report as fits_report
from jaxtriplet.tools.fits.job import counts
from jaxtriplet.tools.fits.job import fits as answer_fits
from jaxtriplet.tools.fits.programs import LOSSES, Program
from jaxtriplet.tools.fits.targets import TARGETS


@click.command(context_settings={"show_default": True})
@click.option("--loss", type=click.Choice(list(LOSSES)), default="semi-hard", help="The loss.")
@click.option("--batch-size", type=click.IntRange(1), default=65536, help="Rows B of the batch of all devices.")
@click.option("--dim", type=click.IntRange(1), default=256, help="Numbers D in an embedding, or logits of kl-hinge.")
@click.option("--target", type=click.Choice(list(TARGETS)), default="tpu-v5e", help="The accelerator.")
@click.option("--devices", default="1", help="How many; several numbers, joined by commas, make a table of scaling.")
@click.option("--encoder", type=click.Choice(list(ENCODERS)), help="Compile the whole update of this encoder.")
@click.option("--preset", type=click.Choice(["small", "paper"]), default="small", help="Its size; with --encoder.")
@click.option("--frames", type=click.IntRange(1), default=200, help="Frames of an utterance; with --encoder.")
@click.option("--features", type=click.IntRange(1), default=40, help="Numbers in a frame; with --encoder.")
@click.option("--micro-batch", type=click.IntRange(1), help="Rows to encode at a time; with --encoder.")
@click.option("--largest/--no-largest", default=True, help="Look for the largest batch that fits: takes minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
@click.option("--quiet", is_flag=True, help="Do not tell each compilation on standard error.")
def fits(devices: str, largest: bool, as_json: bool, quiet: bool, **numbers: Any) -> None:
    """Tell whether a batch fits an accelerator: peak memory, collectives, and the largest batch that fits.

    No accelerator is needed: the program is compiled for it, ahead of time, by its own compiler. This predicts memory,
    not speed. pip install "jaxtriplet[aot]" brings the compilers (Linux).
    """
    programs = [Program(devices=count, **numbers) for count in counts(devices)]
    answers = answer_fits(programs, with_largest=largest, tell=_nothing if quiet else _tell)
    print(json.dumps(fits_report.as_json(answers)) if as_json else fits_report.markdown(answers))


def _tell(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _nothing(step: str) -> None:
    del step
