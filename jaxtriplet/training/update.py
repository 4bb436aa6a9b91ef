"""One training step: encoder, loss, gradient clipping and optimizer in one compiled function, its state donated."""

import functools
import inspect
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxtriplet import _checks, parallel
from jaxtriplet.engine import memory
from jaxtriplet.losses import Weighted
from jaxtriplet.training.contract import AugmentFn, Batch, LossFn, Metrics, TrainState, Update
from jaxtriplet.training.state import check_loss, embed
from jaxtriplet.types import AxisName, Stats


def make_update(
    loss_fn: LossFn,
    *,
    augment_fn: AugmentFn | None = None,
    average_decay: float = 0.98,
    micro_batch: int | None = None,
    mesh: Mesh | None = None,
    state_sharding: Any = None,
    axis_name: AxisName = None,
) -> Update:
    """Returns one training step, `update(state, batch) -> (state, metrics)`.

    Without `axis_name` it is jitted, and its state donated: use the one that it returns. Over many devices there are
    three ways to the same run:

    - `make_update(loss_fn, mesh=parallel.data_mesh())`, the global view: `update(parallel.place(state, ...), batch)`
      with the rows of the batch spread by `parallel.spread_rows`; `state_sharding` may spread the state as well, and
      class weights that it spreads by their classes stay apart: each device meets the rows of all with its own;
    - `jax.pmap(make_update(loss_fn, axis_name="data"), axis_name="data", donate_argnums=0)`;
    - `jax.shard_map` of the same function, with `in_specs=(P(), P("data"))` and `out_specs=(P(), P())`.

    Args:
        loss_fn: The loss.
        augment_fn: A random change of each example, or None.
        average_decay: How much of the average of the encoder's parameters a step keeps, in [0, 1): the parameters of n
            steps ago have the weight decay^n, relative to the newest.
        micro_batch: How many rows to encode at a time, a divisor of the batch (of this device's rows, with
            `axis_name`), or None for all. The encoder is run twice and needs the memory of so many rows only; the loss
            is still that of the whole batch, and so are the gradients, dropout and augmentation included.
        mesh: A mesh over which the rows of global arrays are spread.
        state_sharding: With a mesh, a sharding of the state, or a tree of them (`parallel.by_classes`,
            `parallel.fully_sharded`); None: every device holds it whole.
        axis_name: The mapped axes over which the batch is spread, or None; every device holds the state whole then,
            class weights too, since what an optimizer asks of all of it, such as the norm to clip at, would be another
            number on each device that had its own.

    Returns:
        The step. Its randomness is that of the run's key, the step and the example's place in the batch of all devices:
        a run does not depend on how many devices share it, nor on the size of micro-batches. If the state has a
        memory, the loss meets it, and the rows of the step then come in.

    Raises:
        ValueError: Both a mesh and an axis name are given, or a sharding without a mesh; when called, micro-batches do
            not divide the batch, or class weights are spread over different axes.

    Reference:
        Micro-batches: Gao, Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", 2021.
    """
    check_loss(loss_fn, is_started=True)
    if augment_fn is not None and not callable(augment_fn):
        raise ValueError(f"augment_fn must be a function; got {_checks.seen(augment_fn)}")
    if mesh is not None and axis_name is not None:
        raise ValueError("mesh is the global view, axis_name a device's own: give one of them")
    if mesh is None and state_sharding is not None:
        raise ValueError("state_sharding says where the state lies in the global view: give its mesh too")
    _checks.axes(axis_name)
    if mesh is not None:
        _checks.mesh(mesh)
    if micro_batch is not None:
        _checks.positive_integer("micro_batch", micro_batch)
    if not (isinstance(average_decay, Real) and 0 <= average_decay < 1):
        raise ValueError(f"average_decay must be in [0, 1); got {average_decay!r}")
    whole = None if mesh is None else parallel.replicated(mesh)
    lies = whole if state_sharding is None else state_sharding
    takes = inspect.signature(loss_fn).parameters

    def encode(state: TrainState, encoder: Any, rows: tuple[Any, ...]) -> jax.Array:
        examples, augment_keys, encoder_keys = rows
        if augment_fn is not None:
            _checks.fits("augment_fn", augment_fn, ("key", "inputs", "length")[: 1 + len(examples)])
            changed = jax.vmap(augment_fn)(augment_keys, *examples)
            examples = changed if len(examples) > 1 else (changed,)
        return embed(state, encoder, examples, encoder_keys, axis_name)

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        _check(state, batch, isinstance(loss_fn, Weighted))
        if axis_name is not None:
            _checks.mapped(axis_name=axis_name)
        examples = (batch.inputs,) if batch.lengths is None else (batch.inputs, batch.lengths)
        rows = (examples, *_keys(state, len(batch.labels), axis_name))
        given: dict[str, Any] = {"step": state.step} if "step" in takes else {}
        given |= {} if state.memory is None else {"memory": state.memory}
        global_loss: Any = functools.partial(loss_fn, axis_name=axis_name)
        if mesh is not None:
            apart = _class_axes(lies, state) if "class_axis_name" in takes else None
            global_loss = parallel.sharded(loss_fn, mesh, class_axis_name=apart)

        def objective(params: dict[str, Any]) -> tuple[jax.Array, tuple[Mapping[str, Stats], jax.Array]]:
            embeddings = _by_parts(functools.partial(encode, state, params["encoder"]), rows, micro_batch)
            loss, stats = global_loss(params["loss"], batch.labels, embeddings, where=batch.where, **given)
            return loss, (stats, embeddings)

        (loss, (stats, embeddings)), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        if axis_name is not None:
            gradient = jax.lax.pmean(gradient, axis_name)  # each device holds the gradient of the psum'ed, global loss
        state = _moved(state, gradient, average_decay)
        if state.memory is not None:  # after the loss: in the memory, a row is not the same row
            pushed = memory.push(state.memory, batch.labels, embeddings, batch.where, axis_name)
            state = state.replace(memory=pushed)
        return state, Metrics(loss, optax.tree.norm(gradient), stats)

    if axis_name is not None:
        return update
    if mesh is None:
        return jax.jit(update, donate_argnums=0)
    out_specs = jax.tree.map(lambda one: one.spec, (lies, whole))
    return jax.jit(
        parallel.automatic(update, mesh, out_specs),
        donate_argnums=0,
        in_shardings=(lies, parallel.by_rows(mesh)),
        out_shardings=(lies, whole),
    )


