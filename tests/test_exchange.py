"""The ring: candidates travel from device to device, and what comes of it is what gathering them gives."""

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import engine, parallel
from jaxtriplet.engine import tuning

from .cases import DIM, PLAIN, Case, case_of
from .modes import trials
from .test_devices import NUM_DEVICES, RECIPES, judge

RINGS = [
    case_of(case.name, "ring", exchange="ring") for case in PLAIN if "exchange" in case.declared.signature.parameters
]
# Three statistics that merge each in their own way, and two views; the other recipes go the same way as shard_map.
FEW = ("supervised_contrastive-ring", "contrastive-ring", "info_nce-ring")


@trials(
    ("case", "recipe"),
    [(case, recipe) for case in RINGS for recipe in RECIPES if recipe == "shard_map" or case.name in FEW],
    always=lambda case, recipe: case.name in FEW and (recipe == "shard_map" or (case.name, recipe) == (FEW[0], "pmap")),
    ids=lambda case, recipe: f"{case.name}-{recipe}",
)
def test_a_ring_of_devices_equals_one(case: Case, recipe: str, x64: None) -> None:
    judge(case, recipe, np.float64, 1e-12)


def test_a_ring_of_devices_equals_one_in_float32() -> None:
    (case,) = (case for case in RINGS if case.name == FEW[0])
    judge(case, "shard_map", np.float32, 1e-6)


def collectives(exchange: str) -> dict[str, int]:
    """How often each collective stands in the compiled program of value and gradient."""
    mesh = Mesh(np.array(jax.devices()[:NUM_DEVICES]), "data")
    loss = partial(jt.supervised_contrastive, axis_name="data", exchange=exchange)
    mapped = jax.shard_map(loss, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=P())
    rows = jax.ShapeDtypeStruct((8 * NUM_DEVICES, 16), jnp.float32)
    labels = jax.ShapeDtypeStruct((8 * NUM_DEVICES,), jnp.int32)
    text = jax.jit(jax.value_and_grad(mapped, argnums=1)).lower(labels, rows).compile().as_text()
    names = ("all-gather", "reduce-scatter", "collective-permute", "all-to-all")
    return {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in names}


def test_on_a_ring_nothing_is_gathered() -> None:
    ring, gathered = collectives("ring"), collectives("gather")
    assert ring["collective-permute"] > 0
    assert ring["all-gather"] == ring["reduce-scatter"] == ring["all-to-all"] == 0
    # Rows and their labels; the gradient by the rows comes back by another name on CPU.
    assert 1 <= gathered["all-gather"] <= 3
    assert gathered["collective-permute"] == 0


@pytest.mark.parametrize("exchange", ["gather", "ring"])
def test_nan_on_one_device_reaches_all(exchange: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(NUM_DEVICES, 2, DIM)).astype(np.float32)
    rows[3, 1, 0] = np.nan
    labels = np.arange(2 * NUM_DEVICES, dtype=np.int32).reshape(NUM_DEVICES, 2) % 5
    step = jax.value_and_grad(partial(jt.contrastive, axis_name="data", exchange=exchange), argnums=1)
    losses, gradients = jax.pmap(step, axis_name="data")(labels, rows)
    assert np.isnan(losses).all()
    assert all(np.isnan(one).any() for one in gradients)


# --- rows that are too long for a tile --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["supervised_contrastive", "contrastive", "nca", "ge2e_contrast"])
def test_blocks_of_candidates_give_what_whole_rows_give(name: str, x64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    case, rng = case_of(name), np.random.default_rng(0)
    labels, where = rng.integers(0, 5, 23).astype(np.int32), rng.random(23) > 0.2
    rows, scale = rng.normal(size=(23, DIM)), rng.normal(size=23)

    def weighted(rows: Any, numbers: Any) -> Any:
        terms = case.loss(labels, rows, *numbers, where=where, reduce_fn=None)
        return jnp.sum(terms * scale), case.loss(labels, rows, *numbers, where=where, has_aux=True)

    step = jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True)
    whole = step(rows, case.numbers)
    jax.clear_caches()
    measuring = engine.measure.__globals__
    monkeypatch.setitem(measuring, "LONG", 7)
    monkeypatch.setitem(measuring, "LONG_BLOCK", 5)
    blocks = step(rows, case.numbers)
    jax.clear_caches()
    for ours, theirs in zip(jax.tree.leaves(blocks), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-11)


def test_documents_on_a_ring_may_be_more_than_queries_and_have_ids(x64: None) -> None:
    rng = np.random.default_rng(2)
    queries, documents = rng.normal(size=(16, DIM)), rng.normal(size=(24, DIM))
    # Of each device two queries, their documents, and one further document.
    own, more = documents[:16].reshape(8, 2, DIM), documents[16:].reshape(8, 1, DIM)
    ids = rng.integers(0, 9, (8, 3)).astype(np.int32)
    whole_ids = np.concatenate([ids[:, :2].reshape(-1), ids[:, 2]])
    loss = partial(jt.info_nce, temperature=0.5)
    alone = jax.value_and_grad(lambda q: loss(q, documents, ids=whole_ids))(queries)
    mesh = parallel.data_mesh()
    for exchange in ("gather", "ring"):
        mapped = jax.shard_map(
            lambda q, d, i, exchange=exchange: loss(q, d, ids=i, axis_name=mesh.axis_names, exchange=exchange),
            mesh=mesh,
            in_specs=P(mesh.axis_names),
            out_specs=P(),
        )
        spread = np.concatenate([own, more], axis=1).reshape(24, DIM)
        found = jax.jit(jax.value_and_grad(mapped))(queries, spread, ids.reshape(-1))
        np.testing.assert_allclose(found[0], alone[0], 1e-12)
        np.testing.assert_allclose(found[1], alone[1], 0, 1e-12)


@pytest.mark.parametrize("strangers", [False, True])
def test_how_many_positives_there_are_is_counted_or_known(strangers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels, where = rng.integers(0, 4, 20).astype(np.int32), jnp.asarray(rng.random(20) > 0.2)
    rows, _ = engine.meet(labels, rng.normal(size=(20, 2)).astype(np.float32), where)
    others = jax.tree.map(lambda part: part[:11], rows) if strangers else rows

    def statistics(pairs: engine.Pairs, numbers: Any) -> Any:
        del numbers
        return pairs.num_positives, pairs.num_negatives

    def term(values: Any, numbers: Any) -> Any:
        del numbers
        return engine.count(values[0] + 100 * values[1], values[0] >= 0)

    def counts() -> Any:
        loss = engine.Separable(statistics, term)
        return engine.measure(loss, rows, others, (), each=True, strangers=strangers).terms.total

    counted = counts()
    monkeypatch.setitem(tuning.TUNING, "cpu", tuning.TUNING["cpu"]._replace(ordered=5))
    np.testing.assert_array_equal(counts(), counted)
    alike = np.array(rows.labels)[:, None] == np.array(others.labels)[None, :]
    both = np.array(rows.valid)[:, None] & np.array(others.valid)[None, :]
    own = 0 if strangers else np.array(rows.valid, int)
    expected = (alike & both).sum(1) - own + 100 * (~alike & both).sum(1)
    np.testing.assert_array_equal(counted, expected)
