"""The state before the first step, and the model that a state holds: a Flax NNX module, or a plain function."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn, nnx

from jaxtriplet import _checks
from jaxtriplet.training.contract import LossFn, TrainState
from jaxtriplet.types import AxisName, Memory


def create_state(
    model: nnx.Module | Callable[..., jax.Array],
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    params: Any = None,
    width: int | None = None,
    num_classes: int | None = None,
    memory: Memory | None = None,
) -> TrainState:
    """Returns the state before the first step.

    Args:
        model: An NNX module, `model(inputs, lengths, *, keys) -> [B, D]`, or a plain `apply(params, inputs, lengths, *,
            keys)`. Lengths are given if the batch has some, and `keys`, one for each row, if the model takes them. A
            module's own random state (`nnx.Dropout(rngs=...)`) is drawn anew for each step, not for each row.
        loss_fn: The loss, whose own parameters join the model's.
        optimizer: A transformation of gradients `{"encoder": ..., "loss": ...}`.
        seed: The seed of everything random in the steps.
        params: The parameters of a plain function; of a module, leave it out.
        width: Numbers in an embedding, for losses with class weights.
        num_classes: The number of classes, likewise.
        memory: An empty memory (`jaxtriplet.memory.create`): each step meets the embeddings of those before; or None.

    Returns:
        A state that `make_update(loss_fn)` takes; it shares no memory with the model, since the first step donates it.

    Raises:
        ValueError: The model keeps batch statistics, parameters are missing, the loss needs a size, or takes no memory,
            or a size is no whole number above 0.
    """
    check_loss(loss_fn)
    is_one = all(callable(getattr(optimizer, name, None)) for name in ("init", "update"))
    if not is_one or isinstance(optimizer, type | nnx.Optimizer):
        raise ValueError(
            "optimizer must be a transformation of Optax, such as `jaxtriplet.training.make_optimizer(1e-3)`; got "
            f"{_checks.seen(optimizer)}"
        )
    if isinstance(model, nn.Module):
        raise ValueError("of a Flax Linen module, give the function and parameters: `model.apply, ..., params=params`")
    if not callable(model) or isinstance(model, type):
        made = f"`{model.__name__}(..., rngs=nnx.Rngs(0))`" if isinstance(model, type) else "a Flax NNX module, say"
        raise ValueError(f"model must be a module that is made, {made}, or a function; got {_checks.seen(model)}")
    is_number = isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63
    if not is_number and not jnp.issubdtype(getattr(seed, "dtype", bool), jnp.integer):
        raise ValueError(f"seed must be a whole number of at most 64 bits; got {_checks.seen(seed)}")
    graph: Any = model
    encoder, rest = params, None
    if isinstance(model, nnx.Module):
        if params is not None:
            raise ValueError("`params` are those of a plain function; a module has its own")
        graph, encoder, *others = nnx.split(model, nnx.Param, nnx.BatchStat, ...)
        statistics, rest = others
        if jax.tree.leaves(statistics):
            raise ValueError(
                "the model keeps batch statistics, which no step updates: use layer or group normalisation"
            )
    elif params is None:
        raise ValueError("a model that is a plain function needs its `params`")
    if memory is not None and "memory" not in inspect.signature(loss_fn).parameters:
        raise ValueError("`memory`: the loss takes none")
    for name, size in (("width", width), ("num_classes", num_classes)):
        if size is not None:
            _checks.positive_integer(name, size)
    key = jax.random.key(seed)
    # No step has this number.
    trained_along = loss_fn.init(jax.random.fold_in(key, 2**31 - 1), width, num_classes)
    params = jax.tree.map(jnp.copy, {"encoder": encoder, "loss": trained_along})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        params=params,
        average=jax.tree.map(jnp.copy, params["encoder"]),
        rest=jax.tree.map(jnp.copy, rest),
        opt_state=optimizer.init(params),
        model=graph,
        optimizer=optimizer,
        memory=None if memory is None else jax.tree.map(jnp.copy, _checks.by_name("memory", memory)),
    )


def check_loss(loss_fn: Any, *, is_started: bool = False) -> None:
    """Raises a `ValueError` unless something is a loss as a training step takes it.

    Args:
        loss_fn: What `jaxtriplet.losses.weighted` returns, or any other `LossFn`.
        is_started: Whether a state has been made with it, so that it may do without `init`.
    """
    if callable(loss_fn) and not isinstance(loss_fn, type):
        first = next(iter(inspect.signature(loss_fn).parameters), "")
        if callable(getattr(loss_fn, "init", None)) or (is_started and first not in ("labels", "embeddings")):
            return
    name = loss_fn if isinstance(loss_fn, str) else getattr(loss_fn, "__name__", "")
    such_as = name.replace("-", "_") if str(name).replace("-", "_").isidentifier() else "semi_hard"
    raise ValueError(
        f'loss_fn must be a sum of losses, `jaxtriplet.losses.weighted({{"{such_as}": 1.0}})`, say, or a function with '
        f"their arguments and an `init`; got {_checks.seen(loss_fn)}"
    )


def embed(state: TrainState, encoder: Any, examples: tuple[Any, ...], keys: jax.Array, axis_name: AxisName) -> Any:
    """Returns what the model makes of inputs and, if there are any, lengths."""
    call = state.model
    if isinstance(call, nnx.GraphDef):
        place = 0 if axis_name is None else jax.lax.axis_index(axis_name)

        def drawn(variable: Any) -> Any:
            if not isinstance(variable, nnx.RngKey):
                return variable
            return variable.replace(jax.random.fold_in(jax.random.fold_in(variable[...], state.step), place))

        rest = jax.tree.map(drawn, state.rest, is_leaf=lambda node: isinstance(node, nnx.Variable))
        call = nnx.merge(call, encoder, rest, copy=True)
        takes = inspect.signature(call.__call__).parameters
    else:
        takes = inspect.signature(call).parameters
        call = functools.partial(call, encoder)
    _checks.fits("the model", call, ("inputs", "lengths")[: len(examples)])
    return call(*examples, keys=keys) if "keys" in takes else call(*examples)


def trained_model(state: TrainState) -> Any:
    """Returns the model with the average of its parameters, to embed with.

    Args:
        state: A state.

    Returns:
        The encoder, on memory of its own; of a plain function, the function with its parameters given.
    """
    _checks.given("state", state, TrainState, "one of `create_state`, or what an update makes of it")
    average = jax.tree.map(jnp.copy, state.average)
    if not isinstance(state.model, nnx.GraphDef):
        return functools.partial(state.model, average)
    return nnx.merge(state.model, average, state.rest, copy=True)
