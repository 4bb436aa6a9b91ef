"""`max_class_size`: a bound that holds changes nothing, one that does not is told by NaN."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import engine, losses
from jaxtriplet.distances import squared_euclidean
from jaxtriplet.engine import tuning
from jaxtriplet.losses import registry

from .cases import LOSSES, Case, named, random_rows
from .modes import trials
from .platforms import PLATFORMS
from .test_engine import SORTED, by_anchor, each_triplet, everything

# Five rows of class 3, and one that is padding; of eight devices each has two rows of different classes.
LABELS = np.array([3, 1, 3, 4, 3, 2, 1, 3, 2, 3, 2, 3, 9, 4, 1, 8], np.int32)
WHERE = np.arange(16) != 9
LARGEST = 5
every_loss = pytest.mark.parametrize("case", SORTED, ids=lambda case: case.name)


def rows_of(case: Case) -> np.ndarray:
    rows = random_rows(case, len(LABELS), 0)
    rows[~WHERE] = np.nan
    return rows


@cache
def figures(case: Case, max_class_size: int | None) -> Any:
    """Loss, statistics, each anchor's sum, and the gradients of both."""
    given = rows_of(case), tuple(map(jnp.float64, case.numbers)), LABELS, WHERE
    return jax.device_get(everything(case, max_class_size=max_class_size)(*given))


# The largest class, more than that, a class that is sorted, and more than there are rows.
BOUNDS = [(case, *one) for case in SORTED for one in ((5, 250), (6, 250), (np.int64(7), 6), (2**40, 250))]


@trials(
    ("case", "bound", "many"),
    BOUNDS,
    always=lambda case, bound, many: bound == LARGEST if case.name == "batch_all" else case.plain and bound > 6,
    ids=lambda case, bound, many: f"{case.name}-{bound}-{many}",
)
def test_a_bound_that_holds_changes_nothing(
    case: Case, bound: int, many: int, x64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = figures(case, None)
    jax.clear_caches()
    monkeypatch.setitem(tuning.TUNING, "cpu", tuning.TUNING["cpu"]._replace(many=many))
    found = figures.__wrapped__(case, bound)
    jax.clear_caches()
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, atol=1e-13)


@trials("case", SORTED, always=lambda case: case.plain, ids=lambda case: case.name)
def test_more_rows_of_a_class_give_nan_in_all_of_value_and_gradient(case: Case, x64: None) -> None:
    ((value, stats), gradient), ((_, terms), gradient_of_terms) = figures(case, LARGEST - 1)
    assert np.isnan(value)
    assert np.isfinite(jax.tree.leaves(stats)).all()
    assert np.isnan(terms).all()
    for by_rows, (by_margin,) in (gradient, gradient_of_terms):
        assert np.isnan(by_margin)
        assert np.isnan(by_rows[WHERE]).all()
        np.testing.assert_array_equal(by_rows[~WHERE], 0)  # padding takes no part


