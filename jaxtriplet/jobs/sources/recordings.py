"""A folder of recordings to train on, judged by speakers who were not trained on, if there are such."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet import models, parallel, speech
from jaxtriplet.data import Crops, Problem, Recordings, load, recordings, require_pairs, split_by_speaker
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.listening import name_problems, progress
from jaxtriplet.jobs.sources.source import Judged, Run, Source, weights_of, with_weights
from jaxtriplet.metrics import equal_error_rate, judge_unseen, pair_scores
from jaxtriplet.pages.stages import stage_pictures
from jaxtriplet.training import Batch

SHOWN = 3.0  # seconds of a recording, in the pictures of what training does to it
MAX_JUDGED = 2000  # recordings have two million pairs, which take a second; more say no more


class SpeechRun(NamedTuple):
    """An encoder of recordings: waveforms in, embeddings out."""

    config: Config
    model: speech.SpeechEncoder

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
        return models.embed(self.model, np.asarray(waveforms, np.float32), lengths, batch_size=len(np.asarray(lengths)))

    def embed_recordings(self, index: Recordings, progress_fn: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Embeds recordings of any length.

        Args:
            index: The recordings.
            progress_fn: Called as `progress_fn(done, total)` after each batch.

        Returns:
            Unit-length embeddings in the order of the index, [N, E].
        """
        return speech.embed_recordings(self.model, index, progress_fn=progress_fn)

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


class FolderOfRecordings(Source):
    """Recordings of speakers in a folder, and of others to develop on."""

    needs_data: ClassVar[bool] = True

    def __init__(
        self,
        config: Config,
        *,
        data: Path,
        dev: Path | None = None,
        dev_fraction: float | None = None,
        allow_outside: bool = False,
        quiet: bool,
    ) -> None:
        """Reads what the folders hold."""
        if dev is not None and dev_fraction is not None:
            raise ValueError("`dev` names the development speakers, `dev_fraction` draws them: give one of them")
        self.train, self.dev = _listen(data, "recordings", allow_outside, quiet=quiet), None
        self._problems: tuple[Problem, ...] = self.train.problems
        if dev is not None:
            self.dev = _listen(dev, "development", allow_outside, quiet=quiet)
            self._problems += self.dev.problems
            if both := sorted({*self.train.speakers} & {*self.dev.speakers}):
                raise ValueError(f"speakers to develop on must be others than those to train on; in both: {both[0]}")
        elif dev_fraction is not None:
            self.train, self.dev = split_by_speaker(self.train, dev_fraction)
        for index in (self.train, self.dev):
            if index is not None:
                require_pairs(index)
        numbers, several = config.data, int(np.sum(np.bincount(self.train.labels) > 1))
        self._asked, self.num_classes = numbers.speakers, len(self.train.speakers) * len(numbers.speed_factors)
        if numbers.batches == "balanced":
            several *= 1 if config.fine_tuning.fine_tune else len(numbers.speed_factors)  # it does without the others
            config = config.replace(speakers=max(2, min(self._asked, several)))
        self.config = config
        self.watched = "training" if self.dev is None else "development"
        self._judged = _some(self.train if self.dev is None else self.dev, config.judging.evaluate_on)

    def build(self) -> speech.SpeechEncoder:
        """Returns front end and encoder, with fresh weights."""
        return build_speech_encoder(self.config)

    def crops(self, shares: int) -> Crops:
        """Returns the batches by number.

        Args:
            shares: How many devices share a batch.
        """
        data = self.config.data
        return Crops(
            self.train,
            speakers=data.speakers,
            utterances=data.utterances,
            seed=self.config.training.seed,
            seconds=data.crop_seconds,
            speeds=data.speed_factors,
            sample_rate=data.sample_rate,
            triplet_shares=shares if self.config.loss.in_thirds else None,
            shuffled=data.batches == "shuffled",
            tuned_from=self.config.tuned_from,
            tuned_seconds=self.config.fine_tuning.crop_seconds,
            share=parallel.share_of(self.config.num_rows),
        )

    def batches(self, shares: int) -> Callable[[int], Iterator[Batch]]:
        """Returns batches of crops."""
        crops = self.crops(shares)

        def from_step(begin: int) -> Iterator[Batch]:
            loader = load(crops)
            loader.set_state({"next_index": begin})
            for waveforms, lengths, labels in loader:
                yield Batch(*map(jnp.asarray, (waveforms, labels, lengths)))

        return from_step

    def rate(self, model: Any) -> float | None:
        """Returns the equal error rate of the development pairs."""
        if self.dev is None:
            return None
        return equal_error_rate(*pair_scores(speech.embed_recordings(model, self._judged), self._judged.labels))

    def run(self, model: Any) -> SpeechRun:
        """Returns the run of a trained encoder."""
        return SpeechRun(self.config, model)

    def judge(self, run: Run) -> Judged:
        """Judges the embeddings of development speakers; without these, of training speakers."""
        index = self._judged
        rate = self.config.data.sample_rate
        first = index.sound(0).read(rate, count=round(SHOWN * rate))
        return Judged(
            judge_unseen(speech.embed_recordings(run.model, index), index.labels, judged=self.watched),
            arrays={"paths": index.paths},
            page={
                "label_names": index.speakers,
                "untrained": speech.embed_recordings(self.build(), index),
                "more": [stage_pictures(run.model, first)],
            },
        )

    @classmethod
    def read(cls, config: Config, arrays: Mapping[str, Any]) -> SpeechRun:
        """Returns a run that was saved."""
        model = build_speech_encoder(config)
        with_weights(model.encoder, arrays["encoder"])
        return SpeechRun(config, model)

    def content(self) -> dict[str, Any]:
        """Returns who speaks in how many recordings, and what is left out: no path but those inside the folders."""

        def of(index: Recordings) -> dict[str, Any]:
            listing = "\n".join(f"{name} {frames}" for name, frames in zip(index.names, index.frames, strict=True))
            return {
                "speakers": list(index.speakers),
                "recordings": len(index),
                "hours": round(float(index.seconds.sum()) / 3600, 3),
                "sha256": hashlib.sha256(listing.encode()).hexdigest(),
            }

        left_out = [problem._asdict() for problem in self._problems]
        development = None if self.dev is None else of(self.dev)
        return {"training": of(self.train), "development": development, "left_out": left_out}

    def report(self) -> None:
        """Says what is left out, and what a batch is made of if not of what was asked for."""
        name_problems(self._problems, len(self.train) + (0 if self.dev is None else len(self.dev)))
        if (given := self.config.data.speakers) < self._asked:
            words = f"{given} speakers in a batch, not {self._asked}: no more have two recordings"
            print(f"jaxtriplet: {words}", file=sys.stderr)


