"""How the terms of a loss become one number: `reduce_fn(total, valid, active) -> scalar`.

The three are float scalars, already summed over all rows and devices: the sum of the terms, how many there are, and how
many of them are active: above zero, or of rows that are not yet right, where rows meet class weights. Any pure function
of this form may be passed as `reduce_fn`; 0 / 0 should be 0.
"""

import jax

from jaxtriplet import numerics


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
    """Mean over the active terms, those above zero, `total / active`.

    Args:
        total: The sum of the terms.
        valid: The number of terms (not used).
        active: The number of terms above zero.

    Returns:
        A scalar, 0 where no term is active.

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
