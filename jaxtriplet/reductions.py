"""How the terms of a loss become one number: `reduce_fn(total, valid, active) -> scalar`.

The three are float scalars, already summed over all rows and devices: the sum of the terms, how many there are, and how
many of them are above zero. Any pure function of this form may be passed as `reduce_fn`; 0 / 0 should be 0.
"""

import jax
import jax.numpy as jnp

from jaxtriplet import numerics, stats
from jaxtriplet._types import AxisName, ReduceFn, Stats, Terms
from jaxtriplet.stats import Found


def mean(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
    """Mean over all terms, `total / valid`.

    Args:
        total: The sum of the terms.
        valid: The number of terms.
        active: The number of terms above zero (not used).

    Returns:
        A scalar, 0 where there is no term.

    Example:
        >>> import jax.numpy as jnp
        >>> float(mean(jnp.array(6.0), jnp.array(4.0), jnp.array(3.0)))
        1.5
    """
    del active
    return numerics.safe_divide(total, valid)


def mean_active(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
    """Mean over the terms above zero, `total / active`.

    Args:
        total: The sum of the terms.
        valid: The number of terms (not used).
        active: The number of terms above zero.

    Returns:
        A scalar, 0 where no term is above zero.

    Example:
        >>> import jax.numpy as jnp
        >>> float(mean_active(jnp.array(6.0), jnp.array(4.0), jnp.array(3.0)))
        2.0
    """
    del valid
    return numerics.safe_divide(total, active)


def sum(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
    """Sum of all terms.

    Args:
        total: The sum of the terms.
        valid: The number of terms (not used).
        active: The number of terms above zero (not used).

    Returns:
        The total.

    Example:
        >>> import jax.numpy as jnp
        >>> float(sum(jnp.array(6.0), jnp.array(4.0), jnp.array(3.0)))
        6.0
    """
    del valid, active
    return total


def conclude(
    found: Found, reduce_fn: ReduceFn | None, axis_name: AxisName, has_aux: bool
) -> jax.Array | tuple[jax.Array, Stats]:
    """Returns a loss from what this device found: reduced over all rows and devices, or each anchor's sum [B].

    Args:
        found: This device's terms, and the spreads of its distances and norms.
        reduce_fn: The reduction, or None for each anchor's sum of terms.
        axis_name: The mapped axes over which the batch is spread, or None.
        has_aux: Whether to return `(loss, Stats)`.

    Returns:
        The loss, or the loss and its statistics.
    """
    loss = found.terms.total
    if reduce_fn is not None:
        sums = Terms(*map(jnp.sum, found.terms))
        loss = reduce_fn(*(sums if axis_name is None else jax.lax.psum(sums, axis_name)))
    return (loss, stats.summarise(found, axis_name)) if has_aux else loss
