"""Every number of training on recordings, and the named settings: each with its source or the reason for it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import jax
import optax

from jaxtriplet import _checks
from jaxtriplet.jobs.configs import option, parse_loss
from jaxtriplet.models import ENCODERS, PRESETS
from jaxtriplet.speech.augmentation import FeatureAugmentation, WaveformAugmentation
from jaxtriplet.speech.frontend import NORMALIZATIONS
from jaxtriplet.training import make_optimizer

OPTIMIZERS = ("adamw", "sgd")
HINGES = ("relu", "softplus")
_WAVEFORM, _FEATURE = WaveformAugmentation, FeatureAugmentation


@dataclasses.dataclass(frozen=True)
class SpeechConfig:
    """The numbers of one training run on recordings; each is also an option of `jaxtriplet train --data`."""

    recipe: str = option("best", "Named settings, which other options change; see the list below.")
    encoder: str = option("ecapa-tdnn", f"{', '.join(ENCODERS)}.")
    preset: str = option("small", "small (two CPU cores) or paper (as published).")
    embedding_dim: int | None = option(None, "Numbers in an embedding; else the preset's.", least=1)
    outputs: int = option(64, "Logits that kl-hinge compares; other losses have none.", least=2)
    sample_rate: int = option(16_000, "Hertz; recordings at another rate are resampled.", least=8000)
    bands: int = option(80, "Mel bands: what ECAPA-TDNN's paper and most since it take.", least=1)
    normalization: str = option("mean", "mean: each band loses its mean over the utterance; fixed: a constant.")
    loss: str = option("batch-all", "One of the losses, or a sum such as semi-hard+0.1*ge2e.")
    margin: float | None = option(0.2, "Gap to keep between speakers.", least=0)
    hinge: str = option("relu", "What batch-hard does with the margin: relu, or softplus (a soft margin).")
    optimizer: str = option("adamw", "adamw, under a rate that falls to 0 as a cosine; or sgd, halved in steps.")
    learning_rate: float = option(2e-3, "At first.", least=1e-9)
    warmup: int = option(50, "Updates over which the rate of adamw rises: fresh layers see large gradients.", least=0)
    halve_every: int = option(200, "Updates after which the rate of sgd is halved.", least=1)
    projection_scale: float = option(1.0, "Factor of an LSTM projection's gradient, for sgd.", least=0)
    loss_scale: float = option(1.0, "Factor of the gradient of GE2E's scale and bias, for sgd.", least=0)
    weight_decay: float = option(0.05, "AdamW's decay of weights: a few speakers are soon learnt by heart.", least=0)
    clip_norm: float = option(3.0, "Largest norm of the gradient, as in GE2E's paper.", least=1e-9)
    average_decay: float = option(0.99, "Average of weights: what an update keeps, at most.", least=0, most=0.9999)
    steps: int = option(1000, "Updates.", least=1)
    speakers: int = option(16, "Speakers in a batch, at most as many as there are.", least=2)
    utterances: int = option(4, "Crops of each, from different sessions first.", least=2)
    seconds: str = option("2,3", "Lengths of the crops, one drawn for each batch; each compiles once.")
    speeds: str = option("1", "Speeds such as 1,0.9,1.1; each but 1 makes every speaker another one.")
    room_share: float = option(_WAVEFORM.room, "Crops that are played in a random room.", least=0, most=1)
    channel_share: float = option(_WAVEFORM.channel, "Crops that pass a random microphone and line.", least=0, most=1)
    equalizer: float = option(_WAVEFORM.equalizer, "Spread of that line's gain in an octave, dB.", least=0)
    noise_share: float = option(_WAVEFORM.noise, "Crops with noise.", least=0, most=1)
    lowest_snr: float = option(_WAVEFORM.snr[0], "Signal-to-noise ratio at worst, dB.", least=-20, most=39)
    gain_share: float = option(_WAVEFORM.gain, "Crops that are made louder or quieter.", least=0, most=1)
    time_masks: int = option(_FEATURE.time_masks, "Runs of frames that are hidden in a crop.", least=0)
    band_masks: int = option(_FEATURE.band_masks, "Runs of mel bands that are hidden in a crop.", least=0)
    micro_batch: int | None = option(None, "Rows to encode at a time, to save memory; else all.", least=1)
    evaluate_every: int = option(100, "Updates between equal error rates of the development pairs.", least=1)
    evaluate_on: int = option(40, "Recordings of each development speaker that these are of.", least=2)
    seed: int = option(0, "Of everything random: the same seed gives the same run.", least=0)

    def __post_init__(self) -> None:
        """Checks the words."""
        _checks.option("recipe", self.recipe, RECIPES)
        _checks.option("encoder", self.encoder, ENCODERS)
        _checks.option("preset", self.preset, PRESETS[self.encoder])
        _checks.option("optimizer", self.optimizer, OPTIMIZERS)
        _checks.option("hinge", self.hinge, HINGES)
        _checks.option("normalization", self.normalization, NORMALIZATIONS)
        if self.hinge != "relu" and "batch-hard" not in self.weights:
            raise ValueError(f"hinge {self.hinge} is batch-hard's; the loss is {self.loss}")
        _ = self.weights, self.crop_seconds, self.speed_factors

    @classmethod
    def of_recipe(cls, recipe: str = "best", **numbers: Any) -> Self:
        """Returns the settings of a recipe.

        Args:
            recipe: Its name.
            **numbers: What is to be otherwise.

        Raises:
            ValueError: There is no such recipe, or a word does not fit.

        Example:
            >>> SpeechConfig.of_recipe("ge2e", steps=10).learning_rate
            0.01
        """
        _checks.option("recipe", recipe, RECIPES)
        return cls(**{**RECIPES[recipe], "recipe": recipe, **numbers})

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss."""
        return parse_loss(self.loss)

    @property
    def crop_seconds(self) -> tuple[float, ...]:
        """Lengths of the crops."""
        return _numbers("seconds", self.seconds)

    @property
    def speed_factors(self) -> tuple[float, ...]:
        """Speeds of the crops."""
        return _numbers("speeds", self.speeds)

    @property
    def waveform_augmentation(self) -> WaveformAugmentation:
        """What training does to waveforms."""
        return WaveformAugmentation(
            room=self.room_share,
            channel=self.channel_share,
            equalizer=self.equalizer,
            noise=self.noise_share,
            snr=(self.lowest_snr, _WAVEFORM.snr[1]),
            gain=self.gain_share,
            # Half the rate is the highest frequency that there is.
            high_cut=(min(_WAVEFORM.high_cut[0], self.sample_rate / 2), self.sample_rate / 2),
        )

    @property
    def feature_augmentation(self) -> FeatureAugmentation:
        """What training does to features."""
        return FeatureAugmentation(time_masks=self.time_masks, band_masks=self.band_masks)


