"""The loop of updates, whatever is trained: devices and processes, checkpoints, figures, warnings and the bar."""

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from tqdm import tqdm

from jaxtriplet import losses, parallel
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.configs import TrainConfig
from jaxtriplet.jobs.monitor import CollapseMonitor
from jaxtriplet.jobs.recipes import SpeechConfig
from jaxtriplet.training import (
    AugmentFn,
    Batch,
    LossFn,
    Metrics,
    TrainState,
    create_state,
    make_update,
    trained_model,
)

Row = dict[str, float | int]
Config = TrainConfig | SpeechConfig


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


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained, on what, and how it is judged on the way."""

    config: Config
    model: nnx.Module
    loss_fn: LossFn
    optimizer: optax.GradientTransformation
    batches: Callable[[int], Iterator[Batch]]
    """From the number of a step to the batches from that step on; those rows that this process loads."""
    judge_fn: Callable[[Any], float] | None
    """From a model to an equal error rate; None if there is nothing to judge on."""
    judged: str
    """What that is of, in a word: "training" or "development"."""
    augment_fn: AugmentFn | None = None

    @property
    def keeps_best(self) -> bool:
        """Whether the rates choose the best state: those of the training data itself would say nothing."""
        return self.judge_fn is not None and self.judged != "training"


class Fitted(NamedTuple):
    """What training leaves."""

    model: Any
    """With the average of its weights, of the best step; of the last one, where nothing chooses."""
    step: int
    """After how many updates that was."""
    history: list[Row]
    """The figures of all updates."""


def fit(task: Task, folder: Path, mesh: Mesh, job: Job) -> Fitted:
    """Trains from the newest checkpoint on, watches, shows, and records each step.

    Args:
        task: What to train.
        folder: The folder of the run.
        mesh: The devices.
        job: How to carry it out.

    Returns:
        The trained model, on this process alone.

    Raises:
        ValueError: The loss is no longer finite, or the checkpoint is of another model.
    """
    steps, is_first = task.config.steps, jax.process_index() == 0
    with Checkpoints(folder / "checkpoints", every=job.checkpoint_every, last=steps) as checkpoints:
        history = History(folder / "metrics.jsonl", after=checkpoints.newest(), writes=is_first)
        with history, tqdm(total=steps, disable=job.quiet or not is_first, unit="step") as bar:
            state = _updates(task, mesh, checkpoints, bar, history)
        if (chosen := checkpoints.best()) != steps:
            state = checkpoints.restore(state, step=chosen)
    say("trained")
    return Fitted(trained_model(parallel.on_this_process(state)), chosen, history.rows)


def _updates(task: Task, mesh: Mesh, checkpoints: Checkpoints, bar: "tqdm[Any]", history: "History") -> TrainState:
    """Returns the last state."""
    config = task.config
    state = create_state(task.model, task.loss_fn, task.optimizer, seed=config.seed)
    state = parallel.place(state, parallel.replicated(mesh))
    if begin := checkpoints.newest():
        state = checkpoints.restore(state)
        bar.update(begin)
        say(f"goes on after {begin} updates")
    update = make_update(
        task.loss_fn,
        augment_fn=task.augment_fn,
        average_decay=config.average_decay,
        micro_batch=config.micro_batch,
        mesh=mesh,
    )
    collapsed = CollapseMonitor()
    shown: Row = {}
    for step, batch in zip(range(begin, config.steps), task.batches(begin), strict=False):
        state, metrics = update(state, parallel.spread_rows(batch, mesh))
        row = _row(step, jax.device_get(metrics))
        if warning := collapsed(metrics.stats):
            bar.write(f"jaxtriplet: step {step + 1}: {warning}")
        last = task.keeps_best and step + 1 == config.steps
        if task.judge_fn and (last or (step + 1) % config.evaluate_every == 0):
            row["equal_error_rate"] = task.judge_fn(trained_model(parallel.on_this_process(state)))
        checkpoints.offer(step + 1, state, row.get("equal_error_rate") if task.keeps_best else None)
        shown |= row
        bar.set_postfix_str(", ".join(_words(shown, task.judged)))
        bar.update()
        history.add(row)
    return state


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


def _words(shown: Row, judged: str) -> Iterator[str]:
    rate = ("equal_error_rate", f"{judged} EER", ".2%")
    for key, words, form in (("loss", "loss", ".4f"), ("fraction_active", "active", ".0%"), rate):
        if key in shown:
            yield f"{words} {shown[key]:{form}}"


class History:
    """The figures of all updates, in a file with a line for each.

    Args:
        path: The file.
        after: After how many updates the run goes on; what a run that was stopped did later is done again.
        writes: Whether this process writes it.
    """

    def __init__(self, path: Path, *, after: int, writes: bool) -> None:
        """Reads what there is."""
        lines = path.read_text().splitlines(keepends=True)[:after] if after else []
        self.rows: list[Row] = [json.loads(line) for line in lines]
        self._path, self._writes, self._file = path, writes, ExitStack()
        self._kept = len("".join(lines).encode())

    def __enter__(self) -> Self:
        """Opens the file, and returns itself."""
        if self._writes:
            self._log: TextIO = self._file.enter_context(self._path.open("a"))
            os.truncate(self._path, self._kept)  # rather than written anew: a kill may come at any moment
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, row: Row) -> None:
        """Adds the figures of an update."""
        self.rows.append(row)
        if self._writes:
            print(json.dumps(row), file=self._log, flush=True)


def make_loss(weights: dict[str, float], margin: float | None, *, hinge: str = "relu") -> losses.Weighted:
    """Returns the loss of a config.

    Args:
        weights: The weight of each loss, by its name on the command line.
        margin: Of every loss that has one; None for the loss's own.
        hinge: What batch-hard does with it, "relu" or "softplus".
    """
    named = {name.replace("-", "_"): weight for name, weight in weights.items()}
    options: dict[str, dict[str, Any]] = {
        name: {"margin": margin} for name in named if name != "ge2e" and margin is not None
    }
    if hinge == "softplus":
        options.setdefault("batch_hard", {})["hinge_fn"] = jax.nn.softplus
    return losses.weighted(named, **options)


def choose_folder(config: Config, out: Path | None, *, overwrite: bool, resume: bool) -> Path:
    """Returns the folder of a run, not made yet.

    Args:
        config: The numbers of the run.
        out: The folder; None for `runs/<time>`.
        overwrite: Whether it may hold something.
        resume: Whether it may hold a run of the same numbers.

    Raises:
        ValueError: It does not fit.
    """
    if resume and overwrite:
        raise ValueError("--resume goes on with what is there, --overwrite begins anew: give one of them")
    return runs.choose_to_resume(out, config) if resume else runs.choose(out, overwrite=overwrite)


def begin(folder: Path, config: Config, *, overwrite: bool) -> None:
    """Makes the folder of a run, and writes its config; process 0 does so."""
    if jax.process_index():
        return
    if overwrite:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    runs.write_json(folder / "config.json", dataclasses.asdict(config))


def meet(config: Config, out: Path | None, job: Job) -> Mesh:
    """Joins the processes of the job, and returns the mesh of the devices that share a batch.

    Args:
        config: The numbers of the run.
        out: The folder that was asked for.
        job: How to carry it out.

    Raises:
        ValueError: A batch does not divide among the devices, or the options do not belong together.
    """
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
    say(f"rows {mine.start + 1} to {mine.stop} of {rows}, {jax.local_device_count()} of {mesh.size} devices")
    return mesh


def _keep_standard_output() -> None:
    """Leaves standard output to Python: Gloo greets its peers there."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)


def say(words: str) -> None:
    """Logs what one of several processes does."""
    if jax.process_count() > 1:
        print(f"jaxtriplet: process {jax.process_index()} of {jax.process_count()}: {words}", file=sys.stderr)
