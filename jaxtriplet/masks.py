"""Which rows of a batch form pairs and triplets, as boolean algebra on labels."""

import jax
import jax.numpy as jnp

from jaxtriplet import _checks
from jaxtriplet.rows import Rows


def pairs(anchors: Rows, candidates: Rows) -> tuple[jax.Array, jax.Array]:
    """Returns which candidates are positives, and which are negatives, of which anchors: booleans [candidate, anchor].

    A positive is another row (by its place in the batch of all devices, not on the diagonal: a device's anchors are a
    slice of the candidates) with the anchor's label; a negative has another label; padding is neither.
    """
    both = candidates.valid[:, None] & anchors.valid[None, :]
    alike = candidates.labels[:, None] == anchors.labels[None, :]
    other = candidates.place[:, None] != anchors.place[None, :]
    return both & alike & other, both & ~alike


def _one_batch(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    labels = jnp.asarray(labels)
    _checks.integers(labels)
    count = labels.shape[0]
    rows = Rows(jnp.zeros((count, 0)), labels, jnp.ones(count, bool), jnp.arange(count))
    return pairs(rows, rows)


def anchor_positive(labels: jax.Array) -> jax.Array:
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
    return _one_batch(labels)[0]


def anchor_negative(labels: jax.Array) -> jax.Array:
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
    return _one_batch(labels)[1]


def triplet(labels: jax.Array) -> jax.Array:
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
    positive, negative = _one_batch(labels)
    return positive[:, :, None] & negative[:, None, :]
