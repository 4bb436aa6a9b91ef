"""What the generated tests draw from: programs, of which each is compiled once, and batches for them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from jaxtriplet.losses import registry

from .cases import CASES, DIM, PLAIN, REDUCTIONS, Case, random_rows
from .reference import distances

DTYPES = {name: jnp.dtype(name) for name in ("float32", "float64", "float16", "bfloat16")}
LABELS = ("int32", "int8", "uint8", "int16", "uint32")


@dataclass(frozen=True)
class Program:
    """A loss as it is compiled: for a dtype, a number of rows, a reduction, a path."""

    case: Case
    dtype: str = "float32"
    rows: int = 8
    reduction: str | None = None
    """None for the loss's own; "terms" for each anchor's sum."""
    block_size: int | None = None
    path: str = "plain"
    """"plain", or "vmap" or "shard_map" over 2, 4 or 8 devices."""
    labels: str = "int32"

    def __str__(self) -> str:
        block = f"block{self.block_size}" if self.block_size else ""
        words = (self.case.name, self.dtype, self.rows, self.reduction, block, self.path, self.labels)
        return "-".join(str(word) for word in words if word)

    @property
    def computed(self) -> Any:
        """The dtype that the loss computes in."""
        return np.float64 if self.dtype == "float64" else np.float32

    @property
    def scales(self) -> tuple[int, int]:
        """Powers of ten within which the loop itself has numbers: e^x and 0 log 0 have none beyond."""
        if self.case.probabilities or self.case.declared.name == "toy":
            return -2, 0
        if self.is_of_logits:
            return -30, 1
        if self.is_smoothed:  # of rows of about unit length: scores are rounded to their own size
            return -30, 2
        return (-4, 30) if self.is_of_angles else (-30, 30)  # what is shorter than 1e-6 has no direction

    @property
    def is_of_angles(self) -> bool:
        """Whether only the directions of rows matter."""
        declared = self.case.declared
        of_classes = declared.class_weights is not None and declared.name in registry.LOSSES  # no toy
        return self.distance == "cosine" or of_classes or declared.name in ("tuplet_margin", "angular_prototypical")

    @cached_property
    def distance(self) -> str | None:
        """The name of the distance, if the loss has one."""
        chosen = self.case.reference.args[1].keywords.get("distance")
        return None if chosen is None else chosen.__name__

    @property
    def is_smoothed(self) -> bool:
        """Whether it is of rows of about unit length, x / sqrt(|x|^2 + 1e-6)."""
        return self.case.declared.name in ("ge2e", "toy_softmax")

    @property
    def is_of_logits(self) -> bool:
        """Whether it is of divergences."""
        return self.case.declared.sees == "logits" or self.distance in ("kl", "symmetric_kl")

    @property
    def compiled(self) -> Callable[..., Any]:
        """Value (the weighted sum of terms, where there are terms) and gradients, of (rows, numbers, labels, where)."""
        reduce_fn = {"terms": {"reduce_fn": None}, None: {}}.get(
            self.reduction, {"reduce_fn": REDUCTIONS.get(self.reduction or "")}
        )
        block = {"block_size": self.block_size} if self.block_size else {}
        loss = partial(self.case.loss, **reduce_fn, **block)

        def value(rows: Any, numbers: Any, labels: Any, where: Any, axis_name: Any = None) -> Any:
            found = loss(labels, rows, *numbers, where=where, axis_name=axis_name)
            return jnp.sum(found * weights(self.rows).astype(found.dtype)) if self.reduction == "terms" else found

        if self.path == "plain":
            return jax.jit(jax.value_and_grad(value, (0, 1)))
        kind, devices = self.path.split("-")
        over = {"vmap": _by_vmap, "shard_map": _by_shard_map}[kind]
        return jax.jit(over(partial(value, axis_name="devices"), int(devices)))


def weights(rows: int) -> Any:
    """What each anchor's sum of terms weighs: something else for each."""
    return 1.5 + np.cos(np.arange(rows))


def _by_vmap(value: Any, devices: int) -> Any:
    """The gradient taken on each device, and averaged, as under `pmap`."""

    def step(rows: Any, numbers: Any, labels: Any, where: Any) -> Any:
        def split(x: Any) -> Any:
            return x.reshape(devices, -1, *x.shape[1:])

        one = jax.vmap(jax.value_and_grad(value, (0, 1)), in_axes=(0, None, 0, 0), axis_name="devices")
        values, (by_rows, by_numbers) = one(split(rows), numbers, split(labels), split(where))
        mean = jax.tree.map(lambda part: jnp.mean(part, axis=0), by_numbers)
        return values[0], ((by_rows / devices).reshape(rows.shape), mean)

    return step


def _by_shard_map(value: Any, devices: int) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("devices",))
    spread, whole = jax.sharding.PartitionSpec("devices"), jax.sharding.PartitionSpec()
    mapped = jax.shard_map(value, mesh=mesh, in_specs=(spread, whole, spread, spread), out_specs=whole)
    return jax.value_and_grad(mapped, (0, 1))


