"""The global view of class weights that are spread over devices: losses, updates, and checkpoints for any devices."""

import contextlib
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import jobs, losses, parallel
from jaxtriplet.jobs import sources
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.states import arrays_of
from jaxtriplet.training import Batch, create_state, make_optimizer, make_update

from .modes import trials
from .places import PLACES, Places
from .test_parallel import collectives

NUM_CLASSES, DIM, FEATURES, ROWS = 48, 6, 5, 32
GRID = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("hosts", "cores"))
LINE = parallel.data_mesh()


# --- losses -----------------------------------------------------------------------------------------------------------


def given(dtype: Any = np.float64) -> tuple[Any, ...]:
    rng = np.random.default_rng(2)
    rows, weights = rng.normal(size=(ROWS, DIM)), rng.normal(size=(NUM_CLASSES, DIM))
    return rng.integers(0, NUM_CLASSES, ROWS).astype(np.int32), rows.astype(dtype), weights.astype(dtype)


@pytest.mark.parametrize(
    ("mesh", "rows_over", "classes_over"),
    [
        pytest.param(LINE, None, "data", id="same axis"),
        pytest.param(GRID, None, "cores", id="one of two", marks=pytest.mark.exhaustive),
        pytest.param(GRID, "hosts", "cores", id="another axis", marks=pytest.mark.exhaustive),
    ],
)
def test_a_loss_of_spread_classes_is_that_of_one_device(
    mesh: Mesh, rows_over: Any, classes_over: Any, x64: None
) -> None:
    labels, rows, weights = given()
    margins = np.linspace(0.1, 0.4, NUM_CLASSES)  # stays whole
    where = np.arange(ROWS) % 5 != 1
    spread = parallel.sharded(jt.aam_softmax, mesh, axis_name=rows_over, class_axis_name=classes_over)

    def graded(loss: Any) -> Any:
        def value(rows: Any, weights: Any, margins: Any) -> Any:
            return loss(labels, rows, weights, margins, where=where, has_aux=True)

        return jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True))(rows, weights, margins)

    (value, stats), gradients = graded(spread)
    (value_1, stats_1), gradients_1 = graded(jt.aam_softmax)
    np.testing.assert_allclose(value, value_1, 1e-12)
    np.testing.assert_allclose(stats, stats_1, 1e-6)
    assert gradients[1].sharding.is_equivalent_to(NamedSharding(mesh, P(classes_over)), 2)
    for ours, theirs in zip(gradients, gradients_1, strict=True):
        np.testing.assert_allclose(ours, theirs, 0, 1e-12)


def test_terms_come_back_whole_and_weights_by_name_or_as_lists(x64: None) -> None:
    labels, rows, weights = given()
    terms = {"reduce_fn": None}
    for mesh, over in ((LINE, "data"), (GRID, "hosts")):
        spread = partial(parallel.sharded, mesh=mesh, class_axis_name=over)
        found = spread(jt.am_softmax)(labels, rows, weights=weights.tolist(), **terms)
        np.testing.assert_allclose(found, jt.am_softmax(labels, rows, weights, **terms), 1e-12)
        found = spread(jt.proxy_anchor)(labels, rows, weights.tolist(), **terms)
        np.testing.assert_allclose(found, jt.proxy_anchor(labels, rows, weights, **terms), 1e-12)


def test_what_cannot_be_spread_is_said() -> None:
    labels, rows, weights = given()
    spread = partial(parallel.sharded, mesh=LINE, class_axis_name="data")
    with pytest.raises(ValueError, match=r"42 classes do not divide among 8 devices.* 48, .* the last 6"):
        spread(jt.aam_softmax)(labels, rows, weights[:42])
    with pytest.raises(ValueError, match=r"class_axis_name must name axes of the mesh \(data\); got 'classes'"):
        parallel.sharded(jt.aam_softmax, LINE, class_axis_name="classes")
    with pytest.raises(ValueError, match=r"no argument .* is class weights"):
        spread(jt.batch_hard)(labels, rows)
    cores = parallel.sharded(jt.proxy_nca, GRID, class_axis_name="cores")
    with pytest.raises(ValueError, match="axes of classes first"):
        cores(labels, rows, weights, reduce_fn=None)


# --- updates ----------------------------------------------------------------------------------------------------------


def apply(params: Any, inputs: Any) -> Any:
    return jnp.matmul(inputs, params["kernel"], precision="highest")


def batch(step: int, dtype: Any) -> Batch:
    rng = np.random.default_rng(step)
    inputs, labels = rng.normal(size=(ROWS, FEATURES)), rng.integers(0, NUM_CLASSES, ROWS)
    return Batch(inputs.astype(dtype), labels.astype(np.int32), where=np.arange(ROWS) < ROWS - 3)


# Two centres of each class, and a number of the loss, its bias, that is trained along.
OBJECTIVE = losses.weighted({"sphereface2": 1.0}, sphereface2={"centers": 2})
# A gradient is clipped by its norm over all devices.
OPTIMIZER = make_optimizer(1e-2, clip_norm=0.5)


