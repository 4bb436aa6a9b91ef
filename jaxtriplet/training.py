"""The compiled update: encoder, loss, gradient clipping and optimizer in one function, its state donated.

    state = create_state(model, loss_fn, optimizer, seed=0)
    update = make_update(loss_fn)
    state, metrics = update(state, Batch(features, lengths, labels))

`loss_fn(params, labels, embeddings, *, where, axis_name) -> (loss, {name: Stats})` may be any function of that form;
`jaxtriplet.losses.weighted` builds them, and this module knows none.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx, struct
from jax.sharding import Mesh

from jaxtriplet import _checks, parallel
from jaxtriplet.types import AxisName, Stats


class LossFn(Protocol):
    """What an update minimises."""

    def init(self) -> Any:
        """Returns the initial values of the loss's own trained numbers."""
        ...

    def __call__(
        self,
        params: Any,
        labels: jax.Array,
        embeddings: jax.Array,
        *,
        where: jax.Array | None = None,
        axis_name: AxisName = None,
    ) -> tuple[jax.Array, Mapping[str, Stats]]:
        """Returns the loss, a scalar that is the same on every device, and statistics by name."""
        ...


AugmentFn = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""From a key, and the features [T, F] and length of one example, to its changed features and length."""


class Batch(NamedTuple):
    """Examples of one step; with several devices, this device's share."""

    features: jax.Array
    """Floats [B, T, F]."""
    lengths: jax.Array
    """Integers [B], in frames."""
    labels: jax.Array
    """Integers [B]."""
    where: jax.Array | None = None
    """Booleans [B], False for padding."""


class Metrics(NamedTuple):
    """What one step reports."""

    loss: jax.Array
    gradient_norm: jax.Array
    """Euclidean norm of the gradient of all parameters, before clipping."""
    stats: Mapping[str, Stats]
    """The statistics of each loss, by its name."""


class TrainState(struct.PyTreeNode):
    """Everything that a step changes, and the two functions that it needs."""

    step: jax.Array
    key: jax.Array
    """The key of the run; every step and example folds its number into it."""
    params: dict[str, Any]
    """{"encoder": the model's parameters, "loss": the loss's own trained numbers}."""
    average: Any
    """Exponential moving average of the encoder's parameters: what to score with."""
    rest: Any
    """What else the model holds; no step changes it."""
    opt_state: Any
    """The optimizer's own state."""
    model: nnx.GraphDef[Any] = struct.field(pytree_node=False)
    optimizer: optax.GradientTransformation = struct.field(pytree_node=False)


