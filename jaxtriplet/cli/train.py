"""The command `train`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli.options import Sections, belonging, options_of_both, recipes_in_words
from jaxtriplet.jobs.configs import TrainConfig
from jaxtriplet.jobs.fit import Job
from jaxtriplet.jobs.recipes import SpeechConfig
from jaxtriplet.jobs.train_speech import Source, train_speech
from jaxtriplet.jobs.train_vowels import train as run_training


@click.command(cls=Sections, epilog=recipes_in_words())
@click.option("--data", type=click.Path(path_type=Path), help="Train on <speaker>/[<session>/]<utterance> in here.")
@click.option("--dev", type=click.Path(path_type=Path), help="Judge on the speakers in here.")
@click.option("--dev-fraction", type=float, help="Judge on this share of the speakers in --data, held out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.  [default: runs/<time>]")
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the folder, with the same numbers.")
@click.option(
    "--checkpoint-every", type=click.IntRange(1), default=100, show_default=True, help="Updates between checkpoints."
)
@click.option("--devices", type=click.IntRange(1), help="Devices to use.  [default: as many as divide a batch]")
@click.option("--distributed", is_flag=True, help="This is one of several processes; all are given the same options.")
@click.option("--coordinator", help="host:port of process 0.  [default: what SLURM, Open MPI or Kubernetes tell]")
@click.option("--num-processes", type=click.IntRange(1), help="How many processes there are.  [default: likewise]")
@click.option("--process-id", type=click.IntRange(0), help="Which of them this is, from 0.  [default: likewise]")
@options_of_both(SpeechConfig, TrainConfig)
def train(
    data: Path | None,
    dev: Path | None,
    dev_fraction: float | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a speaker encoder on recordings, or without --data on JapaneseVowels.

    With --data, speakers of --dev or --dev-fraction choose the best checkpoint, and it is judged on them; without
    either, all speakers are trained on to the last update. JapaneseVowels is judged on its 370 test utterances.

    The folder gets config.json, metrics.jsonl (a line per update), checkpoints, metrics.json, the weights, the judged
    embeddings, report.html and, of recordings, data.json (which were used, and what is wrong with the others).
    """
    job = Job(**{field.name: options.pop(field.name) for field in dataclasses.fields(Job)})
    flags = {name: options.pop(name) for name in ("overwrite", "resume")}
    numbers = {name: value for name, value in options.items() if value is not None}
    if data is not None:
        settings = SpeechConfig.of_recipe(**belonging(numbers, SpeechConfig, "with --data"))
        folder, metrics = train_speech(settings, Source(data, dev, dev_fraction), out, **flags, job=job)
    elif dev is not None or dev_fraction is not None:
        raise ValueError("--dev and --dev-fraction belong to --data")
    else:
        config = TrainConfig(**belonging(numbers, TrainConfig, "without --data"))
        folder, metrics = run_training(config, out, **flags, job=job)
    if metrics is not None:
        print(json.dumps(metrics) if as_json else _in_words(metrics, folder))


def _in_words(metrics: Mapping[str, Any], folder: Path) -> str:
    judged = metrics.get("judged", "test")
    lines = [
        f"equal error rate {metrics['equal_error_rate']:.2%}, minDCF {metrics['min_dcf']:.3f} "
        f"over all {metrics['num_trials']:,} pairs of {judged} utterances",
        f"clustering into {metrics['num_speakers']}: purity {metrics['purity']:.2%}, NMI {metrics['nmi']:.3f}, "
        f"misclassification rate {metrics['misclassification_rate']:.2%}",
        f"pictures: {folder / 'report.html'}",
    ]
    if "accuracy" in metrics:
        lines.insert(1, f"identification accuracy {metrics['accuracy']:.2%}")
    if "step" in metrics:
        lines.insert(0, f"weights of update {metrics['step']}")
    return "\n".join(lines)
