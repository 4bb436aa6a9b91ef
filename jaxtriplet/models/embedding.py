"""Embeddings of a whole data set, in batches of one compiled size."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet.models.encoder import Encoder


def embed(model: Encoder, features: ArrayLike, lengths: ArrayLike, *, batch_size: int = 128) -> np.ndarray:
    """Embeds any number of utterances, so many at a time that one compilation serves all.

    Args:
        model: An encoder.
        features: Frames, [N, T, F].
        lengths: Number of valid frames of each utterance, [N].
        batch_size: How many utterances to embed at once; the last batch is filled up with empty ones.

    Returns:
        Unit-length embeddings, [N, E].

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import BLSTM, embed
        >>> embed(BLSTM(12, hidden=8, embedding_dim=4, rngs=nnx.Rngs(0)), jnp.ones((3, 29, 12)), [29, 7, 9]).shape
        (3, 4)
    """
    features, lengths = np.asarray(features), np.asarray(lengths)
    parts = []
    for start in range(0, len(lengths), batch_size):
        frames, counts = features[start : start + batch_size], lengths[start : start + batch_size]
        missing = batch_size - len(counts)
        frames = np.pad(frames, ((0, missing), (0, 0), (0, 0)))
        rows = _embed(model, jnp.asarray(frames), jnp.asarray(np.pad(counts, (0, missing))))
        parts.append(np.asarray(rows)[: batch_size - missing])
    return np.concatenate(parts)


@nnx.jit
def _embed(model: Encoder, features: jax.Array, lengths: jax.Array) -> jax.Array:
    return model.embed(features, lengths)
