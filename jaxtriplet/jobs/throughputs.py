"""The job `throughput`: how fast recordings pass the stages of training on this machine."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.data import load
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import fresh_state, objective_of
from jaxtriplet.jobs.progress import Bar
from jaxtriplet.jobs.sources.recordings import FolderOfRecordings
from jaxtriplet.speech import augment_waveforms, mask_features
from jaxtriplet.training import Batch, make_update

STAGES = 6


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


def throughput(
    data: str | Path, *, recipe: str = "best", rounds: int = 20, allow_outside: bool = False, quiet: bool = False
) -> list[Stage]:
    """Measures how fast the recordings of a folder pass the stages of training: decoding, features, update.

    Each stage is given the batches of the recipe, and is timed alone; at last the loader feeds the update, as in
    training. Where that takes as long as the update alone, the loader keeps it busy.

    Args:
        data: The folder: <speaker>/[<session>/]<utterance>.
        recipe: What to train.
        rounds: Number of batches to measure, at least one.
        allow_outside: Whether Kaldi's `wav.scp` may name files outside `data`.
        quiet: Whether to show no progress on standard error.

    Returns:
        The stages.

    Raises:
        ValueError: There is no such recipe of recordings or no such folder, or the recordings do not fill a batch.
    """
    config = Config.of_recipe(recipe)
    if config.data.source != "recordings":
        raise ValueError(f"`recipe`: {recipe} trains on no recordings; name another")
    source = FolderOfRecordings(config, data=Path(data), allow_outside=allow_outside, quiet=quiet)
    source.report()
    found = list[Stage]()
    with Bar("measuring", "stage", STAGES, quiet=quiet) as bar:
        for stage in _measured(source, rounds):
            found.append(stage)
            bar.to(len(found), figures=f"{stage.name}: {stage.milliseconds:.1f} ms")
    return found


def _measured(source: FolderOfRecordings, rounds: int) -> Iterator[Stage]:
    config, index, crops = source.config, source.train, source.crops(1)
    batches = [crops[step] for step in range(rounds)]
    sound = float(np.mean([batch.lengths.sum() for batch in batches])) / config.data.sample_rate
    model, numbers = source.build(), config.training
    state = fresh_state(source, source.batches(1))
    update = make_update(objective_of(config), average_decay=numbers.average_decay, micro_batch=numbers.micro_batch)
    keys = jax.random.split(jax.random.key(numbers.seed), len(batches[0].labels))

    features = jax.jit(model.features)

    @jax.jit
    def augmented(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        strengths = model.waveform_augmentation
        changed = augment_waveforms(keys, waveforms, lengths, strengths, sample_rate=model.sample_rate)
        return mask_features(keys, *model.features(changed, lengths), model.feature_augmentation)

    def step(batch: Any) -> Any:
        nonlocal state
        waveforms, lengths, labels = map(jnp.asarray, batch)
        state, metrics = update(state, Batch(waveforms, labels, lengths))
        return metrics

    def stage(name: str, run: Callable[[int], Any], sound: float = sound) -> Stage:
        seconds = _median(run, rounds)
        return Stage(name, 1000 * seconds, sound / seconds)

    rows = np.random.default_rng(numbers.seed).permutation(len(index))[: len(keys)]
    rate = config.data.sample_rate
    sounds, whole = [index.sound(row) for row in rows.tolist()], float(index.samples(rate)[rows].sum()) / rate
    yield stage("decode as many whole recordings", lambda _: [one.read(rate) for one in sounds], whole)
    yield stage("crops of recordings that are in memory", lambda i: crops[i])
    yield stage("log-mel features", lambda i: features(*batches[i][:2]))
    yield stage("augmentation, with its features", lambda i: augmented(*batches[i][:2]))
    yield stage("update, all of that included", lambda i: step(batches[i]))
    loader = load(crops)
    yield stage("update, fed by the loader", lambda _: step(next(loader)))


def _median(run: Callable[[int], Any], rounds: int) -> float:
    """Returns the seconds that a call takes; first calls, which compile, are not counted."""
    taken = []
    for i in (*range(rounds), *range(rounds)):
        begin = time.perf_counter()
        jax.block_until_ready(run(i))
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken[rounds:]))
