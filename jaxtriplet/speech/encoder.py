"""From waveforms to embeddings in one module: level, log-mel features, their normalisation and an encoder."""

from collections.abc import Callable

import jax
from flax import nnx

from jaxtriplet.models import Encoder, padding
from jaxtriplet.speech.augmentation.changes import WaveformAugmentation
from jaxtriplet.speech.augmentation.features import FeatureAugmentation, mask_features
from jaxtriplet.speech.augmentation.waveforms import augment_waveforms
from jaxtriplet.speech.frontend import log_mel, mean_normalize, normalize_level, remove_offset


class SpeechEncoder(nnx.Module):
    r"""An encoder that hears waveforms: what a training step, scoring and an exported file all run.

    $$e = \mathrm{encoder}(\mathrm{mask}(\mathrm{normalize}(\mathrm{logmel}(\mathrm{level}(\mathrm{augment}(
    x - \bar x))))))$$

    `augment` and `mask` are there in training alone. The module takes the place of an encoder in `create_state`, so
    that waveforms stand where the features of a batch do.

    Args:
        encoder: A network from features [B, N, F] to embeddings.
        sample_rate: Of the waveforms, in hertz.
        waveform_augmentation: What training does to waveforms; None for the strengths that are usual.
        feature_augmentation: What training does to features; None likewise.
        normalize_fn: From features [B, N, F] and counts [B] to what the encoder sees; `frontend` has two.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxtriplet.models import LSTM
        >>> from jaxtriplet.speech import SpeechEncoder
        >>> model = SpeechEncoder(LSTM(40, hidden=8, projection=4, embedding_dim=4, rngs=nnx.Rngs(0)))
        >>> model.embed(jnp.ones((2, 16000)), jnp.array([16000, 9000])).shape
        (2, 4)
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        sample_rate: int = 16_000,
        waveform_augmentation: WaveformAugmentation | None = None,
        feature_augmentation: FeatureAugmentation | None = None,
        normalize_fn: Callable[[jax.Array, jax.Array], jax.Array] = mean_normalize,
    ) -> None:
        """Puts the front end before the encoder; its weights are the encoder's own."""
        self.encoder = encoder
        self.sample_rate = sample_rate
        self.waveform_augmentation = waveform_augmentation or WaveformAugmentation()
        self.feature_augmentation = feature_augmentation or FeatureAugmentation()
        self.normalize_fn = normalize_fn

    def __call__(self, waveforms: jax.Array, lengths: jax.Array, *, keys: jax.Array | None = None) -> jax.Array:
        """Returns what the loss sees.

        Args:
            waveforms: Samples, [B, T].
            lengths: Number of valid samples of each row, [B].
            keys: One PRNG key per row, [B], for augmentation and dropout; None switches both off.

        Returns:
            [B, E] embeddings of length one, or [B, num_outputs] logits.
        """
        if keys is None:
            return self.encoder(*self.features(waveforms, lengths))
        of_waveform, of_features, of_encoder = padding.split_keys(keys, 3)
        changed = augment_waveforms(
            of_waveform,
            remove_offset(waveforms, lengths),
            lengths,
            self.waveform_augmentation,
            sample_rate=self.sample_rate,
        )
        features, counts = self.features(changed, lengths)
        return self.encoder(
            mask_features(of_features, features, counts, self.feature_augmentation), counts, keys=of_encoder
        )

    def embed(self, waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns unit-length embeddings for scoring, [B, E].

        Args:
            waveforms: Samples, [B, T].
            lengths: Number of valid samples of each row, [B].
        """
        return self.encoder.embed(*self.features(waveforms, lengths))

    def pooled(self, waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns what the encoder's last layer sees, for a back-end to be fitted on, [B, P].

        Args:
            waveforms: Samples, [B, T].
            lengths: Number of valid samples of each row, [B].
        """
        return self.encoder.pooled(*self.features(waveforms, lengths))

    def features(self, waveforms: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns what the encoder sees, [B, N, F], and the number of frames of each row, [B].

        Args:
            waveforms: Samples, [B, T].
            lengths: Number of valid samples of each row, [B].
        """
        level = normalize_level(waveforms, lengths)
        features, counts = log_mel(level, lengths, sample_rate=self.sample_rate, num_bands=self.encoder.in_features)
        return self.normalize_fn(features, counts), counts
