"""The command `throughput`: how fast recordings pass the stages of training on this machine."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import numpy as np

from jaxtriplet.cli import recorded
from jaxtriplet.data import Recordings, load, read
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.fit import make_loss
from jaxtriplet.jobs.recipes import RECIPES, SpeechConfig, optimizer_of
from jaxtriplet.jobs.train_speech import Source, batch_that_fits, crops_of, listen
from jaxtriplet.speech.augmentation import augment_waveforms, mask_features
from jaxtriplet.training import Batch, create_state, make_update


class Stage(NamedTuple):
    """What a stage takes.

    Attributes:
        name: In words.
        milliseconds: For one batch, the median.
        sound: How many seconds of sound pass in a second.
    """

    name: str
    milliseconds: float
    sound: float


@click.command()
@recorded.DATA
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="best", show_default=True, help="What to train.")
@click.option("--rounds", type=click.IntRange(2), default=20, show_default=True, help="Batches to measure.")
@recorded.JSON
@recorded.QUIET
def throughput(data: Path, recipe: str, rounds: int, as_json: bool, quiet: bool) -> None:
    """Measure how fast the recordings of a folder pass the stages of training: decoding, features, update.

    Each stage is given the batches of the recipe, and is timed alone; at last the loader feeds the update, as in
    training. Where that takes as long as the update alone, the loader keeps it busy.
    """
    index = listen(Source(data), quiet=quiet).train
    recorded.name_problems(index.problems, len(index))
    stages = list(measure(batch_that_fits(SpeechConfig.of_recipe(recipe), index), index, rounds))
    print(json.dumps([stage._asdict() for stage in stages]) if as_json else in_words(stages))


def measure(config: SpeechConfig, index: Recordings, rounds: int) -> Iterator[Stage]:
    """Measures stage after stage.

    Args:
        config: What to train.
        index: The recordings.
        rounds: Number of batches.

    Returns:
        The stages.

    Raises:
        ValueError: The recordings do not fill a batch, or one can no longer be read.
    """
    crops = crops_of(config, index)
    batches = [crops[step] for step in range(rounds)]
    sound = float(np.mean([batch.lengths.sum() for batch in batches])) / config.sample_rate
    model, loss_fn = runs.build_speech_encoder(config), make_loss(config.weights, config.margin, hinge=config.hinge)
    update = make_update(loss_fn, average_decay=config.average_decay, micro_batch=config.micro_batch)
    state = create_state(model, loss_fn, optimizer_of(config), seed=config.seed)
    keys = jax.random.split(jax.random.key(config.seed), len(batches[0].labels))

    features = jax.jit(model.features)

    @jax.jit
    def augmented(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        strengths = model.waveform_augmentation
        changed = augment_waveforms(keys, waveforms, lengths, strengths, sample_rate=model.sample_rate)
        return mask_features(keys, *model.features(changed, lengths), model.feature_augmentation)

    def step(batch: Any) -> Any:
        nonlocal state
        state, metrics = update(state, Batch(*map(jax.numpy.asarray, (batch.waveforms, batch.labels, batch.lengths))))
        return metrics

    def stage(name: str, run: Callable[[int], Any]) -> Stage:
        seconds = _median(run, rounds)
        return Stage(name, 1000 * seconds, sound / seconds)

    rows = np.random.default_rng(config.seed).permutation(len(index))[: len(keys)]
    paths = [index.root / index.paths[row] for row in rows]
    decoding = _median(lambda _: [read(path, sample_rate=config.sample_rate) for path in paths], rounds)
    yield Stage("decode as many whole recordings", 1000 * decoding, float(index.seconds[rows].sum()) / decoding)
    yield stage("crops of recordings that are in memory", lambda i: crops[i])
    yield stage("log-mel features", lambda i: features(*batches[i][:2]))
    yield stage("augmentation, with its features", lambda i: augmented(*batches[i][:2]))
    yield stage("update, all of that included", lambda i: step(batches[i]))
    loader = load(crops)
    yield stage("update, fed by the loader", lambda _: step(next(loader)))


def _median(run: Callable[[int], Any], rounds: int) -> float:
    """Returns the seconds that a call takes; first calls, which compile, are not counted."""
    taken = []
    for again in (False, True):
        for i in range(rounds):
            begin = time.perf_counter()
            jax.block_until_ready(run(i))
            if again:
                taken.append(time.perf_counter() - begin)
    return float(np.median(taken))


def in_words(stages: list[Stage]) -> str:
    """Returns a table in Markdown.

    Args:
        stages: What was measured.

    Example:
        >>> print(in_words([Stage("log-mel features", 50.0, 2560.0)]))
        | stage | ms a batch | seconds of sound a second |
        |---|--:|--:|
        | log-mel features | 50.0 | 2,560 |
    """
    lines = [f"| {stage.name} | {stage.milliseconds:.1f} | {stage.sound:,.0f} |" for stage in stages]
    return "\n".join(["| stage | ms a batch | seconds of sound a second |", "|---|--:|--:|", *lines])
