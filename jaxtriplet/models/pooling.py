"""From the frames of an utterance to one vector: statistics weighted by attention."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxtriplet.models import padding
from jaxtriplet.numerics import safe_divide

# A variance below this is taken for it, as in the programs of ECAPA-TDNN: one frame has none, and its root no gradient.
LEAST_VARIANCE = 1e-4


def weighted_statistics(x: jax.Array, weights: jax.Array) -> jax.Array:
    r"""Returns mean and standard deviation over time, each channel with weights of its own.

    $$\mu = \sum_t w_t x_t, \qquad \sigma = \sqrt{\max\bigl(10^{-4}, \sum_t w_t (x_t - \mu)^2\bigr)}$$

    Args:
        x: Frames, [B, T, C], finite wherever the weight is 0.
        weights: Their weights, [B, T, C] or [B, T, 1], of sum 1 over time, 0 on padding.

    Returns:
        Means, then standard deviations, [B, 1, 2 C].

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.models.pooling import weighted_statistics
        >>> weighted_statistics(jnp.array([[[1.0], [3.0], [9.0]]]), jnp.array([[[0.5], [0.5], [0.0]]])).tolist()
        [[[2.0, 1.0]]]
    """
    mean = jnp.sum(weights * x, axis=1, keepdims=True)
    variance = jnp.sum(weights * jnp.square(x - mean), axis=1, keepdims=True)
    return jnp.concatenate([mean, jnp.sqrt(jnp.maximum(variance, LEAST_VARIANCE))], axis=-1)


def plain_statistics(x: jax.Array, lengths: jax.Array) -> jax.Array:
    """Returns mean and standard deviation over each row's valid frames.

    Args:
        x: Frames, [B, T, C], finite.
        lengths: Number of valid frames of each row, [B].

    Returns:
        Means, then standard deviations, [B, 1, 2 C]; those of no frame are the least.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.models.pooling import plain_statistics
        >>> plain_statistics(jnp.array([[[1.0], [3.0], [9.0]]]), jnp.array([2])).tolist()
        [[[2.0, 1.0]]]
    """
    where = padding.valid(lengths, x.shape[1])[:, :, None].astype(x.dtype)
    return weighted_statistics(x, safe_divide(where, lengths.astype(x.dtype)[:, None, None]))


class AttentiveStatistics(nnx.Module):
    r"""Mean and standard deviation over the frames that each channel attends to.

    $$w_{tc} = \operatorname{softmax}_t \bigl(V \tanh(W x_t + U s + b)\bigr)_c$$

    with the plain mean and standard deviation of the utterance as context s; padding has weight 0. (A bias outside
    the tanh would be the same for all frames, and do nothing.)

    Args:
        channels: Number of channels, C.
        hidden: Size of the attention's hidden layer.
        rngs: Source of the initial weights.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models.pooling import AttentiveStatistics
        >>> AttentiveStatistics(6, 4, rngs=nnx.Rngs(0))(jnp.ones((2, 9, 6)), jnp.array([9, 3])).shape
        (2, 12)

    Reference:
        Okabe, Koshinaka and Shinoda, "Attentive statistics pooling for deep speaker embedding", 2018; by channel and
        with context: Desplanques, Thienpondt and Demuynck, "ECAPA-TDNN", 2020.
    """

    def __init__(self, channels: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        """Makes the layers with random weights."""
        self.frame = nnx.Linear(channels, hidden, rngs=rngs)
        self.context = nnx.Linear(2 * channels, hidden, use_bias=False, rngs=rngs)
        self.score = nnx.Linear(hidden, channels, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the statistics of each row.

        Args:
            x: Frames, [B, T, C], finite.
            lengths: Number of valid frames of each row, [B].

        Returns:
            Means, then standard deviations, [B, 2 C]; those of no frame are the least.
        """
        return weighted_statistics(x, self.weights(x, lengths))[:, 0]

    def weights(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the weight of every frame for every channel.

        Args:
            x: Frames, [B, T, C], finite.
            lengths: Number of valid frames of each row, [B].

        Returns:
            Weights, [B, T, C], of sum 1 over the valid frames, 0 on padding.
        """
        valid = padding.valid(lengths, x.shape[1])[:, :, None]
        hidden = self.frame(x)
        context = jnp.broadcast_to(self.context(plain_statistics(x, lengths)), hidden.shape)
        scores = self.score(jnp.tanh(hidden + context))
        # A row without a frame shares its weight out among padding, and keeps none of it: no division by 0.
        weights = jax.nn.softmax(jnp.where(valid, scores, jnp.finfo(scores.dtype).min), axis=1)
        return jnp.where(valid, weights, 0)
