"""The contenders in PyTorch: their own classes, set to the meanings of this library where they can be."""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np


def prepare(
    contender: str, loss: str, labels: np.ndarray, embeddings: np.ndarray, margin: float
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function that returns what to call: one variant with one thread, one with all cores."""
    import torch

    loss_fn = PEERS[contender](loss, margin)
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
    variants = {f"{n} thread{'s' * (n > 1)}": functools.partial(call, n) for n in counts}
    return lambda memory_limit: dict(variants)


def sentence_transformers(loss: str, margin: float) -> Callable[[Any, Any], Any]:
    """Returns a loss of sentence-transformers as a function of labels and embeddings; its model is never called."""
    from sentence_transformers import losses
    from sentence_transformers.losses import BatchHardTripletLossDistanceFunction as Distance

    if loss == "batch-all":
        return losses.BatchAllTripletLoss(model=None, margin=margin).batch_all_triplet_loss
    if loss == "batch-hard":
        return losses.BatchHardTripletLoss(model=None, margin=margin).batch_hard_triplet_loss
    squared = functools.partial(Distance.eucledian_distance, squared=True)
    return losses.BatchSemiHardTripletLoss(None, squared, margin).batch_semi_hard_triplet_loss


def pytorch_metric_learning(loss: str, margin: float) -> Callable[[Any, Any], Any]:
    """Returns a loss of pytorch-metric-learning, with its miner, as a function of labels and embeddings."""
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=False, power=2 if loss == "semi-hard" else 1)
    # Batch-hard is a mean over all anchors; the library's default would leave out the terms that are zero.
    reducer = reducers.MeanReducer() if loss == "batch-hard" else reducers.AvgNonZeroReducer()
    loss_fn = losses.TripletMarginLoss(margin, distance=distance, reducer=reducer)
    if loss == "batch-all":
        return lambda labels, rows: loss_fn(rows, labels)
    if loss == "batch-hard":
        miner: Any = miners.BatchHardMiner(distance=distance)
    else:
        miner = miners.TripletMarginMiner(margin, type_of_triplets="semihard", distance=distance)
    return lambda labels, rows: loss_fn(rows, labels, miner(rows, labels))


PEERS = {"sentence-transformers": sentence_transformers, "pytorch-metric-learning": pytorch_metric_learning}
