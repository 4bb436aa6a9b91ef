"""The protocols and records that the whole library speaks."""

from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, overload

import jax
from jax.typing import ArrayLike

AxisName = str | tuple[str, ...] | None
"""The mapped axes over which a batch is spread, or None."""

Exchange = Literal["gather", "ring"]
"""How rows reach other devices: each device gathers all of them, or they travel from device to device."""

Precision = Literal["exact", "fast"]
"""How products of float32 matrices are made: in full, or on accelerators from halves in bfloat16, in three passes."""

_Args = ParamSpec("_Args")


class DistanceFn(Protocol):
    """A pairwise distance, `[M, D], [N, D] -> [M, N]`; smaller is closer."""

    def __call__(self, x: jax.Array, y: jax.Array, /) -> jax.Array:
        """Returns the distance of every row of `x` to every row of `y`."""
        ...


class HingeFn(Protocol):
    """An elementwise non-decreasing function, such as `jax.nn.relu` (hard margin) or `jax.nn.softplus` (soft)."""

    def __call__(self, x: jax.Array, /) -> jax.Array:
        """Returns the hinged violations, in the shape of `x`."""
        ...


class ReduceFn(Protocol):
    """What turns the global sums of a loss into its scalar; see `jaxtriplet.reductions`."""

    def __call__(self, total: jax.Array, valid: jax.Array, active: jax.Array, /) -> jax.Array:
        """Returns the loss from the sum of the terms, their number, and the number of those above zero."""
        ...


class Terms(NamedTuple):
    """Each anchor's share of a loss: three float arrays [B]."""

    total: jax.Array
    """The sum of the anchor's terms."""
    valid: jax.Array
    """How many terms it has."""
    active: jax.Array
    """How many of them are above zero; of a row that meets class weights, whether it is not yet right."""


class Memory(NamedTuple):
    """Rows of earlier batches, which later ones meet as candidates; `jaxtriplet.memory` makes and fills it."""

    labels: jax.Array
    """Integers [M]."""
    embeddings: jax.Array
    """Floats [M, D]."""
    valid: jax.Array
    """Booleans [M], False where no row has come yet."""
    next: jax.Array
    """An integer: where the next row goes, over the oldest."""


class Stats(NamedTuple):
    """What a loss saw in a batch: global float scalars without gradient, 0 where there is nothing to count.

    The docstring of each loss says what its terms and its distances are.
    """

    num_valid: jax.Array
    """The number of terms."""
    num_active: jax.Array
    """The number of terms above zero; of rows that meet class weights, how many are not yet right."""
    fraction_active: jax.Array
    """`num_active / num_valid`."""
    mean_positive_distance: jax.Array
    """The mean distance between rows of one label."""
    mean_negative_distance: jax.Array
    """The mean distance between rows of different labels."""
    hardest_positive_distance: jax.Array
    """The largest distance between rows of one label."""
    hardest_negative_distance: jax.Array
    """The smallest distance between rows of different labels."""
    mean_norm: jax.Array
    """The mean Euclidean norm of the rows."""


class LossFunction(Protocol[_Args]):
    """A loss as users call it: a scalar, or with `has_aux=True` a scalar and its `Stats`.

    A loss is written once, with `has_aux: Literal[False]` in its signature: the first overload is that signature, and
    the second what `has_aux=True` makes of it.
    """

    @overload
    def __call__(self, *args: _Args.args, **kwargs: _Args.kwargs) -> jax.Array: ...
    @overload
    def __call__(self, *rows: ArrayLike, has_aux: Literal[True], **options: Any) -> tuple[jax.Array, Stats]: ...
