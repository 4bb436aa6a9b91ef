"""The command `train`."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli import kinds, options
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import Field, fields_of
from jaxtriplet.jobs.recipes import RECIPES, usual

START, DATA, OUTPUT = "What to begin with", "Data", options.OUTPUT
TITLES = {
    "data": DATA,
    "encoder": "Encoder",
    "loss": "Loss",
    "optimizer": "Optimizer",
    "augmentation": "Augmentation",
    "training": "Updates",
    "fine_tuning": "Fine-tuning, the last updates",
    "backend": "Back-end, fitted when training is over",
    "judging": "Judging on the way",
}
ONLY = {"recordings": "only with --data", "japanese-vowels": "only without --data"}


def _numbers() -> Iterator[click.Parameter]:
    for field in fields_of(Config).values():
        if field.extra["option"]:
            yield options.FieldOption(field, _in_help, TITLES.get(field.path.partition(".")[0], START))


def _in_help(field: Field) -> str:
    """Returns what a field is, where it is of use, and its default: on JapaneseVowels, and with --data."""
    only, words = field.extra["only"], str(field.meta.description)
    if field.name == "recipe":
        return f"{words}  [default: {usual('data')} with --data, else {usual(None)}]"
    vowels, recordings = (RECIPES[usual(data)].get(field.name, field.of(Config())) for data in (None, "data"))
    default = recordings if only == "recordings" else vowels
    told = [ONLY.get(only, f"only with {only}")] if only else []
    told += [] if default is None else [f"default: {default}"]
    if only is None and vowels != recordings:
        told.append(f"with --data: {'none' if recordings is None else recordings}")
    return f"{words}  [{'; '.join(told)}]" if told else words


class Train(options.Sections):
    """The command whose help ends with the recipes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what each recipe sets, as options."""
        del ctx
        with formatter.section("Recipes, and what they set; each loss can be had with any of them"):
            formatter.write_dl([(name, _options(numbers)) for name, numbers in RECIPES.items()])


def _options(numbers: Mapping[str, Any]) -> str:
    given = {name: value for name, value in numbers.items() if name != "source" and value is not None}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items())


@click.command(
    cls=Train,
    params=[*_numbers()],
    examples=[
        ("", "JapaneseVowels, which needs no download: a minute. The results go to runs/<time>."),
        (
            "--data recordings --dev-fraction 0.2 --out runs/mine",
            "Recordings of yours, recordings/<speaker>/<utterance>.wav, judged on a fifth of the speakers.",
        ),
    ],
)
@options.option(
    "--data",
    type=options.PATH,
    metavar="DIR",
    help="Train on <speaker>/[<session>/]<utterance> in here.",
    section=START,
)
@options.option("--dev", type=options.PATH, metavar="DIR", help="Judge on the speakers in here.", section=START)
@options.option(
    "--dev-fraction",
    type=kinds.Number(),
    help="Judge on this share of the speakers in --data, held out.",
    section=START,
)
@options.option(
    "--config",
    type=options.PATH,
    metavar="FILE",
    help="The config.json of a run, whose numbers to take where none is given.",
    section=START,
)
@options.option(
    "--allow-outside",
    is_flag=True,
    help="Read what lists name outside the folder of the recordings, too.",
    section=DATA,
)
@options.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="Folder for the results.  [default: runs/<time>, to which runs/latest leads]",
    section=OUTPUT,
)
@options.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.", section=OUTPUT)
@options.option(
    "--resume",
    is_flag=True,
    help="Go on from the newest checkpoint in --out, with the same numbers.",
    section=OUTPUT,
)
@options.option(
    "--checkpoint-every",
    type=kinds.Whole(1),
    default=100,
    show_default=True,
    help="Updates between checkpoints.",
    section=OUTPUT,
)
@options.JSON
@options.QUIET
@options.option(
    "--devices",
    type=kinds.Whole(1),
    help="Devices of this machine to use.  [default: as many as divide a batch]",
    section=options.DEVICES,
)
@options.option(
    "--tensorboard",
    is_flag=True,
    help="Write the figures for TensorBoard too, into tensorboard/ in there.",
    section=OUTPUT,
)
@options.distributed
def train(config: Path | None, as_json: bool, **asked: Any) -> None:
    """Train a speaker encoder on recordings, or without --data on JapaneseVowels.

    With --data, speakers of --dev or --dev-fraction choose the best checkpoint, and it is judged on them; without
    either, all speakers are trained on to the last update. JapaneseVowels is judged on its 370 test utterances.

    The folder gets config.json, metrics.jsonl (a line per update), checkpoints/, weights/ (both with SHA256SUMS),
    metrics.json, embeddings.npz (those that were judged, with the names of their speakers, and labels, which count
    these from 0), report.html and, of recordings, data.json (which were used, and what is wrong with the others). While
    a run writes into it, there is a file .lock; a loss that is not finite leaves nan/, the batch and the state before
    it.

    Defaults are those of the recipe: of the two that are used where none is named, they stand below.
    """
    from jaxtriplet import jobs

    numbers = {name: value for name in fields_of(Config) if (value := asked.pop(name, None)) is not None}
    if config is None:
        settled = Config.of_recipe(**{"recipe": usual(asked["data"]), **numbers})
    elif "recipe" in numbers:
        raise ValueError("`recipe` sets what `config` sets: give one of them")
    else:
        settled = Config.read(config).replace(**numbers)
    done = jobs.train(settled, **asked)
    if done.figures is not None:
        print(json.dumps(done.figures) if as_json else _in_words(done.figures, done.folder))


def _in_words(figures: Mapping[str, Any], folder: Path) -> str:
    from jaxtriplet import metrics

    lines = [
        f"equal error rate {figures['equal_error_rate']:.2%}, minDCF {figures['min_dcf']:.3f} "
        f"over all {figures['num_trials']:,} pairs of {figures['judged']} utterances",
        f"clustering into {figures['num_speakers']}: purity {figures['purity']:.2%}, NMI {figures['nmi']:.3f}, "
        f"misclassification rate {figures['misclassification_rate']:.2%}",
        f"pictures: {folder / 'report.html'}",
        "",
        *(_after_vowels(folder) if figures["judged"] == "test" else _after_recordings(folder)),
    ]
    if "accuracy" in figures:
        lines.insert(1, f"identification accuracy {figures['accuracy']:.2%}")
    if figures["num_speakers"] < metrics.MIN_SPEAKERS:
        few = f"{figures['num_speakers']}, fewer than {metrics.MIN_SPEAKERS}"
        lines[0] += f" (too few speakers to tell much: {few})"
    if figures["judged"] != "test":
        lines.insert(0, f"weights of update {figures['step']}")
    return "\n".join(lines)


def _after_vowels(folder: Path) -> Iterator[str]:
    yield "This encoder knows the cepstra of JapaneseVowels, and hears no audio. Compare it with another such run:"
    yield f"  jaxtriplet compare {shlex.quote(str(folder))} RUN"
    yield "For an encoder of recordings, in DIR/<speaker>/<utterance>.wav:"
    yield "  jaxtriplet train --data DIR --dev-fraction 0.2"


def _after_recordings(folder: Path) -> Iterator[str]:
    run = shlex.quote(str(folder))
    yield "Next, on recordings of other speakers, in DIR/<speaker>/<utterance>.wav:"
    yield f"  jaxtriplet evaluate {run} --data DIR"
    yield f"  jaxtriplet embed {run} --data DIR --out embeddings.npz"
    yield f"  jaxtriplet cluster {run} --data DIR"
    yield f"  jaxtriplet export {run} --out encoder.jax"
