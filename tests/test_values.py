"""Every loss equals its reference: value, terms, statistics and gradient, on every batch of the table."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest

import jaxtriplet as jt

from . import judge
from .cases import (
    BATCHES,
    CASES,
    LOSSES,
    ONE_OF_A_KIND,
    PLAIN,
    REDUCTIONS,
    SMALL_BATCHES,
    STANDING,
    Batch,
    Case,
    rows_of,
)
from .flags import COMPILED_FAST
from .judge import compiled_reductions, expected, flat, outcome, run
from .modes import grouped, trials, trying

# What costs is compiling. Batches of no row and of one are other shapes: one of each loss takes them, and float32. Of
# the other distances, float32 takes those of the loss that looks at every pair of distances.
TRIALS = [
    *((case, np.float64, batch) for case in CASES for batch in [*BATCHES, *(SMALL_BATCHES if case in PLAIN else [])]),
    *(
        (case, np.float32, batch)
        for case in CASES
        for batch in BATCHES
        if case in PLAIN or case.declared.name == "batch_all"
    ),
]
# Central differences are slow: of the other distances only the batches that differ in kind.
GRADIENT_TRIALS = [
    (case, dtype, batch)
    for case, dtype, batch in TRIALS
    if batch.smooth and (case in LOSSES or batch.name in ("ragged", "padding", "duplicates"))
]


# Batches that differ in kind: for variants, other distances, and losses that another one stands for.
DIFFERENT = ("ragged", "padding", "one valid row", "identical rows")


def always(case: Case, batch: Batch, dtype: Any = np.float64) -> bool:
    """Every loss and variant in float64, one of a kind in float32, and other distances with the loss of all pairs."""
    if batch in SMALL_BATCHES or dtype is np.float32:
        return case in ONE_OF_A_KIND
    known = case in LOSSES or case.declared.name == "batch_all"
    return case in STANDING or (known and batch.name in DIFFERENT)


def over(table: list[tuple[Any, ...]]) -> Any:
    """Parametrises a test by case, precision and batches."""
    return grouped(("case", "dtype", "batches"), table, always=lambda case, dtype, batch: always(case, batch, dtype))


every_loss = pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)


@over(TRIALS)
def test_the_loss_is_the_references(case: Case, dtype: Any, batches: list[Batch]) -> None:
    for batch in batches:
        with trying(batch.name):
            judge.value(case, batch, dtype)


@trials("case", LOSSES, always=lambda case: case in STANDING, ids=lambda case: case.name)
def test_each_reduction_is_the_references(case: Case) -> None:
    for batch in BATCHES:
        with trying(batch.name):
            compare_reductions(case, batch)


def compare_reductions(case: Case, batch: Batch) -> None:
    out = run(case, batch.labels, rows_of(case, batch), batch.valid, function=compiled_reductions)
    for name in REDUCTIONS:
        np.testing.assert_allclose(out[name], expected(case, batch).reduced(name), 1e-10, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(np.sum(out["terms"]), out["sum"], 1e-12, atol=1e-12)
    of_rows = batch.valid if case.declared.anchors == "rows" else np.ones(len(out["terms"]), bool)
    np.testing.assert_allclose(out["terms"][of_rows], expected(case, batch).per_row(), 1e-10, atol=1e-10)
    np.testing.assert_array_equal(out["terms"][~of_rows], 0)
    # Asking for statistics does not change the loss; that one is compiled apart, beside its gradient.
    np.testing.assert_allclose(out["loss"], outcome(case, batch)["loss"], 1e-14)


@grouped(("case", "batches"), [(case, batch) for case in CASES for batch in BATCHES], always=always)
def test_the_statistics_are_the_references(case: Case, batches: list[Batch]) -> None:
    for batch in batches:
        stats, reference = outcome(case, batch)["stats"], expected(case, batch).stats()
        assert isinstance(stats, jt.Stats)
        for name, value in reference.items():
            ours = getattr(stats, name)
            chex.assert_shape(ours, ())
            np.testing.assert_allclose(ours, value, 1e-6, atol=1e-6, err_msg=f"{name} of {batch.name}")


@over(TRIALS)
def test_value_and_gradient_are_finite(case: Case, dtype: Any, batches: list[Batch]) -> None:
    for batch in batches:
        with trying(batch.name):
            out = outcome(case, batch, dtype)
            assert {out["loss"].dtype, out["rows"].dtype} == {np.dtype(dtype)}
            assert np.isfinite(out["loss"])
            assert np.isfinite(out["rows"]).all()
            assert np.isfinite(flat(out["numbers"])).all()
            assert np.isfinite(jax.tree.leaves(out["stats"])).all()
            np.testing.assert_array_equal(out["rows"][~batch.valid], 0)


@over(GRADIENT_TRIALS)
def test_the_gradient_is_the_references(case: Case, dtype: Any, batches: list[Batch]) -> None:
    for batch in batches:
        with trying(batch.name):
            judge.gradient(case, batch, dtype)


@pytest.mark.exhaustive
@pytest.mark.xdist_group("optimised")
def test_optimised_as_users_run_them_the_losses_are_the_references() -> None:
    """All tests compile fast: here, in a process of its own, every loss is compiled as for a user."""
    flags = os.environ["XLA_FLAGS"].replace(COMPILED_FAST, "")
    done = subprocess.run(
        [sys.executable, "-m", "tests.optimised", *(case.name for case in LOSSES)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"XLA_FLAGS": flags},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{2 * len(LOSSES)} trials of {len(LOSSES)} losses"


@every_loss
def test_the_table_reaches_terms_of_both_kinds(case: Case) -> None:
    """A batch without an active term, or with no other, would judge little."""
    statistics = [expected(case, batch).stats() for batch in BATCHES]
    assert max(s["num_active"] for s in statistics) >= 4
    assert any(s["num_valid"] == 0 for s in statistics)
