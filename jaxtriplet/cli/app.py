"""The commands and their options."""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
import jax

import jaxtriplet
from jaxtriplet.cli.bench import bench as run_bench
from jaxtriplet.cli.cluster import cluster
from jaxtriplet.cli.embed import embed
from jaxtriplet.cli.evaluate import evaluate
from jaxtriplet.cli.export import export
from jaxtriplet.cli.fits import counts
from jaxtriplet.cli.fits import fits as answer_fits
from jaxtriplet.cli.options import Sections, belonging, options_of, options_of_both, recipes_in_words
from jaxtriplet.cli.throughput import throughput
from jaxtriplet.jobs.configs import TrainConfig
from jaxtriplet.jobs.fit import Job
from jaxtriplet.jobs.recipes import SpeechConfig
from jaxtriplet.jobs.train_speech import Source, train_speech
from jaxtriplet.jobs.train_vowels import train as run_training
from jaxtriplet.models import ENCODERS
from jaxtriplet.tools.bench.plan import Plan
from jaxtriplet.tools.fits import report as fits_report
from jaxtriplet.tools.fits.programs import LOSSES, Program
from jaxtriplet.tools.fits.targets import TARGETS


@click.group(context_settings={"max_content_width": 120})
@click.version_option(jaxtriplet.__version__, message="%(version)s")
def app() -> None:
    """Exact metric-learning losses for JAX, and speaker embeddings trained with them."""


for command in (evaluate, embed, cluster, export, throughput):
    app.add_command(command)


@app.command(cls=Sections, epilog=recipes_in_words())
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


@app.command()
@options_of(Plan)
@click.option("--quick", is_flag=True, help="Small batches and few rounds, no picture: a minute or two.")
@click.option("--plot/--no-plot", default=None, help="The picture: about half an hour.  [default: not if --quick]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.  [default: runs/bench-<time>]")
@click.option("--overwrite", is_flag=True, help="Write into a folder that is not empty.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def bench(
    quick: bool, plot: bool | None, out: Path | None, overwrite: bool, as_json: bool, quiet: bool, **numbers: Any
) -> None:
    """Measure the mined losses beside other libraries and beside the least that such a loss can cost.

    Time and memory of value and gradient on the CPU. Contenders that are not installed are left out; pip install
    "jaxtriplet[bench]" brings them. The folder gets bench.md, bench.json and bench.png.
    """
    plan, with_plot = Plan(**numbers).resolved(quick=quick), not quick if plot is None else plot
    folder, found = run_bench(plan, out, plot=with_plot, overwrite=overwrite, quiet=quiet)
    print(json.dumps(found) if as_json else f"{(folder / 'bench.md').read_text()}\nresults: {folder}")


@app.command(context_settings={"show_default": True})
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


def run() -> int:
    """Runs the command of `sys.argv`.

    Returns:
        The exit status: 0; 2 with one line on standard error for what the user can mend; 130 if interrupted.
    """
    try:
        app(standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        print("jaxtriplet: stopped", file=sys.stderr)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        return _mendable(error.format_message())
    except (ValueError, OSError) as error:
        return _mendable(str(error))
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        _leave(error)
    return 0


def _leave(error: jax.errors.JaxRuntimeError) -> NoReturn:
    """Ends one of several processes when another is gone."""
    this = f"process {jax.process_index()} of {jax.process_count()}"
    print(
        f"jaxtriplet: {this}: another process is gone, so the job ends; start all again with --resume "
        f"({' '.join(str(error).split())[:200]})",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # An ordinary exit would wait for the process that is gone.


def _mendable(message: str) -> int:
    print(f"jaxtriplet: {' '.join(message.split())}", file=sys.stderr)
    return 2
