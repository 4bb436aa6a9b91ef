"""Products in three passes of bfloat16, emulated: what `precision="fast"` costs in accuracy on an accelerator."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet.distances import form_of
from jaxtriplet.tools import products

from . import judge
from .cases import BATCHES, DISTANCES, PLAIN, Case, rows_of
from .modes import trials

# One worker has the emulation, which empties all caches when it comes and goes.
pytestmark = pytest.mark.xdist_group("three passes")

FAST = [case for case in PLAIN if "precision" in case.declared.signature.parameters]
# Pairs, two kinds of terms, divergences, two stages, centroids, two views, class weights.
OF_A_KIND = ("batch_all", "contrastive", "kl_hinge", "lifted_structure", "ge2e", "info_nce", "am_softmax")
COMPARED = [batch for batch in BATCHES if batch.name in ("ragged", "padding")]


@pytest.fixture(scope="module")
def three_passes() -> Iterator[None]:
    """Products in three passes of bfloat16 on a CPU, which would make them of float32."""
    with products.made_by(products.emulated(products.SETTINGS["X3"]), "fast"):
        yield


def errors(case: Case, batch: Any, precision: str = "fast") -> tuple[float, float]:
    """How far value and gradient are from the reference's, over 1 and the largest number of it."""

    def loss(rows: Any, numbers: Any) -> Any:
        labels, where = jnp.asarray(batch.labels, jnp.int32), jnp.asarray(batch.valid)
        return case.loss(labels, rows, *numbers, where=where, precision=precision)

    numbers = tuple(jnp.asarray(number, jnp.float32) for number in case.numbers)
    rows = jnp.asarray(rows_of(case, batch), jnp.float32)
    value, (slope, of_numbers) = jax.jit(jax.value_and_grad(loss, (0, 1)))(rows, numbers)
    truth = judge.expected(case, batch, np.float32).reduced(case.reduction)
    by_numbers, by_rows, which = judge.expected_gradient(case, batch)
    far = [
        np.abs(judge.summed(np.asarray(slope)[batch.valid], which, by_rows) - by_rows),
        np.abs(judge.flat(of_numbers) - by_numbers),
    ]
    largest = max(1.0, np.abs(by_rows).max(), np.abs(by_numbers).max(initial=0))
    return abs(float(value) - truth) / (1 + abs(truth)), max(one.max(initial=0) for one in far) / largest


@trials("one", FAST, always=lambda one: one.name in OF_A_KIND, ids=lambda one: one.name)
def test_in_three_passes_a_loss_is_the_references_to_five_digits(one: Case, three_passes: None) -> None:
    for batch in COMPARED:
        of_value, of_gradient = errors(one, batch)
        assert of_value <= 1e-5
        assert of_gradient <= 2e-5  # of temperatures, which add up the errors of all pairs


def test_in_one_pass_it_would_not_be(three_passes: None) -> None:
    """The emulation is what the losses are made by, and the gradient's products are too."""
    case = next(case for case in FAST if case.name == "supervised_contrastive")
    exact = errors(case, COMPARED[0], "exact")
    with products.made_by(products.emulated(products.SETTINGS["bfloat16"]), "fast"):
        of_value, of_gradient = errors(case, COMPARED[0])
    assert max(exact) < 1e-6
    assert min(of_value, of_gradient) > 1e-4


@pytest.mark.parametrize("dim", [2, 16, 256])
def test_a_row_and_its_copy_are_at_distance_0_in_three_passes(dim: int, three_passes: None) -> None:
    rows = jnp.asarray(np.random.default_rng(dim).normal(0.2, 1, (400, dim)), jnp.float32)
    valid = jnp.ones(400, bool)
    # Divergences of a few classes, whose terms cancel, may keep 5e-6 nats; of these no root is taken.
    for name in ("squared_euclidean", "euclidean", "cosine", *(("kl", "symmetric_kl") if dim > 8 else ())):
        form = form_of(DISTANCES[name][0]).in_precision("fast")
        made = form.rows_fn(rows, valid, frame := form.frame((rows, valid)))
        distances = np.asarray(form.between_fn(made, made, frame))
        np.testing.assert_array_equal(np.diag(distances), 0, err_msg=name)
        # It is rounding that is cut off, not what tells rows apart.
        assert (distances[~np.eye(400, dtype=bool)] > 0).mean() > 0.99, name


def test_distances_of_a_batch_that_has_nearly_collapsed_are_as_exact_as_others(three_passes: None) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=256)
    rows = (base / np.linalg.norm(base) + 0.01 * rng.normal(size=(64, 256)) / 16).astype(np.float32)
    apart, valid = ~np.eye(64, dtype=bool), jnp.ones(64, bool)
    truth = ((rows.astype(float)[:, None] - rows.astype(float)[None]) ** 2).sum(-1)
    form = form_of(jt.distances.squared_euclidean).in_precision("fast")
    made = form.rows_fn(jnp.asarray(rows), valid, frame := form.frame((jnp.asarray(rows), valid)))
    np.testing.assert_allclose(np.asarray(form.between_fn(made, made, frame))[apart], truth[apart], 5e-6)


@pytest.mark.exhaustive
def test_the_table_of_distances_is_what_its_program_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parent.parent
    monkeypatch.syspath_prepend(root / "benchmarks")
    import precision  # type: ignore[import-not-found]

    told = (root / "benchmarks" / "precision.md").read_text()
    for what, row in precision.distances(emulated=True).items():
        line = next(line for line in told.splitlines() if line.startswith(f"| {what} |"))
        numbers = [float(cell) for cell in line.strip("|").split("|")[1:]]
        # Another machine adds in another order.
        np.testing.assert_allclose(np.log2(numbers), np.log2([float(cell) for cell in row.values()]), atol=1)
