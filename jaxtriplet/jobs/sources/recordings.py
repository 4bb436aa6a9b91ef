"""A folder of recordings to train on, judged by speakers who were not trained on, if there are such."""

import hashlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxtriplet import models, parallel, speech
from jaxtriplet.data import Crops, Problem, Recordings, load, recordings, require_pairs, split_by_speaker
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.listening import name_problems, progress
from jaxtriplet.jobs.sources.fitting import COHORT, Known, fitted, hear, left_out, spread
from jaxtriplet.jobs.sources.source import Judged, Source, with_weights
from jaxtriplet.jobs.sources.speech_run import SpeechRun as SpeechRun, layer_of, read_backend
from jaxtriplet.metrics import equal_error_rate, equal_error_threshold, judge_unseen, pair_scores
from jaxtriplet.pages.stages import stage_pictures
from jaxtriplet.training import Batch

SHOWN = 3.0  # seconds of a recording, in the pictures of what training does to it
MAX_FITTED = 20_000  # recordings tell a covariance well, and their rows fill some hundred megabytes at each speed
MAX_JUDGED = 2000  # recordings have two million pairs, which take a second; more say no more


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
            try:
                self.train, self.dev = split_by_speaker(self.train, dev_fraction)
            except ValueError as error:
                raise ValueError(f"{error}{_instead(len(self.train.speakers), dev_fraction)}") from None
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
        self._quiet = quiet

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
        """Returns the equal error rate of the development pairs; a back-end is fitted on some of the recordings."""
        if self.dev is None:
            return None
        run, _ = self._fitted(model, _some(self.train, self.config.judging.evaluate_on))
        scores = pair_scores(run.rows(self._judged), self._judged.labels, backend=run.backend)
        return equal_error_rate(*scores)

    def run(self, model: Any) -> SpeechRun:
        """Returns the run of a trained encoder, with its back-end and a cohort."""
        try:
            run, self._known = self._fitted(model, self._fit_on())
        except ValueError as error:
            remedy = (
                'the encoder is trained; to keep it, go on with `resume=True` and another `backend`, such as "none"'
            )
            raise ValueError(f"no back-end can be fitted: {error}; {remedy}") from error
        if self._known is not None:
            return run
        index = _spread(self.train, max(2, COHORT // len(self.train.speakers)))
        with progress("cohort", quiet=self._quiet) as show:
            return run._replace(cohort=run.rows(index.take(spread(len(index), COHORT)), show))

    def _fit_on(self) -> Recordings:
        most = max(2, MAX_FITTED // len(self.train.speakers))
        return _spread(self.train, min(self.config.backend.backend_each, most))

    def _fitted(self, model: speech.SpeechEncoder, index: Recordings) -> tuple[SpeechRun, Known | None]:
        """Returns the run of an encoder and, if it has a back-end, what that was fitted on: some recordings."""
        numbers, run = self.config.backend, SpeechRun(self.config, model, layer_of(self.config))
        if numbers.name == "none":
            return run, None
        with progress("back-end", quiet=self._quiet) as show:
            known = hear(run, index, numbers.speed_factors, show)
        return fitted(run, numbers.name, known), known

    def judge(self, run: Any) -> Judged:
        """Judges the embeddings of development speakers; without these, of training speakers."""
        index = self._judged
        rate = self.config.data.sample_rate
        first = index.sound(0).read(rate, count=round(SHOWN * rate))
        rows, figures, threshold = run.rows(index), dict[str, float](), None
        if run.backend is not None:
            scored = None if self.dev is None else pair_scores(rows, index.labels, backend=run.backend)
            known = self._known if self.dev is None else None
            if known is not None and (found := left_out(run, known)) is not None:
                threshold, scored = equal_error_threshold(found.cosines, found.same), (found.scores, found.same)
            if scored is not None:  # of those on whom it was fitted, its scores say nothing
                figures = {
                    "backend_equal_error_rate": equal_error_rate(*scored),
                    "backend_threshold": equal_error_threshold(*scored),
                }
        judgement = judge_unseen(run.embedded(rows), index.labels, judged=self.watched, threshold=threshold)
        untrained = self._fitted(self.build(), self._fit_on())[0].embed_recordings(index)
        figures["untrained_equal_error_rate"] = equal_error_rate(*pair_scores(untrained, index.labels))
        return Judged(
            judgement,
            arrays={"paths": index.paths, "speakers": np.array(index.speakers)[index.labels]},
            figures=figures,
            page={"label_names": index.speakers, "untrained": untrained, "more": [stage_pictures(run.model, first)]},
        )

    @classmethod
    def read(cls, config: Config, arrays: Mapping[str, Any]) -> SpeechRun:
        """Returns a run that was saved."""
        model, kind = build_speech_encoder(config), config.backend.name
        with_weights(model.encoder, arrays["encoder"])
        run = SpeechRun(config, model, cohort=arrays.get("cohort"))
        if kind == "none":
            return run
        layer, last = layer_of(config), model.encoder.embedding
        dim = last.in_features if layer == "pooled" else last.out_features
        return run._replace(layer=layer, backend=read_backend(kind, arrays["backend"], dim))

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


def _instead(speakers: int, fraction: float) -> str:
    """Returns which share of the speakers to hold out instead: the least that leaves two on each side, or the most.

    >>> _instead(6, 0.2), _instead(6, 0.9)
    (': give `dev_fraction=0.34`', ': give `dev_fraction=0.66`')
    """
    if speakers < 4:
        return ": name a folder of other speakers, `dev`, or train on all without `dev_fraction`"
    share = math.ceil(200 / speakers) if fraction < 0.5 else 100 - math.ceil(200 / speakers)
    return f": give `dev_fraction={share / 100}`"


def _some(index: Recordings, each: int) -> Recordings:
    """Returns some recordings of each speaker, no more than can be judged."""
    return _spread(index, min(each, max(2, MAX_JUDGED // len(index.speakers))))


def _spread(index: Recordings, each: int) -> Recordings:
    """Returns some recordings of each speaker, from all over the order of the paths and so of the sessions."""
    rows = [np.flatnonzero(index.labels == label) for label in range(len(index.speakers))]
    return index.take(np.concatenate([own[spread(len(own), each)] for own in rows]))
