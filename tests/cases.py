"""The tables that every property test runs over: a new loss gets all of them by one row in `ROWS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtriplet as jt
from jaxtriplet.losses import registry

from . import toys
from .reference import (
    batch_all,
    batch_hard,
    class_weights as of_classes,
    contrastive,
    distances,
    ge2e,
    kl,
    paired,
    prototypical,
    semi_hard,
    soft_sums,
    softmax,
    toys as toy_loops,
    views,
)
from .reference.terms import Terms

DIM, NUM_CLASSES = 4, 3


@dataclass(frozen=True, eq=False)
class Case:
    """One loss with its own options, in the form `loss(labels [B], rows [B, *shape], *numbers, **options)`."""

    name: str
    declared: registry.Loss
    loss: Callable[..., Any]
    reference: Callable[..., Terms]  # (labels, rows, *numbers), padding deleted
    numbers: tuple[Any, ...]  # of a loss with class weights, these come first
    options: Mapping[str, Any]
    held: Callable[..., Mapping[str, Any]]
    """`(rows, *numbers)` to the keywords of the reference that stand still where it is differentiated."""

    @property
    def ordered(self) -> bool:
        """Whether it matters which row of a label comes first."""
        return ROWS[self.declared.name].ordered

    @property
    def reduction(self) -> str:
        """The name of the reduction that the loss has by itself."""
        default = self.declared.signature.parameters["reduce_fn"].default
        return next(name for name, reduce_fn in REDUCTIONS.items() if reduce_fn is default)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what stands for one row: a row, or the two or three rows of a term."""
        return (DIM,) if self.declared.rows == "batch" else (_sides(self.declared), DIM)

    @property
    def probabilities(self) -> bool:
        """Whether rows are probability vectors."""
        return not self.options.get("from_logits", True)

    @property
    def plain(self) -> bool:
        """Whether it is a loss as it comes, no variant of one."""
        return self.name == self.declared.name and not self.declared.fixed


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
# What a function of ours is called in the references: those of the distances, and a hinge.
TWINS = {**dict(DISTANCES.values()), jax.nn.softplus: distances.softplus}

REDUCTIONS = {"mean": jt.reductions.mean, "mean_active": jt.reductions.mean_active, "sum": jt.reductions.sum}


@dataclass(frozen=True, eq=False)
class Row:
    """What no declaration says of a loss: its loop in NumPy, and what to try."""

    loop: Callable[..., Terms]
    """`(labels, rows, *numbers, **options)`; of given rows, `(rows, ...)` or `(same, rows, ...)`."""
    numbers: tuple[float, ...] = (0.5,)
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options to try too, by a word for them; beside these, a hinge is tried soft, and a distance as every other."""
    also_numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The numbers for some of these."""
    held: Callable[..., Mapping[str, Any]] = lambda rows, *numbers: {}
    """What of the rows and the numbers has no gradient, as keywords of the loop."""
    ordered: bool = False
    """Whether it matters which row of a label comes first."""
    sorts: bool = False
    """Whether large classes go another way than small ones."""
    alike: str = ""
    """The loss that goes the same way through everything, and stands for this one where each compiles anew."""
    centers: Mapping[str, int] = field(default_factory=dict)
    """Of class weights, how many centres there are for each class, by the word of these options; else one."""


