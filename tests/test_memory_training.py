"""Training with a memory: each step meets the rows of those before, on any number of devices; and after a stop."""

import json
import shutil
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import losses, parallel
from jaxtriplet.jobs import Config
from jaxtriplet.jobs.checkpoints import Checkpoints
from jaxtriplet.jobs.fit import fresh_state
from jaxtriplet.jobs.sources import find
from jaxtriplet.jobs.states import arrays_of
from jaxtriplet.training import Batch, TrainState, create_state, make_optimizer, make_update

from .modes import trials

ROWS, WIDTH, DIM, DEVICES, SIZE = 16, 5, 4, 8, 20
OPTIMIZER = make_optimizer(2e-2)


def linear(params: Any, inputs: Any) -> jax.Array:
    return jnp.matmul(inputs, params["kernel"], precision="highest")


def batch(step: int) -> Batch:
    rng = np.random.default_rng(step)
    labels = rng.integers(0, 6, ROWS).astype(np.int32)
    inputs = rng.normal(labels[:, None] % 3, 1, (ROWS, WIDTH)).astype(np.float32)
    return Batch(inputs, labels, where=np.arange(ROWS) != step)


@cache
def loss_of(kind: str) -> Any:
    if kind == "one":
        return losses.weighted({"batch_hard": 1.0})
    sum_of = losses.weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.5}, ge2e={"method": "contrast"})
    return losses.matryoshka(sum_of, (2, DIM), normalize=True)


@cache
def on_one_device(kind: str) -> Any:
    return train(make_update(loss_of(kind)), start(loss_of(kind), jt.memory.create(SIZE, DIM)), batch)


def start(loss_fn: Any, memory: Any = None) -> TrainState:
    params = {"kernel": jax.random.normal(jax.random.key(3), (WIDTH, DIM))}
    return create_state(linear, loss_fn, OPTIMIZER, seed=0, params=params, memory=memory)


def train(update: Any, state: TrainState, batch_of: Any, steps: int = 3) -> tuple[list[Any], TrainState]:
    seen = []
    for step in range(steps):
        state, metrics = update(state, batch_of(step))
        seen.append(jax.device_get((metrics.loss, metrics.gradient_norm)))
    return seen, state


def vector(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_each_step_meets_the_rows_of_those_before() -> None:
    loss_fn, memory = loss_of("one"), jt.memory.create(SIZE, DIM)
    update, state = make_update(loss_fn), start(loss_fn, memory)
    for step in range(3):
        examples, kernel = batch(step), {"kernel": np.array(state.params["encoder"]["kernel"])}
        rows = linear(kernel, examples.inputs)
        wanted = jt.batch_hard(examples.labels, rows, where=examples.where, memory=memory)
        state, metrics = update(state, examples)
        np.testing.assert_allclose(metrics.loss, wanted, 1e-5)
        memory = jt.memory.push(memory, examples.labels, rows, examples.where)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.memory, memory)
    assert metrics.stats["batch_hard"].num_valid == ROWS - 1
    assert abs(wanted - jt.batch_hard(examples.labels, rows, where=examples.where)) > 1e-3


def test_the_memory_that_was_given_is_not_donated() -> None:
    memory = jt.memory.create(SIZE, DIM)
    given = jax.tree.leaves(start(loss_of("one"), memory).memory)
    assert not {leaf.unsafe_buffer_pointer() for leaf in given} & {leaf.unsafe_buffer_pointer() for leaf in memory}


def _shares(examples: Batch) -> Batch:
    return jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), examples)


def _mapped(loss_fn: Any, mesh: Any) -> Any:
    update = make_update(loss_fn, axis_name="data")
    return jax.jit(jax.shard_map(update, mesh=mesh, in_specs=(P(), P("data")), out_specs=(P(), P())))


@trials(
    ("way", "kind"),
    [
        (way, kind)
        for way in ("micro-batches", "mesh", "mesh in parts, spread", "pmap", "shard_map")
        for kind in ("one", "matryoshka of a sum")
    ],
    always=lambda way, kind: kind == "one" and way in ("mesh in parts, spread", "pmap"),
)
def test_eight_devices_and_micro_batches_train_as_one_with_a_memory(way: str, kind: str) -> None:
    loss_fn, mesh, empty = loss_of(kind), parallel.data_mesh(), jt.memory.create(SIZE, DIM)
    alone, expected = on_one_device(kind)
    state = start(loss_fn, empty)
    spread_rows = lambda step: parallel.spread_rows(batch(step), mesh)  # noqa: E731
    if way == "micro-batches":
        seen, other = train(make_update(loss_fn, micro_batch=4), state, batch)
    elif way == "mesh":
        update = make_update(loss_fn, mesh=mesh)
        seen, other = train(update, parallel.place(state, parallel.replicated(mesh)), spread_rows)
    elif way == "mesh in parts, spread":
        sharding = parallel.fully_sharded(state, mesh, least=16)
        update = make_update(loss_fn, mesh=mesh, micro_batch=8, state_sharding=sharding)
        seen, other = train(update, parallel.place(state, sharding), spread_rows)
    elif way == "pmap":
        update = jax.pmap(make_update(loss_fn, axis_name="data"), axis_name="data", donate_argnums=0)
        copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * DEVICES), state)
        seen, copies = train(update, copies, lambda step: _shares(batch(step)))
        for leaf in jax.tree.leaves(copies.memory):
            np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
        seen, other = jax.tree.map(lambda leaf: leaf[0], (seen, copies.replace(key=copies.step)))
    else:
        seen, other = train(_mapped(loss_fn, mesh), state, batch)
    np.testing.assert_allclose(seen, alone, 1e-4)
    np.testing.assert_allclose(vector(other.params), vector(expected.params), atol=2e-4)
    for part in ("labels", "valid", "next"):
        np.testing.assert_array_equal(getattr(other.memory, part), getattr(expected.memory, part))
    np.testing.assert_allclose(other.memory.embeddings, expected.memory.embeddings, atol=1e-4)
    assert expected.memory.valid.all()


