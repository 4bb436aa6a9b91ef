"""What another library says: its recorded losses, and with which loss of ours each agrees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import jaxtriplet as jt

from .reference import (
    average_precision,
    batch_all,
    batch_hard,
    contrastive,
    prototypical,
    semi_hard,
    soft_sums,
    softmax,
)
from .reference.distances import euclidean, squared_euclidean
from .reference.terms import Terms

RECORDED = Path(__file__).parent / "recorded" / "pytorch_metric_learning_2.9.npz"
BATCHES = ("b0", "b2", "b4")


@dataclass(frozen=True, eq=False)
class Peer:
    """A loss of ours as it comes, by the name and the settings under which it is the peer's."""

    loss: str
    loop: Callable[..., Terms]
    """`(labels, rows, *numbers)`."""
    numbers: tuple[float, ...] = ()
    reduction: str = "mean"
    """What our loss does by itself."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The keywords of ours that are not its defaults; the loop has its own."""
    unit: bool = True
    """Whether the rows are brought to unit length first, as the peer does inside of its loss."""
    held: Callable[..., Mapping[str, Any]] = lambda rows, *numbers: {}
    """See `cases.Row`."""


_l2 = {"distance_fn": jt.distances.euclidean}
_triplets = partial(batch_all.batch_all, distance=euclidean)

# By the name in the recording.
PEERS = {
    "triplet_all": Peer("batch_all", _triplets, (0.05,), "mean_active"),
    "triplet_all_m0.2": Peer("batch_all", _triplets, (0.2,), "mean_active"),
    "triplet_all_m0.2_raw": Peer("batch_all", _triplets, (0.2,), "mean_active", unit=False),
    # Mined with the margin that the loss has, too: the band of the FaceNet paper.
    "triplet_semihard_m0.2": Peer(
        "semi_hard_all", partial(semi_hard.every, distance=euclidean), (0.2,), "mean_active", options=_l2
    ),
    "triplet_batchhard_m0.2_mean": Peer("batch_hard", partial(batch_hard.batch_hard, distance=euclidean), (0.2,)),
    "contrastive": Peer("contrastive", partial(contrastive.contrastive, distance=euclidean), (1.0,), "mean_active"),
    "supcon": Peer("supervised_contrastive", softmax.supervised_contrastive, (0.1,)),
    "ntxent": Peer("nt_xent", softmax.nt_xent, (0.07,)),
    "nca": Peer("nca", partial(softmax.nca, distance=squared_euclidean), (1.0,)),
    "multi_similarity": Peer("multi_similarity", soft_sums.multi_similarity, (2.0, 50.0, 0.5)),
    "circle": Peer("circle", soft_sums.circle, (0.4, 80.0), held=lambda rows, margin, scale: {"held": (rows, margin)}),
    "lifted": Peer("lifted_structure", partial(soft_sums.lifted_structure, distance=euclidean), (1.0,)),
    # 5.73 degrees, where our default is 0.1.
    "tuplet_margin": Peer("tuplet_margin", soft_sums.tuplet_margin, (np.radians(5.73), 64.0)),
}

# Losses that have a loop and no counterpart here.
LOOPS = {
    "n_pairs": Peer("n_pairs", prototypical.n_pairs),
    # The peer keeps its boundary in float32.
    "margin": Peer(
        "margin_based",
        partial(contrastive.margin_based, distance=euclidean),
        (0.2, float(np.float32(1.2))),
        "mean_active",
    ),
    "fast_ap": Peer("fast_ap", partial(average_precision.fast_ap, num_bins=10)),
}


def recorded() -> dict[str, np.ndarray]:
    """Every array of the recording by its key."""
    with np.load(RECORDED) as arrays:
        return dict(arrays)
