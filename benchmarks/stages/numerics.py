"""How exact every loss is on the device: value and gradient against float64, in every dtype and precision."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.losses import registry
from stages.session import Built, Program, Session, said

ROWS, DIM, CLASSES = 96, 64, 24
KINDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("float32", {}),
    ("bfloat16", {}),
    ("float32", {"precision": "fast"}),
    ("float16", {}),
    ("bfloat16", {"precision": "fast"}),
    ("float16", {"precision": "fast"}),
)
"""Dtypes and keywords, in the order of what they are worth."""
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}


def run(session: Session) -> None:
    """Records a row for each loss, dtype and precision.

    The reference is the same loss in float64 on this machine's processor, given the rows as the dtype has rounded them:
    what is left is what was lost in computing, and in rounding the result to the dtype.
    """
    losses = registry.named()
    if session.quick:
        losses = {name: losses[name] for name in ("semi_hard", "aam_softmax", "soft_triple", "triplet", "deep_speaker")}
    drawn = {name: draw(loss, seed) for seed, (name, loss) in enumerate(losses.items())}
    exact: dict[Any, Program] = {}
    programs: dict[Any, Program] = {}
    processor = jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True):
        for name, loss in losses.items():
            given = tuple(jax.device_put(one, processor) for one in widened(drawn[name], "float32"))
            exact[name] = Program(graded(loss, drawn[name], {}), given, partial(jax.enable_x64, True))
    for dtype, options in KINDS:
        for name, loss in losses.items():
            if set(options) <= set(loss.signature.parameters):
                given = session.place(*rounded(drawn[name], dtype))
                programs[name, dtype, *options.values()] = Program(graded(loss, drawn[name], options), given)
    built = session.compile(exact | programs, share=0.9)
    for key in programs:
        name, dtype, *_ = key
        row = {"loss": name, "dtype": dtype, "precision": "fast" if "fast" in key else "exact"}
        try:
            row |= compare(built[key], built[name], widened(drawn[name], dtype))
        except Exception as error:
            row["failed"] = said(error)
        session.rows("rows", [row])


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


def graded(loss: registry.Loss, drawn: tuple[np.ndarray, ...], options: Mapping[str, Any]) -> Any:
    """Returns the function of a loss's value and gradients, its padding left out."""
    *arguments, where = drawn
    rows = tuple(place for place, one in enumerate(arguments) if one.ndim > 1)

    def value(*given: jax.Array) -> jax.Array:
        if loss.rows == "thirds":  # `Loss.__call__` takes labels, which such a loss has none of.
            return loss.function(*given, where=where, **loss.fixed, **options)
        return loss(*given, where=where, **options)

    return jax.value_and_grad(value, argnums=rows)


def compare(built: Built | str, reference: Built | str, wide: list[np.ndarray]) -> dict[str, float]:
    """Returns how far a value and gradients are off, relative to the value and to the largest number of a gradient."""
    for one in (built, reference):
        if isinstance(one, str):
            raise RuntimeError(one)
    assert isinstance(built, Built)
    assert isinstance(reference, Built)
    value, gradients = jax.device_get(built.call(*built.arguments))
    with jax.enable_x64(True):
        processor = jax.local_devices(backend="cpu")[0]
        right, slopes = jax.device_get(reference.call(*(jax.device_put(one, processor) for one in wide)))
    assert right.dtype == np.float64
    off = [_apart(one, other) for one, other in zip(gradients, slopes, strict=True)]
    return {"value": float(right), "value_error": _apart(value, right), "gradient_error": max(off)}


def _apart(found: np.ndarray, right: np.ndarray) -> float:
    difference = np.abs(np.asarray(found).astype(np.float64) - right).max()
    return float(difference / max(np.abs(right).max(), 1e-30))