def make_optimizer(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.01,
    clip_norm: float = 3.0,
    loss_rate: float = 1.0,
) -> optax.GradientTransformation:
    r"""AdamW behind a clipped gradient; a loss's own trained numbers have a rate of their own and no decay.

    Args:
        learning_rate: The step size of the encoder, or a schedule of it.
        weight_decay: The decay of the encoder's weights, a fraction of the learning rate.
        clip_norm: The largest Euclidean norm of the gradient of all parameters; GE2E's paper clips at 3.
        loss_rate: The step size of the loss's numbers, as a multiple of the encoder's (its paper scales the gradient of
            GE2E's scale and bias by 0.01, which matters to SGD; Adam's steps do not depend on that).

    Returns:
        A transformation of gradients `{"encoder": ..., "loss": ...}`.

    Example:
        >>> make_optimizer(1e-3).init({"encoder": {}, "loss": {}}) is not None
        True

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    parts = {
        "encoder": optax.adamw(learning_rate, weight_decay=weight_decay),
        "loss": optax.chain(optax.adam(learning_rate), optax.scale(loss_rate)),
    }
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.multi_transform(parts, {name: name for name in parts}),
    )


def create_state(
    model: nnx.Module, loss_fn: LossFn, optimizer: optax.GradientTransformation, *, seed: int
) -> TrainState:
    """Returns the state before the first step.

    Args:
        model: An encoder, `model(features [B, T, F], lengths [B], *, keys [B]) -> [B, D]`.
        loss_fn: The loss, whose own trained numbers join the model's.
        optimizer: A transformation of gradients `{"encoder": ..., "loss": ...}`.
        seed: The seed of everything random in the steps.

    Returns:
        A state that `make_update(loss_fn)` takes; it shares no memory with the model, since the first step donates it.
    """
    graph, *states = nnx.split(model, nnx.Param, ...)
    encoder, rest = states
    params = jax.tree.map(jnp.copy, {"encoder": encoder, "loss": loss_fn.init()})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key(seed),
        params=params,
        average=jax.tree.map(jnp.copy, params["encoder"]),
        rest=jax.tree.map(jnp.copy, rest),
        opt_state=optimizer.init(params),
        model=graph,
        optimizer=optimizer,
    )


def make_update(
    loss_fn: LossFn,
    *,
    augment_fn: AugmentFn | None = None,
    average_decay: float = 0.98,
    micro_batch: int | None = None,
    mesh: Mesh | None = None,
    state_sharding: Any = None,
    axis_name: AxisName = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Returns one training step, `update(state, batch) -> (state, metrics)`.

    Without `axis_name` it is jitted, and its state donated: use the one that it returns. Over many devices there are
    three ways to the same run:

    - `make_update(loss_fn, mesh=parallel.data_mesh())`, the global view: `update(parallel.place(state, ...), batch)`
      with the rows of the batch spread by `parallel.spread_rows`; `state_sharding` may spread the state as well;
    - `jax.pmap(make_update(loss_fn, axis_name="data"), axis_name="data", donate_argnums=0)`;
    - `jax.shard_map` of the same function, with `in_specs=(P(), P("data"))` and `out_specs=(P(), P())`.

    Args:
        loss_fn: The loss.
        augment_fn: A random change of each example, or None.
        average_decay: How much of the average of the encoder's parameters a step keeps.
        micro_batch: How many rows to encode at a time, a divisor of the batch (of this device's rows, with
            `axis_name`), or None for all. The encoder is run twice and needs the memory of so many rows only; the loss
            is still that of the whole batch, and so are the gradients, dropout and augmentation included.
        mesh: A mesh over which the rows of global arrays are spread.
        state_sharding: With a mesh, a sharding of the state, or a tree of them (`parallel.fully_sharded`); None: every
            device holds it whole.
        axis_name: The mapped axes over which the batch is spread, or None.

    Returns:
        The step. Its randomness is that of the run's key, the step and the example's place in the batch of all devices:
        a run does not depend on how many devices share it, nor on the size of micro-batches.

    Raises:
        ValueError: Both a mesh and an axis name are given; when called, micro-batches do not divide the batch.

    Reference:
        Micro-batches: Gao, Zhang, Han and Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", 2021.
    """
    if mesh is not None and axis_name is not None:
        raise ValueError("mesh is the global view, axis_name a device's own: give one of them")
    if micro_batch is not None:
        _checks.positive_integer("micro_batch", micro_batch)
    global_loss = parallel.sharded(loss_fn, mesh) if mesh else functools.partial(loss_fn, axis_name=axis_name)

    def encode(state: TrainState, encoder: Any, rows: tuple[jax.Array, ...]) -> jax.Array:
        features, lengths, augment_keys, encoder_keys = rows
        if augment_fn is not None:
            features, lengths = jax.vmap(augment_fn)(augment_keys, features, lengths)
        embeddings: jax.Array = nnx.merge(state.model, encoder, state.rest, copy=True)(
            features, lengths, keys=encoder_keys
        )
        return embeddings

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        rows = (batch.features, batch.lengths, *_keys(state, len(batch.labels), axis_name))

        def objective(params: dict[str, Any]) -> tuple[jax.Array, Mapping[str, Stats]]:
            embeddings = _by_parts(functools.partial(encode, state, params["encoder"]), rows, micro_batch)
            found: tuple[jax.Array, Mapping[str, Stats]] = global_loss(
                params["loss"], batch.labels, embeddings, where=batch.where
            )
            return found

        (loss, stats), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        if axis_name is not None:
            gradient = jax.lax.pmean(gradient, axis_name)  # each device holds the gradient of the psum'ed, global loss
        with jax.numpy_dtype_promotion("standard"):  # Optax's Adam raises a float to an integer power
            changes, opt_state = state.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        state = state.replace(
            step=state.step + 1,
            params=params,
            average=_averaged(state, params["encoder"], average_decay),
            opt_state=opt_state,
        )
        return state, Metrics(loss, optax.tree.norm(gradient), stats)

    if axis_name is not None:
        return update
    if mesh is None:
        return jax.jit(update, donate_argnums=0)
    whole = parallel.replicated(mesh)
    state_sharding = whole if state_sharding is None else state_sharding
    return jax.jit(
        update,
        donate_argnums=0,
        in_shardings=(state_sharding, parallel.by_rows(mesh)),
        out_shardings=(state_sharding, whole),
    )


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


def _averaged(state: TrainState, encoder: Any, decay: float) -> Any:
    # A younger average forgets faster, or it would hold the random start for long.
    step = state.step.astype(jnp.float32)
    return optax.incremental_update(encoder, state.average, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))


def trained_model(state: TrainState) -> Any:
    """Returns the model with the average of its parameters, to embed with.

    Args:
        state: A state.

    Returns:
        The encoder, on memory of its own.
    """
    return nnx.merge(state.model, jax.tree.map(jnp.copy, state.average), state.rest, copy=True)