def _check(state: Any, batch: Any, is_ours: bool) -> None:
    """Checks what a step is given, before the model is; a loss of one's own may have labels of any kind."""
    _checks.given("state", state, TrainState, "one of `create_state`, or what an update made of it")
    if not all(hasattr(batch, name) for name in Batch._fields):
        raise ValueError(f"batch must be a `jaxtriplet.training.Batch(inputs, labels)`; got {_checks.seen(batch)}")
    labels = batch.labels
    if is_ours:
        _checks.swapped("inputs", batch.inputs, "labels", labels)
        labels = _checks.integers(labels)
    where = None if batch.where is None else _checks.by_name("where", batch.where)
    of_rows = {"inputs": batch.inputs, "lengths": batch.lengths, "where": where}
    for name, leaf in ((name, leaf) for name, tree in of_rows.items() for leaf in jax.tree.leaves(tree)):
        if jnp.shape(leaf)[:1] != (len(labels),):
            raise ValueError(f"{name} must have a row for each of {len(labels)} labels; got {_checks.seen(leaf)}")


def _class_axes(lies: Any, state: TrainState) -> AxisName:
    """Returns the axes of the mesh over which class weights are spread by their classes; None if they are whole."""
    told = jax.tree.leaves(jax.tree.broadcast(lies, state).params["loss"])
    arrays = jax.tree.leaves(state.params["loss"])
    specs = [one.spec for one, array in zip(told, arrays, strict=True) if array.ndim > 1]
    found = {spec[0] for spec in specs if spec and spec[0] is not None}
    if len(found) > 1:
        raise ValueError(f"class weights must be spread over the same axes; got {' and '.join(map(str, found))}")
    return next(iter(found), None)


def _by_parts(function: Callable[[Any], jax.Array], rows: Any, size: int | None) -> jax.Array:
    """Returns `function(rows)`, computed for so many rows at a time, and again for the gradient."""
    count = len(jax.tree.leaves(rows)[0])
    if size is None or size == count:
        return function(rows)
    if count % size:
        raise ValueError(f"micro-batches of {size} rows do not divide a batch of {count}")

    def split(x: jax.Array) -> jax.Array:
        # Neighbours go to different parts, so that rows spread over devices stay where they are.
        return jnp.moveaxis(x.reshape(size, count // size, *x.shape[1:]), 1, 0)

    found = jax.lax.map(jax.checkpoint(function, prevent_cse=False), jax.tree.map(split, rows))
    return jnp.moveaxis(found, 0, 1).reshape(count, *found.shape[2:])


def _keys(state: TrainState, rows: int, axis_name: AxisName) -> tuple[jax.Array, jax.Array]:
    """Returns the keys of each example for augmentation and for the encoder, [B] both."""
    first = 0 if axis_name is None else rows * jax.lax.axis_index(axis_name)
    step_key = jax.random.fold_in(state.key, state.step)
    keys = jax.vmap(lambda row: jax.random.split(jax.random.fold_in(step_key, row)))(first + jnp.arange(rows))
    return keys[:, 0], keys[:, 1]


def _moved(state: TrainState, gradient: Any, average_decay: float) -> TrainState:
    """Returns the state after a step of the optimizer."""
    with jax.numpy_dtype_promotion("standard"):  # Optax's Adam raises a float to an integer power
        changes, opt_state = state.optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, changes)
    average = _averaged(state, params["encoder"], average_decay)
    return state.replace(step=state.step + 1, params=params, average=average, opt_state=opt_state)


def _averaged(state: TrainState, encoder: Any, decay: float) -> Any:
    # The weights of all steps so far add up to 1, and the random start has none.
    newest = (1 - decay) / (1 - decay ** (state.step.astype(jnp.result_type(float)) + 1))

    def moved(new: jax.Array, old: jax.Array) -> jax.Array:
        share = newest.astype(old.dtype)
        return share * new + (1 - share) * old

    return jax.tree.map(moved, encoder, state.average)
