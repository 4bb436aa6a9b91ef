"""The loop of updates, whatever is trained: its loss and optimizer, checkpoints, figures, warnings and the bar."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from jaxtriplet import models, parallel, training
from jaxtriplet.engine import memory as memories
from jaxtriplet.jobs import nonfinite, notes
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.history import History, Row
from jaxtriplet.jobs.meeting import say, together
from jaxtriplet.jobs.monitor import CollapseMonitor
from jaxtriplet.jobs.objective import NUMBERS, losses_of, parse_loss, takes, terms_of
from jaxtriplet.jobs.progress import Bar
from jaxtriplet.jobs.schedules import margin_of, rate_of
from jaxtriplet.jobs.sources.source import Source
from jaxtriplet.losses import Weighted, registry, weighted
from jaxtriplet.training import Batch, TrainState, trained_model

Batches = Callable[[int], Iterator[Batch]]
OnMetrics = Callable[[int, dict[str, float]], object]
"""Called after an update, with the number of updates so far and their figures by name."""


def fit(
    source: Source,
    batches: Batches,
    folder: Path,
    mesh: Mesh,
    *,
    checkpoint_every: int,
    quiet: bool,
    told: Sequence[OnMetrics] = (),
) -> tuple[Any, int, list[Row]]:
    """Trains from the newest checkpoint on, watches, shows, and records each step.

    Args:
        source: What to train on, and the numbers of the run.
        batches: From the number of a step to the batches from that step on.
        folder: The folder of the run.
        mesh: The devices.
        checkpoint_every: Updates between checkpoints.
        quiet: Whether to show no progress.
        told: Whom to tell the figures of each update, in this process.

    Returns:
        The trained model, on this process alone, with the average of its weights: of the best step, or of the last one
        where nothing chooses; after how many updates that was; and the figures of all updates.

    Raises:
        ValueError: The loss is no longer finite, or the checkpoint is of another model.
    """
    steps, is_first = source.config.training.steps, jax.process_index() == 0
    with Checkpoints(folder / "checkpoints", every=checkpoint_every, last=steps) as checkpoints:
        with (
            History(folder / "metrics.jsonl", after=checkpoints.newest(), writes=is_first) as history,
            Bar("training", "step", steps, quiet=quiet or not is_first) as bar,
        ):
            state = _updates(source, batches, mesh, checkpoints, bar, history, folder / "nan", told)
        if (chosen := checkpoints.best()) != steps:
            state = checkpoints.restore(state, step=chosen)
    together()
    say("trained")
    return _model_of(state), chosen, history.rows()


def _updates(
    source: Source,
    batches: Batches,
    mesh: Mesh,
    checkpoints: Checkpoints,
    bar: Bar,
    history: History,
    inspected: Path,
    told: Sequence[OnMetrics],
) -> TrainState:
    """Returns the last state."""
    config = source.config
    numbers = config.training

    def start() -> tuple[int, TrainState, training.Update]:
        state = fresh_state(source, batches)
        lies = parallel.by_classes(state, mesh)
        update = training.make_update(
            objective_of(config),
            augment_fn=source.augment_fn,
            average_decay=numbers.average_decay,
            micro_batch=numbers.micro_batch,
            mesh=mesh,
            state_sharding=lies,
        )
        state, begin = parallel.place(state, lies), checkpoints.newest()
        return begin, checkpoints.restore(state) if begin else state, update

    def stop(step: int, problem: str, batch: Batch) -> NoReturn:
        # The update has taken the memory of the state before it, which is therefore made once more.
        checkpoints.settle()
        begin, state, update = start()
        for _, earlier in zip(range(begin, step), batches(begin), strict=False):
            state, _ = update(state, parallel.spread_rows(earlier, mesh))
        kept = f"its batch and the state before it are in {inspected}"
        try:
            nonfinite.keep(inspected, step + 1, problem, batch, parallel.gathered(state, mesh))
        except OSError as error:
            kept = f"its batch cannot be kept: {error}"
        with notes.shared():
            raise ValueError(f"{problem} at step {step + 1}; try a smaller `learning_rate`; {kept}")

    bar.doing("compiling")
    begin, state, update = start()
    bar.start(begin)
    if begin:
        say(f"goes on after {begin} updates")
    collapsed, chooses = CollapseMonitor(), source.watched != "training"
    losses = losses_of(config.loss.name)
    shown: Row = {}
    compiled = set[tuple[int, ...]]()
    for step, batch in zip(range(begin, numbers.steps), batches(begin), strict=False):
        if (shape := batch.inputs.shape) not in compiled:
            bar.doing("compiling")
        state, metrics = update(state, parallel.spread_rows(batch, mesh))
        compiled.add(shape)
        row = _row(step, jax.device_get(metrics), losses)
        for name in ("loss", "gradient_norm"):
            if not np.isfinite(row[name]):
                stop(step, f"the {name.replace('_', ' ')} is {row[name]}", batch)
        if warning := collapsed(metrics.stats):
            bar.note(f"step {step + 1}: {warning}")
        judges = (step + 1) % config.judging.evaluate_every == 0 or (chooses and step + 1 == numbers.steps)
        if (judges or checkpoints.due(step + 1)) and not _is_finite(state):
            stop(step, "a weight is no longer finite", batch)
        if judges:
            bar.doing("judging")
            rate = source.rate(_model_of(state))
            row |= {} if rate is None else {"equal_error_rate": rate}
        error = row.get("equal_error_rate") if chooses else None
        history.add(row)
        if checkpoints.due(step + 1, error):
            history.settle()
            checkpoints.write(step + 1, state, error)
        for on_metrics in told:
            on_metrics(step + 1, {name: figure for name, figure in row.items() if name != "step"})
        shown |= row
        bar.to(step + 1, figures=", ".join(_words(shown, source.watched)))
    return state


def _model_of(state: TrainState) -> Any:
    """Returns the trained model on this process alone; of class weights it may have a share."""
    return trained_model(parallel.on_this_process(state.replace(params={}, opt_state=())))


@jax.jit
def _is_finite(state: TrainState) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def fresh_state(source: Source, batches: Batches) -> TrainState:
    """Returns the state before the first update.

    Args:
        source: What to train on.
        batches: From the number of a step to the batches from that step on.
    """
    config, model, width, memory = source.config, source.build(), None, None
    if config.loss.memory or any(loss.class_weights for loss in losses_of(config.loss.name)):
        first = next(batches(0))
        examples = (first.inputs,) if first.lengths is None else (first.inputs, first.lengths)
        width = nnx.eval_shape(lambda encoder, *rows: encoder(*rows), model, *examples).shape[-1]
        memory = memories.create(config.loss.memory, width) if config.loss.memory else None
    loss_fn, optimizer, seed = objective_of(config), optimizer_of(config), config.training.seed
    sizes = {"width": width, "num_classes": source.num_classes}
    return training.create_state(model, loss_fn, optimizer, seed=seed, memory=memory, **sizes)


def objective_of(config: Config) -> Weighted:
    """Returns the loss of a config.

    Args:
        config: The numbers.

    Example:
        >>> objective = objective_of(Config.of_recipe("best", loss="batch-hard+0.1*ge2e", margin=0.3))
        >>> objective.weights, objective.options
        ({'batch_hard': 1.0, 'ge2e': 0.1}, {'batch_hard': {'margin': 0.3}, 'ge2e': {'num_speakers': 12}})
    """
    numbers, options = config.loss, dict[str, dict[str, Any]]()
    for term in terms_of(numbers.name):
        loss = term.loss
        given = {name: getattr(numbers, name) for name in (*NUMBERS, "centers") if takes(loss, name)}
        given |= {"margin": margin_of(config, term)} if "margin" in given else {}
        own = options[loss.name] = {name: number for name, number in given.items() if number is not None}
        if takes(loss, "class_sample") and numbers.class_sample is not None:
            own["sample"] = numbers.class_sample
        if takes(loss, "hinge") and numbers.hinge == "softplus":
            own["hinge_fn"] = jax.nn.softplus
        # A batch that is drawn by speakers has no more of them, and of each no more rows, on all devices together; a
        # memory may hold others.
        if not numbers.memory and config.data.batches == "balanced":
            known = {"num_speakers": config.data.speakers, "max_class_size": config.data.utterances}
            own |= {name: number for name, number in known.items() if name in loss.options}
    return weighted(parse_loss(numbers.name), **options)


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Returns the optimizer of a config, of gradients `{"encoder": ..., "loss": ...}`.

    Args:
        config: The numbers.

    Returns:
        AdamW, or plain gradient descent with clipped gradients of which some parts are then scaled.

    Example:
        >>> optimizer_of(Config.of_recipe("ge2e")).init({"encoder": {}, "loss": {}}) is not None
        True
    """
    numbers, rate = config.optimizer, rate_of(config)
    if numbers.name == "adamw":
        return training.make_optimizer(
            rate,
            weight_decay=numbers.weight_decay,
            clip_norm=numbers.clip_norm,
            class_rate=numbers.class_rate,
            class_decay=numbers.class_decay,
        )
    scales = {
        "scalars": numbers.loss_scale,
        "projection": numbers.projection_scale,
        "encoder": 1.0,
        "class_weights": numbers.class_rate,
    }
    parts = {part: optax.chain(optax.scale(scale), optax.sgd(rate)) for part, scale in scales.items()}
    decayed = optax.add_decayed_weights(numbers.class_decay or 0.0)
    parts["class_weights"] = optax.chain(decayed, parts["class_weights"])
    return optax.chain(optax.clip_by_global_norm(numbers.clip_norm), optax.multi_transform(parts, _kinds))


def _kinds(params: Any) -> Any:
    return training.kinds(params) | {"encoder": models.kinds(params["encoder"])}


def _row(step: int, metrics: training.Metrics, losses: list[registry.Loss]) -> Row:
    """Returns the figures of a step: of each kind of share, that of the first loss in the sum which has it."""
    row = {"step": step + 1, "loss": float(metrics.loss), "gradient_norm": float(metrics.gradient_norm)}
    for loss in losses:
        share = "fraction_wrong" if loss.meets_classes else "fraction_active"
        row.setdefault(share, float(metrics.stats[loss.name].fraction_active))
    return row


def _words(shown: Row, judged: str) -> Iterator[str]:
    shares = ("fraction_active", "active", ".0%"), ("fraction_wrong", "wrong", ".0%")
    for key, words, form in (("loss", "loss", ".4f"), *shares, ("equal_error_rate", f"{judged} EER", ".2%")):
        if key in shown:
            yield f"{words} {shown[key]:{form}}"
