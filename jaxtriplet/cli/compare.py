"""The command `compare`: several runs beside each other, judged on the same trials."""

import json
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any

import click
from click.core import ParameterSource

from jaxtriplet.cli import kinds, options
from jaxtriplet.cli.evaluate import evaluate

_OWN = {"run", "data", "draws", "out", "overwrite", "as_json", "quiet"}
_ALONE = {"distributed", "coordinator", "num_processes", "process_id"}


@click.command(
    cls=options.Sections,
    examples=[
        ("runs/mine runs/latest", "By what training has judged both on."),
        ("runs/mine runs/latest --data others", "On other speakers, whom neither was trained on."),
    ],
)
@click.argument("run", type=kinds.RunFolder(), nargs=-1, required=True)
@options.option(
    "--data",
    type=options.PATH,
    metavar="DIR",
    help="Folder of recordings to evaluate runs on.",
    section="Recordings",
)
@options.option(
    "--draws", type=kinds.Whole(1), default=1000, show_default=True, help="Draws of the bootstrap.", section="Judging"
)
@options.out_folder("compare")
@options.OVERWRITE
@options.JSON
@options.QUIET
@click.pass_context
def compare(ctx: click.Context, /, as_json: bool, **asked: Any) -> None:
    """Compare two or more folders RUN RUN ..., each with the first one, on the same trials.

    With --data, each RUN is the folder of a finished run, and is evaluated into a folder of its own in --out. Without,
    folders of runs are compared by the recordings that training has judged them on, if these are the same; and folders
    that evaluate wrote by the scores in them.

    The 95 % interval of the difference of two equal error rates is a bootstrap over speakers, the same ones drawn for
    both runs; over trials if nobody says who speaks, which is narrower than the truth.

    The folder gets metrics.json, comparison.csv (a row for each run) and report.html: a table of figures, the courses
    of training and the error trade-offs over each other, the differences, and which settings are not alike.
    """
    from jaxtriplet import jobs

    given = {name: value for name, value in asked.items() if ctx.get_parameter_source(name) != ParameterSource.DEFAULT}
    done = jobs.compare(**given)
    pictures = f"pictures: {done.folder / 'report.html'}"
    print(json.dumps(done.figures) if as_json else "\n".join([*_in_words(done.figures), pictures]))


def _of_evaluate() -> Iterator[click.Parameter]:
    """Yields what evaluate is told beside this, under titles of its own."""
    for one in map(copy, evaluate.params):
        if one.name not in _OWN | _ALONE:
            vars(one)["section"] = f"{vars(one)['section']}, as of evaluate with --data"
            yield one


compare.params += _of_evaluate()


def _in_words(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yields a table, a line for each figure and a column for each run, and what differs in words."""
    from jaxtriplet.pages.comparison import columns

    found = columns(list(figures["runs"].values()))
    marked = [[value + "*" * best for value, best in zip(one.values, one.best, strict=True)] for one in found]
    titles = ["", *(one.title for one in found)]
    cells = [titles, *([name, *(row[place] for row in marked)] for place, name in enumerate(figures["runs"]))]
    widths = [max(map(len, column)) for column in cells]
    for line in zip(*cells, strict=True):
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
    judged = next(iter(figures["runs"].values())).get("judged")
    source = "" if judged is None else f" of {judged} recordings{', which the encoders know' * (judged == 'training')}"
    yield f"* the best; {figures['num_trials']:,} trials{source}; against {figures['baseline']}:"
    yield from (difference["words"] for difference in figures["differences"])
