"""Embeddings of a whole data set, in batches of one compiled size."""

from typing import Literal, Protocol, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet import _checks

Layer = Literal["embedding", "pooled"]
"""Of an encoder: its last layer, brought to unit length, or what that layer sees."""


class Embeds(Protocol):
    """A module that embeds padded sequences."""

    def embed(self, sequences: jax.Array, lengths: jax.Array, /) -> jax.Array:
        """Returns unit-length embeddings, [B, E], of sequences [B, T, ...] with so many valid places each, [B]."""

    def pooled(self, sequences: jax.Array, lengths: jax.Array, /) -> jax.Array:
        """Returns what the layer of the embedding sees, [B, P]."""


def embed(
    model: Embeds, features: ArrayLike, lengths: ArrayLike, *, batch_size: int = 128, layer: Layer = "embedding"
) -> np.ndarray:
    """Embeds any number of utterances, so many at a time that one compilation serves all.

    Args:
        model: An encoder.
        features: What it takes, [N, T, ...]: frames [N, T, F], or samples [N, T].
        lengths: Number of valid frames or samples of each utterance, [N].
        batch_size: How many utterances to embed at once; the last batch is filled up with empty ones.
        layer: What to give of each: its unit-length embedding, or "pooled", what the last layer makes it of.

    Returns:
        Unit-length embeddings, [N, E], or what is pooled, [N, P].

    Raises:
        ValueError: There is no such layer, or lengths do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import BLSTM, embed
        >>> embed(BLSTM(12, hidden=8, embedding_dim=4, rngs=nnx.Rngs(0)), jnp.ones((3, 29, 12)), [29, 7, 9]).shape
        (3, 4)
    """
    _checks.option("layer", layer, get_args(Layer))
    _checks.positive_integer("batch_size", batch_size)
    if not callable(getattr(model, "embed", None)):
        raise ValueError(f"model must be an encoder, with a method `embed`; got {_checks.seen(model)}")
    wants = "lengths must be integers, one for each row of features"
    features, lengths = (
        _checks.hosted(features, "features must be floats of shape [N, T, ...]"),
        _checks.hosted(lengths, wants),
    )
    if features.ndim < 2 or lengths.shape != features.shape[:1] or lengths.dtype.kind not in "iu":
        hint = "; `np.asarray(lengths, int)`, if they are whole" if lengths.dtype.kind == "f" and lengths.size else ""
        raise ValueError(f"{wants}; got {_checks.seen(lengths)} and features {_checks.seen(features)}{hint}")
    if lengths.size and lengths.max() > features.shape[1]:
        raise ValueError(f"lengths must be at most that of features, {features.shape[1]}; got {lengths.max()}")
    layer_fn, parts = _pooled if layer == "pooled" else _embed, []
    for start in range(0, len(lengths), batch_size):
        frames, counts = features[start : start + batch_size], lengths[start : start + batch_size]
        missing = batch_size - len(counts)
        frames = np.pad(frames, [(0, missing)] + [(0, 0)] * (frames.ndim - 1))
        rows = layer_fn(model, jnp.asarray(frames), jnp.asarray(np.pad(counts, (0, missing))))
        parts.append(np.asarray(rows)[: batch_size - missing])
    return np.concatenate(parts)


@nnx.jit
def _embed(model: Embeds, features: jax.Array, lengths: jax.Array) -> jax.Array:
    return model.embed(features, lengths)


@nnx.jit
def _pooled(model: Embeds, features: jax.Array, lengths: jax.Array) -> jax.Array:
    return model.pooled(features, lengths)
