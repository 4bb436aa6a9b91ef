"""The tables that every property test runs over: a new loss gets all of them by one line in `LOSSES` (and `MINING`)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtriplet as jt

from .reference import batch_all, batch_hard, distances, ge2e, kl, paired, semi_hard
from .reference.terms import Terms

DIM = 4


@dataclass(frozen=True, eq=False)
class Case:
    """One loss with its own options, in the form `loss(labels [B], rows [B, *shape], *numbers, **options)`."""

    name: str
    loss: Callable[..., Any]
    reference: Callable[..., Terms]  # (labels, rows, *numbers), padding deleted
    numbers: tuple[float, ...] = (0.5,)
    reduction: str = "mean"
    shape: tuple[int, ...] = (DIM,)
    probabilities: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Labels, which rows are valid, and what is special about the rows; `smooth` where the gradient is defined."""

    name: str
    labels: tuple[int, ...]
    where: tuple[bool, ...] = ()
    edit: Callable[[np.ndarray], np.ndarray] = field(default=lambda rows: rows)
    smooth: bool = True

    @property
    def valid(self) -> np.ndarray:
        """The validity mask."""
        return np.array(self.where, bool) if self.where else np.ones(len(self.labels), bool)


# --- losses -----------------------------------------------------------------------------------------------------------


def manhattan(x: jax.Array, y: jax.Array) -> jax.Array:
    """A distance that the package does not have, as a user would write it."""
    return jnp.sum(jnp.abs(x[:, None, :] - y[None, :, :]), axis=-1)


DISTANCES = {
    "squared_euclidean": (jt.distances.squared_euclidean, distances.squared_euclidean),
    "euclidean": (jt.distances.euclidean, distances.euclidean),
    "cosine": (jt.distances.cosine, distances.cosine),
    "inner_product": (jt.distances.inner_product, distances.inner_product),
    "kl": (jt.distances.kl, distances.kl),
    "symmetric_kl": (jt.distances.symmetric_kl, distances.symmetric_kl),
    "manhattan": (manhattan, distances.manhattan),
}

REDUCTIONS = {"mean": jt.reductions.mean, "mean_active": jt.reductions.mean_active, "sum": jt.reductions.sum}


def _triplet(labels: jax.Array, rows: jax.Array, margin: float, **options: Any) -> Any:
    return jt.triplet(rows[:, 0], rows[:, 1], rows[:, 2], margin, **options)


def _deep_speaker(labels: jax.Array, rows: jax.Array, margin: float, *, where: Any = None, **options: Any) -> Any:
    thirds = jnp.concatenate([rows[:, 0], rows[:, 1], rows[:, 2]])
    return jt.deep_speaker(thirds, margin, where=None if where is None else jnp.tile(where, 3), **options)


def _siamese(labels: jax.Array, rows: jax.Array, margin: float, **options: Any) -> Any:
    return jt.siamese_kl_hinge(labels % 2 == 1, rows[:, 0], rows[:, 1], margin, **options)


def _paired_reference(reference: Callable[..., Terms], **options: Any) -> Callable[..., Terms]:
    return lambda labels, rows, *numbers, **more: reference(rows, *numbers, **options, **more)


def _siamese_reference(**options: Any) -> Callable[..., Terms]:
    return lambda labels, rows, margin: kl.siamese_kl_hinge(labels % 2 == 1, rows, margin, **options)


# The losses that mine by distances; each is tried with every distance.
MINING = [
    ("semi_hard", jt.semi_hard, semi_hard.hardest, "mean", distances.squared_euclidean),
    (
        "semi_hard-all",
        partial(jt.semi_hard, negatives="all"),
        semi_hard.every,
        "mean_active",
        distances.squared_euclidean,
    ),
    ("batch_all", jt.batch_all, batch_all.batch_all, "mean_active", distances.euclidean),
    ("batch_hard", jt.batch_hard, batch_hard.batch_hard, "mean", distances.euclidean),
    (
        "batch_hard-soft",
        partial(jt.batch_hard, hinge_fn=jax.nn.softplus),
        partial(batch_hard.batch_hard, hinge=distances.softplus),
        "mean",
        distances.euclidean,
    ),
    ("triplet", _triplet, _paired_reference(paired.triplet), "mean", distances.euclidean),
]
_TRIPLETS = {"triplet": (3, DIM)}

# Every loss as it comes, and with its own keywords.
LOSSES = [
    *(
        Case(name, loss, partial(reference, distance=default), reduction=reduction, shape=_TRIPLETS.get(name, (DIM,)))
        for name, loss, reference, reduction, default in MINING
    ),
    Case("ge2e", jt.ge2e, partial(ge2e.ge2e, method="softmax"), (3.0, -1.0), "sum"),
    Case(
        "ge2e-contrast", partial(jt.ge2e, method="contrast"), partial(ge2e.ge2e, method="contrast"), (3.0, -1.0), "sum"
    ),
    Case("ge2e-bound", partial(jt.ge2e, num_speakers=20), partial(ge2e.ge2e, method="softmax"), (-3.0, 0.5), "sum"),
    Case("kl_hinge", jt.kl_hinge, kl.kl_hinge),
    Case(
        "kl_hinge-soft",
        partial(jt.kl_hinge, hinge_fn=jax.nn.softplus),
        partial(kl.kl_hinge, hinge=distances.softplus),
    ),
    Case(
        "kl_hinge-probabilities",
        partial(jt.kl_hinge, from_logits=False),
        partial(kl.kl_hinge, from_logits=False),
        probabilities=True,
    ),
    Case("deep_speaker", _deep_speaker, _paired_reference(paired.deep_speaker), shape=(3, DIM)),
    Case("siamese_kl_hinge", _siamese, _siamese_reference(), shape=(2, DIM)),
    Case(
        "siamese_kl_hinge-one_sided",
        partial(_siamese, symmetric=False, from_logits=False),
        _siamese_reference(symmetric=False, from_logits=False),
        shape=(2, DIM),
        probabilities=True,
    ),
    Case(
        "siamese_kl_hinge-soft",
        partial(_siamese, hinge_fn=jax.nn.softplus),
        _siamese_reference(hinge=distances.softplus),
        shape=(2, DIM),
    ),
]

