"""What products of another precision do to distances, losses and gradients, against float64; writes precision.md.

`python benchmarks/precision.py` makes the products of rounded parts on a CPU (`jaxtriplet.tools.products`), in about
eight minutes; with `--device gpu` or `--device tpu` the accelerator makes them, those that its compiler has.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxtriplet as jt
from jaxtriplet.losses import registry
from jaxtriplet.tools import products

CLASSES, EACH, DIM = 32, 8, 256
COLUMNS = {"float32": '"exact"', "X6": "", "X3": '"fast"', "TF32": "", "bfloat16": ""}
NEAR = 0.01


def unit(x: np.ndarray) -> np.ndarray:
    """Rows at unit length."""
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def batches() -> dict[str, np.ndarray]:
    """Unit rows [2, B, D], two views of each: of a trained encoder, and of one that has nearly collapsed."""
    rng = np.random.default_rng(0)
    classes, noise = unit(rng.normal(size=(CLASSES, 1, DIM))), unit(rng.normal(size=(2, CLASSES, EACH, DIM)))
    spread = unit((classes[None] + 1.2 * noise).reshape(2, -1, DIM))
    return {"spread": spread, "alike": unit(unit(rng.normal(size=DIM)) + NEAR / np.sqrt(2) * spread)}


def given(loss: registry.Loss, rows: np.ndarray, dtype: Any) -> tuple[Any, ...]:
    """The arguments of a loss: labels or a second view, rows, and class weights near the rows of each class."""
    # Float64 sees the rows that float32 does.
    one, other = (jnp.asarray(view.astype(np.float32), dtype) for view in rows)
    if loss.sees == "logits":
        one, other = one * DIM**0.5, other * DIM**0.5
    labels = jnp.repeat(jnp.arange(CLASSES, dtype=jnp.int32), EACH)
    if loss.rows != "batch":
        return one, other
    centers = [other[place::EACH] for place in range(2)]
    weights = jnp.stack(centers, axis=1) if loss.centers > 1 else centers[0]
    return (labels, one, weights) if loss.class_weights else (labels, one)


def value_and_gradient(loss: registry.Loss, rows: np.ndarray, precision: Any, dtype: Any = jnp.float32) -> Any:
    """A loss as users call it, and its gradient by the rows, in float64 NumPy."""
    arguments = given(loss, rows, dtype)
    place = 0 if loss.rows != "batch" else 1

    @jax.jit
    def both(arguments: Any) -> Any:
        return jax.value_and_grad(lambda *a: loss.function(*a, **loss.fixed, precision=precision), place)(*arguments)

    return [np.asarray(part, np.float64) for part in jax.device_get(both(arguments))]


def settings(emulated: bool) -> Iterator[tuple[str, Any, Any]]:
    """The columns: their names, the keyword to give to a loss, and the context in which that means the setting."""
    yield "float32", "exact", contextlib.nullcontext()
    for name, setting in products.SETTINGS.items():
        precision = "fast" if name == "X3" else "exact"
        if emulated:
            yield name, precision, products.made_by(products.emulated(setting), precision)
        elif name == "X3":  # as users ask for it
            yield name, precision, contextlib.nullcontext()
        elif has(setting):
            yield name, precision, products.made_by(products.asked(setting), precision)


def has(setting: products.Setting) -> bool:
    """Whether the compiler of this device has such products."""
    try:
        jax.jit(products.asked(setting)).lower(jnp.ones((8, 8)), jnp.ones((8, 8))).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return False
    return True


def pairs(rows: np.ndarray) -> Mapping[str, Callable[[Any], tuple[Any, np.ndarray]]]:
    """Distances of all pairs by a precision: what is computed, and what that is in float64, the diagonal left out."""
    apart = ~np.eye(len(rows), dtype=bool)
    exact = rows.astype(np.float32).astype(np.float64)
    squared = ((exact[:, None] - exact[None]) ** 2).sum(-1)

    def of_form(distance_fn: Any, truth: np.ndarray) -> Callable[[Any], tuple[Any, np.ndarray]]:
        def compute(precision: Any) -> tuple[Any, np.ndarray]:
            form, x = jt.distances.form_of(distance_fn).in_precision(precision), jnp.asarray(rows, jnp.float32)
            frame = form.frame((x, jnp.ones(len(x), bool)))
            made = form.rows_fn(x, jnp.ones(len(x), bool), frame)
            return np.asarray(jax.jit(form.between_fn)(made, made, frame), np.float64)[apart], truth[apart]

        return compute

    return {"product": of_form(None, exact @ exact.T), "squared": of_form(jt.distances.squared_euclidean, squared)}


def distances(emulated: bool) -> dict[str, dict[str, str]]:
    """The largest errors of cosines and of squared distances, by what they are and by setting."""
    rows = {name: views[0] for name, views in batches().items()}
    twins = rows["spread"].copy()
    twins[1::2] = unit(twins[::2] + NEAR * unit(np.random.default_rng(1).normal(size=twins[::2].shape)))
    found: dict[str, dict[str, str]] = {}
    for name, precision, context in settings(emulated):
        with context:
            for batch, values in rows.items():
                ours, truth = pairs(values)["product"](precision)
                row = found.setdefault(f"a cosine (inner product of unit rows), {batch}: absolute", {})
                row[name] = f"{np.abs(ours - truth).max():.1e}"
                ours, truth = pairs(values)["squared"](precision)
                row = found.setdefault(f"a squared distance, {batch}: relative", {})
                row[name] = f"{np.abs(ours / truth - 1).max():.1e}"
            ours, truth = pairs(twins)["squared"](precision)
            near = truth < 2 * NEAR**2
            row = found.setdefault(f"that of twins {NEAR} apart among rows that are spread: relative", {})
            row[name] = f"{np.abs(ours / truth - 1)[near].max():.1e}"
    return found


def losses(emulated: bool) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """The errors of value and gradient, by batch, loss and setting."""
    known = [one for one in registry.named().values() if "precision" in one.signature.parameters]
    found: dict[str, dict[str, dict[str, tuple[float, float]]]] = {batch: {} for batch in batches()}
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        truths = {
            (batch, one.name): value_and_gradient(one, rows, "exact", jnp.float64)
            for batch, rows in batches().items()
            for one in known
        }
    for name, precision, context in settings(emulated):
        print(f"losses with products in {name}", flush=True)
        with context:
            for (batch, rows), one in ((item, one) for one in known for item in batches().items()):
                value, gradient = value_and_gradient(one, rows, precision)
                truth, slope = truths[batch, one.name]
                errors = abs(value / truth - 1), np.abs(gradient - slope).max() / np.abs(slope).max()
                found[batch].setdefault(one.name, {})[name] = errors
    return found


def table(head: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    """A table in Markdown."""
    names = [f"{name}, {word}" if word else name for name, word in COLUMNS.items()]
    lines = [f"| {head} | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [f"| {what} | {' | '.join(row.get(name, 'none') for name in COLUMNS)} |" for what, row in rows.items()]
    return "\n".join(lines)


def page(emulated: bool) -> str:
    """What is written."""
    device = jax.devices()[0].device_kind
    how = "made of rounded parts on a CPU: nothing was run on an accelerator" if emulated else f"made by {device}"
    parts = [
        "# Precision of products",
        f"Largest errors against float64, with products {how}; jax {jax.__version__}. {CLASSES} classes of {EACH} unit "
        f"rows of {DIM} numbers. *Spread*: within a class cosines of about 0.4, else about 0. *Alike*: all rows about "
        f"{NEAR} apart, as those of an encoder that is nearly collapsed. Written by `python benchmarks/precision.py`.",
        table("error of", distances(emulated)),
    ]
    words = {"spread": "rows that are spread", "alike": "rows that are nearly all alike"}
    for batch, found in losses(emulated).items():
        of_losses = {
            f"`{name}`": {setting: f"{value:.0e} / {slope:.0e}" for setting, (value, slope) in row.items()}
            for name, row in found.items()
        }
        said = "Value / gradient, relative: of the gradient the largest error over its largest number."
        parts += [f"## Losses of {words[batch]}", said, table("loss", of_losses)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "gpu", "tpu"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    chosen = parser.parse_args()
    jax.config.update("jax_platforms", "cpu" if chosen.device == "cpu" else "")
    if chosen.device != "cpu" and jax.default_backend() != chosen.device:
        parser.error(f"there is no {chosen.device} here, but {jax.devices()[0].device_kind}")
    chosen.out.write_text(page(emulated=chosen.device == "cpu"))
    print(f"wrote {chosen.out}")
