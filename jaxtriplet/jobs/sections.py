"""The sections of a config, with the default of each number, its bounds and the reason for it."""

import dataclasses
from functools import partial
from typing import Annotated

from jaxtriplet.jobs.fields import described, elsewhere
from jaxtriplet.jobs.objective import losses_of, positive
from jaxtriplet.jobs.sources import SOURCES

_waves = partial(described, only="recordings")
_vowels = partial(described, only="japanese-vowels")
_frames = partial(elsewhere, "jaxtriplet.speech:Augmentation")
_sound = partial(elsewhere, "jaxtriplet.speech:WaveformAugmentation")
_masks = partial(elsewhere, "jaxtriplet.speech:FeatureAugmentation")
_ENCODERS, _PRESETS = "jaxtriplet.models:ENCODERS", "jaxtriplet.models:preset_names"
_NORMALIZATIONS = "jaxtriplet.speech:NORMALIZATIONS"
_HINGES, _OPTIMIZERS = ("relu", "softplus"), ("adamw", "sgd")
_BATCHES, _MARGINS = ("balanced", "shuffled"), ("none", "linear", "exponential")
BACKENDS, LAYERS = ("none", "centered", "wccn", "lda", "plda"), ("pooled", "embedding")
_of_margin, _of_tuning = partial(described, needs="margin_schedule"), partial(described, needs="fine_tune")
_of_backend = partial(described, needs="backend", only="recordings")