def fresh(dtype: Any, objective: Any = OBJECTIVE) -> Any:
    params = {"kernel": np.random.default_rng(0).normal(size=(FEATURES, DIM))}
    state = create_state(apply, objective, OPTIMIZER, seed=0, params=params, width=DIM, num_classes=NUM_CLASSES)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), state.params)
    average = jax.tree.map(jnp.copy, params["encoder"])
    return state.replace(params=params, average=average, opt_state=OPTIMIZER.init(params))


@cache
def on_one_device(dtype: Any, steps: int = 3) -> Any:
    update, state = make_update(OBJECTIVE), fresh(dtype)
    for step in range(steps):
        state, metrics = update(state, batch(step, dtype))
    return jax.device_get((arrays_of(state), metrics))


def on_a_mesh(lies: Any, mesh: Mesh, dtype: Any, steps: int = 3, objective: Any = OBJECTIVE) -> Any:
    update = make_update(objective, mesh=mesh, state_sharding=lies)
    state = parallel.place(fresh(dtype, objective), lies)
    for step in range(steps):
        state, metrics = update(state, parallel.spread_rows(batch(step, dtype), mesh))
    return state, metrics


def assert_near(state: Any, metrics: Any, expected: Any, tolerance: float) -> None:
    arrays, metrics_1 = expected
    np.testing.assert_allclose(metrics.loss, metrics_1.loss, tolerance)
    np.testing.assert_allclose(metrics.gradient_norm, metrics_1.gradient_norm, tolerance)
    for name, array in arrays_of(state).items():
        np.testing.assert_allclose(array, arrays[name], 0, tolerance, err_msg=name)


SHARDINGS = {
    "classes": lambda state: (parallel.by_classes(state, LINE, least=0), LINE),
    "everything": lambda state: (parallel.fully_sharded(state, LINE, least=0), LINE),
    "one axis of two": lambda state: (parallel.by_classes(state, GRID, axis_name="hosts", least=0), GRID),
}


def of_classes(state: Any) -> list[jax.Array]:
    """Class weights, and both moments of them."""
    found = [leaf for name, leaf in arrays_of(state).items() if name.endswith("loss.sphereface2.weights")]
    assert len(found) == 3
    return found


