"""Meshes of any kind of axes, and what `jax.set_mesh` has set: the same numbers as on one device."""

import contextlib
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import parallel
from jaxtriplet.training import make_update

from .cases import MEETING, OF_EACH_WAY, ONE_OF_A_KIND, Case, random_rows
from .modes import trials
from .test_training import batch as training_batch, both, fresh

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit
ROWS = 24  # divides among 8 devices, and into thirds


def grid(*kinds: AxisType) -> Mesh:
    return jax.make_mesh((4, 2), ("hosts", "cores"), kinds)


MESHES = {
    "as it comes": jax.make_mesh((8,), ("hosts",)),
    "two axes": grid(EXPLICIT, EXPLICIT),
    "mixed": grid(EXPLICIT, AUTO),
    "automatic": grid(AUTO, AUTO),
    "data": parallel.data_mesh(),
}
LABELS = np.random.default_rng(1).integers(0, 6, ROWS).astype(np.int32)
# No mesh that is set, the same one, and one of other axes.
SET = [
    *((mesh, None) for mesh in MESHES),
    *(("as it comes", "as it comes"), ("as it comes", "data"), ("two axes", "as it comes"), ("mixed", "mixed")),
    *(("automatic", "mixed"), ("data", "data"), ("data", "as it comes")),
]
every_mesh = pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)


def spread(mesh: Mesh, *arrays: Any) -> list[jax.Array]:
    return [jax.device_put(array, NamedSharding(mesh, P(mesh.axis_names))) for array in arrays]


def graded(case: Case) -> Any:
    """Value, statistics and gradient."""
    return jax.value_and_grad(
        lambda rows, labels: case.loss(labels, rows, *case.numbers, where=LABELS != 5, has_aux=True), has_aux=True
    )


def assert_same(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, tolerance, atol=tolerance)


@trials("case", OF_EACH_WAY, always=lambda case: case.name in ("batch_hard", "ge2e"), ids=lambda case: case.name)
def test_a_plain_loss_takes_rows_whose_type_says_that_they_are_spread(case: Case, x64: None) -> None:
    rows, mesh = random_rows(case, ROWS, 0), MESHES["two axes"]
    alone = jax.jit(graded(case))(rows, LABELS)
    there = spread(mesh, rows, LABELS)
    found = jax.jit(graded(case))(*there)
    assert jax.typeof(found[1]) == jax.typeof(there[0])
    assert_same(found, alone)


@trials("case", ONE_OF_A_KIND, always=lambda case: case.name == "batch_hard", ids=lambda case: case.name)
def test_a_plain_loss_of_spread_rows_outside_of_jit(case: Case, x64: None) -> None:
    rows, mesh = random_rows(case, ROWS, 0), MESHES["two axes"]
    with jax.set_mesh(mesh):
        there = spread(mesh, rows, LABELS)
        found = graded(case)(*there)
        terms = case.loss(there[1], there[0], *case.numbers, reduce_fn=None)
    assert jax.typeof(found[1]) == jax.typeof(there[0])
    assert_same(found, graded(case)(rows, LABELS))
    assert_same(terms, case.loss(LABELS, rows, *case.numbers, reduce_fn=None))


@every_mesh
def test_a_plain_loss_needs_no_mesh_that_is_set(mesh: Mesh, x64: None) -> None:
    rows, labels = spread(mesh, np.random.default_rng(0).normal(size=(ROWS, 4)), LABELS)
    alone = jax.value_and_grad(jt.semi_hard, 1)(*jax.device_get((labels, rows)))
    assert_same(jax.jit(jax.value_and_grad(jt.semi_hard, 1))(labels, rows), alone)
    assert_same(jt.semi_hard(labels, rows), alone[0])


def test_rows_may_be_spread_in_their_width_too(x64: None) -> None:
    rows, mesh = np.random.default_rng(0).normal(size=(ROWS, 4)), MESHES["two axes"]
    wide = jax.device_put(rows, NamedSharding(mesh, P("hosts", "cores")))
    value, gradient = jax.jit(jax.value_and_grad(jt.batch_hard, 1))(*spread(mesh, LABELS), wide)
    assert jax.typeof(gradient) == jax.typeof(wide)
    assert_same((value, gradient), jax.value_and_grad(jt.batch_hard, 1)(LABELS, rows))


