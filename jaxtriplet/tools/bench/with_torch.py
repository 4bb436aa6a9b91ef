"""The contenders in PyTorch: their own classes, set to the meanings of this library where they can be."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

LossFn = Callable[..., Any]  # of labels and embeddings, or of two views
Head = Callable[[Any], tuple[Any, LossFn]]  # of class weights: the parameter that they become, and the loss with it


def prepare(
    contender: str, loss: str, batch: Sequence[np.ndarray], numbers: Mapping[str, float], device: str = "cpu"
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function that returns what to call: one variant with one thread, one with all cores; or one on CUDA."""
    import torch

    if device != "cpu":
        torch.set_default_device("cuda")  # Some peers make tensors of their own.
    loss_fn = PEERS[contender][loss](**numbers)
    given = [_tensor(array) for array in batch[:2]]
    given = [one.requires_grad_() if one.is_floating_point() else one.long() for one in given]
    rows = [one for one in given if one.requires_grad]
    for weights in batch[2:]:
        parameter, loss_fn = loss_fn(_tensor(weights))
        rows.append(parameter)

    if device != "cpu":
        return lambda memory_limit: {"": OnCuda(lambda: loss_fn(*given), rows, memory_limit)}

    def call(threads: int) -> tuple[Any, Any]:
        torch.set_num_threads(threads)
        try:
            value = loss_fn(*given)
            gradients = torch.autograd.grad(value, rows)
        except RuntimeError as error:
            if "can't allocate memory" in str(error):
                raise MemoryError from error
            raise
        return value.item(), gradients

    counts = sorted({1, os.cpu_count() or 1})
    variants = {f"{n} thread{'s' * (n > 1)}": partial(call, n) for n in counts}
    return lambda memory_limit: dict(variants)


def _tensor(array: np.ndarray) -> Any:
    """Returns an array where new tensors come to lie."""
    import torch

    return torch.from_numpy(array).to(torch.get_default_device())


class OnCuda:
    """A contender on a GPU, whose calls are queued there."""

    def __init__(self, value: Callable[[], Any], rows: Sequence[Any], memory_limit: int) -> None:
        """Sees to it that PyTorch takes no more memory than that."""
        import torch

        self._value, self._rows = value, rows
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory_limit / whole))

    def __call__(self) -> tuple[Any, Any]:
        """Queues a call."""
        import torch

        try:
            value = self._value()
            return value.detach(), torch.autograd.grad(value, self._rows)
        except torch.OutOfMemoryError as error:
            raise MemoryError from error

    def wait(self, result: Any) -> None:
        """Waits for all that is queued."""
        import torch

        torch.cuda.synchronize()

    def peak(self) -> int:
        """Returns the most bytes of tensors that there have been at a time."""
        import torch

        return torch.cuda.max_memory_allocated()


# --- sentence-transformers: losses that are given embeddings, and never call their model ------------------------------


def _batch(name: str, method: str, margin: float, *, squared: bool = False) -> LossFn:
    losses = import_module("sentence_transformers.losses")
    distance = partial(losses.BatchHardTripletLossDistanceFunction.eucledian_distance, squared=squared)
    return getattr(getattr(losses, name)(None, distance_metric=distance, margin=margin), method)


def _ranking(temperature: float, **options: Any) -> LossFn:
    losses, util = (import_module(f"sentence_transformers.{name}") for name in ("losses", "util"))
    kind = losses.MultipleNegativesRankingLoss
    loss = kind(None, scale=1 / temperature, similarity_fct=util.dot_score, **options)
    return lambda queries, documents: loss.compute_loss_from_embeddings([queries, documents], None)


# --- pytorch-metric-learning: every number is given, since defaults differ between its releases -----------------------


def _triplets(
    margin: float, /, *, power: int = 1, reducer: str = "AvgNonZeroReducer", miner: str = "", **of_miner: Any
) -> LossFn:
    from pytorch_metric_learning import distances, losses, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=False, power=power)
    loss_fn = losses.TripletMarginLoss(margin, distance=distance, reducer=getattr(reducers, reducer)())
    mine = getattr(miners, miner)(distance=distance, **of_miner) if miner else lambda rows, labels: None
    return lambda labels, rows: loss_fn(rows, labels, mine(rows, labels))


def _pairs(name: str, *, power: int | None = None, reducer: str = "MeanReducer", **numbers: float) -> Any:
    """A loss of inner products, or with `power`, of that power of distances."""
    from pytorch_metric_learning import distances, losses, reducers

    distance = distances.LpDistance(power=power) if power else distances.CosineSimilarity()
    distance.normalize_embeddings = False  # The rows are of unit length, and some losses take no other class.
    return getattr(losses, name)(**numbers, distance=distance, reducer=getattr(reducers, reducer)())


