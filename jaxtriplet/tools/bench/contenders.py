"""Who takes part, where each differs from us in meaning, and who is installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from jaxtriplet.tools.bench import with_jax, with_torch

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

    @property
    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        return [name for name in self.distributions if installed_version(name) is None]

    def computes(self, loss: str) -> bool:
        """Returns whether it takes part in the race of a loss."""
        return self.losses is None or loss in self.losses

    def agrees(self, loss: str) -> bool:
        """Returns whether its value of a loss is to be compared with ours."""
        return self.computes(loss) if self.same_value is None else loss in self.same_value


def installed_version(distribution: str) -> str | None:
    """Returns the version of an installed distribution, or None."""
    return next((found.version for found in distributions(name=distribution)), None)


_ALL = (
    Contender("jaxtriplet", _JAX, ("jax",), {"": "margin 0.2; distance and other numbers as by default"}),
    Contender(
        "floor",
        _JAX,
        ("jax",),
        {"": "three B x B x D products in jitted JAX, float32: all distances, and the gradient of both sides"},
        same_value=(),
    ),
    Contender(
        "textbook",
        _JAX,
        ("jax",),
        {
            "": "the formula in jitted JAX, differentiated by JAX: over all B x B x B triplets",
            "batch-hard": "over the masked B x B distances",
        },
        losses=tuple(with_jax.TEXTBOOK),
    ),
    Contender(
        "sentence-transformers",
        _TORCH,
        ("torch", "sentence-transformers"),
        {"": "its three batch losses on given embeddings; the same meanings, semi-hard on squared distances too"},
        losses=tuple(with_torch.PEERS["sentence-transformers"]),
    ),
    Contender(
        "pytorch-metric-learning",
        _TORCH,
        ("torch", "pytorch-metric-learning"),
        {
            "": "TripletMarginLoss over all triplets",
            "semi-hard": (
                "its miner takes every triplet of 0 < d_an - d_ap <= margin, which is jaxtriplet's "
                'negatives="all": another value, not compared'
            ),
            "batch-hard": "of its hard miner, averaged over all anchors",
        },
        losses=tuple(with_torch.PEERS["pytorch-metric-learning"]),
        same_value=("batch-all", "batch-hard"),
    ),
)
CONTENDERS = {contender.name: contender for contender in _ALL}

RACED = tuple(dict.fromkeys(loss for contender in _ALL for loss in contender.losses or ()))
"""The losses that somebody else can compute too."""
