"""Value and gradient of the losses that matter, at 2,048 and 8,192 rows, beside the three products."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from stages.programs import DIM, ROWS_PER_CLASS, batch_of, missing, products, program_of
from stages.session import LATE, Built, Program, Session
from stages.timing import times

LOSSES = (
    *("semi-hard", "batch-all", "batch-hard", "supervised-contrastive", "nt-xent"),
    *("sigmoid-contrastive", "info-nce-symmetric"),
)
SIZES = (2048, 8192)
WIDE = 768
"""Numbers in an embedding of images and text."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "exact": {},
    "exact, max_class_size": {"max_class_size": ROWS_PER_CLASS},
    "fast": {"precision": "fast"},
    "bfloat16 rows, fast": {"precision": "fast"},
}
"""Keywords, by names that tell the precision."""
FLOORS = {"products": jax.lax.Precision.HIGHEST, "fast products": numerics.FAST, "bfloat16 products": None}
OF_TWO_VIEWS = LOSSES[-2:]


def run(session: Session) -> None:
    """Records a row for each loss, batch and variant; what a loss has no keyword for is left out."""
    for size in (128,) if session.quick else SIZES:
        measure(session, LOSSES, size, DIM, tuple(VARIANTS)[:3], fast=LOSSES, textbook=True)


def measure(
    session: Session,
    losses: tuple[str, ...],
    size: int,
    dim: int,
    variants: tuple[str, ...],
    *,
    fast: tuple[str, ...],
    textbook: bool,
) -> None:
    """Compiles and times loss by loss, each beside the products again: a ratio is of the same seconds."""
    floors: dict[Any, Built | str] = {
        ("floor", name): LATE
        for name in FLOORS
        if any(precision_of(one) == name.removesuffix("products").strip() for one in variants)
    }
    if session.left > 0:
        x = session.place(*batch_of(losses[0], size, dim))[1]
        given = {key: halved(x) if "bfloat16" in key[1] else x for key in floors}
        floors = session.compile(
            {key: Program(partial(products, precision=FLOORS[key[1]]), (x, x)) for key, x in given.items()}
        )
    for loss in losses:
        wanted = [
            name for name in variants if missing(loss, VARIANTS[name]) is None and ("fast" not in name or loss in fast)
        ]
        # Over all triplets, 2,048 rows are 32 GiB for each array of them.
        if textbook and (size <= 2048 or loss not in ("semi-hard", "batch-all")):
            wanted.append("textbook")
        built: dict[Any, Built | str] = {(loss, name): LATE for name in wanted}
        if session.left > 0:
            built = session.compile(programs_of(loss, wanted, session.place(*batch_of(loss, size, dim))))
        # Of a batch that there was no time for, the products are of no use.
        late = all(one == LATE for one in built.values())
        found = times(session, built if late else floors | built, turns=7 if size <= 8192 else 5)
        session.rows("rows", [row_of(loss, size, dim, key, found) for key in found])
        session.say(f"{loss}, {size} x {dim}: " + ", ".join(map(_words, found, found.values())))


def programs_of(loss: str, names: Iterable[str], batch: tuple[jax.Array, ...]) -> dict[Any, Program]:
    """Returns a loss's variants, by loss and name, as programs."""
    halves = tuple(map(halved, batch))
    return {
        (loss, name): program_of(
            loss, halves if "bfloat16" in name else batch, VARIANTS.get(name, {}), textbook=name == "textbook"
        )
        for name in names
    }


def halved(array: jax.Array) -> jax.Array:
    """Returns rows in bfloat16, and labels as they are."""
    return array.astype(jnp.bfloat16) if array.ndim > 1 else array


def row_of(loss: str, size: int, dim: int, key: tuple[str, str], found: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    """Returns a row of the table: the time, and how many times the products of the same precision it is."""
    _, variant = key
    precision = precision_of(variant)
    floor = found.get(("floor", f"{precision} products".strip()), {}).get("ms")
    row = {"loss": loss, "batch_size": size, "dim": dim, "variant": variant, **found[key]}
    if floor and "ms" in row:
        row["times_products"] = round(row["ms"] / floor, 3)
    return row


def precision_of(variant: str) -> str:
    """Returns the precision of a variant, as the floors name it; "" for float32."""
    return next((word for word in ("bfloat16", "fast") if variant.startswith(word)), "")


def _words(key: tuple[str, str], one: Mapping[str, Any]) -> str:
    return f"{key[1]} {one['ms']:.3g} ms" if "ms" in one else f"{key[1]} {one['failed']}"
