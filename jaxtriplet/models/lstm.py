"""The LSTM speaker encoder of GE2E: recurrent layers with a projection, and the last frame."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxtriplet import _checks
from jaxtriplet.models import padding
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.models.kinds import Projection


class LSTM(Encoder):
    r"""LSTMs whose state is projected to a smaller one, the last frame, a linear layer: one vector per utterance.

    $$e = W \, \mathrm{lstmp}(x)_{n - 1} + b, \qquad
    \text{output} = \frac{e}{\lVert e \rVert} \text{ or, with } num\_outputs, \ W' e + b'$$

    Dropout follows every LSTM. An embedding depends on its own utterance alone, and not on padding.

    Args:
        in_features: Number of features of a frame, F.
        hidden: Cells of each LSTM.
        projection: Size to which each LSTM projects its output, which is also what it feeds back.
        layers: Number of LSTMs, at least one.
        embedding_dim: Size of the embedding, E.
        num_outputs: Number of logits that the loss is to see in place of the embedding (`kl_hinge`).
        dropout: Probability with which training sets a projected unit to zero, in [0, 1).
        rngs: Source of the initial weights.

    Raises:
        ValueError: If there is no layer, or `dropout` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import LSTM
        >>> model = LSTM(40, hidden=8, projection=4, embedding_dim=4, rngs=nnx.Rngs(0))
        >>> model(jnp.ones((2, 20, 40)), jnp.array([20, 7])).shape
        (2, 4)

    Reference:
        Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", 2018; the projection:
        Sak, Senior and Beaufays, "Long short-term memory recurrent neural network architectures", 2014 (here without
        peepholes).
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: int = 768,
        projection: int = 256,
        layers: int = 3,
        embedding_dim: int = 256,
        num_outputs: int | None = None,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        """Makes the layers with random weights."""
        super().__init__(in_features, embedding_dim, num_outputs, dropout, rngs)
        _checks.positive_integer("layers", layers)
        inputs = [in_features] + [projection] * (layers - 1)
        self.recurrent = nnx.List([_ProjectedLSTM(size, hidden, projection, rngs=rngs) for size in inputs])
        self.embedding = nnx.Linear(projection, embedding_dim, rngs=rngs)

    def _pooled(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        x = features
        for depth, lstm in enumerate(self.recurrent):
            x, last = lstm(x, lengths)
            x, last = self._drop(x, keys, depth), self._drop(last, keys, depth)
        return last


class _ProjectedLSTM(nnx.Module):
    """One LSTM with a recurrent projection."""

    def __init__(self, in_features: int, hidden: int, projection: int, *, rngs: nnx.Rngs) -> None:
        self.input = nnx.Linear(in_features, 4 * hidden, rngs=rngs)
        self.recurrent = nnx.Linear(projection, 4 * hidden, use_bias=False, rngs=rngs)
        self.projection = nnx.Linear(hidden, projection, use_bias=False, rngs=rngs)
        self.projection.kernel = Projection(self.projection.kernel[...])

    def __call__(self, x: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the projections of all frames, [B, T, P], and that of the last valid one, [B, P]."""
        recurrent, projection = self.recurrent.kernel[...], self.projection.kernel[...]

        def step(state: tuple[jax.Array, ...], frame: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, ...], jax.Array]:
            (cell, output), (inputs, valid) = state, frame
            write, forget, read, value = jnp.split(inputs + output @ recurrent, 4, axis=1)
            # A gate that starts open lets a gradient through to the first frames (Jozefowicz et al., 2015).
            new_cell = jax.nn.sigmoid(forget + 1) * cell + jax.nn.sigmoid(write) * jnp.tanh(value)
            new_output = (jax.nn.sigmoid(read) * jnp.tanh(new_cell)) @ projection
            state = jnp.where(valid, new_cell, cell), jnp.where(valid, new_output, output)
            return state, state[1]

        valid = padding.valid(lengths, x.shape[1])[:, :, None]
        frames = jax.tree.map(lambda of_batch: jnp.moveaxis(of_batch, 1, 0), (self.input(x), valid))
        # Zeros made of the data: a constant has no device axis, which scan needs inside shard_map.
        start = tuple(jnp.zeros_like(x, shape=(x.shape[0], size)) for size in projection.shape)
        (_, last), outputs = jax.lax.scan(step, start, frames)
        return jnp.moveaxis(outputs, 0, 1), last
