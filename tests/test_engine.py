"""Tiles, orders and sorts change no loss: any tile size, any size of class, thousands of rows."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet.engine import rules
from jaxtriplet.losses import registry

from .cases import LOSSES, MINED, ROWS, Case, named
from .modes import trials
from .reference.distances import softmax

# Every loss that goes tile by tile, in its own way and in that of a distance without symmetry.
TILED = [case for case in LOSSES if "block_size" in case.declared.signature.parameters] + [named("semi_hard-kl")]
SORTED = [case for case in LOSSES if ROWS[case.declared.name].sorts]


def ragged(rows: int, dim: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of classes of many sizes, rows off centre and of different scales, and a mask."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, np.maximum(1, rng.integers(1, rows // 2, rows))).astype(np.int32)
    values = (
        rng.normal(0.3, rng.uniform(0.3, 1, (1, dim)), (rows, dim)) + 0.3 * rng.normal(size=(rows // 2, dim))[labels]
    )
    return labels, values, rng.random(rows) > 0.15


def everything(case: Case, **options: Any) -> Any:
    """A compiled function: loss, statistics, each anchor's sum, and the gradients of both by rows and numbers."""

    def scalar(rows: Any, numbers: Any, labels: Any, where: Any) -> Any:
        return case.loss(labels, rows, *numbers, where=where, has_aux=True, **options)

    def weighted_terms(rows: Any, numbers: Any, labels: Any, where: Any) -> Any:
        terms = case.loss(labels, rows, *numbers, where=where, reduce_fn=None, **options)
        return jnp.sum(terms * jnp.cos(jnp.arange(len(terms), dtype=terms.dtype))), terms

    return jax.jit(
        lambda *args: [jax.value_and_grad(each, (0, 1), has_aux=True)(*args) for each in (scalar, weighted_terms)]
    )


@trials("case", TILED, always=lambda case: case.name in registry.named() or case.plain, ids=lambda case: case.name)
def test_tiles_that_do_not_divide_the_batch_give_the_same(case: Case, x64: None) -> None:
    labels, rows, where = ragged(23)
    rows = np.apply_along_axis(softmax, -1, rows) if case.probabilities else rows
    whole, tiled = (everything(case, block_size=size)(rows, case.numbers, labels, where) for size in (None, 7))
    for ours, theirs in zip(jax.tree.leaves(tiled), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-11, atol=1e-12)


@pytest.fixture
def sorting() -> Iterator[None]:
    """Makes classes of three rows many, so that their distances are sorted."""
    few = rules.MANY
    jax.clear_caches()
    rules.MANY = 2
    yield
    rules.MANY = few
    jax.clear_caches()


@pytest.mark.parametrize("case", SORTED, ids=lambda case: case.name)
def test_sorting_gives_what_the_loop_over_positives_gives(case: Case, x64: None, request: Any) -> None:
    trials = [(ragged(24, seed=seed), margin) for seed in range(4) for margin in (0.4, 0.0, -0.1)]
    for (labels, rows, _), _ in trials[6:]:  # ties: rows on a grid, and copies of rows
        rows[:] = np.round(rows)
        rows[::3] = rows[labels[::3] % 5]
    run = everything(case)
    looped = [run(rows, (margin,), labels, where) for (labels, rows, where), margin in trials]
    request.getfixturevalue("sorting")
    run = everything(case)
    for ((labels, rows, where), margin), expected in zip(trials, looped, strict=True):
        found = run(rows, (margin,), labels, where)
        # Of tied rows either may have the gradient: then only values can be compared.
        tied = len(np.unique(rows, axis=0)) < len(rows)
        pick = (lambda tree: [tree[0][0], tree[1][0]]) if tied else (lambda tree: tree)
        for ours, theirs in zip(jax.tree.leaves(pick(found)), jax.tree.leaves(pick(expected)), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-11, atol=1e-12)


