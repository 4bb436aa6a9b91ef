"""Cross-batch memory: what it holds, and that each loss with it is the loss written out by hand."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import parallel
from jaxtriplet.types import Memory

from .cases import DIM, PLAIN, Case, case_of, random_rows
from .judge import flat
from .modes import trials
from .reference.differences import central_differences
from .reference.terms import Terms
from .test_devices import NUM_DEVICES, RECIPES, judge

CASES = [case for case in PLAIN if "memory" in case.declared.signature.parameters]
# Mined, of centroids, of queries, of pairs by place, and the one that looks from the memory at the batch.
FEW = ("batch_hard", "ge2e", "prototypical", "kl_hinge", "lifted_structure")

# Class 4 is alone in the batch, and not so with the memory; 7 and 8 are in the memory alone.
LABELS, WHERE = np.array([5, 2, 5, 6, 2, 5, 4, 2], np.int32), np.array([1, 1, 0, 0, 1, 1, 1, 1], bool)
EARLIER, PADDED = np.array([4, 5, 7, 7, 2, 8, 5, 4], np.int32), np.array([1, 1, 0, 1, 1, 1, 0, 1], bool)


def filled(rows: Any, size: int = 8) -> Memory:
    """A memory of two pushes, with padding in the first, that is not yet full."""
    memory = jt.memory.create(size, rows.shape[1])
    for part in (slice(0, 5), slice(5, None)):
        memory = jt.memory.push(memory, EARLIER[part], rows[part], PADDED[part])
    return memory


def test_a_loss_of_every_family_is_tried() -> None:
    of_rows = [case for case in PLAIN if case.declared.rows == "batch" and not case.declared.class_weights]
    assert {case.name for case in CASES} == {case.name for case in of_rows} - {"toy"}
    assert set(FEW) <= {case.name for case in CASES}


# --- each loss, written out by hand -----------------------------------------------------------------------------------


def of_anchors(case: Case, terms: Terms, labels: np.ndarray, count: int) -> Terms:
    """The terms whose row is among the first so many, and the distances of these rows."""
    mine = np.array(terms.rows, int) < count
    if case.declared.name in ("ge2e", "angular_prototypical", "prototypical"):  # distances come with the terms
        positive = np.array(terms.positive)[mine]
        negative = np.reshape(terms.negative, (len(mine), -1))[mine].ravel()
    else:  # row by row, with all others, or with later ones
        later = case.declared.name == "kl_hinge"
        pairs = [(a, c) for a in range(count) for c in range(len(labels)) if (c > a if later else c != a)]
        alike = sum(labels[a] == labels[c] for a, c in pairs)
        positive, negative = terms.positive[:alike], terms.negative[: len(pairs) - alike]
    kept = [list(np.array(part)[mine]) for part in (terms.rows, terms.values, terms.kinds)]
    return Terms(count, *kept, list(positive), list(negative), terms.norms[:count])


def by_hand(case: Case, batch: np.ndarray, rows: np.ndarray, numbers: Any, held: Any) -> Terms:
    """The loop over the batch and, after it, the memory."""
    labels = np.concatenate([LABELS[WHERE], EARLIER[PADDED]])
    terms = case.reference(labels, np.concatenate([batch, rows]), *numbers, **held)
    return of_anchors(case, terms, labels, len(batch))


@trials("case", CASES, always=lambda case: case.name in FEW, ids=lambda case: case.name)
def test_a_loss_with_memory_is_the_loss_written_out_by_hand(case: Case, x64: None) -> None:
    rows, earlier = random_rows(case, 8, 1), random_rows(case, 8, 2)
    rows[~WHERE], earlier[~PADDED] = np.nan, np.inf
    memory, batch, others = filled(earlier), rows[WHERE], earlier[PADDED]

    @jax.jit
    def step(rows: Any, numbers: Any, remembered: Any) -> Any:
        def loss(rows: Any, numbers: Any, remembered: Any) -> Any:
            given = memory._replace(embeddings=remembered)
            found = partial(case.loss, LABELS, rows, *numbers, where=WHERE, memory=given)
            value, stats = found(has_aux=True)
            return value, (stats, found(reduce_fn=None))

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(rows, numbers, remembered)

    (value, (stats, each)), (by_rows, by_numbers, by_memory) = step(rows, case.numbers, memory.embeddings)
    held = case.held(np.concatenate([batch, others]), *case.numbers)
    terms = by_hand(case, batch, others, case.numbers, held)
    np.testing.assert_allclose(value, terms.reduced(case.reduction), 1e-10)
    np.testing.assert_allclose(each[WHERE], terms.per_row(), 1e-10, atol=1e-12)
    for name, wanted in terms.stats().items():
        np.testing.assert_allclose(getattr(stats, name), wanted, 1e-10, atol=1e-12, err_msg=name)

    def differs(batch: np.ndarray, numbers: Any) -> float:
        return by_hand(case, batch, others, numbers, held).reduced(case.reduction)

    wanted = central_differences(lambda x: differs(x, case.numbers), batch)
    np.testing.assert_allclose(by_rows[WHERE], wanted, 0, 2e-7 * max(1, np.abs(wanted).max()))
    wanted = central_differences(lambda n: differs(batch, tuple(n)), flat(case.numbers))
    np.testing.assert_allclose(flat(by_numbers), wanted, 0, 2e-7 * max(1, np.abs(wanted).max(initial=0)))
    np.testing.assert_array_equal(by_memory, 0)


@trials(
    "case",
    [case for case in CASES if case.name in FEW],
    always=lambda case: case.name == FEW[0],
    ids=lambda case: case.name,
)
def test_an_empty_memory_is_none_and_a_nan_that_is_remembered_comes_out(case: Case) -> None:
    rows = random_rows(case, 8, 1).astype(np.float32)
    memory, numbers = jt.memory.create(5, DIM), tuple(map(np.float32, case.numbers))

    @jax.jit
    def step(rows: Any, memory: Any) -> Any:
        return jax.value_and_grad(lambda rows: case.loss(LABELS, rows, *numbers, where=WHERE, memory=memory))(rows)

    empty, none = step(rows, memory), step(rows, None)
    np.testing.assert_allclose(empty[0], none[0], 1e-6)
    np.testing.assert_allclose(empty[1], none[1], 0, 1e-6)
    spoilt = memory._replace(embeddings=memory.embeddings.at[3].set(jnp.nan))
    np.testing.assert_array_equal(step(rows, spoilt)[0], empty[0])
    value, gradient = step(rows, spoilt._replace(valid=memory.valid.at[3].set(True)))
    assert np.isnan(value)
    assert np.isnan(gradient[WHERE]).all()


# --- what it holds ----------------------------------------------------------------------------------------------------


def held(memory: Memory) -> list[tuple[int, list[float]]]:
    """Labels and rows, the oldest first."""
    size, first = len(memory.labels), int(memory.next)
    order = [(first + step) % size for step in range(size)]
    return [(int(memory.labels[at]), memory.embeddings[at].tolist()) for at in order if memory.valid[at]]


@pytest.mark.parametrize("jitted", [False, True])
def test_the_oldest_goes_first_and_padding_does_not_come_in(jitted: bool) -> None:
    push, rng = (jax.jit(jt.memory.push) if jitted else jt.memory.push), np.random.default_rng(0)
    memory, queue = jt.memory.create(5, 2), []
    for step in range(12):
        rows = rng.normal(size=(7, 2)).astype(np.float32)
        labels, where = rng.integers(0, 9, 7).astype(np.int32), rng.random(7) < (0.95 if step % 4 == 3 else 0.3)
        queue += [(int(label), row.tolist()) for label, row, kept in zip(labels, rows, where, strict=True) if kept]
        rows[~where] = np.nan
        memory = push(memory, labels, rows, where)
        queue = queue[-5:]
        assert held(memory) == queue
    assert len(queue) == 5
    for same in (push(memory, labels, rows, np.zeros(7, bool)), push(memory, labels[:0], rows[:0])):
        jax.tree.map(np.testing.assert_array_equal, same, memory)


def test_pushes_are_scanned_and_mapped() -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(3, 4, 2)).astype(np.float32), rng.integers(0, 9, (3, 4)).astype(np.int32)
    memory, wanted = jt.memory.create(5, 2), []
    start = memory
    for step in range(3):
        memory = jt.memory.push(memory, labels[step], rows[step])
        wanted.append(memory)
    step = lambda memory, batch: (jt.memory.push(memory, *batch),) * 2  # noqa: E731
    scanned = jax.lax.scan(step, start, (labels, rows))[1]
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *wanted)
    jax.tree.map(np.testing.assert_array_equal, scanned, stacked)
    mapped = jax.vmap(jt.memory.push)(jax.tree.map(lambda part: jnp.stack([part] * 3), wanted[0]), labels, rows)
    alone = [jt.memory.push(wanted[0], labels[step], rows[step]) for step in range(3)]
    jax.tree.map(np.testing.assert_array_equal, mapped, jax.tree.map(lambda *parts: np.stack(parts), *alone))
    loss = jax.vmap(lambda memory: jt.batch_hard(labels[0], rows[0], memory=memory))(scanned)
    np.testing.assert_allclose(loss, [jt.batch_hard(labels[0], rows[0], memory=one) for one in wanted], 1e-6)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint32", "int32"])
def test_labels_of_any_integer_type_are_told_apart(dtype: str) -> None:
    kind = np.iinfo(dtype)
    labels, rows = np.array([kind.max, kind.min, kind.max, 3], dtype), np.array([[0.0], [3], [1], [7]], np.float32)
    memory = jt.memory.push(jt.memory.create(4, 1), labels[:2], rows[:2])
    found = jt.batch_hard(labels[2:], rows[2:], memory=memory, distance_fn=jt.distances.euclidean, has_aux=True)[1]
    assert (found.num_valid, found.mean_positive_distance) == (1, 1)


def test_labels_of_64_bits_need_a_memory_of_64(x64: None) -> None:
    labels, rows = np.array([2**40, 2**40 + 2**33, 2**40, 5]), np.array([[0.0], [3], [1], [7 + 1e-12]])
    memory = jt.memory.push(jt.memory.create(4, 1), labels[:2], rows[:2])
    assert held(memory) == [(2**40, [0.0]), (2**40 + 2**33, [3.0])]
    assert held(jt.memory.push(memory, labels[3:], rows[3:]))[2] == (5, [7 + 1e-12])
    found = jt.batch_hard(labels[2:], rows[2:], memory=memory, distance_fn=jt.distances.euclidean, has_aux=True)[1]
    assert (found.num_valid, found.mean_positive_distance) == (1, 1)
    with jax.enable_x64(False):
        short = jt.memory.create(4, 1)
    for call in (
        lambda: jt.memory.push(short, labels, rows),
        lambda: jt.batch_hard(labels, rows, memory=short),
    ):
        with pytest.raises(ValueError, match=r"labels must fit in int32, as those of memory do.*int64"):
            call()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_remembered_as_it_is(dtype: Any) -> None:
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), dtype)
    labels = jnp.array([0, 0, 1, 1, 0, 1])
    memory = jt.memory.push(jt.memory.create(4, 3), labels[2:], rows[2:])
    assert memory.embeddings.dtype == jnp.float32
    np.testing.assert_array_equal(memory.embeddings, rows[2:].astype(jnp.float32))
    value, gradient = jax.value_and_grad(lambda rows: jt.batch_all(labels[:2], rows, memory=memory))(rows[:2])
    assert (value.dtype, gradient.dtype) == (jnp.float32, dtype)
    np.testing.assert_allclose(value, jt.batch_all(labels[:2], rows[:2].astype(jnp.float32), memory=memory), 1e-6)


def test_no_gradient_goes_through_a_push() -> None:
    labels, rows = jnp.array([0, 1]), jnp.array([[0.0, 1], [1, 0]])

    def loss(rows: jax.Array) -> jax.Array:
        memory = jt.memory.push(jt.memory.create(2, 2), labels, rows)
        return jt.batch_hard(labels, jnp.ones((2, 2)) * 0.3, memory=memory) + jnp.sum(memory.embeddings)

    np.testing.assert_array_equal(jax.grad(loss)(rows), 0)


def test_what_is_no_memory_or_another_width_is_refused() -> None:
    labels, rows, memory = np.array([0, 1], np.int32), np.eye(2, dtype=np.float32), jt.memory.create(4, 3)
    whole = jt.memory.create(4, 2)
    broken = [
        ("no memory", (np.zeros((4, 2)), [0] * 4)),
        ("a table", np.zeros((4, 2))),
        ("labels", whole._replace(labels=np.zeros(3, np.int32))),
        ("floats", whole._replace(labels=np.zeros(4, np.float32))),
        ("a flat one", whole._replace(embeddings=np.zeros(4, np.float32))),
        ("a mask", whole._replace(valid=np.zeros(4, np.int32))),
        ("nothing", whole._replace(next=None)),
    ]
    calls = [jt.memory.push, lambda memory, *rows: jt.contrastive(*rows, memory=memory)]
    for call in calls:
        with pytest.raises(ValueError, match=r"rows of memory must be of the length of embeddings, 2; got .*4, 3"):
            call(memory, labels, rows)
        for name, one in broken:
            with pytest.raises(ValueError, match=r"memory must be one of `jaxtriplet\.memory\.create\(size, dim\)`"):
                raise AssertionError(name, call(one, labels, rows))
    jax.tree.map(np.testing.assert_array_equal, jt.memory.push(jax.device_get(whole), labels, rows).next, 2)
    for size in (0, -1, 2.0, True, None):
        for shape in ((size, 2), (2, size)):
            with pytest.raises(ValueError, match="must be a whole number above 0"):
                jt.memory.create(*shape)
    for wrong in ((labels[:1], rows), (labels, rows[0]), (labels, "rows"), (labels, rows, np.ones(3, bool))):
        with pytest.raises(ValueError, match="must"):
            jt.memory.push(whole, *wrong)


# --- over devices -----------------------------------------------------------------------------------------------------


def remembered() -> Memory:
    """As NumPy arrays, for either precision; 11 rows, which 8 devices do not share evenly."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(11, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    valid = np.arange(11) != 4
    rows[4] = np.nan
    return Memory(rng.integers(0, 10, 11), rows, valid, np.array(5))


