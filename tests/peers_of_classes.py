"""What other programs say of losses over class weights, and with which settings of ours each agrees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import peers
from .reference import class_weights, heads
from .reference.terms import Terms

RECORDED = Path(__file__).parent / "recorded"
BATCHES = (*peers.BATCHES, "c0", "c1", "c2")
BATCHES_OF_HEADS = ("c0", "c1")


@dataclass(frozen=True, eq=False)
class Peer:
    """A loss of ours, by the settings under which it is another program's."""

    loss: str
    numbers: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """The keywords of ours that are not its defaults."""
    weights: str = "w"
    """Which weights of the recording it has: a vector of each class, or three or ten centres."""
    theirs: Callable[..., float] | None = None
    """`(labels, rows, weights, *numbers)`: the program's own code as a loop, beside that of the loss."""
    slope: bool = True
    """Whether the gradient that the program gives is the slope of its value."""

    def ours(self, labels: np.ndarray, x: np.ndarray, weights: np.ndarray) -> Terms:
        """What the loop of our loss says."""
        loop: Callable[..., Terms] = getattr(class_weights, self.loss)
        return loop(labels, x, weights, *self.numbers, **self.options)


_DEGREES = np.radians(28.6)  # its default, which is not quite 0.5

# By the name in the recording of pytorch-metric-learning.
PEERS = {
    "arcface": Peer("aam_softmax", (_DEGREES, 64.0)),
    "arcface_radians0.5": Peer("aam_softmax", (0.5, 64.0)),
    "cosface": Peer("am_softmax", (0.35, 64.0)),
    "normalized_softmax": Peer("normalized_softmax", (0.05,)),
    "proxy_nca": Peer("proxy_nca", (1.0,)),
    "proxy_anchor": Peer("proxy_anchor", (0.1, 32.0)),
    "subcenter_arcface": Peer("aam_softmax", (_DEGREES, 64.0), weights="w3"),
    "soft_triple": Peer("soft_triple", (20.0, 0.1, 0.01), weights="w10"),
}


def _heads(margin: float) -> dict[str, Peer]:
    """Those of wespeaker, speechbrain and insightface with one margin, by the name in their recording."""
    numbers = (margin, 30.0)
    monotone, none = {"beyond": "monotone"}, {"beyond": "none"}
    penalty = 0.06 * margin / 0.2  # wespeaker's grows with the margin
    sphereface2 = heads.wespeaker_sphereface2
    of_one = {
        "wespeaker_arc_margin": Peer("aam_softmax", numbers, monotone, theirs=heads.wespeaker_arc_margin),
        "wespeaker_add_margin": Peer("am_softmax", numbers, theirs=heads.wespeaker_add_margin),
        "wespeaker_inter_top_k": Peer(
            "aam_softmax",
            numbers,
            {"beyond": "monotone", "inter_top_k": 2, "penalty": penalty},
            weights="w3",
            theirs=partial(heads.wespeaker_inter_top_k, k_top=2),
        ),
        "wespeaker_sphereface2_c": Peer("sphereface2", (*numbers, 0.3), theirs=sphereface2),
        "wespeaker_sphereface2_a": Peer(
            "sphereface2", (*numbers, 0.3), {"margin_type": "angle"}, theirs=partial(sphereface2, margin_type="A")
        ),
        "speechbrain_aam": Peer("aam_softmax", numbers, theirs=heads.speechbrain_aam),
        "speechbrain_am": Peer("am_softmax", numbers, theirs=heads.speechbrain_am),
        "insightface_arc_face": Peer("aam_softmax", numbers, none, theirs=heads.insightface_arc_face, slope=False),
        "insightface_cos_face": Peer("am_softmax", numbers, theirs=heads.insightface_cos_face),
    }
    return {f"{name}_m{margin}": peer for name, peer in of_one.items()}


HEADS = _heads(0.2) | _heads(0.5)


@dataclass(frozen=True, eq=False)
class Batch:
    """Labels [B], rows [B, D], and the weights [C, D], [C, 3, D] and [C, 10, D] by their names."""

    labels: np.ndarray
    x: np.ndarray
    weights: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Said:
    """A value, and its gradient by rows and by weights."""

    value: float
    grad: np.ndarray
    grad_weight: np.ndarray


def batches() -> dict[str, Batch]:
    """The batches of the recordings; those that pairs were recorded on too are kept there."""
    with np.load(RECORDED / "pytorch_metric_learning_2.9_of_classes.npz") as own:
        arrays = peers.recorded() | dict(own)
    return {
        name: Batch(
            arrays[f"{name}/labels"],
            arrays[f"{name}/x"],
            {weights: arrays[f"{name}/{weights}/weights"] for weights in ("w", "w3", "w10")},
        )
        for name in BATCHES
    }


def said(file: str) -> dict[tuple[str, str], Said]:
    """Every loss of a recording by batch and name."""
    with np.load(RECORDED / file) as recording:
        arrays = dict(recording)
    found = {}
    for key, values in arrays.items():
        if key.endswith("/value"):
            batch, weights, _ = key.split("/")
            gradients = (arrays[f"{batch}/{weights}/{what}"] for what in ("grad", "grad_weight"))
            for name, *each in zip(arrays[f"{weights}/names"], values, *gradients, strict=True):
                found[batch, str(name)] = Said(*each)
    return found
