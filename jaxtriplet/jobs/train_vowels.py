"""The job on JapaneseVowels: train, judge on the test utterances, and write it all down."""

import dataclasses
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxtriplet import parallel
from jaxtriplet.data import SpeakerSampler, TripletSampler, Utterances, japanese_vowels
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.configs import TrainConfig
from jaxtriplet.jobs.fit import Job, Task, begin, choose_folder, fit, make_loss, meet
from jaxtriplet.metrics import equal_error_rate, judge, pair_scores
from jaxtriplet.models import embed
from jaxtriplet.pages import run_page
from jaxtriplet.speech.features import Standardizer, augment
from jaxtriplet.training import Batch, make_optimizer


def train(
    config: TrainConfig, out: Path | None, *, overwrite: bool = False, resume: bool = False, job: Job
) -> tuple[Path, dict[str, Any] | None]:
    """Trains an encoder, judges it, and writes the results.

    Args:
        config: The numbers of the run.
        out: The folder for the results; None for `runs/<time>`.
        overwrite: Whether the folder may hold something.
        resume: Whether to go on from the newest checkpoint in the folder.
        job: How to carry it out.

    Returns:
        The folder, and the figures of `metrics.json`; none in a process that leaves them to process 0.

    Raises:
        ValueError: The config, the folder or the devices do not fit, or the loss is no longer finite.
    """
    config = config.resolved()
    # Before the processes meet: until then none of them writes, and all see the folder as it was.
    folder = choose_folder(config, out, overwrite=overwrite, resume=resume)
    mesh = meet(config, out, job)
    recorded, test = japanese_vowels("train"), japanese_vowels("test")
    frames = jnp.asarray(recorded.features), jnp.asarray(recorded.lengths)
    standardizer = Standardizer.fit(*frames)
    task = _task(config, recorded._replace(features=np.asarray(standardizer(*frames))), mesh.size)
    begin(folder, config, overwrite=overwrite)

    started = time.perf_counter()
    fitted = fit(task, folder, mesh, job)
    if jax.process_index():
        return folder, None
    run = runs.VowelsRun(config, fitted.model, standardizer)
    runs.save(folder, run)
    embeddings = run.embed(test.features, test.lengths)
    judgement = judge(run.embed(recorded.features, recorded.lengths), recorded.labels, embeddings, test.labels)
    metrics = {**judgement.figures, "training_seconds": round(time.perf_counter() - started, 1)}
    runs.write_json(folder / "metrics.json", metrics)
    np.savez(folder / "embeddings.npz", embeddings=embeddings, labels=test.labels)
    settings = dataclasses.asdict(config)
    run_page(folder, config=settings, history=fitted.history, judgement=judgement, figures=metrics)
    return folder, metrics


def _task(config: TrainConfig, data: Utterances, devices: int) -> Task:
    """Returns what to train, on standardised utterances."""
    assert config.learning_rate is not None  # resolved
    sampler = _sampler(config, data.labels, devices)
    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)

    def batches(begin: int) -> Iterator[Batch]:
        for step in range(begin, config.steps):
            rows = sampler[step]
            rows = rows[parallel.share_of(len(rows))]
            yield Batch(data.features[rows], data.labels[rows], data.lengths[rows])

    return Task(
        config,
        model=runs.build_encoder(config, data.features.shape[2]),
        loss_fn=make_loss(config.weights, config.margin),
        optimizer=make_optimizer(rate, weight_decay=config.weight_decay, clip_norm=config.clip_norm),
        batches=batches,
        judge_fn=lambda model: equal_error_rate(*pair_scores(embed(model, data.features, data.lengths), data.labels)),
        judged="training",
        augment_fn=partial(augment, noise=config.noise, offset=config.offset, crop=config.crop, warp=config.warp),
    )


def _sampler(config: TrainConfig, labels: np.ndarray, devices: int) -> SpeakerSampler | TripletSampler:
    """Returns the sampler that the loss asks for: P x K utterances, or for `deep-speaker` as many in thirds."""
    if "deep-speaker" in config.weights:
        triplets = config.speakers * config.utterances // 3
        return TripletSampler(labels, triplets=triplets, seed=config.seed, shares=devices)
    return SpeakerSampler(labels, speakers=config.speakers, utterances=config.utterances, seed=config.seed)