# One row for each loss, and for each variant by a word of its options.
ROWS = {
    "semi_hard": Row(semi_hard.hardest, sorts=True),
    "semi_hard_all": Row(semi_hard.every, sorts=True),
    "batch_all": Row(batch_all.batch_all, sorts=True),
    "batch_hard": Row(batch_hard.batch_hard),
    "ge2e": Row(
        partial(ge2e.ge2e, method="softmax"),
        (3.0, -1.0),
        also={"bound": {"num_speakers": 20}},
        also_numbers={"bound": (-3.0, 0.5)},
    ),
    "ge2e_contrast": Row(partial(ge2e.ge2e, method="contrast"), (3.0, -1.0)),
    "kl_hinge": Row(kl.kl_hinge, also={"probabilities": {"from_logits": False}}),
    "contrastive": Row(contrastive.contrastive, (0.9,), also={"positive margin": {"positive_margin": 0.3}}),
    "supervised_contrastive": Row(softmax.supervised_contrastive, (0.4,)),
    "nt_xent": Row(softmax.nt_xent, (0.4,), also={"decoupled": {"decoupled": True}}),
    "nca": Row(softmax.nca, (0.8,), alike="supervised_contrastive"),
    "multi_similarity": Row(soft_sums.multi_similarity, (2.0, 5.0, 0.3)),
    "circle": Row(
        soft_sums.circle,
        (0.4, 5.0),
        alike="multi_similarity",
        held=lambda rows, margin, scale: {"held": (rows, margin)},
    ),
    "lifted_structure": Row(soft_sums.lifted_structure, (0.8,)),
    "tuplet_margin": Row(soft_sums.tuplet_margin, (0.2, 4.0)),
    "angular_prototypical": Row(prototypical.angular_prototypical, (3.0, -1.0), ordered=True),
    "prototypical": Row(prototypical.prototypical, (), ordered=True, alike="angular_prototypical"),
    "info_nce": Row(views.info_nce, (0.4,), also={"symmetric": {"symmetric": True}}),
    "sigmoid_contrastive": Row(views.sigmoid_contrastive, (3.0, -1.0)),
    "triplet": Row(paired.triplet),
    "deep_speaker": Row(paired.deep_speaker),
    "siamese_kl_hinge": Row(kl.siamese_kl_hinge, also={"one_sided": {"symmetric": False, "from_logits": False}}),
    "normalized_softmax": Row(of_classes.normalized_softmax, (0.3,), alike="aam_softmax"),
    "am_softmax": Row(of_classes.am_softmax, (0.3, 5.0), alike="aam_softmax"),
    "aam_softmax": Row(
        partial(of_classes.aam_softmax, beyond="linear"),
        (0.6, 5.0),
        also={"centers": {}, "nearest": {"inter_top_k": 1, "penalty": 0.2}},
        centers={"centers": 2},
    ),
    "aam_softmax_monotone": Row(partial(of_classes.aam_softmax, beyond="monotone"), (0.9, 5.0)),
    "aam_softmax_none": Row(partial(of_classes.aam_softmax, beyond="none"), (0.9, 5.0)),
    "sphereface2": Row(of_classes.sphereface2, (0.2, 4.0, -0.5), alike="aam_softmax"),
    "sphereface2_angle": Row(partial(of_classes.sphereface2, margin_type="angle"), (0.2, 4.0, -0.5)),
    "proxy_nca": Row(of_classes.proxy_nca, (1.5,), alike="aam_softmax"),
    "proxy_anchor": Row(of_classes.proxy_anchor, (0.2, 5.0)),
    "soft_triple": Row(
        of_classes.soft_triple,
        (5.0, 0.4, 0.2),
        alike="aam_softmax",
        also={"centers": {}},
        centers={"centers": 3},
    ),
    "toy": Row(toy_loops.toy, (2.0, 3.0, 0.8)),
    "toy_softmax": Row(toy_loops.toy_softmax, (5.0,)),
}

DECLARED = registry.named() | toys.TOYS


def _sides(declared: registry.Loss) -> int:
    """How many rows stand for one, where they do not meet those of a batch."""
    if declared.rows == "thirds":
        return 3
    return len([name for name in declared.function.row_arguments if name != "same"])


def _loss(declared: registry.Loss, labels: Any, rows: Any, *numbers: Any, where: Any = None, **options: Any) -> Any:
    """Calls a loss whose rows do not come as a batch of any labels."""
    if declared.class_weights:
        return declared(labels % NUM_CLASSES, rows, *numbers, where=where, **options)
    sides = [rows[:, side] for side in range(rows.shape[1])]
    if declared.rows == "thirds":
        where = None if where is None else jnp.tile(where, 3)
        return declared(None, jnp.concatenate(sides), *numbers, where=where, **options)
    same = [labels % 2 == 1] if "same" in declared.function.row_arguments else []
    return declared.function(*same, *sides, *numbers, where=where, **declared.fixed, **options)


def _reference(
    declared: registry.Loss, loop: Callable[..., Terms], labels: Any, rows: Any, *numbers: Any, **held: Any
) -> Terms:
    if declared.class_weights:
        return loop(labels % NUM_CLASSES, rows, *numbers, **held)
    if declared.rows == "batch":
        return loop(labels, rows, *numbers, **held)
    same = [labels % 2 == 1] if declared.rows == "given" and "same" in declared.function.row_arguments else []
    return loop(*same, rows, *numbers, **held)


