"""Meshes, what lies on them, and what a compiled loss sends between devices."""

import math
import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import losses, parallel
from jaxtriplet.speech.features import augment
from jaxtriplet.tools.fits import hlo
from jaxtriplet.training import Batch, make_update

from .cases import MEETING
from .global_batch import ROWS, SPREAD, batch, figures, in_global_view, on_a_mesh
from .modes import trials
from .test_training import DEVICES, batch as training_batch, both, fresh, run, vector  # noqa: F401 (`run` is a fixture)

MESH = parallel.data_mesh()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [pytest.param("float32", 1e-6, marks=pytest.mark.exhaustive), ("float64", 1e-12)]
)
def test_every_loss_and_reduction_in_the_global_view_is_that_of_one_device(dtype: str, tolerance: float) -> None:
    with jax.enable_x64(dtype == "float64"):
        alone = jax.device_get(jax.jit(partial(figures, SPREAD))(*batch(dtype)))
        spread = on_a_mesh(dtype)
    for name, (value, gradient) in alone.items():
        np.testing.assert_allclose(spread[name][0], value, tolerance, err_msg=name)
        allowed = tolerance * max(np.abs(gradient).max(), 1)
        np.testing.assert_allclose(spread[name][1], gradient, 0, allowed, err_msg=name)


def test_terms_of_rows_and_statistics_come_back_whole(x64: None) -> None:
    case = next(case for case in MEETING if case.name == "batch_all")
    weights, (inputs, labels, where) = batch("float64")
    rows, options = inputs @ weights, {"where": where, "reduce_fn": None, "has_aux": True}
    terms, stats = case.loss(labels, rows, 0.5, **options)
    spread, spread_stats = in_global_view(case, MESH).loss(labels, rows, 0.5, **options)
    np.testing.assert_allclose(spread, terms, 1e-12, atol=1e-14)
    np.testing.assert_allclose(spread_stats, stats, 1e-6)


# What goes between devices in a step: nothing else than the rows and their labels, and sums.
@trials(
    ("case", "masked"),
    [(case, masked) for case in MEETING for masked in (False, True)],
    always=lambda case, masked: masked is bool(MEETING.index(case) % 2),
    ids=lambda case, masked: f"{case.name}-{masked}",
)
def test_rows_are_gathered_once_and_their_gradients_scattered_once(case: Any, masked: bool) -> None:
    loss = parallel.sharded(case.loss, MESH)

    def graded(labels: Any, rows: Any, where: Any) -> Any:
        return jax.value_and_grad(lambda rows: loss(labels, rows, *case.numbers, where=where if masked else None))(rows)

    dim = 16
    shapes = (((ROWS,), jnp.int32), ((ROWS, dim), jnp.float32), ((ROWS,), jnp.bool_))
    arguments = [jax.ShapeDtypeStruct(*shape, sharding=parallel.by_rows(MESH)) for shape in shapes]
    text = jax.jit(graded).lower(*arguments).compile().as_text()
    found = collectives(text)
    # In two stages, each row's sum over its negatives goes round beside the rows.
    sums = [ROWS] if case.name == "lifted_structure" else []
    gathered = [("s32", ROWS), ("f32", ROWS * dim), *(("f32", size) for size in sums), *[("pred", ROWS)] * masked]
    assert sorted((kind, size) for name, kind, size in found if name == "all-gather") == sorted(gathered)
    assert sorted(size for name, _, size in found if name == "reduce-scatter") == sorted([ROWS * dim, *sums])
    assert sum(size for name, _, size in found if name == "all-reduce") <= 16
    assert {name for name, _, _ in found} <= {"all-gather", "reduce-scatter", "all-reduce"}


def collectives(text: str) -> list[tuple[str, str, int]]:
    """The collectives of a compiled program: what, of which type, and how many numbers of all devices it moves."""
    return [
        (one.kind, kind, math.prod(int(size) for size in sizes.split(",") if size))
        for one in hlo.collectives(hlo.read(text), DEVICES)
        for kind, sizes in re.findall(r"(\w+)\[([\d,]*)\]", one.arrays) * one.times
    ]


def test_collectives_are_found_in_a_program() -> None:
    lines = ["%a = f32[64,16]{1,0} all-gather(%x)", "%b = (f32[], s32[3]{0}) all-reduce(%y, %z)"]
    text = "\n  ".join(["ENTRY %main () -> f32[] {", *lines])
    assert collectives(text) == [("all-gather", "f32", 1024), ("all-reduce", "f32", 1), ("all-reduce", "s32", 3)]


