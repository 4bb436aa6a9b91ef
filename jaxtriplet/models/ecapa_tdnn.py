"""The ECAPA-TDNN speaker encoder: dilated convolutions that attend to channels, and attentive statistics."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from jaxtriplet import _checks
from jaxtriplet.models import padding
from jaxtriplet.models.convolution import Convolution, normalization
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.models.pooling import AttentiveStatistics


class ECAPATDNN(Encoder):
    r"""Squeeze-excited Res2Net blocks over time, the features of all of them, attentive statistics: one vector.

    $$h_0 = \mathrm{conv}(x), \quad h_i = \mathrm{block}_i(h_{i-1}), \quad
    e = W \, \mathrm{norm}\bigl(\mathrm{pool}(\mathrm{relu}(\mathrm{conv}[h_1; h_2; h_3]))\bigr) + b$$

    Layer normalisation of each frame stands where the paper has batch normalisation, and squeezing is a mean over valid
    frames: an embedding depends on its own utterance alone, and not on padding. Dropout comes before the last layer.

    Args:
        in_features: Number of features of a frame, F.
        channels: Channels of the convolutions, a multiple of `scale`.
        dilations: Dilation of each block, at least one.
        scale: Number of groups of a block's channels, each of which sees three frames more than the one before.
        stride: Frames from one output of the first convolution to the next.
        bottleneck: Hidden size of the attention to channels and to frames.
        aggregated: Channels that are pooled.
        embedding_dim: Size of the embedding, E.
        num_outputs: Number of logits that the loss is to see in place of the embedding (`kl_hinge`).
        dropout: Probability with which training sets a pooled statistic to zero, in [0, 1).
        rngs: Source of the initial weights.

    Raises:
        ValueError: If the channels do not divide into `scale` groups, there is no block, or `dropout` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import ECAPATDNN
        >>> sizes = {"channels": 8, "scale": 2, "bottleneck": 4, "aggregated": 8, "embedding_dim": 4}
        >>> ECAPATDNN(80, **sizes, rngs=nnx.Rngs(0))(jnp.ones((2, 20, 80)), jnp.array([20, 7])).shape
        (2, 4)

    Reference:
        Desplanques, Thienpondt and Demuynck, "ECAPA-TDNN: Emphasized channel attention, propagation and aggregation in
        TDNN based speaker verification", 2020.
    """

    def __init__(
        self,
        in_features: int,
        *,
        channels: int = 512,
        dilations: Sequence[int] = (2, 3, 4),
        scale: int = 8,
        stride: int = 1,
        bottleneck: int = 128,
        aggregated: int = 1536,
        embedding_dim: int = 192,
        num_outputs: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        """Makes the layers with random weights."""
        super().__init__(in_features, embedding_dim, num_outputs, dropout, rngs)
        _checks.positive_integer("scale", scale)
        if channels < scale or channels % scale or not dilations:
            raise ValueError(
                f"channels must be a multiple of scale, and there must be a dilation; "
                f"got {channels}, {scale} and {list(dilations)}"
            )
        _checks.positive_integer("stride", stride)
        self.stride = stride
        self.first = Convolution(in_features, channels, 5, stride=stride, rngs=rngs)
        self.blocks = nnx.List([_Block(channels, dilation, scale, bottleneck, rngs=rngs) for dilation in dilations])
        self.aggregate = nnx.Linear(len(dilations) * channels, aggregated, rngs=rngs)
        self.pool = AttentiveStatistics(aggregated, bottleneck, rngs=rngs)
        self.norm = normalization(2 * aggregated, rngs)
        self.embedding = nnx.Linear(2 * aggregated, embedding_dim, rngs=rngs)

    def _pooled(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        x = self.first(features, lengths)
        lengths = -(-lengths // self.stride)
        outputs = []
        for block in self.blocks:
            x = block(x, lengths)
            outputs.append(x)
        x = jax.nn.relu(self.aggregate(jnp.concatenate(outputs, axis=-1)))
        x = self.norm(self.pool(x, lengths))
        return self._drop(x, keys, 0)


class _Block(nnx.Module):
    """A Res2Net block with squeeze and excitation.

    Reference:
        Gao, Cheng, Zhao, Zhang, Yang and Torr, "Res2Net", 2019; Hu, Shen and Sun, "Squeeze-and-excitation networks",
        2018.
    """

    def __init__(self, channels: int, dilation: int, scale: int, bottleneck: int, *, rngs: nnx.Rngs) -> None:
        width = channels // scale
        self.before = Convolution(channels, channels, rngs=rngs)
        self.groups = nnx.List([Convolution(width, width, 3, dilation, rngs=rngs) for _ in range(scale - 1)])
        self.after = Convolution(channels, channels, rngs=rngs)
        self.squeeze = nnx.Linear(channels, bottleneck, rngs=rngs)
        self.excite = nnx.Linear(bottleneck, channels, rngs=rngs)

    def __call__(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the changed frames, [B, T, C]."""
        first, *rest = jnp.split(self.before(x, lengths), len(self.groups) + 1, axis=-1)
        parts = [first]
        for part, group in zip(rest, self.groups, strict=True):
            seen = part if len(parts) == 1 else part + parts[-1]
            parts.append(group(seen, lengths))
        y = self.after(jnp.concatenate(parts, axis=-1), lengths)
        gates = jax.nn.sigmoid(self.excite(jax.nn.relu(self.squeeze(padding.mean(y, lengths)))))
        return x + y * jnp.broadcast_to(gates, y.shape)
