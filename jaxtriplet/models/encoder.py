"""What all encoders share: the check of a batch, dropout by row, and the choice of embeddings or logits."""

import jax
from flax import nnx

from jaxtriplet.models import padding
from jaxtriplet.numerics import l2_normalize


class Encoder(nnx.Module):
    """A network from padded feature sequences to one vector per utterance; a subclass gives `_pooled`.

    There are no batch statistics: an embedding depends on its own utterance alone, and not on padding, whose frames may
    hold anything, NaN too. The module holds parameters and nothing else (no random state), so `nnx.split` gives a state
    that any transformation of JAX takes.

    Attributes:
        in_features: Number of features of a frame, F.
        embedding: The layer from what is pooled over the frames to the embedding.
        logits: The layer from the embedding to what the loss sees, or None.
        dropout: What training does to hidden units.
    """

    in_features: int
    embedding: nnx.Linear
    logits: nnx.Linear | None
    dropout: nnx.Dropout

    def __init__(
        self, in_features: int, embedding_dim: int, num_outputs: int | None, dropout: float, rngs: nnx.Rngs
    ) -> None:
        """Makes the layer of the logits, if there is one."""
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {dropout}")
        self.in_features = in_features
        self.logits = nnx.Linear(embedding_dim, num_outputs, rngs=rngs) if num_outputs else None
        self.dropout = nnx.Dropout(dropout)

    def __call__(self, features: jax.Array, lengths: jax.Array, *, keys: jax.Array | None = None) -> jax.Array:
        """Returns what the loss sees: unit-length embeddings or, in a model with `num_outputs`, logits.

        Args:
            features: Frames, [B, T, F], in the dtype of the parameters.
            lengths: Number of valid frames of each row, [B] integers from 0 to T; a row of length 0 gives a finite,
                meaningless vector.
            keys: One PRNG key per row, [B], for dropout; None switches dropout off.

        Returns:
            [B, E] embeddings of length one, or [B, num_outputs] logits.

        Raises:
            ValueError: If the shapes do not match.
        """
        vectors = self._vectors(features, lengths, keys)
        return l2_normalize(vectors) if self.logits is None else self.logits(vectors)

    def embed(self, features: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns unit-length embeddings for scoring: the layer before the logits, where there are logits; no dropout.

        Args:
            features: Frames, [B, T, F].
            lengths: Number of valid frames of each row, [B].

        Returns:
            [B, E] embeddings of length one.
        """
        return l2_normalize(self._vectors(features, lengths, None))

    def pooled(self, features: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns what the layer of the embedding sees, for a back-end to be fitted on; no dropout.

        Args:
            features: Frames, [B, T, F].
            lengths: Number of valid frames of each row, [B].

        Returns:
            [B, P], such as means and standard deviations over the frames.
        """
        return self._checked(features, lengths, None)

    def _vectors(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Returns embeddings of any length, [B, E]."""
        return self.embedding(self._checked(features, lengths, keys))

    def _checked(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        features, lengths = padding.checked("features", features, f"[B, T, {self.in_features}]", lengths, keys)
        return self._pooled(padding.keep(features, lengths), lengths, keys)

    def _pooled(self, features: jax.Array, lengths: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Returns one vector an utterance, [B, P], of features that are 0 past the lengths."""
        raise NotImplementedError

    def _drop(self, x: jax.Array, keys: jax.Array | None, depth: int) -> jax.Array:
        """Returns `x` after dropout, the draws being those of the row's key and of this depth."""
        if keys is None:
            return x
        return jax.vmap(lambda row, key: self.dropout(row, rngs=jax.random.fold_in(key, depth)))(x, keys)
