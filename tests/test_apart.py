"""Classes apart: each device holds a share of them and meets all rows; loss and gradients are those of one device."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec as P

from jaxtriplet.losses import registry

from .cases import ROWS
from .modes import trials

DIM, NUM_CLASSES, NUM_ROWS, FEATURES = 5, 24, 32, 3
FORMS = {
    "aam_softmax": {},
    "aam_softmax, centers": {},
    "aam_softmax, nearest few": {"inter_top_k": 4, "penalty": 0.2},
    "am_softmax, in blocks": {"block_size": 2},
    "sphereface2": {},
    "soft_triple": {},
    "proxy_anchor": {},
    "proxy_nca": {},
    "normalized_softmax": {},
}
# Over which axes rows are spread, and over which classes; the mesh is 4 x 2.
LAYOUTS: dict[str, tuple[Any, Any]] = {
    "same axis": (("x", "y"), ("x", "y")),
    "another axis": ("x", "y"),
    "one of two": (("x", "y"), "x"),
    "rows whole": (None, ("x", "y")),
    "classes over both": ("x", ("x", "y")),
    "classes whole": (("x", "y"), None),
}
INSIDE = ("outside", "checked", "unchecked")


def loss_of(form: str) -> Callable[..., Any]:
    """The loss with its options and numbers: `(labels, embeddings, weights, margin, **options)`."""
    declared = registry.find(form.split(",")[0])
    rest = dict(zip(declared.numbers, ROWS[declared.name].numbers, strict=False))

    def loss(labels: Any, rows: Any, weights: Any, number: Any, **more: Any) -> Any:
        first = next(iter(rest))
        return declared.function(labels, rows, weights, **{**rest, first: number}, **{**FORMS[form], **more})

    return loss


@cache
def batch_of(form: str, dtype: Any) -> tuple[Any, ...]:
    """An encoder, class weights, the loss's first number; inputs, ragged labels, a mask."""
    rng = np.random.default_rng(5)
    centers = (2,) if "centers" in form else (3,) if form == "soft_triple" else ()
    number = next(iter(ROWS[registry.find(form.split(",")[0]).name].numbers))
    return (
        (rng.normal(size=(FEATURES, DIM)) * 0.6).astype(dtype),
        (rng.normal(size=(NUM_CLASSES, *centers, DIM)) + 0.3).astype(dtype),
        np.asarray(number, dtype),
        (rng.normal(size=(NUM_ROWS, FEATURES)) + 0.3).astype(dtype),
        rng.integers(0, NUM_CLASSES, NUM_ROWS).astype(np.int32),
        rng.random(NUM_ROWS) > 0.2,
    )


def objective(form: str, **axes: Any) -> Callable[..., Any]:
    def loss(encoder: Any, weights: Any, number: Any, inputs: Any, labels: Any, where: Any) -> Any:
        rows = jnp.matmul(inputs, encoder, precision="highest")
        return loss_of(form)(labels, rows, weights, number, where=where, has_aux=True, **axes)

    return loss


@cache
def alone(form: str, dtype: Any) -> Any:
    """Value, statistics and gradients on one device."""
    step = jax.jit(jax.value_and_grad(objective(form), argnums=(0, 1, 2), has_aux=True))
    return jax.device_get(step(*batch_of(form, dtype)))


def over_devices(form: str, layout: str, inside: str, dtype: Any) -> Any:
    """The same over eight devices, the gradient taken outside of `shard_map`, or inside with its check or without."""
    rows, classes = LAYOUTS[layout]
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("x", "y"))
    loss = objective(form, axis_name=rows, class_axis_name=classes)
    specs = (P(), P(classes), P(), P(rows), P(rows), P(rows))
    if inside == "outside":
        mapped = jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=(P(), P()))
        step = jax.value_and_grad(mapped, argnums=(0, 1, 2), has_aux=True)
    else:

        def per_device(*arguments: Any) -> Any:
            found, (encoder, weights, number) = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(*arguments)
            if inside == "unchecked":
                # As under pmap: what is whole everywhere is averaged; a share of the classes is this device's own, so
                # that its gradient is averaged over the devices that have the same, and divided by the others.
                encoder, number = jax.lax.pmean((encoder, number), ("x", "y"))
                own = (classes,) if isinstance(classes, str) else classes or ()
                others = tuple(axis for axis in ("x", "y") if axis not in own)
                weights = jax.lax.pmean(weights, others) if others else weights
                weights = weights / (jax.lax.axis_size(own) if own else 1)
            return found, (encoder, weights, number)

        step = jax.shard_map(
            per_device,
            mesh=mesh,
            in_specs=specs,
            out_specs=((P(), P()), (P(), P(classes), P())),
            check_vma=inside == "checked",
        )
    return jax.device_get(jax.jit(step)(*batch_of(form, dtype)))


def judge(form: str, layout: str, inside: str, dtype: Any, tolerance: float) -> None:
    ours, theirs = over_devices(form, layout, inside, dtype), alone(form, dtype)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, 0, atol=tolerance * max(1, np.abs(other).max()))


# Rows as anchors everywhere, classes as anchors in each layout; the others, which go the same way, in three settings.
EVERYWHERE = [(layout, inside) for layout in LAYOUTS for inside in INSIDE]
EACH_LAYOUT = [(layout, [*INSIDE][place % len(INSIDE)]) for place, layout in enumerate(LAYOUTS)]
ANCHORED = ("one of two", "unchecked")
SOMEWHERE = [("same axis", "outside"), ("another axis", "unchecked"), ("one of two", "checked")]
TABLE = [
    (form, *setting)
    for form in FORMS
    for setting in {"aam_softmax": EVERYWHERE, "proxy_anchor": [*dict.fromkeys([*EACH_LAYOUT, ANCHORED])]}.get(
        form, SOMEWHERE
    )
]


def _always(form: str, layout: str, inside: str) -> bool:
    """Some forms once, each layout once, and each place of the gradient."""
    first = form == "aam_softmax" and (inside == "outside" or layout == "another axis")
    anchored = form == "proxy_anchor" and (layout, inside) == ANCHORED
    return first or anchored or (form, layout, inside) == ("aam_softmax, nearest few", "same axis", "outside")


@trials(("form", "layout", "inside"), TABLE, always=_always, ids=lambda *parts: "-".join(parts))
def test_classes_apart_equal_one_device(form: str, layout: str, inside: str, x64: None) -> None:
    judge(form, layout, inside, np.float64, 1e-12)


@trials("form", ("aam_softmax", "soft_triple", "proxy_anchor"), always=lambda form: form == "aam_softmax", ids=str)
def test_classes_apart_equal_one_device_in_float32(form: str) -> None:
    judge(form, "same axis", "outside", np.float32, 1e-6)
