"""The main job: train on JapaneseVowels, watch, judge, and write it all down."""

import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxtriplet import losses, runs
from jaxtriplet.configs import TrainConfig
from jaxtriplet.data import SpeakerSampler, TripletSampler, Utterances, japanese_vowels
from jaxtriplet.evaluation import judge
from jaxtriplet.features import Standardizer, augment
from jaxtriplet.metrics import equal_error_rate, pair_scores
from jaxtriplet.models import embed
from jaxtriplet.monitor import CollapseMonitor
from jaxtriplet.report import write_report
from jaxtriplet.training import Batch, Metrics, TrainState, create_state, make_optimizer, make_update, trained_model

Row = dict[str, float | int]


def train(config: TrainConfig, out: Path | None, *, overwrite: bool, quiet: bool) -> tuple[Path, dict[str, Any]]:
    """Trains an encoder, judges it, and writes the results.

    Args:
        config: The numbers of the run.
        out: The folder for the results; None for `runs/<time>`.
        overwrite: Whether the folder may hold something.
        quiet: Whether to show no progress bar.

    Returns:
        The folder, and the figures of `metrics.json`.

    Raises:
        ValueError: The config or the folder does not fit, or the loss is no longer finite.
    """
    config = config.resolved()
    recorded, test = japanese_vowels("train"), japanese_vowels("test")
    frames = jnp.asarray(recorded.features), jnp.asarray(recorded.lengths)
    standardizer = Standardizer.fit(*frames)
    data = recorded._replace(features=np.asarray(standardizer(*frames)))
    sampler = make_sampler(config, data.labels)
    folder = runs.claim(out, overwrite=overwrite)
    runs.write_json(folder / "config.json", dataclasses.asdict(config))

    started, history = time.perf_counter(), []
    with (folder / "metrics.jsonl").open("w") as log, tqdm(total=config.steps, disable=quiet, unit="step") as bar:

        def record(row: Row) -> None:
            history.append(row)
            print(json.dumps(row), file=log, flush=True)

        state = _fit(config, data, sampler, bar, record)
    run = runs.Run(config, trained_model(state), standardizer)
    runs.save(folder, run)

    embeddings = run.embed(test.features, test.lengths)
    metrics = judge(run.embed(recorded.features, recorded.lengths), recorded.labels, embeddings, test.labels)
    metrics["training_seconds"] = round(time.perf_counter() - started, 1)
    runs.write_json(folder / "metrics.json", metrics)
    np.savez(folder / "embeddings.npz", embeddings=embeddings, labels=test.labels)
    settings = dataclasses.asdict(config)
    write_report(folder, config=settings, history=history, metrics=metrics, embeddings=embeddings, labels=test.labels)
    return folder, metrics


def make_sampler(config: TrainConfig, labels: np.ndarray) -> SpeakerSampler | TripletSampler:
    """Returns the sampler that the loss asks for: P x K utterances, or for `deep-speaker` as many in thirds."""
    if "deep-speaker" in config.weights:
        triplets = config.speakers * config.utterances // 3
        return TripletSampler(labels, triplets=triplets, seed=config.seed)
    return SpeakerSampler(labels, speakers=config.speakers, utterances=config.utterances, seed=config.seed)


def make_loss(config: TrainConfig) -> losses.Weighted:
    """Returns the loss of a resolved config."""
    weights = {name.replace("-", "_"): weight for name, weight in config.weights.items()}
    with_margin = [name for name in weights if name != "ge2e"]
    return losses.weighted(weights, **{name: {"margin": config.margin} for name in with_margin})


def _fit(
    config: TrainConfig,
    data: Utterances,
    sampler: SpeakerSampler | TripletSampler,
    bar: "tqdm[Any]",
    record: Callable[[Row], None],
) -> TrainState:
    """Trains, watches, shows, and records the figures of each step; returns the last state."""
    assert config.learning_rate is not None  # resolved
    loss_fn = make_loss(config)
    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    optimizer = make_optimizer(rate, weight_decay=config.weight_decay, clip_norm=config.clip_norm)
    state = create_state(runs.build_encoder(config, data.features.shape[2]), loss_fn, optimizer, seed=config.seed)
    change = partial(augment, noise=config.noise, offset=config.offset, crop=config.crop, warp=config.warp)
    update = make_update(loss_fn, augment_fn=change, average_decay=config.average_decay)
    collapsed = CollapseMonitor()
    shown: Row = {}
    for step in range(config.steps):
        rows = sampler[step]
        state, metrics = update(state, Batch(*(jnp.asarray(part[rows]) for part in data)))
        row = _row(step, jax.device_get(metrics))
        if warning := collapsed(metrics.stats):
            bar.write(f"jaxtriplet: step {step + 1}: {warning}")
        if (step + 1) % config.evaluate_every == 0:
            scores = pair_scores(embed(trained_model(state), data.features, data.lengths), data.labels)
            row["equal_error_rate"] = equal_error_rate(*scores)
        shown |= row
        bar.set_postfix_str(", ".join(f"{words} {shown[key]:{form}}" for key, words, form in _SHOWN if key in shown))
        bar.update()
        record(row)
    return state


_SHOWN = (("loss", "loss", ".4f"), ("fraction_active", "active", ".0%"), ("equal_error_rate", "training EER", ".2%"))


def _row(step: int, metrics: Metrics) -> Row:
    if not np.isfinite(metrics.loss):
        raise ValueError(f"the loss is {metrics.loss} at step {step + 1}; try a smaller --learning-rate")
    first, *_ = metrics.stats.values()
    return {
        "step": step + 1,
        "loss": float(metrics.loss),
        "gradient_norm": float(metrics.gradient_norm),
        "fraction_active": float(first.fraction_active),
    }