@cache
def with_memory(case: Case) -> Case:
    return replace(case, name=f"{case.name}-memory", loss=partial(case.loss, memory=remembered()))


RINGS = [
    case_of(case.name, "ring", exchange="ring") for case in CASES if "exchange" in case.declared.signature.parameters
]
SPREAD = [
    (case, recipe)
    for case in [*CASES, *RINGS]
    for recipe in ("shard_map", "shard_map-unchecked-2x4", "pmap")
    if recipe == "shard_map" or case in RINGS or case.name in FEW
]
ALWAYS = [
    *((name, "shard_map") for name in ("batch_hard", "ge2e", "lifted_structure", "contrastive-ring")),
    ("batch_hard", "pmap"),
]


@trials(
    ("case", "recipe"),
    SPREAD,
    always=lambda case, recipe: (case.name, recipe) in ALWAYS,
    ids=lambda case, recipe: f"{case.name}-{recipe}",
)
def test_a_loss_with_memory_over_devices_is_that_of_one(case: Case, recipe: str, x64: None) -> None:
    assert set(RECIPES) >= {recipe}
    judge(with_memory(case), recipe, np.float64, 1e-12)


@pytest.mark.parametrize("way", ["check_vma", "unchecked", "two axes", "pmap"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_memory_filled_over_devices_is_that_of_one(way: str, masked: bool) -> None:
    rng = np.random.default_rng(0)
    memory = expected = jt.memory.create(21, 3)
    shape, axes = ((2, 4), ("hosts", "cores")) if way == "two axes" else ((NUM_DEVICES,), "data")
    mesh = Mesh(np.array(jax.devices()[:NUM_DEVICES]).reshape(shape), axes)
    push = partial(jt.memory.push, axis_name=axes)
    mapped: Any = jax.jit(
        jax.shard_map(
            push,
            mesh=mesh,
            in_specs=(P(), P(axes), P(axes), P(axes) if masked else None),
            out_specs=P(),
            check_vma=way != "unchecked",
        )
    )
    if way == "pmap":
        mapped = jax.pmap(push, axis_name=axes)
        memory = jax.tree.map(lambda part: jnp.stack([part] * NUM_DEVICES), memory)
    for _ in range(3):
        labels, rows = rng.integers(0, 9, 16).astype(np.int32), rng.normal(size=(16, 3)).astype(np.float32)
        where = rng.random(16) < 0.7 if masked else None
        expected = jt.memory.push(expected, labels, rows, where)
        batch: Any = (labels, rows, where)
        if way == "pmap":
            batch = jax.tree.map(lambda part: part.reshape(NUM_DEVICES, -1, *part.shape[1:]), batch)
        memory = mapped(memory, *batch)
        for part, wanted in zip(jax.device_get(memory), expected, strict=True):
            for copy in part if way == "pmap" else [part]:
                np.testing.assert_array_equal(copy, wanted)


@pytest.mark.parametrize("explicit", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_the_global_view_takes_a_memory_and_ids(explicit: bool) -> None:
    mesh = jax.make_mesh((NUM_DEVICES,), ("data",)) if explicit else parallel.data_mesh()
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(16, 3)).astype(np.float32), rng.integers(0, 4, 16).astype(np.int32)
    memory = jt.memory.push(jt.memory.create(9, 3), labels[:6], rows[:6] + 0.5)

    def figures(hard: Any, views: Any, labels: Any, rows: Any, memory: Any) -> Any:
        def loss(rows: Any) -> Any:
            return hard(labels, rows, 0.7, memory=memory) + views(rows, rows + 0.1, 0.5, ids=labels)

        return jax.value_and_grad(loss)(rows), jt.memory.push(memory, labels, rows)

    of_one = jax.jit(partial(figures, jt.batch_hard, jt.info_nce))
    of_all = jax.jit(partial(figures, *(parallel.sharded(one, mesh) for one in (jt.batch_hard, jt.info_nce))))
    alone, spread = of_one(labels, rows, memory), parallel.spread_rows((labels, rows), mesh)
    for one in (jax.device_get(memory), parallel.place(memory, parallel.replicated(mesh))):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), of_all(*spread, one), alone)
    with pytest.raises(ValueError, match="15"):
        parallel.sharded(jt.info_nce, mesh)(rows, rows, ids=labels[:15])
    report = parallel.check(jt.info_nce, mesh, rows, rows + 0.1, 0.5, ids=labels, settings=["shard_map"])
    assert report.verdict == "agrees"
