"""The contenders in PyTorch: their own classes, set to the meanings of this library where they can be."""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

LossFn = Callable[[Any, Any], Any]  # of labels and embeddings


def prepare(
    contender: str, loss: str, labels: np.ndarray, embeddings: np.ndarray, margin: float
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function that returns what to call: one variant with one thread, one with all cores."""
    import torch

    loss_fn = PEERS[contender][loss](margin)
    targets, rows = torch.from_numpy(labels).long(), torch.from_numpy(embeddings).requires_grad_()

    def call(threads: int) -> tuple[Any, Any]:
        torch.set_num_threads(threads)
        try:
            value = loss_fn(targets, rows)
            (gradient,) = torch.autograd.grad(value, rows)
        except RuntimeError as error:
            if "can't allocate memory" in str(error):
                raise MemoryError from error
            raise
        return value.item(), gradient

    counts = sorted({1, os.cpu_count() or 1})
    variants = {f"{n} thread{'s' * (n > 1)}": partial(call, n) for n in counts}
    return lambda memory_limit: dict(variants)


def _sentence(name: str, method: str, margin: float, *, squared: bool = False) -> LossFn:
    losses = import_module("sentence_transformers.losses")
    distance = partial(losses.BatchHardTripletLossDistanceFunction.eucledian_distance, squared=squared)
    # It is given embeddings, and never calls its model.
    return getattr(getattr(losses, name)(None, distance_metric=distance, margin=margin), method)


def _triplets(
    margin: float, /, *, power: int = 1, reducer: str = "AvgNonZeroReducer", miner: str = "", **of_miner: Any
) -> LossFn:
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=False, power=power)
    loss_fn = losses.TripletMarginLoss(margin, distance=distance, reducer=getattr(reducers, reducer)())
    mine = getattr(miners, miner)(distance=distance, **of_miner) if miner else lambda rows, labels: None
    return lambda labels, rows: loss_fn(rows, labels, mine(rows, labels))


# By contender and loss: a function of the margin.
PEERS: dict[str, dict[str, Callable[[float], LossFn]]] = {
    "sentence-transformers": {
        "semi-hard": partial(_sentence, "BatchSemiHardTripletLoss", "batch_semi_hard_triplet_loss", squared=True),
        "batch-all": partial(_sentence, "BatchAllTripletLoss", "batch_all_triplet_loss"),
        "batch-hard": partial(_sentence, "BatchHardTripletLoss", "batch_hard_triplet_loss"),
    },
    "pytorch-metric-learning": {
        "semi-hard": lambda margin: _triplets(
            margin, power=2, miner="TripletMarginMiner", margin=margin, type_of_triplets="semihard"
        ),
        "batch-all": _triplets,
        # A mean over all anchors; the library's default would leave out the terms that are zero.
        "batch-hard": partial(_triplets, reducer="MeanReducer", miner="BatchHardMiner"),
    },
}
