"""JapaneseVowels: nine men to train on, judged by other utterances of theirs."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet import parallel
from jaxtriplet.data import Utterances, japanese_vowels, sampler_of
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.source import Judged, Run, Source, weights_of, with_weights
from jaxtriplet.metrics import equal_error_rate, judge, pair_scores
from jaxtriplet.models import BLSTM, embed
from jaxtriplet.speech import Standardizer, augment
from jaxtriplet.training import Batch


class VowelsRun(NamedTuple):
    """An encoder of JapaneseVowels."""

    config: Config
    model: BLSTM
    standardizer: Standardizer

    def embed(self, features: ArrayLike, lengths: ArrayLike) -> np.ndarray:
        """Embeds utterances as they come from the data set.

        Args:
            features: Frames, [N, T, F], not standardised.
            lengths: Number of valid frames of each utterance, [N].

        Returns:
            Unit-length embeddings, [N, E].
        """
        return embed(self.model, self.standardizer(jnp.asarray(features), jnp.asarray(lengths)), lengths)

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save."""
        return {"encoder": weights_of(self.model), **self.standardizer._asdict()}


class JapaneseVowels(Source):
    """The utterances that ship inside sktime."""

    def __init__(self, config: Config, **nowhere: Any) -> None:
        """Reads the training utterances."""
        del nowhere  # there is no folder
        self.config, self._recorded = config, japanese_vowels("train")
        self.num_classes = len(np.unique(self._recorded.labels))
        strengths = config.augmentation
        self.augment_fn = partial(
            augment, noise=strengths.noise, offset=strengths.offset, crop=strengths.crop, warp=strengths.warp
        )

    @cached_property
    def _standardizer(self) -> Standardizer:
        return Standardizer.fit(jnp.asarray(self._recorded.features), jnp.asarray(self._recorded.lengths))

    @cached_property
    def _standardized(self) -> Utterances:
        features = self._standardizer(jnp.asarray(self._recorded.features), jnp.asarray(self._recorded.lengths))
        return self._recorded._replace(features=np.asarray(features))

    def build(self) -> BLSTM:
        """Returns the encoder, with fresh weights."""
        return _encoder(self.config, self._recorded.features.shape[2])

    def batches(self, shares: int) -> Callable[[int], Iterator[Batch]]:
        """Returns batches of standardised utterances: P x K of them, or as many shuffled or in thirds."""
        data, numbers = self._standardized, self.config.data
        sampler = sampler_of(
            self._recorded.labels,
            speakers=numbers.speakers,
            utterances=numbers.utterances,
            seed=self.config.training.seed,
            shuffled=numbers.batches == "shuffled",
            triplet_shares=shares if self.config.loss.in_thirds else None,
        )

        def from_step(begin: int) -> Iterator[Batch]:
            for step in range(begin, self.config.training.steps):
                rows = sampler[step]
                rows = rows[parallel.share_of(len(rows))]
                yield Batch(data.features[rows], data.labels[rows], data.lengths[rows])

        return from_step

    def rate(self, model: Any) -> float:
        """Returns the equal error rate of the training pairs."""
        data = self._standardized
        return equal_error_rate(*pair_scores(embed(model, data.features, data.lengths), data.labels))

    def run(self, model: Any) -> VowelsRun:
        """Returns the run of a trained encoder."""
        return VowelsRun(self.config, model, self._standardizer)

    def judge(self, run: Run) -> Judged:
        """Judges the embeddings of the 370 test utterances."""
        train, test = self._recorded, japanese_vowels("test")
        embedded = (run.embed(split.features, split.lengths) for split in (train, test))
        judgement = judge(next(embedded), train.labels, next(embedded), test.labels)
        names = [str(label + 1) for label in range(self.num_classes)]  # as the data set has published them
        return Judged(judgement, arrays={"speakers": np.array(names)[test.labels]}, page={"label_names": names})

    @classmethod
    def read(cls, config: Config, arrays: Mapping[str, Any]) -> VowelsRun:
        """Returns a run that was saved."""
        model = with_weights(_encoder(config, len(arrays["mean"])), arrays["encoder"])
        return VowelsRun(config, model, Standardizer(arrays["mean"], arrays["std"]))


def _encoder(config: Config, in_features: int) -> BLSTM:
    return BLSTM(
        in_features,
        hidden=config.encoder.hidden,
        embedding_dim=config.encoder.embedding_dim or 64,
        num_outputs=config.num_outputs,
        dropout=config.encoder.dropout,
        rngs=nnx.Rngs(config.training.seed),
    )
