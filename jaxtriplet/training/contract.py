"""What a training step is made of: the loss, the batch, the state, and what a step reports."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import optax
from flax import struct

from jaxtriplet.types import AxisName, Memory, Stats


class LossFn(Protocol):
    """What an update minimises; one that takes a keyword `step` is given the number of the step.

    One that takes a keyword `memory` is given the state's, if there is one. One that takes `class_axis_name`, and names
    `params` in an attribute `class_arguments`, is given the axes over which a sharding of the state spreads its class
    weights, and with them this device's share.
    """

    def init(self, key: jax.Array, width: int | None = None, num_classes: int | None = None) -> Any:
        """Returns the initial values of what the loss trains along: scalars, class weights [C, D]."""
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


AugmentFn = Callable[..., Any]
"""A random change of one example: `(key, inputs, length) -> (inputs, length)`, or without lengths `(key, inputs) ->
inputs`."""


class Batch(NamedTuple):
    """Examples of one step; with several devices, this device's share."""

    inputs: Any
    """What the model takes: a tree of arrays [B, ...], such as frames [B, T, F], images or tokens."""
    labels: jax.Array
    """Integers [B]."""
    lengths: jax.Array | None = None
    """Integers [B], how many frames are valid; None if the model takes none."""
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
    """{"encoder": the model's parameters, "loss": what the loss trains along}."""
    average: Any
    """Exponential moving average of the encoder's parameters: what to score with."""
    rest: Any
    """What else the model holds; no step changes it."""
    opt_state: Any
    """The optimizer's own state."""
    model: Any = struct.field(pytree_node=False)
    """The definition of the module, or the function."""
    optimizer: optax.GradientTransformation = struct.field(pytree_node=False)
    memory: Memory | None = None
    """Rows of earlier batches, to which each step adds its own."""


Update = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
"""A training step, as `make_update` returns it."""
