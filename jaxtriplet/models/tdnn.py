"""The x-vector speaker encoder: convolutions over time, then mean and standard deviation of their outputs."""

from collections.abc import Sequence

import jax
from flax import nnx

from jaxtriplet import _checks
from jaxtriplet.models.convolution import Convolution, normalization
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.models.pooling import plain_statistics


class TDNN(Encoder):
    r"""A stack of convolutions over time, the statistics of its last one, a linear layer: one vector per utterance.

    $$h_0 = x, \quad h_i = \mathrm{conv}_i(h_{i-1}), \quad
    e = W \, \mathrm{norm}\bigl(\mathrm{pool}(h_n)\bigr) + b$$

    Layer normalisation of each frame stands where the paper has batch normalisation: an embedding depends on its own
    utterance alone, and not on padding. Dropout comes before the last layer.

    Args:
        in_features: Number of features of a frame, F.
        channels: Channels of each convolution.
        sizes: Frames that each of them sees, odd numbers.
        dilations: Frames from one of those to the next, for each.
        stride: Frames from one output of the first convolution to the next.
        embedding_dim: Size of the embedding, E.
        num_outputs: Number of logits that the loss is to see in place of the embedding (`kl_hinge`).
        dropout: Probability with which training sets a pooled statistic to zero, in [0, 1).
        rngs: Source of the initial weights.

    Raises:
        ValueError: If there is no convolution, there are not as many as sizes and dilations, a size is even, or
            `dropout` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import TDNN
        >>> sizes = {"channels": (8, 6), "sizes": (5, 3), "dilations": (1, 2), "embedding_dim": 4}
        >>> TDNN(80, **sizes, rngs=nnx.Rngs(0))(jnp.ones((2, 20, 80)), jnp.array([20, 7])).shape
        (2, 4)

    Reference:
        Snyder, Garcia-Romero, Sell, Povey and Khudanpur, "X-vectors: robust DNN embeddings for speaker recognition",
        2018.
    """

    def __init__(
        self,
        in_features: int,
        *,
        channels: Sequence[int] = (512, 512, 512, 512, 1500),
        sizes: Sequence[int] = (5, 3, 3, 1, 1),
        dilations: Sequence[int] = (1, 2, 3, 1, 1),
        stride: int = 1,
        embedding_dim: int = 512,
        num_outputs: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        """Makes the layers with random weights."""
        super().__init__(in_features, embedding_dim, num_outputs, dropout, rngs)
        if not len(channels) == len(sizes) == len(dilations) > 0 or not all(size % 2 for size in sizes):
            raise ValueError(
                f"there must be as many channels as sizes, odd ones, and dilations; "
                f"got {list(channels)}, {list(sizes)} and {list(dilations)}"
            )
        _checks.positive_integer("stride", stride)
        self.stride = stride
        shapes = zip((in_features, *channels), channels, sizes, dilations, strict=False)
        self.convolutions = nnx.List(
            [Convolution(*shape, 1 if layer else stride, rngs=rngs) for layer, shape in enumerate(shapes)]
        )
        self.norm = normalization(2 * channels[-1], rngs)
        self.embedding = nnx.Linear(2 * channels[-1], embedding_dim, rngs=rngs)

    def _pooled(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        first, *rest = self.convolutions
        x, lengths = first(features, lengths), -(-lengths // self.stride)
        for convolution in rest:
            x = convolution(x, lengths)
        return self._drop(self.norm(plain_statistics(x, lengths)[:, 0]), keys, 0)