def test_a_run_with_a_memory_goes_on_as_if_undisturbed(tmp_path: Path) -> None:
    loss_fn, memory = loss_of("one"), jt.memory.create(SIZE, DIM)
    update = make_update(loss_fn)
    whole, _ = train(update, start(loss_fn, memory), batch, 4)
    _, state = train(update, start(loss_fn, memory), batch, 2)
    with Checkpoints(tmp_path / "checkpoints", every=1, last=4) as checkpoints:
        checkpoints.write(2, state)
    with Checkpoints(tmp_path / "checkpoints", every=1, last=4) as checkpoints:
        again = checkpoints.restore(start(loss_fn, memory))
    rest, _ = train(update, again, lambda step: batch(step + 2), 2)
    np.testing.assert_array_equal(rest, whole[2:])
    without, with_memory = arrays_of(start(loss_fn)), arrays_of(start(loss_fn, memory))
    new = {f"memory.{part}" for part in ("labels", "embeddings", "valid", "next")}
    # A state without one has the arrays that it had before there were memories.
    assert with_memory.keys() - without.keys() == new
    assert not new & without.keys()
    with (
        Checkpoints(tmp_path / "checkpoints", every=1, last=4) as checkpoints,
        pytest.raises(ValueError, match="another"),
    ):
        checkpoints.restore(start(loss_fn))


def test_a_memory_that_nobody_takes_is_refused() -> None:
    class Own:
        def init(self, key: Any, width: Any = None, num_classes: Any = None) -> Any:
            return {}

        def __call__(
            self, params: Any, labels: Any, embeddings: Any, *, where: Any = None, axis_name: Any = None
        ) -> Any:
            return jnp.sum(embeddings), {}

    memory = jt.memory.create(SIZE, DIM)
    with pytest.raises(ValueError, match="`memory`: the loss takes none"):
        start(Own(), memory)
    with pytest.raises(ValueError, match="memory must be one of"):
        start(loss_of("one"), np.zeros((SIZE, DIM)))
    thirds: Any = losses.weighted({"deep_speaker": 1.0})
    with pytest.raises(ValueError, match="none of deep_speaker takes a memory"):
        thirds({}, np.zeros(3, np.int32), np.zeros((3, DIM), np.float32), memory=memory)
    # Of several, those that take one are given it.
    labels, rows = batch(0).labels, np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
    filled = jt.memory.push(memory, labels, rows + 1)
    found, _ = losses.weighted({"batch_hard": 2.0})({}, labels, rows, memory=filled)
    np.testing.assert_allclose(found, 2 * jt.batch_hard(labels, rows, memory=filled), 1e-6)


VOWELS = ["--hidden", "8", "--embedding-dim", "8", "--speakers", "9", "--utterances", "4", "--devices", "1", "--quiet"]


def test_a_config_with_a_memory_begins_with_an_empty_one_as_wide_as_embeddings() -> None:
    for memory, wanted in ((50, (50, 8)), (0, None)):
        config = Config.of_recipe("japanese-vowels", memory=memory, hidden=8, embedding_dim=8)
        given: Any = {"data": None, "dev": None, "dev_fraction": None, "allow_outside": False, "quiet": True}
        source = find(config.data.source)(config, **given)
        state = fresh_state(source, source.batches(1))
        assert (state.memory and state.memory.embeddings.shape) == wanted


@pytest.mark.exhaustive
def test_the_command_line_trains_with_a_memory_and_goes_on(tmp_path: Path, call: Any) -> None:
    words = ["--loss", "batch-hard", "--memory", 50, "--steps", 4, "--checkpoint-every", 2, *VOWELS]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert call("train", *words, "--out", whole).status == 0
    assert call("train", *words, "--out", halves).status == 0
    shutil.rmtree(halves / "checkpoints" / "4")
    assert call("train", *words, "--out", halves, "--resume").status == 0
    rows = [(folder / "metrics.jsonl").read_text() for folder in (whole, halves)]
    assert rows[0] == rows[1]
    assert call("train", *words[:2], *words[4:], "--out", tmp_path / "none").status == 0
    rows.append((tmp_path / "none" / "metrics.jsonl").read_text())
    with_memory, without = ([json.loads(line)["loss"] for line in text.splitlines()] for text in rows[1:])
    np.testing.assert_allclose(with_memory[0], without[0], 1e-5)
    assert abs(with_memory[-1] - without[-1]) > 1e-3
    assert call("train", "--loss", "deep-speaker", "--memory", 9, *VOWELS) == (
        2,
        "",
        "jaxtriplet: --memory: deep-speaker takes none\n",
    )
