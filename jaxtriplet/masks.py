"""Which rows of a batch form pairs and triplets, as boolean algebra on labels, and miners that choose among pairs.

Miners take scores and masks [candidate, anchor], or [anchor, candidate] with `axis=1`: they work on tiles and pairs of
the engine as on a whole matrix, and have no gradient. `examples/own_loss.py` mines a loss of its own by them.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks


def _alike(labels: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """Returns which two rows have one label, and which two are valid."""
    labels = _checks.integers(labels)
    valid = jnp.ones(labels.shape, bool) if where is None else _checks.mask(where, labels)
    assert valid is not None
    return labels[:, None] == labels[None, :], valid[:, None] & valid[None, :]


def anchor_positive(labels: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Returns which rows are positives of which anchors: another row with the same label.

    Args:
        labels: Integers [B].
        where: Booleans [B]; False rows are padding, and in no pair; None: all count.

    Returns:
        Booleans [B, B], [anchor, positive].

    Raises:
        ValueError: The labels are not integers [B], or the mask not booleans [B].

    Example:
        >>> import jax.numpy as jnp
        >>> anchor_positive(jnp.array([0, 0, 1])).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    alike, valid = _alike(labels, where)
    return alike & valid & ~jnp.eye(len(alike), dtype=bool)


def anchor_negative(labels: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Returns which rows are negatives of which anchors: a row with another label.

    Args:
        labels: Integers [B].
        where: Booleans [B]; False rows are padding, and in no pair; None: all count.

    Returns:
        Booleans [B, B], [anchor, negative].

    Raises:
        ValueError: The labels are not integers [B], or the mask not booleans [B].

    Example:
        >>> import jax.numpy as jnp
        >>> anchor_negative(jnp.array([0, 0, 1])).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    alike, valid = _alike(labels, where)
    return ~alike & valid


def triplet(labels: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Returns which triplets are valid: three distinct rows, anchor and positive of one label, negative of another.

    The losses never build this cube; it is here to look at, and for small batches.

    Args:
        labels: Integers [B].
        where: Booleans [B]; False rows are padding, and in no pair; None: all count.

    Returns:
        Booleans [B, B, B], [anchor, positive, negative].

    Raises:
        ValueError: The labels are not integers [B], or the mask not booleans [B].

    Example:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> np.argwhere(triplet(jnp.array([0, 0, 1]))).tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    return anchor_positive(labels, where)[:, :, None] & anchor_negative(labels, where)[:, None, :]


def farthest(distances: jax.Array, mask: jax.Array, *, axis: int = 0) -> jax.Array:
    """Returns the candidate at the largest distance from each anchor, among those of the mask: the hardest positive.

    Args:
        distances: Floats [candidate, anchor].
        mask: Booleans [candidate, anchor], such as which are positives.
        axis: That of the candidates: 1 for [anchor, candidate].

    Returns:
        Booleans in the shape of the mask, one True for each anchor that has a candidate (the first of those that tie).

    Example:
        >>> import jax.numpy as jnp
        >>> farthest(jnp.array([[0.5], [2.0], [1.0]]), jnp.array([[True], [False], [True]]))[:, 0].tolist()
        [False, False, True]
    """
    return nearest(-distances, mask, axis=axis)


def nearest(distances: jax.Array, mask: jax.Array, *, axis: int = 0) -> jax.Array:
    """Returns the candidate at the smallest distance from each anchor, among those of the mask: the hardest negative.

    Args:
        distances: Floats [candidate, anchor].
        mask: Booleans [candidate, anchor], such as which are negatives.
        axis: That of the candidates: 1 for [anchor, candidate].

    Returns:
        Booleans in the shape of the mask, one True for each anchor that has a candidate (the first of those that tie).

    Example:
        >>> import jax.numpy as jnp
        >>> nearest(jnp.array([[0.5], [2.0], [1.0]]), jnp.array([[False], [True], [True]]))[:, 0].tolist()
        [False, False, True]
    """
    axis, (mask,) = _checks.pairwise("distances", distances, axis, mask=mask)
    allowed = jnp.where(mask, jax.lax.stop_gradient(distances), jnp.inf)
    place = jax.lax.broadcasted_iota(jnp.int32, allowed.shape, axis)
    return mask & (place == jnp.argmin(allowed, axis=axis, keepdims=True).astype(jnp.int32))


def multi_similarity(
    similarities: jax.Array, positive: jax.Array, negative: jax.Array, margin: float = 0.1, *, axis: int = 0
) -> tuple[jax.Array, jax.Array]:
    r"""Returns the pairs worth looking at, as multi-similarity mining has them.

    A negative counts if it is nearer than the farthest positive, but for a margin: $s_{an} > \min_p s_{ap} - m$; a
    positive if it is farther than the nearest negative: $s_{ap} < \max_n s_{an} + m$.

    Args:
        similarities: Floats [candidate, anchor], larger is closer.
        positive: Booleans [candidate, anchor], which candidates are positives.
        negative: Booleans [candidate, anchor], which are negatives.
        margin: The margin m, in units of the similarity; 0.1 in the paper.
        axis: That of the candidates: 1 for [anchor, candidate].

    Returns:
        The positives and the negatives that count, booleans in the shape of the masks. An anchor without a positive
        keeps no negative, and one without a negative no positive.

    Example:
        >>> import jax.numpy as jnp
        >>> similarities = jnp.array([[0.9], [0.2], [0.3], [0.0]])
        >>> positive = jnp.array([[True], [True], [False], [False]])
        >>> [mask[:, 0].tolist() for mask in multi_similarity(similarities, positive, ~positive)]
        [[False, True, False, False], [False, False, True, False]]

    Reference:
        Wang, Han, Huang, Dong and Scott, "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
        2019.
    """
    axis, masks = _checks.pairwise("similarities", similarities, axis, positive=positive, negative=negative)
    positive, negative = masks
    scores = jax.lax.stop_gradient(similarities)
    least = jnp.min(jnp.where(positive, scores, jnp.inf), axis=axis, keepdims=True)
    most = jnp.max(jnp.where(negative, scores, -jnp.inf), axis=axis, keepdims=True)
    return positive & (scores < most + margin), negative & (scores > least - margin)