def optimizer_of(config: SpeechConfig) -> optax.GradientTransformation:
    """Returns the optimizer of a config, of gradients `{"encoder": ..., "loss": ...}`.

    Args:
        config: The numbers.

    Returns:
        AdamW under a rate that rises, then falls to 0; or plain gradient descent under one that is halved in steps,
        with clipped gradients of which some parts are then scaled.

    Example:
        >>> optimizer_of(SpeechConfig.of_recipe("ge2e")).init({"encoder": {}, "loss": {}}) is not None
        True
    """
    if config.optimizer == "adamw":
        warmup = min(config.warmup, config.steps // 2)
        rate = optax.warmup_cosine_decay_schedule(
            config.learning_rate / (warmup + 1), config.learning_rate, warmup, config.steps
        )
        return make_optimizer(rate, weight_decay=config.weight_decay, clip_norm=config.clip_norm)
    halved = optax.exponential_decay(config.learning_rate, config.halve_every, 0.5, staircase=True)
    scales = {"loss": config.loss_scale, "projection": config.projection_scale, "encoder": 1.0}
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.multi_transform(
            {part: optax.chain(optax.scale(scale), optax.sgd(halved)) for part, scale in scales.items()}, _parts
        ),
    )


def _parts(params: Any) -> Any:
    """Returns "loss", "projection" or "encoder" in the place of every array."""

    def part(path: tuple[Any, ...], _: Any) -> str:
        names = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        return next((name for name in ("loss", "projection") if name in names), "encoder")

    return jax.tree_util.tree_map_with_path(part, params)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = (0.0,)
    if not all(0 < number < float("inf") for number in numbers):
        raise ValueError(f"{name} must be numbers above 0, joined by commas; got {text!r}")
    return numbers


RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Li et al., "Deep Speaker: an end-to-end neural speaker embedding system", 2017.
    "deep-speaker": {
        "loss": "deep-speaker",  # triplets that are drawn, not mined
        "margin": 0.1,  # there, and in Deep Speaker (Keras)
        "bands": 64,  # there
        "embedding_dim": 512,  # there
        "speakers": 16,  # ours: a third of 16 x 6 rows are 32 triplets
        "utterances": 6,
    },
    # Schroff, Kalenichenko and Philbin, "FaceNet", 2015.
    "facenet": {
        "loss": "semi-hard",  # "semi-hard negative exemplars", every anchor-positive pair
        "margin": 0.2,  # there, of squared distances
        "embedding_dim": 128,  # there
        "speakers": 8,  # ours: there, some 45 identities
        "utterances": 12,  # ours: there, around 40 exemplars of each; what mines needs many positives
    },
    # Hermans, Beyer and Leibe, "In defense of the triplet loss for person re-identification", 2017.
    "batch-hard": {
        "loss": "batch-hard",
        "hinge": "softplus",  # there: the soft margin, which did best
        "margin": 0.0,  # a soft margin has none
        "learning_rate": 3e-4,  # there, of Adam
        "embedding_dim": 128,  # there
        "speakers": 18,  # there
        "utterances": 4,  # there
    },
    # Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker verification", 2018.
    "ge2e": {
        "loss": "ge2e",
        "margin": None,  # it has none; its scale and bias start at 10 and -5, as there
        "encoder": "lstm",  # there; --preset paper gives its size: 3 layers of 768 cells, projected to 256
        "bands": 40,  # there
        "optimizer": "sgd",  # there
        "learning_rate": 0.01,  # there
        "halve_every": 400,  # ours: there every 30 million updates, of a run that is as much longer
        "clip_norm": 3.0,  # there
        "projection_scale": 0.5,  # there
        "loss_scale": 0.01,  # there
        "speakers": 64,  # there
        "utterances": 10,  # there
        "seconds": "1.4,1.6,1.8",  # there: 140 to 180 frames, one length for a batch
    },
    # Lukic, Vogt, Dürr and Stadelmann, "Learning embeddings for speaker clustering based on voice equality", 2017;
    # Stadelmann et al., "Capturing suprasegmental features of a voice with RNNs", 2018.
    "voice-equality": {
        "loss": "kl-hinge",
        "margin": 1.0,  # the siamese KL-divergence net (Keras)
        "encoder": "blstm",  # the second paper's
        "outputs": 100,  # as many as speakers in the second paper
        "seconds": "1",  # ours: theirs are shorter, and the mean is taken over the pieces of an utterance
        "speakers": 16,  # ours
        "utterances": 4,
    },
    # Ours: for a few dozen speakers, each at one microphone. Chosen on 27 speakers of recorded prompts, those of one
    # package being judged by encoders that were trained on the others.
    "best": {
        "loss": "semi-hard",  # on a par with batch-all, and before the others, mined or not
        "margin": 0.4,  # of squared distances; 0.2 was no better
        "encoder": "tdnn",  # one layer: deeper ones and ECAPA-TDNN did no better, and took five times as long
        "normalization": "fixed",  # without the mean spectrum, errors were half as many again
        "room_share": 0.0,  # where a speaker keeps a microphone, what hides it did not help, and noise did harm
        "channel_share": 0.0,
        "noise_share": 0.0,
        "gain_share": 0.0,  # the level is normalised
        "time_masks": 0,  # no better with masks
        "band_masks": 0,
        "seconds": "2",  # 3 was no better
        "steps": 400,  # 800 were no better
        "speakers": 12,
        "warmup": 20,  # a twentieth of the updates
    },
}
"""What each recipe sets; everything else is as in `SpeechConfig`."""