def follow(update: Any, state: Any, seen: list[Any], alone: Any) -> None:
    """Trains in the global view as the run on one device did, and compares."""
    for step, expected in enumerate(seen):
        state, metrics = update(state, parallel.spread_rows(training_batch(step), MESH))
        np.testing.assert_allclose(metrics.loss, expected.loss, rtol=1e-5)
        np.testing.assert_allclose(metrics.gradient_norm, expected.gradient_norm, rtol=1e-4)
    # As in the test of `pmap`: Adam's direction is rounding where a gradient is near nothing.
    np.testing.assert_allclose(vector((state.params, state.average)), vector((alone.params, alone.average)), atol=2e-4)


def test_a_spread_state_and_micro_batches_train_as_one_device(run: Any) -> None:  # noqa: F811
    state = fresh(both())
    shardings = parallel.fully_sharded(state, MESH, least=16)
    split = [leaf for leaf in jax.tree.leaves(shardings) if leaf.spec != P()]
    assert len(split) > 10
    update = make_update(both(), augment_fn=augment, mesh=MESH, state_sharding=shardings, micro_batch=8)
    follow(update, parallel.place(state, shardings), *run)


def test_the_update_of_pmap_runs_in_shard_map_too(run: Any) -> None:  # noqa: F811
    update = make_update(both(), augment_fn=augment, axis_name="data", micro_batch=1)
    mapped = jax.jit(jax.shard_map(update, mesh=MESH, in_specs=(P(), P("data")), out_specs=(P(), P())))
    follow(mapped, parallel.place(fresh(both()), parallel.replicated(MESH)), *run)


def test_micro_batches_on_one_device_give_the_same_gradients_with_dropout(run: Any) -> None:  # noqa: F811
    seen, _ = run
    _, metrics = make_update(both(), augment_fn=augment, micro_batch=4)(fresh(both()), training_batch(0))
    np.testing.assert_allclose(metrics.loss, seen[0].loss, rtol=1e-6)
    np.testing.assert_allclose(metrics.gradient_norm, seen[0].gradient_norm, rtol=1e-5)


def test_micro_batches_need_the_encoders_memory_of_one() -> None:
    loss_fn = losses.weighted({"batch_hard": 1.0})

    def memory(micro_batch: int | None) -> int:
        rows, frames, features = 512, 50, 3
        examples = Batch(np.zeros((rows, frames, features), np.float32), *np.ones((2, rows), np.int32))
        update = make_update(loss_fn, micro_batch=micro_batch)
        return int(update.lower(fresh(loss_fn), examples).compile().memory_analysis().temp_size_in_bytes)

    assert memory(16) < memory(None) / 4


def test_bad_input_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="6 rows does not divide among 8 devices"):
        parallel.sharded(jt.semi_hard, MESH)(jnp.zeros(6, jnp.int32), jnp.zeros((6, 2)))
    with pytest.raises(ValueError, match="by their position: give labels, embeddings so"):
        parallel.sharded(jt.ge2e, MESH)(labels=jnp.zeros(8, jnp.int32), embeddings=jnp.zeros((8, 2)))
    with pytest.raises(ValueError, match="6 rows does not divide among 8 devices"):
        parallel.spread_rows(np.zeros(6), MESH)
    with pytest.raises(ValueError, match="give one of them"):
        make_update(both(), mesh=MESH, axis_name="data")
    with pytest.raises(ValueError, match="micro-batches of 5 rows do not divide a batch of 16"):
        make_update(both(), micro_batch=5)(fresh(both()), training_batch(0))
    with pytest.raises(ValueError, match="micro_batch must be a whole number above 0"):
        make_update(both(), micro_batch=0)
    for place, words in {
        ("127.0.0.1:1",): "belong together",
        ("localhost", 2, 0): "must be host:port, where process 0 can be reached; got localhost",
        ("localhost:1", 2, 2): "of 2 processes, the ids are 0 to 1; got 2",
    }.items():
        with pytest.raises(ValueError, match=words):
            parallel.initialize(*place)


def test_processes_of_different_sizes_are_refused() -> None:
    class Device:
        def __init__(self, process: int) -> None:
            self.process_index = process

    with pytest.raises(ValueError, match="process 0 has 2, process 1 has 1"):
        parallel.data_mesh([Device(0), Device(0), Device(1)])
