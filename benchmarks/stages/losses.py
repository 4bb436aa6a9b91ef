"""Value and gradient of the losses that matter, from 2,048 to 65,536 rows, beside the three products."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from stages.programs import DIM, FAST, ROWS_PER_CLASS, batch_of, missing, products, program_of
from stages.session import Program, Session
from stages.timing import times

LOSSES = (
    *("semi-hard", "batch-all", "batch-hard", "supervised-contrastive", "nt-xent"),
    *("sigmoid-contrastive", "info-nce-symmetric"),
)
SIZES = (2048, 8192, 65536, 32768)
"""In the order of what they are worth."""
WIDE = 768
"""Numbers in an embedding of images and text."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "exact": {},
    "exact, max_class_size": {"max_class_size": ROWS_PER_CLASS},
    "fast": {"precision": "fast"},
    "bfloat16 rows, fast": {"precision": "fast"},
}
"""Keywords, by names that tell the precision."""
FLOORS = {"products": jax.lax.Precision.HIGHEST, "fast products": FAST, "bfloat16 products": None}
OF_TWO_VIEWS = LOSSES[-2:]


def run(session: Session) -> None:
    """Records a row for each loss, batch and variant; what a loss has no keyword for is left out."""
    *sizes, last = (64, 128) if session.quick else SIZES
    for size in sizes:
        # Compiling is most of the time: of the largest batch the fast rows are of those losses that peers have.
        fast = LOSSES if size <= 8192 else OF_TWO_VIEWS
        measure(session, LOSSES, size, DIM, tuple(VARIANTS)[:3], fast=fast, textbook=True)
    measure(session, OF_TWO_VIEWS, sizes[-1], WIDE, tuple(VARIANTS)[2:], fast=OF_TWO_VIEWS, textbook=False)
    measure(session, LOSSES, last, DIM, tuple(VARIANTS)[:2], fast=(), textbook=False)


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
    """Compiles everything of one size, then times each loss beside the products."""
    batches = {loss: session.place(*batch_of(loss, size, dim)) for loss in losses}
    halves = {loss: tuple(map(halved, batch)) for loss, batch in batches.items()}
    programs: dict[Any, Program] = {}
    for name, how in FLOORS.items():
        if not any(precision_of(one) == name.removesuffix("products").strip() for one in variants):
            continue
        x = (halves if "bfloat16" in name else batches)[losses[0]][1]
        programs["floor", name] = Program(partial(products, precision=how), (x, x))
    for loss in losses:
        for name in variants:
            if missing(loss, VARIANTS[name]) is None and ("fast" not in name or loss in fast):
                given = (halves if "bfloat16" in name else batches)[loss]
                programs[loss, name] = program_of(loss, given, VARIANTS[name])
        # Over all triplets, 2,048 rows are 32 GiB for each array of them.
        if textbook and (size <= 2048 or loss not in ("semi-hard", "batch-all")):
            programs[loss, "textbook"] = program_of(loss, batches[loss], {}, textbook=True)
    built = session.compile(programs, share=0.6)
    for loss in losses:
        # The products again beside each loss: a ratio is of the same seconds.
        beside = {key: one for key, one in built.items() if key[0] in (loss, "floor")}
        found = times(session, beside, turns=7 if size <= 8192 else 5)
        session.rows("rows", [row_of(loss, size, dim, key, found) for key in beside])
        session.say(f"{loss}, {size} x {dim}: " + ", ".join(map(_words, beside, found.values())))


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
