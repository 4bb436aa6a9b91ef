"""The main job: train on JapaneseVowels, watch, judge, and write it all down."""

import dataclasses
import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self, TextIO

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from jaxtriplet import losses, parallel, runs
from jaxtriplet.checkpoints import Checkpoints
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


@dataclasses.dataclass(frozen=True)
class Job:
    """How a run is carried out, which does not change its figures."""

    quiet: bool = False
    """Whether to show no progress bar."""
    devices: int | None = None
    """How many devices of this process to use; None for as many as divide a batch."""
    checkpoint_every: int = 100
    """Updates between checkpoints."""
    distributed: bool = False
    """Whether this is one of several processes."""
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


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
    if resume and overwrite:
        raise ValueError("--resume goes on with what is there, --overwrite begins anew: give one of them")
    # Before the processes meet: until then none of them writes, and all see the folder as it was.
    folder = runs.choose_to_resume(out, config) if resume else runs.choose(out, overwrite=overwrite)
    mesh = _meet(config, out, job)
    recorded, test = japanese_vowels("train"), japanese_vowels("test")
    frames = jnp.asarray(recorded.features), jnp.asarray(recorded.lengths)
    standardizer = Standardizer.fit(*frames)
    data = recorded._replace(features=np.asarray(standardizer(*frames)))
    sampler = make_sampler(config, data.labels, mesh.size)
    is_first = jax.process_index() == 0
    if is_first:
        _begin(folder, config, overwrite=overwrite)

    started = time.perf_counter()
    with Checkpoints(folder / "checkpoints", every=job.checkpoint_every, last=config.steps) as checkpoints:
        history = History(folder / "metrics.jsonl", after=checkpoints.newest(), writes=is_first)
        with history, tqdm(total=config.steps, disable=job.quiet or not is_first, unit="step") as bar:
            state = _fit(config, data, sampler, mesh, checkpoints, bar, history)
    run = runs.VowelsRun(config, trained_model(parallel.on_this_process(state)), standardizer)
    _say("trained")
    if not is_first:
        return folder, None
    runs.save(folder, run)
    embeddings = run.embed(test.features, test.lengths)
    metrics = judge(run.embed(recorded.features, recorded.lengths), recorded.labels, embeddings, test.labels)
    metrics["training_seconds"] = round(time.perf_counter() - started, 1)
    runs.write_json(folder / "metrics.json", metrics)
    np.savez(folder / "embeddings.npz", embeddings=embeddings, labels=test.labels)
    settings, rows = dataclasses.asdict(config), history.rows
    write_report(folder, config=settings, history=rows, metrics=metrics, embeddings=embeddings, labels=test.labels)
    return folder, metrics


def _meet(config: TrainConfig, out: Path | None, job: Job) -> Mesh:
    """Joins the processes of the job, and returns the mesh of the devices that share a batch."""
    rows = config.speakers * config.utterances
    if not job.distributed:
        if (job.coordinator, job.num_processes, job.process_id) != (None, None, None):
            raise ValueError("--coordinator, --num-processes and --process-id belong to --distributed")
        local = jax.local_devices()
        number = job.devices or max(n for n in range(1, len(local) + 1) if rows % n == 0)
        if number > len(local) or rows % number:
            raise ValueError(f"{rows} rows of a batch cannot be spread over {number} of {len(local)} devices")
        return parallel.data_mesh(local[:number])
    if out is None:
        raise ValueError("--distributed needs --out, a folder that every process sees")
    _keep_standard_output()
    parallel.initialize(job.coordinator, job.num_processes, job.process_id)
    mesh, processes = parallel.data_mesh(), jax.process_count()
    if config.speakers % processes:
        lacks = "some would have none" if config.speakers < processes else "each loads its own"
        raise ValueError(f"{config.speakers} speakers do not divide among {processes} processes, and {lacks}")
    parallel.check_divides(rows, mesh, mesh.axis_names)
    mine = parallel.share_of(rows)
    _say(f"rows {mine.start + 1} to {mine.stop} of {rows}, {jax.local_device_count()} of {mesh.size} devices")
    return mesh


