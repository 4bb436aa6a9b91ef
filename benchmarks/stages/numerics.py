"""How exact every loss is on the device: value and gradient against float64, in every dtype and precision."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.losses import registry
from stages.session import LATE, Built, Program, Session, grouped, said

ROWS, DIM, CLASSES = 96, 64, 24
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""In the order of what they are worth."""
FIRST = (
    *("semi_hard", "supervised_contrastive", "aam_softmax", "info_nce", "sigmoid_contrastive", "batch_hard", "triplet"),
    *("nt_xent", "batch_all", "am_softmax", "normalized_softmax", "contrastive", "multi_similarity", "ge2e", "circle"),
)
"""The losses that are used most; all others follow."""


def run(session: Session) -> None:
    """Records a row for each loss, dtype and precision.

    The reference is the same loss in float64 on this machine's processor, given the rows as the dtype has rounded them:
    what is left is what was lost in computing, and in rounding the result to the dtype.
    """
    losses = registry.named()
    losses = {name: losses[name] for name in dict.fromkeys((*FIRST, *losses))}
    if session.quick:
        losses = {name: losses[name] for name in ("semi_hard", "aam_softmax", "soft_triple", "triplet", "deep_speaker")}
    drawn = {name: draw(loss, seed) for seed, (name, loss) in enumerate(losses.items())}
    references: dict[Any, Built | str] = {}
    for dtype in _DTYPES:
        for names in grouped(losses):
            wanted: dict[Any, Program] = {}
            for name in names if session.left > 0 else ():
                if name not in references:
                    wanted[name, "float64"] = reference(losses[name], drawn[name])
                given = session.place(*rounded(drawn[name], dtype))
                wanted[name, dtype] = Program(graded(losses[name], drawn[name], precisions(losses[name])), given)
            built = session.compile(wanted)
            references |= {name: one for (name, of), one in built.items() if of == "float64"}
            for name in names:
                pair = (built.get((name, dtype), LATE), references.get(name, LATE))
                session.rows("rows", rows_of(losses[name], dtype, *pair, widened(drawn[name], dtype)))


def precisions(loss: registry.Loss) -> list[str]:
    """Returns the precisions that a loss can be asked for."""
    return ["exact", "fast"] if "precision" in loss.signature.parameters else ["exact"]


def reference(loss: registry.Loss, drawn: tuple[np.ndarray, ...]) -> Program:
    """Returns the loss in float64 on the processor."""
    processor = jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True):
        given = tuple(jax.device_put(one, processor) for one in widened(drawn, "float32"))
    return Program(graded(loss, drawn, ["exact"]), given, partial(jax.enable_x64, True))


def rows_of(
    loss: registry.Loss, dtype: str, built: Built | str, right: Built | str, wide: list[np.ndarray]
) -> list[dict[str, Any]]:
    """Returns a row for each precision."""
    asked = precisions(loss)
    try:
        failed = next((one for one in (built, right) if isinstance(one, str)), None)
        errors = [{"failed": failed}] * len(asked) if failed else compare(built, right, wide)
    except Exception as error:
        errors = [{"failed": said(error)}] * len(asked)
    return [
        {"loss": loss.name, "dtype": dtype, "precision": precision, **found}
        for precision, found in zip(asked, errors, strict=True)
    ]


def draw(loss: registry.Loss, seed: int) -> tuple[np.ndarray, ...]:
    """Returns arguments of a loss and, last, which of its rows are no padding.

    Labels are ragged, some of one row alone; rows are of about unit length around a mean for each class that is not
    zero; logits are three times as far apart.
    """
    random = np.random.default_rng(seed)
    labels = np.minimum(random.geometric(0.12, ROWS) - 1, CLASSES - 1).astype(np.int32)
    means = random.standard_normal((CLASSES, DIM))

    def rows(of: np.ndarray) -> np.ndarray:
        spread = 0.5 * means[of] + random.standard_normal((len(of), DIM)) + 0.3
        unit = spread / np.linalg.norm(spread, axis=1, keepdims=True) * random.uniform(0.8, 1.25, (len(of), 1))
        return (3 * spread if loss.sees == "logits" else unit).astype(np.float32)

    where = random.random(ROWS) < 0.9
    if loss.rows == "thirds":
        return rows(np.tile(labels[: ROWS // 3], 3)), where
    if loss.rows == "given":
        return *(_given(name, rows, labels, random) for name in _row_arguments(loss)), where
    if not loss.class_weights:
        return labels, rows(labels), where
    several = [loss.centers] if loss.centers > 1 else []
    return labels, rows(labels), random.standard_normal((CLASSES, *several, DIM)).astype(np.float32), where


def _row_arguments(loss: registry.Loss) -> list[str]:
    parameters = loss.signature.parameters.values()
    return [one.name for one in parameters if one.default is one.empty]


def _given(name: str, rows: Any, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.random(ROWS) < 0.5 if name == "same" else rows(labels)


def rounded(drawn: tuple[np.ndarray, ...], dtype: str) -> list[np.ndarray]:
    """Returns the arguments without the mask, rows in the dtype."""
    return [one.astype(_DTYPES[dtype]) if one.dtype == np.float32 else one for one in drawn[:-1]]


def widened(drawn: tuple[np.ndarray, ...], dtype: str) -> list[np.ndarray]:
    """Returns the arguments as the dtype has rounded them, in float64."""
    return [one.astype(np.float64) if one.ndim > 1 else one for one in rounded(drawn, dtype)]


def graded(loss: registry.Loss, drawn: tuple[np.ndarray, ...], asked: Sequence[str]) -> Any:
    """Returns the function of a loss's value and gradients in each precision that is asked for, without padding."""
    *arguments, where = drawn
    rows = tuple(place for place, one in enumerate(arguments) if one.ndim > 1)

    def value(*given: jax.Array, **options: str) -> jax.Array:
        if loss.rows == "thirds":  # `Loss.__call__` takes labels, which such a loss has none of.
            return loss.function(*given, where=where, **loss.fixed, **options)
        return loss(*given, where=where, **options)

    def values(*given: jax.Array) -> list[Any]:
        options = [{} if one == "exact" else {"precision": one} for one in asked]
        return [jax.value_and_grad(partial(value, **some), argnums=rows)(*given) for some in options]

    return values


def compare(built: Any, right: Any, wide: list[np.ndarray]) -> list[dict[str, Any]]:
    """Returns how far values and gradients are off, relative to the value and to the largest number of a gradient."""
    with jax.enable_x64(True):
        processor = jax.local_devices(backend="cpu")[0]
        ((exact, slopes),) = jax.device_get(right.call(*(jax.device_put(one, processor) for one in wide)))
    assert exact.dtype == np.float64
    return [
        {
            "value": float(exact),
            "value_error": _apart(value, exact),
            "gradient_error": max(_apart(one, other) for one, other in zip(gradients, slopes, strict=True)),
        }
        for value, gradients in jax.device_get(built.call(*built.arguments))
    ]


def _apart(found: np.ndarray, right: np.ndarray) -> float:
    difference = np.abs(np.asarray(found).astype(np.float64) - right).max()
    return float(difference / max(np.abs(right).max(), 1e-30))