@trials("sharding", SHARDINGS, always=lambda name: name == "classes", ids=str)
def test_an_update_of_spread_classes_is_that_of_one_device(sharding: str, x64: None) -> None:
    lies, mesh = SHARDINGS[sharding](fresh(np.float64))
    state, metrics = on_a_mesh(lies, mesh, np.float64)
    assert_near(state, metrics, on_one_device(np.float64), 1e-12)
    shares = 4 if sharding == "one axis of two" else 8
    for leaf in of_classes(state):
        assert leaf.addressable_data(0).shape == (NUM_CLASSES // shares, 2, DIM)


@pytest.mark.parametrize(
    "mesh",
    [
        pytest.param(LINE, id="automatic"),
        pytest.param(jax.make_mesh((8,), ("data",)), id="explicit", marks=pytest.mark.exhaustive),
    ],
)
def test_class_weights_never_leave_their_device(mesh: Mesh) -> None:
    state = fresh(np.float32)
    lies = parallel.by_classes(state, mesh, least=0)
    update: Any = make_update(OBJECTIVE, mesh=mesh, state_sharding=lies)
    arguments = parallel.place(state, lies), parallel.spread_rows(batch(0, np.float32), mesh)
    compiled = update.lower(*arguments).compile()
    found = collectives(compiled.as_text())
    assert {name for name, _, _ in found} <= {"all-gather", "reduce-scatter", "all-reduce"}
    # What does go round is rows, their labels and states of their sums: nothing is as long as the classes' weights.
    assert max(size for _, _, size in found) <= ROWS * DIM < NUM_CLASSES * 2 * DIM
    # Adam's first step is the sign of the gradient: what rounding could turn, it does not move.
    assert_near(*compiled(*arguments), on_one_device(np.float32, 1), 2e-6)


class OfMatrices:
    """A loss of one's own, which knows nothing of classes apart: its weights are gathered."""

    row_arguments = ("labels", "embeddings")
    init = OBJECTIVE.init

    def __call__(self, params: Any, labels: Any, embeddings: Any, *, where: Any = None, axis_name: Any = None) -> Any:
        return OBJECTIVE(params, labels, embeddings, where=where, axis_name=axis_name)


@pytest.mark.exhaustive
def test_a_loss_that_meets_all_classes_at_once_trains_from_a_spread_state(x64: None) -> None:
    lies = parallel.by_classes(fresh(np.float64), LINE, least=0)
    state, metrics = on_a_mesh(lies, LINE, np.float64, objective=OfMatrices())
    assert_near(state, metrics, on_one_device(np.float64), 1e-12)
    assert of_classes(state)[0].addressable_data(0).shape == (NUM_CLASSES // 8, 2, DIM)


def test_how_a_state_lies() -> None:
    state = fresh(np.float32)

    def specs(lies: Any) -> dict[str, Any]:
        named = jax.tree.leaves_with_path(lies)
        found = {jax.tree_util.keystr(path, simple=True, separator="."): tuple(one.spec) for path, one in named}
        return {name: spec for name, spec in found.items() if spec}

    def shaped(classes: int, width: int) -> Any:
        like = {"encoder": {"kernel": jnp.zeros((16, 64))}, "loss": {"proxies": jnp.zeros((classes, width))}}
        return {"params": like, "opt_state": OPTIMIZER.init(like)}

    spread = specs(parallel.by_classes(state, LINE, least=0))
    assert len(spread) == 3
    assert {name.rpartition("loss.")[2] for name in spread} == {"sphereface2.weights"}
    assert not specs(parallel.by_classes(state, LINE))  # so few numbers stay whole
    # Classes first, although a vector is longer; if they do not divide, whatever does.
    wide = specs(parallel.fully_sharded(shaped(16, 512), LINE, least=1024))
    assert [(name, spec) for name, spec in wide.items() if name.startswith("params")] == [
        ("params.encoder.kernel", (None, "data")),
        ("params.loss.proxies", ("data",)),
    ]
    assert [spec for name, spec in wide.items() if name.endswith("loss.proxies")] == [("data",)] * 3
    assert specs(parallel.fully_sharded(shaped(15, 512), LINE))["params.loss.proxies"] == (None, "data")
    assert "params.loss.proxies" not in specs(parallel.by_classes(shaped(15, 512), LINE))


def test_shares_of_class_weights_are_not_taken_for_all_of_them() -> None:
    lies = parallel.by_classes(fresh(np.float32), LINE, least=0)
    state = parallel.place(fresh(np.float32), lies)
    with pytest.raises(ValueError, match=r"\(48, 2, 6\) is spread over devices"):
        parallel.on_this_process(state)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_spread_classes_is_restored_onto_any_number_of_devices(tmp_path: Path, x64: None) -> None:
    """In one process: that several write one array together is Orbax's, and tried in `test_processes.py`."""
    expected, like = on_one_device(np.float64), fresh(np.float64)
    state, _ = on_a_mesh(parallel.by_classes(like, LINE, least=0), LINE, np.float64, 2)
    written = jax.device_get(arrays_of(state))
    for place, number in enumerate((4, 1, 8)):
        folder, mesh = tmp_path / str(place), parallel.data_mesh(jax.devices()[:number])
        lies = parallel.by_classes(like, mesh, least=0)
        with Checkpoints(folder, every=1, last=9) as checkpoints:
            checkpoints.write(2, state)
            checkpoints.settle()
            state = checkpoints.restore(parallel.place(like, lies))
        for name, array in arrays_of(state).items():
            np.testing.assert_array_equal(array, written[name], name)
        for leaf in of_classes(state):
            assert leaf.addressable_data(0).shape == (NUM_CLASSES // number, 2, DIM)
        update = make_update(OBJECTIVE, mesh=mesh, state_sharding=lies)
        after, metrics = update(jax.tree.map(jnp.copy, state), parallel.spread_rows(batch(2, np.float64), mesh))
        assert_near(after, metrics, expected, 1e-12)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_of_spread_classes_goes_on_with_any_number_of_devices(
    points: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sources.SOURCES, "points", PLACES)
    numbers = {"loss": "am-softmax", "scale": 10.0, "learning_rate": 1e-2, "speakers": 8, "utterances": 2}
    given: Any = {"config": jobs.Config.of_recipe("points", **numbers), "checkpoint_every": 2, "quiet": True}
    write = Checkpoints.write
    shares: list[tuple[int, int]] = []

    def watched(self: Checkpoints, step: int, state: Any, error: float | None = None) -> None:
        (weights,) = jax.tree.leaves(state.params["loss"])
        shares.append((step, 8 // len(weights.addressable_data(0))))
        write(self, step, state, error)

    monkeypatch.setattr(Checkpoints, "write", watched)
    whole = jobs.train(out=tmp_path / "whole", devices=1, **given)
    for number, ends in ((8, 2), (4, 4), (1, 6)):
        monkeypatch.setattr(Places, "ends", ends)
        with contextlib.nullcontext() if ends == 6 else pytest.raises(ValueError, match="damaged"):
            found = jobs.train(out=tmp_path / "run", devices=number, resume=True, **given)
    assert shares == [(2, 1), (4, 1), (6, 1), (2, 8), (4, 4), (6, 1)]
    curves = [[row["loss"] for row in trained.history] for trained in (whole, found)]
    np.testing.assert_allclose(curves[1], curves[0], 1e-4)
    assert curves[0][-1] < 0.9 * curves[0][0]


def test_a_state_of_spread_classes_that_is_no_longer_finite_is_kept_whole(
    points: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sources.SOURCES, "points", PLACES)
    config = jobs.Config.of_recipe("points", loss="am-softmax", learning_rate=1e38, speakers=8, utterances=2)
    with pytest.raises(ValueError, match="is nan at step 3"):
        jobs.train(config, out=tmp_path / "run", quiet=True, devices=8)
    with np.load(tmp_path / "run" / "nan" / "state.npz") as state:
        assert state["params.loss.am_softmax.weights"].shape == (8, 512)
