"""Numbers of losses that follow the step; what Optax has for rates will do for them as well."""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxtriplet import _checks

_REST = 1e-3  # the share that is left to grow where the exponential ends


def margin_schedule(
    margin: ArrayLike, begin: int, end: int, kind: Literal["exponential", "linear"] = "exponential"
) -> optax.Schedule:
    r"""Returns a margin that grows from 0: a network that is not trained yet cannot keep the whole of it.

    $$m \, (1 - e^{x \ln(10^{-3} / (1 + 10^{-6}))}), \qquad x = \frac{\text{step} - \text{begin}}{\text{end} -
    \text{begin}}$$

    or linear, $m x$; 0 before `begin`, and m from `end` on.

    Args:
        margin: The whole margin m: a number, or one for each class, [C].
        begin: The step at which it begins to grow.
        end: The first step that has all of it; the same as `begin` for a margin that is there at once.
        kind: How it grows: "exponential" is fast at first, with half of the margin after a tenth of the way.

    Returns:
        A function from the number of the step to the margin, as `losses.weighted` takes it.

    Raises:
        ValueError: `begin` is below 0 or after `end`, or there is no such kind.

    Example:
        >>> schedule = margin_schedule(0.2, 100, 200)
        >>> [round(float(schedule(step)), 3) for step in (99, 100, 110, 150, 199, 200)]
        [0.0, 0.0, 0.1, 0.194, 0.2, 0.2]

    Reference:
        `MarginScheduler` of WeSpeaker: Wang et al., "Wespeaker: A Research and Production oriented Speaker Embedding
        Learning Toolkit", 2023.
    """
    _checks.finite("begin", begin, least=0)
    _checks.finite("end", end, least=begin)
    _checks.option("kind", kind, ("exponential", "linear"))
    return functools.partial(_grown, margin=margin, begin=begin, end=end, kind=kind)


def _grown(step: ArrayLike, *, margin: ArrayLike, begin: int, end: int, kind: str) -> jax.Array:
    step = jnp.asarray(step, jnp.result_type(float))
    way = jnp.clip((step - begin) / max(end - begin, 1), 0.0, 1.0)
    share = way if kind == "linear" else -jnp.expm1(way * math.log(_REST / (1 + 1e-6)))
    return jnp.asarray(margin, step.dtype) * jnp.where(step < end, share, 1.0)