def programs(number: int | None = None) -> list[Program]:
    """So many programs, the first of plain losses, dtypes and paths in turn, and the rest from all that there are.

    Without a number they are few: every second of the plain losses.
    """
    rng = np.random.default_rng(0)
    paths = ["plain", "vmap-4", "shard_map-2", "plain", "shard_map-8", "vmap-2"]
    found = []
    for i, case in [*enumerate(PLAIN)][:: 2 if number is None else 1]:
        kind = list(DTYPES)[i % 4] if i % 3 else "float32"
        found.append(Program(case, kind, path=paths[i % 6], block_size=3 if i % 2 and _tiles(case) else None))
    found += [
        Program(PLAIN[0], rows=0),
        Program(PLAIN[3], rows=1),
        Program(PLAIN[1], reduction="terms", labels="uint8"),
    ]
    while number is not None and len(found) < number:
        case, rows = CASES[rng.integers(len(CASES))], int(rng.choice([0, 1, 2, 3, 5, 8, 8, 8, 8, 8, 8]))
        reduction = [None, "terms", *REDUCTIONS][rng.integers(5)]
        path = "plain"
        if rows == 8 and rng.random() < 0.5:
            path = f"{rng.choice(['vmap', 'shard_map'])}-{rng.choice([2, 4, 8])}"
            reduction = None if reduction == "terms" else reduction  # a device's own terms are another test's
        block = [None, 1, 3][rng.integers(3)] if _tiles(case) else None
        found.append(
            Program(case, str(rng.choice(list(DTYPES))), rows, reduction, block, path, str(rng.choice(LABELS)))
        )
    return found


def _tiles(case: Case) -> bool:
    return "block_size" in case.declared.signature.parameters


@dataclass
class Drawn:
    """A batch of rows in the dtype of the program, as float64 numbers."""

    labels: np.ndarray
    rows: np.ndarray
    where: np.ndarray
    numbers: tuple[Any, ...]
    scale: float

    def __repr__(self) -> str:
        return (
            f"labels {self.labels.tolist()}, where {self.where.tolist()}, numbers {self.numbers}\n{self.rows.tolist()}"
        )


@st.composite
def batches(draw: st.DrawFn, program: Program) -> Drawn:
    """A batch: few classes or extreme labels, of any scale, off centre, with copies, zero rows, bad rows, padding."""
    count, case = program.rows, program.case
    number_of = st.integers(0, max(count - 1, 0))
    kind = np.iinfo(program.labels)
    known = [0, 1, 2, 3] if draw(st.booleans()) else [kind.min, kind.max, kind.max - 1, 5]
    labels = np.array(draw(st.lists(st.sampled_from(known), min_size=count, max_size=count)), np.int64)
    rows = random_rows(case, count, draw(st.integers(0, 2**16)))
    exponent = draw(st.one_of(st.just(0), st.integers(*program.scales)))
    if not case.probabilities:
        away = draw(st.sampled_from([0.0, 0.0, 1.0] if program.is_smoothed else [0.0, 0.0, 1.0, 1e2, 1e3, 1e4]))
        # A softmax does not change when all logits of a row move alike, a distance when all rows do.
        rows = (rows + away * (np.ones(DIM) if program.is_of_logits else np.linspace(-1, 1.5, DIM))) * 10.0**exponent
    if count:
        for kept, copied in draw(st.lists(st.tuples(number_of, number_of), max_size=3)):
            rows[copied] = rows[kept]
        # A unit smoothed at a thousandth has a slope of a thousand at 0, which no difference of long rows shows.
        if not case.probabilities and not (program.is_smoothed and exponent > 0):
            rows[draw(st.lists(number_of, max_size=2))] = 0
    where = np.array(draw(st.lists(st.sampled_from([True, True, True, False]), min_size=count, max_size=count)), bool)
    rows[~where] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0]))
    bad = draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.nan, np.inf, -np.inf]))
    if bad != 0 and count:
        rows[draw(number_of)].flat[0] = bad
    numbers = case.numbers
    if list(case.declared.numbers) == ["margin"]:
        stretch = draw(st.sampled_from([0.0, 1.0, 1.0, -0.3, 10.0**exponent, 10.0 ** (2 * exponent)]))
        numbers = (case.numbers[0] * np.clip(stretch, -1e30, 1e30),)
    rounded = rows.astype(DTYPES[program.dtype]).astype(np.float64)
    numbers = tuple(np.asarray(n, program.computed).astype(np.float64) for n in numbers)
    return Drawn(labels, rounded, where, numbers, 10.0**exponent)


def rounding(program: Program, drawn: Drawn, rng: np.random.Generator) -> Callable[..., Any]:
    """The loop of a program, with the rounding that arithmetic in its precision may have: another one for each `rng`.

    Distances are off by as much as sums of products of their rows less the batch's mean, and those without such a form
    by as much as sums of their terms; what has no distance has its rows rounded.
    """
    eps = 8 * float(np.finfo(program.computed).eps)
    loop = program.case.reference.args[1]
    middle = _middle(drawn)
    noise = lambda: eps * rng.uniform(-1, 1)  # noqa: E731

    def off(x: np.ndarray, y: np.ndarray) -> float:
        exact = getattr(distances, program.distance or "")(x, y)
        if program.distance in ("squared_euclidean", "euclidean"):
            size = np.sum((x - middle) ** 2) + np.sum((y - middle) ** 2)
            squared = max(distances.squared_euclidean(x, y) + noise() * size, 0.0) if np.any(x != y) else 0.0
            return squared if program.distance == "squared_euclidean" else np.sqrt(squared)
        if program.distance == "inner_product":
            return exact + noise() * (1 + np.linalg.norm(x) * np.linalg.norm(y))
        if program.distance == "manhattan":
            return exact * (1 + noise())
        # A cosine, or sums of probabilities times logarithms: too near to be told apart is 0.
        return max(exact + noise(), 0.0) if np.any(x != y) else 0.0

    if program.distance is None:
        return program.case.reference
    return partial(program.case.reference.func, program.case.declared, partial(loop, distance=off))


def _middle(drawn: Drawn) -> np.ndarray:
    valid = drawn.rows[drawn.where].reshape(-1, drawn.rows.shape[-1])
    return valid.mean(axis=0) if len(valid) else np.zeros(drawn.rows.shape[-1])
