"""The command `train`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli import options
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import Field, fields_of
from jaxtriplet.jobs.recipes import RECIPES, usual

USUAL = RECIPES[usual(None)]
SECTIONS = {
    None: "Numbers",
    "recordings": "Numbers, with --data alone",
    "japanese-vowels": "Numbers, without --data alone",
}


def _numbers() -> Iterator[click.Parameter]:
    for field in fields_of(Config).values():
        if field.extra["option"]:
            only = field.extra["only"]
            yield options.FieldOption(field, _in_help, SECTIONS.get(only, f"Numbers, with {only} alone"))


def _in_help(field: Field) -> str:
    """Returns what a field is, and its default, which may be that of a recipe."""
    default: Any
    if field.name == "recipe":
        default = f"{usual('data')} with --data, else {usual(None)}"
    elif field.extra["only"] is None:
        default = USUAL.get(field.name, field.of(Config()))
        default = None if default is None else f"{default}; with --data that of the recipe"
    else:
        by_recipe = any(field.name in numbers for numbers in RECIPES.values())
        words = ["that of the recipe"] if by_recipe else []
        words += [] if (usual_one := field.of(Config())) is None else [str(usual_one)]
        default = ", or ".join(words) or None
    return f"{field.meta.description}{'' if default is None else f'  [default: {default}]'}"


def _recipes() -> str:
    """Returns what each recipe sets."""
    lines = ["Recipes, and what they set; each loss can be had with any of them:"]
    for name, numbers in RECIPES.items():
        lines.append(f"  {name}: {', '.join(f'{key} {value}' for key, value in numbers.items() if key != 'source')}")
    return "\n\n".join(lines)


@click.command(cls=options.Sections, params=[*_numbers()], epilog=_recipes())
@click.option("--data", type=options.PATH, help="Train on <speaker>/[<session>/]<utterance> in here.")
@click.option("--dev", type=options.PATH, help="Judge on the speakers in here.")
@click.option("--dev-fraction", type=options.Number(), help="Judge on this share of the speakers in --data, held out.")
@options.ALLOW_OUTSIDE
@click.option(
    "--config", type=options.PATH, help="The config.json of a run, whose numbers to take where none is given."
)
@click.option("--out", type=options.PATH, help="Folder for the results.  [default: runs/<time>]")
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.")
@options.JSON
@options.QUIET
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the folder, with the same numbers.")
@click.option(
    "--checkpoint-every", type=click.IntRange(1), default=100, show_default=True, help="Updates between checkpoints."
)
@click.option("--tensorboard", is_flag=True, help="Write the figures for TensorBoard too, into tensorboard/ in there.")
@click.option("--devices", type=click.IntRange(1), help="Devices to use.  [default: as many as divide a batch]")
@options.distributed
def train(config: Path | None, as_json: bool, **asked: Any) -> None:
    """Train a speaker encoder on recordings, or without --data on JapaneseVowels.

    With --data, speakers of --dev or --dev-fraction choose the best checkpoint, and it is judged on them; without
    either, all speakers are trained on to the last update. JapaneseVowels is judged on its 370 test utterances.

    The folder gets config.json, metrics.jsonl (a line per update), checkpoints/, weights/ (both with SHA256SUMS),
    metrics.json, embeddings.npz (those that were judged), report.html and, of recordings, data.json (which were used,
    and what is wrong with the others). While a run writes into it, there is a file .lock; a loss that is not finite
    leaves nan/, the batch and the state before it.
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
    lines = [
        f"equal error rate {figures['equal_error_rate']:.2%}, minDCF {figures['min_dcf']:.3f} "
        f"over all {figures['num_trials']:,} pairs of {figures['judged']} utterances",
        f"clustering into {figures['num_speakers']}: purity {figures['purity']:.2%}, NMI {figures['nmi']:.3f}, "
        f"misclassification rate {figures['misclassification_rate']:.2%}",
        f"pictures: {folder / 'report.html'}",
    ]
    if "accuracy" in figures:
        lines.insert(1, f"identification accuracy {figures['accuracy']:.2%}")
    if figures["judged"] != "test":
        lines.insert(0, f"weights of update {figures['step']}")
    return "\n".join(lines)
