"""The bidirectional-LSTM speaker encoder."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxtriplet import _checks
from jaxtriplet.models import padding
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.numerics import safe_divide


class BLSTM(Encoder):
    r"""Bidirectional LSTMs, the mean over time, dense layers: one vector per utterance.

    $$e = W \, \mathrm{dense}\Bigl(\frac{1}{n} \sum_{t < n} \mathrm{blstm}(x)_t\Bigr) + b, \qquad
    \text{output} = \frac{e}{\lVert e \rVert} \text{ or, with } num\_outputs, \ W' e + b'$$

    Dropout follows every hidden layer. There are no batch statistics: an embedding depends on its own utterance alone,
    and not on padding, whose frames may hold anything, NaN too. The module holds parameters and nothing else (no random
    state), so `nnx.split` gives a state that any transformation of JAX takes; call `nnx.merge` inside it, for Flax's
    recurrent layers refuse to be closed over.

    Args:
        in_features: Number of features of a frame, F.
        hidden: Units of each direction of each LSTM.
        layers: Number of bidirectional LSTMs, at least one.
        dense: Sizes of the dense layers, each with a PReLU, between the mean over time and the embedding.
        embedding_dim: Size of the embedding, E.
        num_outputs: Number of logits that the loss is to see in place of the embedding (`kl_hinge`).
        dropout: Probability with which training sets a hidden unit to zero, in [0, 1).
        rngs: Source of the initial weights.

    Raises:
        ValueError: If there is no layer, or `dropout` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import BLSTM
        >>> model = BLSTM(12, hidden=8, embedding_dim=4, rngs=nnx.Rngs(0))
        >>> model(jnp.ones((2, 29, 12)), jnp.array([29, 7])).shape
        (2, 4)

    Reference:
        The base network of the siamese KL-divergence net (Keras), with the mean over time in place of the last LSTM's
        final state; Stadelmann, Glinski-Haefeli, Gerber and Dürr, "Capturing suprasegmental features of a voice with
        RNNs for improved speaker clustering", 2018.
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: int = 64,
        layers: int = 2,
        dense: Sequence[int] = (),
        embedding_dim: int = 64,
        num_outputs: int | None = None,
        dropout: float = 0.2,
        rngs: nnx.Rngs,
    ) -> None:
        """Makes the layers with random weights."""
        _checks.positive_integer("layers", layers)
        inputs = [in_features] + [2 * hidden] * (layers - 1)
        sizes = [2 * hidden, *dense]
        self.hidden = hidden
        self.recurrent = nnx.List([_bidirectional(size, hidden, rngs) for size in inputs])
        self.dense = nnx.List([nnx.Sequential(nnx.Linear(m, n, rngs=rngs), nnx.PReLU()) for m, n in pairwise(sizes)])
        self.embedding = nnx.Linear(sizes[-1], embedding_dim, rngs=rngs)
        super().__init__(in_features, embedding_dim, num_outputs, dropout, rngs)

    def _pooled(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        lengths = lengths.astype(int)  # the width of Flax's own indices, to which strict promotion holds it
        valid = padding.valid(lengths, features.shape[1])[:, :, None]
        x: Any = features  # Flax types the output of a layer that may return its carry too
        # The LSTMs start from zeros made of the data: a constant has no device axis, which scan needs inside shard_map.
        start = jnp.zeros_like(features, shape=(features.shape[0], self.hidden))
        for depth, blstm in enumerate(self.recurrent):
            x = blstm(x, seq_lengths=lengths, initial_carry=((start, start), (start, start)))
            x = self._drop(x, keys, depth)
        x = _masked_mean(x, valid, lengths)
        for depth, block in enumerate(self.dense, len(self.recurrent)):
            x = self._drop(block(x), keys, depth)
        return x


def _bidirectional(in_features: int, hidden: int, rngs: nnx.Rngs) -> nnx.Bidirectional:
    """Returns a bidirectional LSTM without the random state that Flax adds for the start of the recurrence."""
    forward, backward = (nnx.RNN(nnx.OptimizedLSTMCell(in_features, hidden, rngs=rngs), rngs=False) for _ in range(2))
    return nnx.Bidirectional(forward, backward, rngs=False)


def _masked_mean(x: jax.Array, valid: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns the mean over valid frames, [B, T, H] -> [B, H]."""
    # One frame after the other: XLA groups the terms of `jnp.sum` by T, and then padding would change the last bits.
    frames = jnp.moveaxis(jnp.where(valid, x, 0), 1, 0)
    total, _ = jax.lax.scan(lambda total, frame: (total + frame, None), jnp.zeros_like(frames[0]), frames)
    return safe_divide(total, lengths.astype(x.dtype)[:, None])