def case_of(name: str, variant: str = "", **options: Any) -> Case:
    """Makes the case of a loss, or of it with other options, from its declaration and its row."""
    declared, row = DECLARED[name], ROWS[name]
    theirs = {
        option.removesuffix("_fn"): TWINS.get(value, value)
        for option, value in {**_distance(declared), **options}.items()
    }
    spread_out = declared.rows == "batch" and not declared.class_weights
    loss = partial(declared, **options) if spread_out else partial(_loss, declared, **options)
    numbers = row.also_numbers.get(variant, row.numbers)
    if declared.class_weights:
        shape = (NUM_CLASSES, row.centers[variant], DIM) if variant in row.centers else (NUM_CLASSES, DIM)
        numbers = (np.random.default_rng(7).normal(size=shape) + 0.3, *numbers)
    return Case(
        f"{name}-{variant}" if variant else name,
        declared,
        loss,
        partial(_reference, declared, partial(row.loop, **theirs)),
        numbers,
        options,
        row.held,
    )


def _distance(declared: registry.Loss) -> dict[str, Any]:
    """The distance of a loss that takes any."""
    return {option: value for option, value in declared.options.items() if option == "distance_fn"}


def _variants(name: str) -> dict[str, Mapping[str, Any]]:
    """The options that a loss is tried with beside its own."""
    declared = DECLARED[name]
    soft = {"soft": {"hinge_fn": jax.nn.softplus}} if "hinge_fn" in declared.options and not declared.fixed else {}
    return {**soft, **ROWS[name].also}


# Every loss as it comes, and with its own keywords.
LOSSES = [
    case
    for name in ROWS
    for case in (case_of(name), *(case_of(name, word, **options) for word, options in _variants(name).items()))
]

# One of each, for the tests that compile anew.
PLAIN = [case for case in LOSSES if case.plain]

# Those that stand for all: what every property is held to without `--exhaustive`.
STANDING = [case for case in PLAIN if not ROWS[case.declared.name].alike]

# The losses that take any distance, with every other one where all distances or picked ones are looked at, and
# with one without symmetry and one that is no product elsewhere; variants do not look at distances differently.
BY_DISTANCE = [
    case_of(case.name, distance, distance_fn=ours)
    for case in PLAIN
    for distance, (ours, _) in DISTANCES.items()
    if case.declared.options.get("distance_fn", ours) is not ours
    if case.name in ("batch_all", "batch_hard", "contrastive", "triplet") or distance in ("kl", "manhattan")
]

CASES = LOSSES + BY_DISTANCE

# Those whose rows meet the rows of a batch, one of each formula.
MEETING = [
    case
    for case in LOSSES
    if case.name == case.declared.name and case.declared.rows == "batch"
    if not case.declared.class_weights
]
# Those of them that the engine mines, by any distance.
MINED = [case for case in MEETING if "distance_fn" in case.declared.options]
# Rows, speakers, pairs and several numbers: losses that look at labels and numbers each in their own way.
ONE_OF_A_KIND = [case for case in PLAIN if case.name in ("batch_hard", "ge2e", "kl_hinge", "toy")]

# One of each way through the engine: rules, picks, statistics of one kind of terms and of two, formulas, two stages,
# centroids, queries, two views, given rows. What costs a compilation of its own takes these always.
_WAYS = ("batch_hard", "batch_all", "contrastive", "supervised_contrastive", "nt_xent", "lifted_structure", "info_nce")
OF_EACH_WAY = ONE_OF_A_KIND + [
    case
    for case in PLAIN
    if case.name in (*_WAYS, "angular_prototypical", "triplet", "toy_softmax") and case not in ONE_OF_A_KIND
]


def named(name: str) -> Case:
    """The case of this name."""
    return next(case for case in CASES if case.name == name)


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


def another_order(case: Case, labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of rows in which the loss is the same: of some, the rows of each label must keep theirs."""
    order = np.random.default_rng(seed).permutation(len(labels))
    for label in set(labels.tolist()) if case.ordered else ():
        (at,) = np.nonzero(labels[order] == label)
        order[at] = np.sort(order[at])
    return order


def rows_of(case: Case, batch: Batch, seed: int = 0) -> np.ndarray:
    """The batch's rows for a case; what stands in the padding must not matter."""
    rows = batch.edit(random_rows(case, len(batch.labels), seed))
    padding = np.flatnonzero(~batch.valid)
    for row, garbage in zip(padding, (np.nan, np.inf, -np.inf, 1e30, 0.0, np.nan, np.inf, 1.0), strict=False):
        rows[row] = garbage
    return rows
