"""Who takes part, where each differs from us in meaning, and who is installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOSSES = ("semi-hard", "batch-all", "batch-hard")
_HERE = Path(__file__).parent


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
    same_value: tuple[str, ...] = LOSSES
    """The losses that mean exactly what ours mean."""

    @property
    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        return [name for name in self.distributions if installed_version(name) is None]


def installed_version(distribution: str) -> str | None:
    """Returns the version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "jaxtriplet",
            _HERE / "with_jax.py",
            ("jax",),
            {"": "margin 0.2 and each loss's own distance: squared Euclidean for semi-hard, Euclidean for the others"},
        ),
        Contender(
            "floor",
            _HERE / "with_jax.py",
            ("jax",),
            {"": "three B x B x D products in jitted JAX, float32: all distances, and the gradient of both sides"},
            same_value=(),
        ),
        Contender(
            "textbook",
            _HERE / "with_jax.py",
            ("jax",),
            {
                "": "the formula in jitted JAX, differentiated by JAX: over all B x B x B triplets",
                "batch-hard": "over the masked B x B distances",
            },
        ),
        Contender(
            "sentence-transformers",
            _HERE / "with_torch.py",
            ("torch", "sentence-transformers"),
            {"": "its three batch losses on given embeddings; the same meanings, semi-hard on squared distances too"},
        ),
        Contender(
            "pytorch-metric-learning",
            _HERE / "with_torch.py",
            ("torch", "pytorch-metric-learning"),
            {
                "": "TripletMarginLoss over all triplets",
                "semi-hard": (
                    "its miner takes every triplet of 0 < d_an - d_ap <= margin, which is jaxtriplet's "
                    'negatives="all": another value, not compared'
                ),
                "batch-hard": "of its hard miner, averaged over all anchors",
            },
            same_value=("batch-all", "batch-hard"),
        ),
    )
}
