"""A convolution over the frames of padded utterances, as the TDNN encoders stack them."""

import jax
from flax import nnx

from jaxtriplet.models import padding


class Convolution(nnx.Module):
    r"""A convolution over time, ReLU, and layer normalisation of each frame.

    $$y = \mathrm{norm}(\max(0, W * x + b))$$

    Args:
        in_features: Number of features of a frame, F.
        out_features: Number of channels, C.
        size: Frames that one output sees, an odd number.
        dilation: Frames from one of those to the next.
        stride: Frames from one output to the next.
        rngs: Source of the initial weights.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models.convolution import Convolution
        >>> Convolution(3, 4, size=5, stride=2, rngs=nnx.Rngs(0))(jnp.ones((2, 9, 3)), jnp.array([9, 3])).shape
        (2, 5, 4)
    """

    def __init__(
        self, in_features: int, out_features: int, size: int = 1, dilation: int = 1, stride: int = 1, *, rngs: nnx.Rngs
    ) -> None:
        """Makes the layers with random weights."""
        reach = dilation * (size // 2)  # as "SAME", which with a stride would pad by the parity of T
        self.conv = nnx.Conv(
            in_features,
            out_features,
            size,
            strides=stride,
            padding=[(reach, reach)],
            kernel_dilation=dilation,
            rngs=rngs,
        )
        self.norm = normalization(out_features, rngs)

    def __call__(self, x: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns [B, T / stride, C] of [B, T, F]; what stands on padding is not seen from within the length.

        Args:
            x: Frames, [B, T, F], finite.
            lengths: Number of valid frames of each row, [B].
        """
        return self.norm(jax.nn.relu(self.conv(padding.keep(x, lengths))))


def normalization(size: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Returns a layer normalisation with nothing to learn.

    Args:
        size: Number of features.
        rngs: Source of the initial weights, of which there are none.
    """
    # No scale and no bias: a linear layer follows, which has them, and their gradients take as long as its products.
    return nnx.LayerNorm(size, use_bias=False, use_scale=False, rngs=rngs)