def _labelled(name: str, **settings: Any) -> LossFn:
    loss_fn = _pairs(name, **settings)
    return lambda labels, rows: loss_fn(rows, labels)


def _tuplets(margin: float, scale: float) -> LossFn:
    from pytorch_metric_learning import losses, reducers

    loss_fn = losses.TupletMarginLoss(math.degrees(margin), scale, reducer=reducers.MeanReducer())
    return lambda labels, rows: loss_fn(rows, labels)


def _two_views(temperature: float, *, symmetric: bool = False) -> LossFn:
    import torch

    loss_fn = _pairs("SupConLoss", temperature=temperature)

    def call(x: Any, y: Any) -> Any:
        own, same = (torch.arange(len(x)) for _ in range(2))  # Of labels that are one object, it takes no row twice.
        ways = [(x, y), (y, x)] if symmetric else [(x, y)]
        return sum(loss_fn(one, own, ref_emb=other, ref_labels=same) for one, other in ways) / len(ways)

    return call


def _head(name: str, *, several: str = "", centers: str = "", **numbers: float) -> Head:
    """A loss with class weights: its name, that for several centers, and what it calls their number."""
    from pytorch_metric_learning import losses

    def of(weights: Any) -> tuple[Any, LossFn]:
        count, *each, dim = weights.shape
        if each and not several:
            raise ValueError(f"{name} has one center for each class")
        more = {centers: each[0]} if each else {}
        loss_fn = getattr(losses, several if each else name)(num_classes=count, embedding_size=dim, **more, **numbers)
        ((word, parameter),) = loss_fn.named_parameters()
        rows = weights.reshape(-1, dim)
        parameter.data = rows if word == "proxies" else rows.T.contiguous()
        return parameter, lambda labels, rows: loss_fn(rows, labels)

    return of


# By contender and loss: a function of the loss's numbers, by their names in this library, to a `LossFn` or, with class
# weights, to a `Head`.
PEERS: dict[str, dict[str, Callable[..., Any]]] = {
    "sentence-transformers": {
        "semi-hard": partial(_batch, "BatchSemiHardTripletLoss", "batch_semi_hard_triplet_loss", squared=True),
        "batch-all": partial(_batch, "BatchAllTripletLoss", "batch_all_triplet_loss"),
        "batch-hard": partial(_batch, "BatchHardTripletLoss", "batch_hard_triplet_loss"),
        "info-nce": _ranking,
        "info-nce-symmetric": partial(
            _ranking, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ),
    },
    "pytorch-metric-learning": {
        "semi-hard": lambda margin: _triplets(
            margin, power=2, miner="TripletMarginMiner", margin=margin, type_of_triplets="semihard"
        ),
        "batch-all": lambda margin: _triplets(margin),
        # A mean over all anchors; the library's default would leave out the terms that are zero.
        "batch-hard": lambda margin: _triplets(margin, reducer="MeanReducer", miner="BatchHardMiner"),
        "contrastive": lambda margin, positive_margin: _labelled(
            "ContrastiveLoss", power=1, reducer="AvgNonZeroReducer", pos_margin=positive_margin, neg_margin=margin
        ),
        "supervised-contrastive": partial(_labelled, "SupConLoss"),
        "nt-xent": partial(_labelled, "NTXentLoss"),
        "nca": lambda scale: _labelled("NCALoss", power=2, softmax_scale=scale),
        "multi-similarity": partial(_labelled, "MultiSimilarityLoss"),
        "circle": lambda margin, scale: _labelled("CircleLoss", m=margin, gamma=scale),
        "lifted-structure": lambda margin: _labelled("LiftedStructureLoss", power=1, neg_margin=margin, pos_margin=0),
        "tuplet-margin": _tuplets,
        "info-nce": _two_views,
        "info-nce-symmetric": partial(_two_views, symmetric=True),
        "normalized-softmax": partial(_head, "NormalizedSoftmaxLoss"),
        "am-softmax": partial(_head, "CosFaceLoss"),
        "aam-softmax": lambda margin, scale: _head(
            "ArcFaceLoss",
            several="SubCenterArcFaceLoss",
            centers="sub_centers",
            margin=math.degrees(margin),
            scale=scale,
        ),
        "proxy-nca": lambda scale: _head("ProxyNCALoss", softmax_scale=scale),
        "proxy-anchor": lambda margin, scale: _head("ProxyAnchorLoss", margin=margin, alpha=scale),
        "soft-triple": lambda scale, gamma, margin: _head(
            "SoftTripleLoss",
            several="SoftTripleLoss",
            centers="centers_per_class",
            la=scale,
            gamma=gamma,
            margin=margin,
        ),
    },
}