def by_anchor(name: str, labels: np.ndarray, rows: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """The loss and its gradient in float64 NumPy, an anchor at a time."""
    rooted = name != "semi_hard"
    total, terms, gradient = 0.0, 0, np.zeros_like(rows)
    squares = np.sum(rows**2, axis=1)
    for a, label in enumerate(labels):
        d = np.maximum(squares + squares[a] - 2 * rows @ rows[a], 0)
        d = np.sqrt(d) if rooted else d
        positive, negative = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        positive = positive[positive != a]
        weights = np.zeros(len(rows))
        if len(positive) == 0 or len(negative) == 0:
            continue
        order = negative[np.argsort(d[negative])]
        near = d[order]
        if name == "batch_all":
            count = np.searchsorted(near, d[positive] + margin, "left")
            total += np.sum(count * (d[positive] + margin)) - np.sum(np.concatenate([[0], np.cumsum(near)])[count])
            terms += np.sum(count)
            weights[positive] = count
            weights[negative] = -np.sum(d[positive][:, None] + margin > d[negative][None, :], axis=0)
        else:
            first = np.searchsorted(near, d[positive], "right")
            chosen = order[np.minimum(first, len(order) - 1)]
            if name == "batch_hard":
                positive, chosen = positive[[np.argmax(d[positive])]], order[:1]
            violation = d[positive] - d[chosen] + margin
            total += np.sum(np.maximum(violation, 0))
            terms += len(positive)
            np.add.at(weights, positive[violation > 0], 1)
            np.add.at(weights, chosen[violation > 0], -1)
        slope = weights * (0.5 / np.where(d > 0, d, 1) if rooted else 1)
        gradient[a] += 2 * (np.sum(slope) * rows[a] - slope @ rows)
        gradient += 2 * slope[:, None] * (rows - rows[a])
    return total / terms, gradient / terms


@pytest.mark.parametrize("largest", [12, 700])
@pytest.mark.parametrize("name", ["semi_hard", "batch_all", "batch_hard"])
def test_thousands_of_rows_are_exact(name: str, largest: int) -> None:
    # Classes of 1 to 12 rows, and classes so large that their distances are sorted.
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, largest + 1, 4096 if largest < 100 else 8)
    labels = rng.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[: 4096 if largest < 100 else 1500])
    rows = rng.normal(size=(len(labels), 16)) + 0.5 * rng.normal(size=(len(sizes), 16))[labels]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    expected, expected_gradient = by_anchor(name, labels, rows.astype(np.float64), 0.3)
    loss = jax.value_and_grad(partial(registry.find(name), labels))
    value, gradient = loss(rows, margin=0.3)
    np.testing.assert_allclose(value, expected, 1e-5)
    if name == "semi_hard":
        # Of thousands of negatives some lie within float32's rounding of a positive: on the other side of it, another
        # negative gets the gradient, though the loss is the same. So the gradient is judged in float64.
        with jax.enable_x64(True):
            value, gradient = loss(rows.astype(np.float64), margin=0.3)
        np.testing.assert_allclose(value, expected, 1e-10)
    assert np.linalg.norm(np.asarray(gradient) - expected_gradient) < 1e-5 * np.linalg.norm(expected_gradient)


@pytest.mark.parametrize("case", [case for case in MINED if case.plain], ids=lambda case: case.name)
def test_forward_mode_and_second_derivatives_say_that_they_are_not_there(case: Case) -> None:
    labels, rows, _ = ragged(8)
    loss = partial(case.loss, labels)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (rows.astype(np.float32),), (rows.astype(np.float32),))
    with pytest.raises(TypeError, match="no second derivatives"):
        jax.hessian(loss)(rows.astype(np.float32))
    with pytest.raises(TypeError, match="no second derivatives"):
        jax.grad(lambda rows: jnp.sum(jax.grad(loss)(rows) ** 2))(rows.astype(np.float32))


def test_importing_starts_no_backend() -> None:
    # Else `jax.distributed.initialize` after `import jaxtriplet` would fail.
    import subprocess
    import sys

    code = "import jaxtriplet; from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True)