@trials(
    ("mesh", "set_to"),
    SET,
    always=lambda mesh, set_to: (mesh, set_to) in [("mixed", "mixed"), ("data", "as it comes")],
    ids=lambda mesh, set_to: f"{mesh}-{set_to}",
)
def test_a_spread_loss_works_on_any_mesh_under_any_other(mesh: str, set_to: str | None, x64: None) -> None:
    rows = np.random.default_rng(0).normal(size=(ROWS, 4))
    loss = partial(parallel.sharded(jt.semi_hard, MESHES[mesh]), has_aux=True)
    alone = jax.value_and_grad(jt.semi_hard, 1, has_aux=True)(LABELS, rows, has_aux=True)
    with contextlib.nullcontext() if set_to is None else jax.set_mesh(MESHES[set_to]):
        assert_same(jax.jit(jax.value_and_grad(loss, 1, has_aux=True))(LABELS, rows), alone)
        assert_same(jax.jit(jax.value_and_grad(loss, 1, has_aux=True))(*spread(MESHES[mesh], LABELS, rows)), alone)
        assert_same(loss(LABELS, rows), alone[0])


@trials(
    "case",
    [case for case in MEETING if case in OF_EACH_WAY],
    always=lambda case: case.name in ("batch_hard", "ge2e"),
    ids=lambda case: case.name,
)
def test_a_loss_of_each_way_is_spread_over_explicit_axes(case: Case, x64: None) -> None:
    rows, mesh = random_rows(case, ROWS, 0), MESHES["two axes"]
    loss = parallel.sharded(case.loss, mesh)
    with jax.set_mesh(mesh):
        labels, there = spread(mesh, LABELS, rows)
        found = jax.jit(jax.value_and_grad(lambda rows: loss(labels, rows, *case.numbers)))(there)
        terms = loss(labels, there, *case.numbers, reduce_fn=None)
    assert jax.typeof(found[1]) == jax.typeof(there)
    assert jax.typeof(terms).sharding.spec == P(("hosts", "cores"))
    assert_same(found, jax.value_and_grad(lambda rows: case.loss(LABELS, rows, *case.numbers))(rows))
    assert_same(terms, case.loss(LABELS, rows, *case.numbers, reduce_fn=None))


@trials(
    ("name", "is_set"),
    [(name, is_set) for name in ("as it comes", "mixed") for is_set in (False, True)],
    always=lambda name, is_set: name == "as it comes" and is_set,
    ids=lambda name, is_set: f"{name}-{'set' if is_set else 'not set'}",
)
def test_an_update_trains_on_explicit_axes_as_on_one_device(name: str, is_set: bool) -> None:
    mesh, alone = MESHES[name], fresh(both())
    state = fresh(both())
    shardings = parallel.fully_sharded(state, mesh, least=16)
    state = parallel.place(state, shardings)
    update = make_update(both(), mesh=mesh, state_sharding=shardings)
    with jax.set_mesh(mesh) if is_set else contextlib.nullcontext():
        for step in range(2):
            state, metrics = update(state, parallel.spread_rows(training_batch(step), mesh))
    on_one = make_update(both())
    for step in range(2):
        alone, expected = on_one(alone, training_batch(step))
    np.testing.assert_allclose(metrics.loss, expected.loss, 1e-5)
    np.testing.assert_allclose(metrics.gradient_norm, expected.gradient_norm, 1e-4)


def test_wide_labels_of_a_spread_loss_are_refused_as_those_of_a_plain_one() -> None:
    labels = np.where(np.arange(8) % 2, 2**32, 0)
    with pytest.raises(ValueError, match="labels must fit in int32"):
        parallel.sharded(jt.batch_hard, MESHES["data"])(labels, jnp.ones((8, 2)))
