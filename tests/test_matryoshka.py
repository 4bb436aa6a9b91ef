"""Matryoshka: the sum over prefixes, written out by hand; with everything else that a loss takes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import parallel
from jaxtriplet.losses import matryoshka, registry, weighted

from .cases import DIM, LOSSES, Case, named, random_rows
from .judge import flat
from .modes import trials
from .reference.differences import central_differences

DIMS, WEIGHTS = (1, 3, 4), (0.5, 2.0, -0.25)
WHERE = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
LABELS = np.array([5, 2, 5, 5, 2, 9, 5, 2], np.int32)
ALWAYS = ("batch_hard", "info_nce", "toy_softmax")
TRIED = [case for case in LOSSES if case.plain and case.declared.sees == "embeddings" and case.name != "toy"]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def of_rows(case: Case, **options: Any) -> Callable[..., Any]:
    """Matryoshka of the loss of a case, in the form in which cases call theirs."""
    from . import cases

    declared = case.declared
    if declared.rows == "batch":
        function: Any = matryoshka(declared.function, **options)
        return lambda labels, rows, *numbers, **more: function(
            labels % cases.NUM_CLASSES if declared.class_weights else labels, rows, *numbers, **more
        )
    function = matryoshka(declared.function, **options)

    def call(labels: Any, rows: Any, *numbers: Any, where: Any, **more: Any) -> Any:
        sides = [rows[:, side] for side in range(rows.shape[1])]
        if declared.rows == "thirds":
            return function(jnp.concatenate(sides), *numbers, where=jnp.tile(where, 3), **more)
        return function(*sides, *numbers, where=where, **more)

    return call


@trials(
    ("case", "normalize"),
    [
        (case, normalize)
        for place, case in enumerate(TRIED)
        for normalize in ((False, True) if case.name in ALWAYS else (bool(place % 2),))
    ],
    always=lambda case, normalize: case.name in ALWAYS and normalize,
    ids=lambda case, normalize: f"{case.name}-{normalize}",
)
def test_the_sum_over_prefixes_is_the_loss_written_out_by_hand(case: Case, normalize: bool, x64: None) -> None:
    loss = of_rows(case, dims=DIMS, weights=WEIGHTS, normalize=normalize)
    rows = random_rows(case, 8, 3)
    rows[~WHERE] = np.nan
    held = {
        length: case.held(unit(rows[WHERE][..., :length]) if normalize else rows[WHERE][..., :length], *case.numbers)
        for length in DIMS
    }

    def by_hand(rows: np.ndarray, numbers: Any) -> float:
        total = 0.0
        for length, weight in zip(DIMS, WEIGHTS, strict=True):
            short = unit(rows[..., :length]) if normalize else rows[..., :length]
            narrow = (number[:, :length] if np.ndim(number) else number for number in numbers)
            total += weight * case.reference(LABELS[WHERE], short, *narrow, **held[length]).reduced(case.reduction)
        return total

    step = jax.jit(jax.value_and_grad(lambda rows, numbers: loss(LABELS, rows, *numbers, where=WHERE), argnums=(0, 1)))
    value, (by_rows, by_numbers) = step(rows, case.numbers)
    np.testing.assert_allclose(value, by_hand(rows[WHERE], case.numbers), 1e-9)
    wanted = central_differences(lambda x: by_hand(x, case.numbers), rows[WHERE])
    np.testing.assert_allclose(by_rows[WHERE], wanted, 0, 4e-7 * max(1, np.abs(wanted).max()))
    if all(np.ndim(number) == 0 for number in case.numbers):
        wanted = central_differences(lambda n: by_hand(rows[WHERE], tuple(n)), flat(case.numbers))
        np.testing.assert_allclose(flat(by_numbers), wanted, 0, 4e-7 * max(1, np.abs(wanted).max(initial=0)))


def batch(rows: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    where = np.arange(rows) % 5 != 1
    return rng.integers(0, 4, rows).astype(np.int32), rng.normal(size=(rows, DIM)).astype(np.float32), where


def test_it_composes_with_memory_statistics_and_no_reduction() -> None:
    labels, rows, where = batch()
    memory = jt.memory.push(jt.memory.create(7, DIM), labels[:5], 3 * rows[:5] + 0.3)
    loss = matryoshka(jt.batch_hard, (2, 4), (0.5, 1.5), normalize=True)

    def part(length: int, **options: Any) -> Any:
        short, earlier = (jt.l2_normalize(jnp.asarray(x)[:, :length]) for x in (rows, memory.embeddings))
        given = memory._replace(embeddings=earlier)
        return jt.batch_hard(labels, short, 0.7, where=where, memory=given, **options)

    value, stats = loss(labels, rows, 0.7, where=where, memory=memory, has_aux=True)
    (first, _), (second, expected) = (part(length, has_aux=True) for length in (2, 4))
    np.testing.assert_allclose(value, 0.5 * first + 1.5 * second, 1e-6)
    jax.tree.map(np.testing.assert_array_equal, stats, expected)
    each = loss(labels, rows, 0.7, where=where, memory=memory, reduce_fn=None)
    np.testing.assert_allclose(each, 0.5 * part(2, reduce_fn=None) + 1.5 * part(4, reduce_fn=None), 1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sum(each) / stats.num_valid, value, 1e-5)


@pytest.mark.parametrize("way", ["shard_map", pytest.param("global view", marks=pytest.mark.exhaustive)])
def test_over_devices_it_is_that_of_one(way: str, x64: None) -> None:
    labels, rows, where = batch()
    rows, memory = rows.astype(np.float64), jt.memory.push(jt.memory.create(5, DIM), labels[:5], rows[:5] + 0.5)
    loss = matryoshka(jt.supervised_contrastive, (2, 4), normalize=True)
    alone = jax.value_and_grad(lambda rows: loss(labels, rows, 0.5, where=where, memory=memory))(rows)
    if way == "global view":
        spread = parallel.sharded(loss, parallel.data_mesh())
        found = jax.jit(jax.value_and_grad(lambda rows: spread(labels, rows, 0.5, where=where, memory=memory)))(rows)
    else:
        mesh = Mesh(np.array(jax.devices()[:8]), "data")
        mapped = jax.shard_map(
            lambda labels, rows, where: loss(
                labels, rows, 0.5, where=where, memory=memory, axis_name="data", exchange="ring"
            ),
            mesh=mesh,
            in_specs=P("data"),
            out_specs=P(),
        )
        found = jax.jit(jax.value_and_grad(lambda rows: mapped(labels, rows, where)))(rows)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13), found, alone)


def test_a_sum_of_losses_stays_one_for_a_training_step(toys: Any) -> None:
    labels, rows, where = batch()
    sum_of = weighted({"batch_hard": 1.0, "toy_softmax": 0.3}, batch_hard={"margin": 0.3})
    loss_fn = matryoshka(sum_of, (2, 4), (0.5, 1.0))
    params = loss_fn.init(jax.random.key(0), DIM, 4)
    jax.tree.map(np.testing.assert_array_equal, params, sum_of.init(jax.random.key(0), DIM, 4))
    narrow = {**params, "toy_softmax": {**params["toy_softmax"], "weights": params["toy_softmax"]["weights"][:, :2]}}
    memory = jt.memory.push(jt.memory.create(7, DIM), labels[:5], rows[:5] + 0.3)
    short = memory._replace(embeddings=memory.embeddings[:, :2])

    @jax.jit
    def both(params: Any, narrow: Any) -> Any:
        ours = jax.value_and_grad(
            lambda params: loss_fn(params, labels, rows, where=where, memory=memory), has_aux=True
        )
        long = sum_of(params, labels, rows, where=where, memory=memory)
        return ours(params), long, sum_of(narrow, labels, rows[:, :2], where=where, memory=short)

    ((value, stats), gradient), long, of_two = both(params, narrow)
    np.testing.assert_allclose(value, 0.5 * of_two[0] + long[0], 1e-5)
    # The smallest distance is what is left of squared norms: to the rounding of these.
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), stats, long[1])
    assert np.abs(gradient["toy_softmax"]["weights"]).min() > 0


def test_losses_of_logits_given_pairs_and_ones_own_do_not_break() -> None:
    labels, rows, _ = batch()
    found = matryoshka(jt.kl_hinge, (2, 4))(labels, rows)
    np.testing.assert_allclose(found, jt.kl_hinge(labels, rows[:, :2]) + jt.kl_hinge(labels, rows), 1e-6)
    pairs = labels % 2 == 0, rows, rows[::-1]
    found = matryoshka(jt.siamese_kl_hinge, (2, 4))(*pairs, 0.5)
    parts = [jt.siamese_kl_hinge(pairs[0], *(side[:, :length] for side in pairs[1:]), 0.5) for length in (2, 4)]
    np.testing.assert_allclose(found, sum(parts), 1e-6)

    def own(classes: Any, x: Any, scale: float) -> jax.Array:
        return scale * jnp.sum(x[classes == 2])

    wanted = 3 * (rows[labels == 2][:, :2].sum() + rows[labels == 2].sum())
    np.testing.assert_allclose(matryoshka(own, (2, 4))(labels, rows, 3.0), wanted, 1e-5)
    fixed: Any = partial(jt.info_nce, temperature=0.5, symmetric=True)
    found = matryoshka(fixed, [4])(rows, rows[::-1].copy())
    np.testing.assert_allclose(found, fixed(rows, rows[::-1].copy()), 1e-6)
    found = matryoshka(registry.find("batch-hard"), np.array([2, 4]))(labels, rows.tolist())
    np.testing.assert_allclose(found, matryoshka(jt.batch_hard, (2, 4))(labels, rows), 1e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dims": ()}, "dims must be one or more"),
        ({"dims": (2, 0)}, "each of dims must be a whole number above 0; got 0"),
        ({"dims": (2.0,)}, "each of dims must be a whole number above 0"),
        ({"dims": 3}, "dims must be a sequence"),
        ({"dims": (1, 2), "weights": (1.0,)}, "with a weight for each; got 2 and 1"),
        ({"dims": (1,), "weights": (float("nan"),)}, "each of weights must be a finite number"),
        ({"dims": (1,), "weights": 2.0}, "weights must be a sequence"),
        ({"dims": (1,), "normalize": 1}, "normalize must be True or False"),
        ({"dims": (1,), "loss": "batch-hard"}, "loss must be a function"),
    ],
)
def test_lengths_and_weights_that_do_not_fit_are_refused(options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        matryoshka(**{"loss": jt.batch_hard, **options})


def test_rows_that_cannot_be_cut_are_refused() -> None:
    labels, rows, _ = batch()
    loss, narrow = matryoshka(jt.batch_hard, (2, 4)), jt.memory.create(4, DIM - 1)
    for call, says in (
        (lambda: matryoshka(jt.batch_hard, (2, 5))(labels, rows), r"rows must be of one length, of 5 numbers at least"),
        (lambda: loss(labels, rows, memory=narrow), r"rows must be of one length.*16, 4.*4, 3"),
        (lambda: matryoshka(jt.info_nce, (2,))(rows, rows[:, :3]), "rows must be of one length"),
        (lambda: loss(labels, rows[:, 0]), r"embeddings must be floats of shape \[B, D\]"),
        (lambda: loss(labels, labels), r"embeddings must be floats of shape \[B, D\]"),
        (lambda: loss(labels, embeddings=rows), "give them so, not by name"),
        (lambda: loss(labels=labels, embeddings=rows), "give them so, not by name"),
        (lambda: matryoshka(jt.triplet, (2,))(rows, positives=rows, negatives=rows), "give them so, not by name"),
        (lambda: loss(labels, rows, memory=rows), "memory must be one of"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_what_it_returns_is_known_by_the_names_of_the_loss() -> None:
    loss = matryoshka(jt.semi_hard, (2, 4))
    assert loss.__name__ == "semi_hard"
    assert parallel.sharding.declared_rows(loss) == ["labels", "embeddings"]
    assert named("semi_hard").declared.function is not loss


def test_class_weights_are_cut_however_they_are_given(x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = np.array([0, 2, 1]), rng.normal(size=(3, 4)), rng.normal(size=(3, 2, 4))
    loss = matryoshka(jt.aam_softmax, (2, 4))
    expected = jt.aam_softmax(labels, rows[:, :2], weights[..., :2]) + jt.aam_softmax(labels, rows, weights)
    for found in (
        loss(labels, rows, weights),
        loss(labels, rows, weights=weights),
        loss(labels, rows, weights.tolist(), margin=0.2),
    ):
        np.testing.assert_allclose(found, expected, 1e-12)
