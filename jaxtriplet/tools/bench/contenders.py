"""Who takes part, where each differs from us in meaning, and who is installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtriplet.tools import losses
from jaxtriplet.tools.bench import textbook, with_jax, with_torch
from jaxtriplet.tools.installed import installed_version

_JAX, _TORCH = Path(with_jax.__file__), Path(with_torch.__file__)


@dataclass(frozen=True)
class Contender:
    """One library, or one formula, that can compute the losses."""

    name: str
    module: Path
    """The file whose `prepare` builds what is called."""
    distributions: tuple[str, ...]
    """What pip has to have installed."""
    notes: Mapping[str, str]
    """What it computes, by loss; under "" what holds for all losses."""
    losses: tuple[str, ...] | None = None
    """What it can compute, by names on the command line; None: every loss of this library."""
    same_value: tuple[str, ...] | None = None
    """The losses that mean exactly what ours mean; None: all that it can compute."""
    option: str | None = None
    """The keyword without which this library's losses cannot take part; what others compute is the same."""
    processor: bool = True
    """Whether it is of interest on a processor, too."""

    @property
    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        return [name for name in self.distributions if installed_version(name) is None]

    def computes(self, loss: str) -> bool:
        """Returns whether it takes part in the race of a loss."""
        has_it = self.option is None or self.option in losses.find(loss).signature.parameters
        return has_it and (self.losses is None or loss in self.losses)

    def agrees(self, loss: str) -> bool:
        """Returns whether its value of a loss is to be compared with ours."""
        return self.computes(loss) if self.same_value is None else loss in self.same_value


_SENTENCE, _PML = (with_torch.PEERS[name] for name in ("sentence-transformers", "pytorch-metric-learning"))

_ALL = (
    Contender("jaxtriplet", _JAX, ("jax",), {"": "its losses as they come, but for the numbers named above"}),
    Contender(
        "floor",
        _JAX,
        ("jax",),
        {
            "": (
                "three B x B x D products in jitted JAX, float32: all distances, and the gradient of both sides; with "
                "class weights B x C x D"
            )
        },
        same_value=(),
    ),
    Contender(
        "textbook",
        _JAX,
        ("jax",),
        {
            "": "the formula in jitted JAX, differentiated by JAX, over all B x B pairs, or B x C of class weights",
            "semi-hard": "over all B x B x B triplets",
            "batch-all": "over all B x B x B triplets",
        },
        losses=tuple(textbook.TEXTBOOK),
    ),
    Contender(
        "sentence-transformers",
        _TORCH,
        ("torch", "sentence-transformers"),
        {
            "": "its three batch losses on given embeddings; the same meanings, semi-hard on squared distances too",
            "info-nce": "MultipleNegativesRankingLoss of dot_score, with the scale 1 / temperature",
            "info-nce-symmetric": "the same in both directions, each with its own softmax",
        },
        losses=tuple(_SENTENCE),
    ),
    Contender(
        "pytorch-metric-learning",
        _TORCH,
        ("torch", "pytorch-metric-learning"),
        {
            "": "its loss of that name, every number given, rows not normalised again and the same means",
            "semi-hard": (
                "its miner takes every triplet of 0 < d_an - d_ap <= margin, which is jaxtriplet's "
                'negatives="all": another value, not compared'
            ),
            "batch-all": "TripletMarginLoss over all triplets",
            "batch-hard": "TripletMarginLoss of its hard miner, averaged over all anchors",
            "tuplet-margin": "rows normalised, as in ours",
            "info-nce": "SupConLoss of one view against the other, which is the same and needs less than NTXentLoss",
            "info-nce-symmetric": "the same both ways, halved",
            "am-softmax": "CosFaceLoss; with class weights rows are normalised, as in ours",
            "aam-softmax": "ArcFaceLoss, or SubCenterArcFaceLoss of several centers",
        },
        losses=tuple(_PML),
        same_value=tuple(loss for loss in _PML if loss != "semi-hard"),
    ),
    Contender(
        "jaxtriplet-fast",
        _JAX,
        ("jax",),
        {"": 'its losses with precision="fast", three products of bfloat16 for one of float32'},
        option="precision",
        processor=False,
    ),
    Contender("floor-fast", _JAX, ("jax",), {"": "the same three products, as fast"}, same_value=(), processor=False),
)
CONTENDERS = {contender.name: contender for contender in _ALL}

RACED = tuple(dict.fromkeys(loss for contender in _ALL for loss in contender.losses or ()))
"""The losses that somebody else can compute too."""

USUAL = ("semi-hard", "batch-all", "batch-hard", "supervised-contrastive", "info-nce")
"""What is measured unless others are named: each way of mining, and the two softmaxes that are trained most."""