@dataclasses.dataclass(frozen=True)
class Data:
    """What a batch is made of."""

    source: Annotated[str, described("Where data come from.", choices=SOURCES, option=False)] = "recordings"
    speakers: Annotated[int, described("Speakers in a batch, at most as many as there are.", ge=2)] = 16
    utterances: Annotated[int, described("Utterances (crops) of each, from different sessions first.", ge=2)] = 4
    batches: Annotated[str, described("shuffled: as many rows, each once an epoch.", choices=_BATCHES)] = "balanced"
    sample_rate: Annotated[int, _waves("Hertz; recordings at another rate are resampled.", ge=8000)] = 16_000
    seconds: Annotated[str, _waves("Lengths of the crops, one drawn for each batch; each compiles once.")] = "2,3"
    speeds: Annotated[str, _waves("Speeds such as 1,0.9,1.1; each but 1 makes every speaker another one.")] = "1"

    @property
    def crop_seconds(self) -> tuple[float, ...]:
        """Lengths of the crops."""
        return _numbers("seconds", self.seconds)

    @property
    def speed_factors(self) -> tuple[float, ...]:
        """Speeds of the crops."""
        return _numbers("speeds", self.speeds)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The network."""

    name: Annotated[str, _waves("The network.", choices=_ENCODERS)] = "ecapa-tdnn"
    preset: Annotated[
        str, _waves("small, wide (both for two CPU cores) or paper (as published).", choices=_PRESETS)
    ] = "small"
    embedding_dim: Annotated[int, described("Numbers in an embedding; else the preset's.", ge=1)] | None = None
    outputs: Annotated[int, described("Logits that losses of logits compare, such as kl-hinge.", ge=2)] = 64
    hidden: Annotated[int, _vowels("Cells of each LSTM direction; 270 utterances do not feed many more.", ge=1)] = 64
    dropout: Annotated[float, _vowels("Share of cells dropped in training.", ge=0, le=0.99)] = 0.2
    bands: Annotated[int, _waves("Mel bands: what ECAPA-TDNN's paper and most since it take.", ge=1)] = 80
    normalization: Annotated[
        str, _waves("mean: each band loses its mean over the utterance; fixed: a constant.", choices=_NORMALIZATIONS)
    ] = "mean"


@dataclasses.dataclass(frozen=True)
class Loss:
    """What is minimised."""

    name: Annotated[
        str,
        described(
            "A loss, or a sum such as aam-softmax:0.2+0.1*ge2e, 0.2 being a margin.",
            hints="jaxtriplet.losses.registry:trainable",
        ),
    ] = "batch-all"
    margin: (
        Annotated[
            float, described("Gap to keep between speakers, of aam-softmax in radians; else the loss's own.", ge=0)
        ]
        | None
    ) = 0.2
    temperature: (
        Annotated[float, described("What losses of softmax divide by, nt-xent say; else the loss's own.", ge=1e-9)]
        | None
    ) = None
    scale: (
        Annotated[float, described("What circle, nca and others multiply by; else the loss's own.", ge=1e-9)] | None
    ) = None
    hinge: Annotated[str, described("Of losses that take one: relu, or softplus (soft).", choices=_HINGES)] = "relu"
    centers: Annotated[int, described("Class weights of each class; else the loss's own number.", ge=1)] | None = None
    class_sample: (
        Annotated[int, described("Classes that an update compares with, at least as many as rows; else all.", ge=1)]
        | None
    ) = None
    margin_schedule: Annotated[str, described("How the margin to class weights grows from 0.", choices=_MARGINS)] = (
        "none"
    )
    margin_begin: Annotated[int, _of_margin("Updates before it begins to.", ge=0)] = 0
    margin_end: Annotated[int, _of_margin("Updates after which it is whole.", ge=0)] = 0
    memory: Annotated[int, described("Rows of earlier batches that each batch meets too; 0: none.", ge=0)] = 0

    @property
    def in_thirds(self) -> bool:
        """Whether its rows are anchors, positives and negatives, and not a batch of speakers."""
        return losses_of(self.name)[0].rows == "thirds"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How it is minimised."""

    name: Annotated[
        str, described("adamw, under a rate that falls to 0 as a cosine; or sgd, halved in steps.", choices=_OPTIMIZERS)
    ] = "adamw"
    learning_rate: Annotated[float, described("At first.", ge=1e-9)] = 2e-3
    warmup: Annotated[
        int, described("Updates over which the rate of adamw rises: early gradients are large.", ge=0)
    ] = 50
    halve_every: Annotated[int, described("Updates after which the rate of sgd is halved.", ge=1)] = 200
    projection_scale: Annotated[float, described("Factor of an LSTM projection's gradient, for sgd.", ge=0)] = 1.0
    loss_scale: Annotated[float, described("Factor of the gradient of GE2E's scale and bias, for sgd.", ge=0)] = 1.0
    weight_decay: Annotated[float, described("Of adamw: a few speakers are soon learnt by heart.", ge=0)] = 0.05
    class_rate: Annotated[float, described("Factor of the rate of class weights.", ge=0)] = 1.0
    class_decay: (
        Annotated[float, described("Weight decay of class weights; else that of adamw, and none of sgd.", ge=0)] | None
    ) = None
    clip_norm: Annotated[float, described("Largest norm of the gradient, as in GE2E's paper.", ge=1e-9)] = 3.0


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What training does to an utterance: to the frames of JapaneseVowels, or to recordings."""

    noise: Annotated[float, _vowels("Gaussian noise on each standardised cepstrum (sd).", ge=0)] = _frames("noise")
    offset: Annotated[float, _vowels("Constant added to an utterance's cepstra: its channel.", ge=0)] = _frames(
        "offset"
    )
    crop: Annotated[float, _vowels("Most that is cut off an utterance.", ge=0, le=0.9)] = _frames("crop")
    warp: Annotated[float, _vowels("Most by which its tempo is changed.", ge=0, le=0.9)] = _frames("warp")
    room_share: Annotated[float, _waves("Crops that are played in a random room.", ge=0, le=1)] = _sound("room")
    channel_share: Annotated[float, _waves("Crops through a random microphone.", ge=0, le=1)] = _sound("channel")
    equalizer: Annotated[float, _waves("Spread of its gain in an octave, dB.", ge=0)] = _sound("equalizer")
    noise_share: Annotated[float, _waves("Crops with noise.", ge=0, le=1)] = _sound("noise")
    lowest_snr: Annotated[float, _waves("Signal-to-noise ratio at worst, dB.", ge=-20, le=39)] = _sound("snr", min)
    gain_share: Annotated[float, _waves("Crops that are made louder or quieter.", ge=0, le=1)] = _sound("gain")
    time_masks: Annotated[int, _waves("Runs of frames that are hidden in a crop.", ge=0)] = _masks("time_masks")
    band_masks: Annotated[int, _waves("Runs of mel bands that are hidden in a crop.", ge=0)] = _masks("band_masks")


@dataclasses.dataclass(frozen=True)
class Training:
    """The updates."""

    steps: Annotated[int, described("Updates.", ge=1)] = 1000
    average_decay: Annotated[float, described("What an update keeps of the average of weights.", ge=0, le=0.9999)] = (
        0.99
    )
    micro_batch: Annotated[int, described("Rows to encode at a time, to save memory; else all.", ge=1)] | None = None
    seed: Annotated[int, described("Of everything random: the same seed gives the same run.", ge=0, le=2**32 - 1)] = 0


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """The last updates, at another margin and a low rate, of longer crops at speed 1.

    Thienpondt, Desplanques and Demuynck, "The IDLAB VoxSRC-20 submission: large margin fine-tuning and quality-aware
    score calibration", 2021.
    """

    fine_tune: Annotated[int, described("How many of the last updates fine-tune, at speed 1; 0: none.", ge=0)] = 0
    fine_tune_rate: (
        Annotated[float, _of_tuning("Their rate at first; else a hundredth of the usual.", ge=1e-9)] | None
    ) = None
    fine_tune_margin: Annotated[float, _of_tuning("Their margin to class weights; else the same.", ge=0)] | None = None
    fine_tune_seconds: (
        Annotated[str, _of_tuning("Their lengths of crops; else the same.", only="recordings")] | None
    ) = None

    @property
    def crop_seconds(self) -> tuple[float, ...]:
        """Lengths of the crops; none for those before."""
        return () if self.fine_tune_seconds is None else _numbers("fine_tune_seconds", self.fine_tune_seconds)


@dataclasses.dataclass(frozen=True)
class Backend:
    """What is fitted, in closed form, on the training recordings when training is over; see `metrics.backends`."""

    name: Annotated[
        str, _waves("How recordings are compared; none: by the cosine of embeddings.", choices=BACKENDS)
    ] = "none"
    backend_layer: Annotated[str, _of_backend("pooled: the statistics that the last layer sees.", choices=LAYERS)] = (
        "pooled"
    )
    backend_within: Annotated[
        float, _of_backend("Share of the isotropic matrix in the covariance within speakers.", ge=0, le=1)
    ] = 0.1
    backend_between: Annotated[
        float, _of_backend("Likewise between speakers, of plda: few speakers fill few directions.", ge=0, le=1)
    ] = 0.6
    backend_each: Annotated[int, _of_backend("Recordings of each speaker to fit it on; all in all 20,000.", ge=2)] = 200
    backend_speeds: Annotated[
        str, _of_backend("Speeds of these, such as 1,0.9,1.1; each makes every speaker another one.")
    ] = "1"

    @property
    def speed_factors(self) -> tuple[float, ...]:
        """Speeds of the recordings that it is fitted on."""
        return _numbers("backend_speeds", self.backend_speeds)


@dataclasses.dataclass(frozen=True)
class Judging:
    """When the encoder is judged on the way, and on what."""

    evaluate_every: Annotated[int, described("Updates between equal error rates on the way.", ge=1)] = 100
    evaluate_on: Annotated[int, _waves("Recordings of each development speaker that these are of.", ge=2)] = 40


def _numbers(name: str, text: str) -> tuple[float, ...]:
    says = f"`{name}` must be numbers above 0, joined by commas; got {text!r}"
    return tuple(positive(word, says) for word in text.split(","))
