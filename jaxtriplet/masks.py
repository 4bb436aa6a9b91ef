"""Which rows of a batch form pairs and triplets, as boolean algebra on labels."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks


def _alike(labels: ArrayLike) -> jax.Array:
    labels = _checks.integers(labels)
    return labels[:, None] == labels[None, :]


def anchor_positive(labels: ArrayLike) -> jax.Array:
    """Returns which rows are positives of which anchors: another row with the same label.

    Args:
        labels: Integers [B].

    Returns:
        Booleans [B, B], [anchor, positive].

    Raises:
        ValueError: The labels are not integers [B].

    Example:
        >>> import jax.numpy as jnp
        >>> anchor_positive(jnp.array([0, 0, 1])).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    alike = _alike(labels)
    return alike & ~jnp.eye(len(alike), dtype=bool)


def anchor_negative(labels: ArrayLike) -> jax.Array:
    """Returns which rows are negatives of which anchors: a row with another label.

    Args:
        labels: Integers [B].

    Returns:
        Booleans [B, B], [anchor, negative].

    Raises:
        ValueError: The labels are not integers [B].

    Example:
        >>> import jax.numpy as jnp
        >>> anchor_negative(jnp.array([0, 0, 1])).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    return ~_alike(labels)


def triplet(labels: ArrayLike) -> jax.Array:
    """Returns which triplets are valid: three distinct rows, anchor and positive of one label, negative of another.

    The losses never build this cube; it is here to look at, and for small batches.

    Args:
        labels: Integers [B].

    Returns:
        Booleans [B, B, B], [anchor, positive, negative].

    Raises:
        ValueError: The labels are not integers [B].

    Example:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> np.argwhere(triplet(jnp.array([0, 0, 1]))).tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    return anchor_positive(labels)[:, :, None] & anchor_negative(labels)[:, None, :]