@every_loss
@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "8", np.int32([8])], ids=repr)
def test_a_bound_is_a_whole_number(case: Case, wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_class_size must be a whole number above 0; got"):
        case.loss(LABELS, jnp.zeros((16, 2)), max_class_size=wrong)


@trials("case", SORTED, always=lambda case: case.name == "semi_hard", ids=lambda case: case.name)
def test_rows_of_the_memory_count_too(case: Case, x64: None) -> None:
    memory = jt.memory.create(8, 4)
    rows = random_rows(case, 5, 1).astype(np.float32)
    memory = jt.memory.push(memory, np.array([3, 3, 7, 7, 3], np.int32), rows, np.arange(5) != 4)

    @partial(jax.jit, static_argnums=1)
    def step(rows: Any, bound: int | None) -> Any:
        return jax.value_and_grad(
            lambda rows: case.loss(LABELS, rows, where=WHERE, memory=memory, max_class_size=bound)
        )(rows)

    expected, held, broken = (jax.device_get(step(rows_of(case), bound)) for bound in (None, LARGEST + 2, LARGEST + 1))
    for ours, theirs in zip(held, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, atol=1e-13)
    assert np.isnan(broken[0])
    assert np.isnan(broken[1][WHERE]).all()


@trials(
    ("case", "recipe"),
    [(case, recipe) for case in SORTED for recipe in ("shard_map", "pmap")],
    always=lambda case, recipe: case.name == "semi_hard" and recipe == "shard_map",
    ids=lambda case, recipe: f"{case.name}-{recipe}",
)
def test_the_bound_is_of_all_devices_rows(case: Case, recipe: str, x64: None) -> None:
    """No device has two rows of a class."""

    def step(bound: int | None, labels: Any, rows: Any, where: Any) -> Any:
        loss = partial(case.loss, labels, where=where, axis_name="data", max_class_size=bound)
        return jax.value_and_grad(loss)(rows)

    def mapped(bound: int | None) -> Any:
        if recipe == "shard_map":
            mesh = Mesh(np.array(jax.devices()[:8]), "data")
            spread = jax.shard_map(
                partial(step, bound), mesh=mesh, in_specs=(P("data"),) * 3, out_specs=(P(), P("data"))
            )
            return jax.device_get(jax.jit(spread)(LABELS, rows_of(case), WHERE))
        shares = [part.reshape(8, 2, *part.shape[1:]) for part in (LABELS, rows_of(case), WHERE)]
        value, gradient = jax.device_get(jax.pmap(partial(step, bound), axis_name="data")(*shares))
        return value, gradient.reshape(16, -1)

    expected, held, broken = mapped(None), mapped(LARGEST), mapped(LARGEST - 1)
    for ours, theirs in zip(held, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, atol=1e-13)
    assert np.isnan(broken[0]).all()
    assert np.isnan(broken[1][WHERE]).all()


def test_of_strangers_the_candidates_classes_are_bounded(x64: None) -> None:
    """Seven anchors of one class, of which there are three candidates: all of them are positives."""
    rng = np.random.default_rng(0)
    of_candidates = np.array([3, 3, 5, 3, 5, 0], np.int32)
    anchors, candidates = rng.normal(size=(7, 3)), rng.normal(size=(6, 3))

    @partial(jax.jit, static_argnums=0)
    def step(bound: int | None, *both: Any) -> Any:
        def loss(*both: Any) -> Any:
            labels = (np.full(7, 3, np.int32), of_candidates)
            rows = [engine.meet(label, values)[0] for label, values in zip(labels, both, strict=True)]
            given = (each_triplet, *rows, 0.4, squared_euclidean)
            return engine.mine(*given, strangers=True, max_class_size=bound).terms.total

        return jax.value_and_grad(loss, (0, 1))(*both)

    expected, held, broken = (jax.device_get(step(bound, anchors, candidates)) for bound in (None, 3, 2))
    for ours, theirs in zip(jax.tree.leaves(held), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12)
    assert np.isnan(np.concatenate([np.ravel(part) for part in jax.tree.leaves(broken)])).all()


@pytest.mark.parametrize("bounded", [True, False])
def test_picks_have_the_gradient_of_a_loop_over_anchors(
    bounded: bool, x64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: what an anchor picks is fetched and pulled back, side by side."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(20, dtype=np.int32), rng.integers(1, 5, 20)))
    rows = rng.normal(size=(len(labels), 5)) + rng.normal(size=(20, 5))[labels]
    expected, expected_gradient = by_anchor("semi_hard", labels, rows, 0.4)
    jax.clear_caches()
    monkeypatch.setitem(tuning.TUNING, "cpu", PLATFORMS["cuda"]._replace(picked=0.1))
    step = jax.jit(jax.value_and_grad(partial(jt.semi_hard, labels, margin=0.4, max_class_size=4 if bounded else None)))
    value, gradient = step(rows)
    assert "scatter" in step.lower(rows).as_text()  # picks are added to what they were picked from
    jax.clear_caches()
    np.testing.assert_allclose(value, expected, 1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, 1e-11, atol=1e-13)


def test_the_losses_that_go_by_size_take_it_by_name_and_in_a_sum() -> None:
    takers = {one.name for one in registry.LOSSES.values() if "max_class_size" in one.options}
    assert takers == {case.name for case in LOSSES if case in SORTED} - {"semi_hard_all"}
    rows = random_rows(named("semi_hard"), 16, 0).astype(np.float32)
    for bound, expected in ((6, jt.semi_hard(LABELS, rows, 0.3)), (LARGEST, np.nan)):
        loss_fn = losses.weighted({"semi_hard": 2.0}, semi_hard={"margin": 0.3, "max_class_size": bound})
        np.testing.assert_allclose(loss_fn(loss_fn.init(jax.random.key(0)), LABELS, rows)[0], 2 * expected, 1e-6)
    with pytest.raises(ValueError, match="max_class_size must be a whole number above 0"):
        losses.weighted({"semi_hard": 1.0}, semi_hard={"max_class_size": 0})
    with pytest.raises(ValueError, match="batch_hard has no option 'max_class_size'"):
        losses.weighted({"batch_hard": 1.0}, batch_hard={"max_class_size": 8})
