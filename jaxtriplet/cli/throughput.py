"""The command `throughput`."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from jaxtriplet.cli import kinds, options
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of

if TYPE_CHECKING:
    from jaxtriplet.jobs.throughputs import Stage

MEASURED = "What is measured"
RECIPE = kinds.Words(fields_of(Config)["recipe"])


@click.command(
    cls=options.Sections,
    examples=[("--data calls --recipe aam", "Does the disk keep up with the encoder of this recipe?")],
)
@options.DATA
@options.option(
    "--recipe",
    type=RECIPE,
    metavar="NAME",
    default="best",
    show_default=True,
    help="What to train; jaxtriplet train --help lists the recipes.",
    section=MEASURED,
)
@options.option(
    "--rounds",
    type=kinds.Whole(2),
    default=20,
    show_default=True,
    help="Batches to measure.",
    section=MEASURED,
)
@options.ALLOW_OUTSIDE
@options.JSON
@options.QUIET
def throughput(as_json: bool, **asked: Any) -> None:
    """Measure how fast the recordings of a folder pass the stages of training: decoding, features, update.

    Each stage is given the batches of the recipe, and is timed alone; at last the loader feeds the update, as in
    training. Where that takes as long as the update alone, the loader keeps it busy.
    """
    from jaxtriplet import jobs

    stages = jobs.throughput(**asked)
    print(json.dumps([stage._asdict() for stage in stages]) if as_json else in_words(stages))


def in_words(stages: "Iterable[Stage]") -> str:
    """Returns a table in Markdown.

    Args:
        stages: What was measured.

    Example:
        >>> from jaxtriplet.jobs.throughputs import Stage
        >>> print(in_words([Stage("log-mel features", 50.0, 2560.0)]))
        | stage | ms a batch | seconds of sound a second |
        |---|--:|--:|
        | log-mel features | 50.0 | 2,560 |
    """
    lines = [f"| {stage.name} | {stage.milliseconds:.1f} | {stage.sound:,.0f} |" for stage in stages]
    return "\n".join(["| stage | ms a batch | seconds of sound a second |", "|---|--:|--:|", *lines])