def build_speech_encoder(config: Config) -> speech.SpeechEncoder:
    """Returns the front end and encoder of a config, with fresh weights.

    Args:
        config: The config.

    Example:
        >>> build_speech_encoder(Config.of_recipe("best", embedding_dim=8)).encoder.embedding.out_features
        8
    """
    encoder = models.build(
        config.encoder.name,
        config.encoder.preset,
        config.encoder.bands,
        embedding_dim=config.encoder.embedding_dim,
        num_outputs=config.num_outputs,
        rngs=nnx.Rngs(config.training.seed),
    )
    asked, usual, highest = config.augmentation, speech.WaveformAugmentation, config.data.sample_rate / 2
    waveform_augmentation = speech.WaveformAugmentation(
        room=asked.room_share,
        channel=asked.channel_share,
        equalizer=asked.equalizer,
        noise=asked.noise_share,
        snr=(asked.lowest_snr, usual.snr[1]),
        gain=asked.gain_share,
        # Half the rate is the highest frequency that there is.
        high_cut=(min(usual.high_cut[0], highest), highest),
    )
    return speech.SpeechEncoder(
        encoder,
        sample_rate=config.data.sample_rate,
        waveform_augmentation=waveform_augmentation,
        feature_augmentation=speech.FeatureAugmentation(time_masks=asked.time_masks, band_masks=asked.band_masks),
        normalize_fn=speech.NORMALIZATIONS[config.encoder.normalization],
    )


def _listen(folder: Path, words: str, allow_outside: bool, *, quiet: bool) -> Recordings:
    with progress(words, quiet=quiet) as show:
        return recordings(folder, allow_outside=allow_outside, progress_fn=show)


def _some(index: Recordings, each: int) -> Recordings:
    """Returns some recordings of each speaker, from all over the order of the paths and so of the sessions."""
    each = min(each, max(2, MAX_JUDGED // len(index.speakers)))
    rows = [np.flatnonzero(index.labels == label) for label in range(len(index.speakers))]
    spread = [own[np.unique(np.linspace(0, len(own) - 1, each).astype(int))] for own in rows]
    return index.take(np.concatenate(spread))
