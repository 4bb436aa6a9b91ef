"""The loop of updates, whatever is trained: checkpoints, figures, warnings and the bar."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self, TextIO

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from jaxtriplet import parallel
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.meeting import say
from jaxtriplet.jobs.monitor import CollapseMonitor
from jaxtriplet.jobs.objective import losses_of, make_loss
from jaxtriplet.jobs.optimizers import optimizer_of
from jaxtriplet.jobs.sources.source import Source
from jaxtriplet.losses import Weighted
from jaxtriplet.training import Batch, Metrics, TrainState, create_state, make_update, trained_model

Row = dict[str, float | int]
Batches = Callable[[int], Iterator[Batch]]


class Fitted(NamedTuple):
    """What training leaves."""

    model: Any
    """With the average of its weights, of the best step; of the last one, where nothing chooses."""
    step: int
    """After how many updates that was."""
    history: list[Row]
    """The figures of all updates."""


def fit(source: Source, batches: Batches, folder: Path, mesh: Mesh, *, checkpoint_every: int, quiet: bool) -> Fitted:
    """Trains from the newest checkpoint on, watches, shows, and records each step.

    Args:
        source: What to train on, and the numbers of the run.
        batches: From the number of a step to the batches from that step on.
        folder: The folder of the run.
        mesh: The devices.
        checkpoint_every: Updates between checkpoints.
        quiet: Whether to show no progress bar.

    Returns:
        The trained model, on this process alone.

    Raises:
        ValueError: The loss is no longer finite, or the checkpoint is of another model.
    """
    steps, is_first = source.config.training.steps, jax.process_index() == 0
    with Checkpoints(folder / "checkpoints", every=checkpoint_every, last=steps) as checkpoints:
        history = History(folder / "metrics.jsonl", after=checkpoints.newest(), writes=is_first)
        with history, tqdm(total=steps, disable=quiet or not is_first, unit="step") as bar:
            state = _updates(source, batches, mesh, checkpoints, bar, history)
        if (chosen := checkpoints.best()) != steps:
            state = checkpoints.restore(state, step=chosen)
    say("trained")
    return Fitted(trained_model(parallel.on_this_process(state)), chosen, history.rows)


def _updates(
    source: Source, batches: Batches, mesh: Mesh, checkpoints: Checkpoints, bar: "tqdm[Any]", history: "History"
) -> TrainState:
    """Returns the last state."""
    config = source.config
    state = parallel.place(fresh_state(source, batches), parallel.replicated(mesh))
    if begin := checkpoints.newest():
        state = checkpoints.restore(state)
        bar.update(begin)
        say(f"goes on after {begin} updates")
    numbers = config.training
    update = make_update(
        objective_of(config),
        augment_fn=source.augment_fn,
        average_decay=numbers.average_decay,
        micro_batch=numbers.micro_batch,
        mesh=mesh,
    )
    collapsed, chooses = CollapseMonitor(), source.watched != "training"
    shown: Row = {}
    for step, batch in zip(range(begin, numbers.steps), batches(begin), strict=False):
        state, metrics = update(state, parallel.spread_rows(batch, mesh))
        row = _row(step, jax.device_get(metrics))
        if warning := collapsed(metrics.stats):
            bar.write(f"jaxtriplet: step {step + 1}: {warning}")
        last = chooses and step + 1 == numbers.steps
        if last or (step + 1) % config.judging.evaluate_every == 0:
            rate = source.rate(trained_model(parallel.on_this_process(state)))
            row |= {} if rate is None else {"equal_error_rate": rate}
        checkpoints.offer(step + 1, state, row.get("equal_error_rate") if chooses else None)
        shown |= row
        bar.set_postfix_str(", ".join(_words(shown, source.watched)))
        bar.update()
        history.add(row)
    return state


def fresh_state(source: Source, batches: Batches) -> TrainState:
    """Returns the state before the first update.

    Args:
        source: What to train on.
        batches: From the number of a step to the batches from that step on.
    """
    model, width = source.build(), None
    if any(loss.class_weights for loss in losses_of(source.config.loss.name)):
        first = next(batches(0))
        examples = (first.inputs,) if first.lengths is None else (first.inputs, first.lengths)
        width = jax.eval_shape(model, *examples).shape[-1]
    return create_state(
        model,
        objective_of(source.config),
        optimizer_of(source.config),
        seed=source.config.training.seed,
        width=width,
        num_classes=source.num_classes,
    )


def objective_of(config: Config) -> Weighted:
    """Returns the loss of a config.

    Args:
        config: The config.
    """
    return make_loss(config.loss.name, config.loss.margin, hinge=config.loss.hinge)


def _row(step: int, metrics: Metrics) -> Row:
    if not np.isfinite(metrics.loss):
        raise ValueError(f"the loss is {metrics.loss} at step {step + 1}; try a smaller `learning_rate`")
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
