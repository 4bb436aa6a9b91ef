"""An encoder of recordings: how a config builds it, and what it does when it is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet.data import Recordings
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.source import weights_of
from jaxtriplet.models import build, embed
from jaxtriplet.speech import (
    NORMALIZATIONS,
    FeatureAugmentation,
    SpeechEncoder,
    WaveformAugmentation,
    embed_recordings,
)


class SpeechRun(NamedTuple):
    """An encoder of recordings: waveforms in, embeddings out."""

    config: Config
    model: SpeechEncoder

    @property
    def sample_rate(self) -> int:
        """Of the waveforms, in hertz."""
        return self.config.data.sample_rate

    def embed(self, waveforms: ArrayLike, lengths: ArrayLike) -> np.ndarray:
        """Embeds waveforms at once, in one compiled function for each shape.

        Args:
            waveforms: Samples, [N, T].
            lengths: Number of valid samples of each, [N].

        Returns:
            Unit-length embeddings, [N, E].
        """
        return embed(self.model, np.asarray(waveforms, np.float32), lengths, batch_size=len(np.asarray(lengths)))

    def embed_recordings(self, index: Recordings, progress_fn: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Embeds recordings of any length.

        Args:
            index: The recordings.
            progress_fn: Called as `progress_fn(done, total)` after each batch.

        Returns:
            Unit-length embeddings in the order of the index, [N, E].
        """
        return embed_recordings(self.model, index, progress_fn=progress_fn)

    def forward(self, waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the embeddings, [N, E]: a pure function with the weights in it, for `jax.jit` and `jax.export`.

        Args:
            waveforms: Samples, [N, T] float32.
            lengths: Number of valid samples of each, [N] int32.
        """
        return nnx.merge(*nnx.split(self.model), copy=True).embed(waveforms, lengths)

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save."""
        return {"encoder": weights_of(self.model.encoder)}


def build_speech_encoder(config: Config) -> SpeechEncoder:
    """Returns the front end and encoder of a config, with fresh weights.

    Args:
        config: The config.

    Example:
        >>> build_speech_encoder(Config.of_recipe("best", embedding_dim=8)).encoder.embedding.out_features
        8
    """
    encoder = build(
        config.encoder.name,
        config.encoder.preset,
        config.encoder.bands,
        embedding_dim=config.encoder.embedding_dim,
        num_outputs=config.num_outputs,
        rngs=nnx.Rngs(config.training.seed),
    )
    asked, usual, highest = config.augmentation, WaveformAugmentation, config.data.sample_rate / 2
    waveform_augmentation = WaveformAugmentation(
        room=asked.room_share,
        channel=asked.channel_share,
        equalizer=asked.equalizer,
        noise=asked.noise_share,
        snr=(asked.lowest_snr, usual.snr[1]),
        gain=asked.gain_share,
        # Half the rate is the highest frequency that there is.
        high_cut=(min(usual.high_cut[0], highest), highest),
    )
    return SpeechEncoder(
        encoder,
        sample_rate=config.data.sample_rate,
        waveform_augmentation=waveform_augmentation,
        feature_augmentation=FeatureAugmentation(time_masks=asked.time_masks, band_masks=asked.band_masks),
        normalize_fn=NORMALIZATIONS[config.encoder.normalization],
    )