def _keep_standard_output() -> None:
    """Leaves standard output to Python: Gloo greets its peers there."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)


def _say(words: str) -> None:
    """Logs what one of several processes does."""
    if jax.process_count() > 1:
        print(f"jaxtriplet: process {jax.process_index()} of {jax.process_count()}: {words}", file=sys.stderr)


def _begin(folder: Path, config: TrainConfig, *, overwrite: bool) -> None:
    if overwrite:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    runs.write_json(folder / "config.json", dataclasses.asdict(config))


class History:
    """The figures of all updates, in a file with a line for each.

    Args:
        path: The file.
        after: After how many updates the run goes on; what a run that was stopped did later is done again.
        writes: Whether this process writes it.
    """

    def __init__(self, path: Path, *, after: int, writes: bool) -> None:
        """Reads what there is."""
        lines = path.read_text().splitlines()[:after] if after else []
        self.rows: list[Row] = [json.loads(line) for line in lines]
        self._path, self._writes, self._file = path, writes, ExitStack()

    def __enter__(self) -> Self:
        """Opens the file, and returns itself."""
        if self._writes:
            log = self._file.enter_context(self._path.open("w"))
            self._log: TextIO = log
            log.writelines(json.dumps(row) + "\n" for row in self.rows)
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, row: Row) -> None:
        """Adds the figures of an update."""
        self.rows.append(row)
        if self._writes:
            print(json.dumps(row), file=self._log, flush=True)


def make_sampler(config: TrainConfig, labels: np.ndarray, devices: int) -> SpeakerSampler | TripletSampler:
    """Returns the sampler that the loss asks for: P x K utterances, or for `deep-speaker` as many in thirds."""
    if "deep-speaker" in config.weights:
        triplets = config.speakers * config.utterances // 3
        return TripletSampler(labels, triplets=triplets, seed=config.seed, shares=devices)
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
    mesh: Mesh,
    checkpoints: Checkpoints,
    bar: "tqdm[Any]",
    history: History,
) -> TrainState:
    """Trains from the newest checkpoint on, watches, shows, and records each step; returns the last state."""
    assert config.learning_rate is not None  # resolved
    loss_fn = make_loss(config)
    rate = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    optimizer = make_optimizer(rate, weight_decay=config.weight_decay, clip_norm=config.clip_norm)
    state = create_state(runs.build_encoder(config, data.features.shape[2]), loss_fn, optimizer, seed=config.seed)
    state = parallel.place(state, parallel.replicated(mesh))
    if begin := checkpoints.newest():
        state = checkpoints.restore(state)
        bar.update(begin)
        _say(f"goes on after {begin} updates")
    change = partial(augment, noise=config.noise, offset=config.offset, crop=config.crop, warp=config.warp)
    update = make_update(
        loss_fn, augment_fn=change, average_decay=config.average_decay, micro_batch=config.micro_batch, mesh=mesh
    )
    collapsed = CollapseMonitor()
    shown: Row = {}
    for step in range(begin, config.steps):
        rows = sampler[step]
        rows = rows[parallel.share_of(len(rows))]
        state, metrics = update(state, parallel.spread_rows(Batch(*(part[rows] for part in data)), mesh))
        row = _row(step, jax.device_get(metrics))
        if warning := collapsed(metrics.stats):
            bar.write(f"jaxtriplet: step {step + 1}: {warning}")
        if (step + 1) % config.evaluate_every == 0:
            model = trained_model(parallel.on_this_process(state))
            row["equal_error_rate"] = equal_error_rate(
                *pair_scores(embed(model, data.features, data.lengths), data.labels)
            )
        checkpoints.offer(step + 1, state)
        shown |= row
        bar.set_postfix_str(", ".join(f"{words} {shown[key]:{form}}" for key, words, form in _SHOWN if key in shown))
        bar.update()
        history.add(row)
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