# One of each, for the tests that compile anew: a variant's name has a hyphen.
PLAIN = [case for case in LOSSES if "-" not in case.name]

# The mining losses with every other distance; their variants do not look at distances differently.
BY_DISTANCE = [
    Case(
        f"{name}-{distance}",
        partial(loss, distance_fn=ours),
        partial(reference, distance=theirs),
        reduction=reduction,
        shape=_TRIPLETS.get(name, (DIM,)),
    )
    for name, loss, reference, reduction, default in MINING
    for distance, (ours, theirs) in DISTANCES.items()
    if theirs is not default and "-" not in name
]

CASES = LOSSES + BY_DISTANCE


# --- batches ----------------------------------------------------------------------------------------------------------


def _duplicates(rows: np.ndarray) -> np.ndarray:
    """Equal rows within one class (0 and 2), across two (1 and 3), and a group across both (4, 5, 7)."""
    flat = rows.reshape(-1, rows.shape[-1]).copy()
    for kept, copied in ((0, 2), (1, 3), (4, 5), (4, 7)):
        flat[copied] = flat[kept]
    return flat.reshape(rows.shape)


def _identical(rows: np.ndarray) -> np.ndarray:
    return np.broadcast_to(rows.reshape(-1, rows.shape[-1])[0], rows.shape).copy()


def _zero_row(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:2], np.zeros_like(rows[2:3]), rows[3:]])


_T, _F = True, False
BATCHES = [
    Batch("balanced", (7, 3, 3, 9, 7, 9, 1, 1)),
    Batch("ragged", (5, 2, 5, 5, 2, 9, 5, 2)),
    Batch("singletons", (4, 0, 4, 1, 2, 4, 0, 3)),
    Batch("extreme labels", (2**31 - 1, -(2**31), -1, 0, 2**31 - 1, -1, 0, -(2**31))),
    Batch("padding", (5, 2, 5, 6, 2, 5, 5, 2), (_T, _T, _F, _F, _T, _T, _T, _F)),
    Batch("padding first", (-1, 0, 0, 1, 0, 1, 2, 3), (_F, _F, _T, _T, _T, _T, _T, _T)),
    Batch("duplicates", (0, 1, 0, 2, 1, 2, 0, 1), edit=_duplicates),
    Batch("one class", (6,) * 8),
    Batch("all distinct", (3, 1, 4, 15, 9, 2, 6, 5)),
    Batch("two rows of one class", (1, 1, 2, 3, 1, 2, 3, 3), (_T, _T, _F, _F, _F, _F, _F, _F)),
    Batch("two rows of two classes", (1, 1, 2, 3, 1, 2, 3, 3), (_T, _F, _T, _F, _F, _F, _F, _F)),
    Batch("one valid row", (1, 1, 2, 3, 1, 2, 3, 3), (_F, _F, _T, _F, _F, _F, _F, _F)),
    Batch("all padding", (0, 1, 0, 1, 2, 2, 0, 1), (_F,) * 8),
    Batch("identical rows", (0, 1, 0, 2, 1, 2, 0, 1), edit=_identical),
    Batch("a zero row", (0, 1, 0, 2, 1, 2, 0, 1), edit=_zero_row, smooth=False),
]
SMALL_BATCHES = [Batch("no row", ()), Batch("one row", (3,))]


def random_rows(case: Case, num_rows: int, seed: int) -> np.ndarray:
    """Asymmetric rows: not centred, every row and every dimension of another scale."""
    rng = np.random.default_rng(seed)
    shape = (num_rows, *case.shape)
    spread = rng.uniform(0.4, 1.0, DIM)
    rows = (rng.normal(size=DIM) * 0.4 + rng.normal(size=shape) * spread) * rng.uniform(0.6, 1.4, (*shape[:-1], 1))
    return np.apply_along_axis(distances.softmax, -1, rows) if case.probabilities and num_rows else rows


def rows_of(case: Case, batch: Batch, seed: int = 0) -> np.ndarray:
    """The batch's rows for a case; what stands in the padding must not matter."""
    rows = batch.edit(random_rows(case, len(batch.labels), seed))
    padding = np.flatnonzero(~batch.valid)
    for row, garbage in zip(padding, (np.nan, np.inf, -np.inf, 1e30, 0.0, np.nan, np.inf, 1.0), strict=False):
        rows[row] = garbage
    return rows
