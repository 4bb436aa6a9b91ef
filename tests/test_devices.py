"""Loss and gradient over many devices equal those of one, in each recipe that JAX has for it."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt

from .cases import DIM, OF_EACH_WAY, ONE_OF_A_KIND, PLAIN, STANDING, Case, random_rows
from .modes import trials

NUM_DEVICES, NUM_FEATURES = 8, 3
NUM_ROWS = 2 * NUM_DEVICES
LABELS = {
    "balanced": np.tile(np.arange(4), 4),
    "ragged": np.array([3, 0, 3, 1, 9, 9, 3, 0, 7, 9, 3, 0, 9, 9, 3, 5]),
    "padded": np.array([3, 0, 3, 1, 9, 9, 3, 0, 7, 9, 3, 0, 9, 9, 3, 5]),
    "a speaker each": np.repeat(np.arange(8), 2),
}
# One device (rows 4 and 5) holds nothing but padding.
PADDED = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)

Step = Callable[..., Any]


def batch_of(case: Case, name: str, dtype: Any) -> tuple[Any, ...]:
    """Weights of a linear encoder, the loss's numbers, inputs, labels and mask."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(NUM_FEATURES, DIM)) * 0.6
    inputs = rng.normal(size=(NUM_ROWS, *case.shape[:-1], NUM_FEATURES)) + 0.3
    where = PADDED if name == "padded" else np.ones(NUM_ROWS, bool)
    numbers = tuple(jnp.asarray(n, dtype) for n in case.numbers)
    return (
        jnp.asarray(weights, dtype),
        numbers,
        jnp.asarray(inputs, dtype),
        jnp.asarray(LABELS[name].astype(np.int32)),
        jnp.asarray(where),
    )


def loss_of(case: Case, axis_name: Any) -> Step:
    """The loss of an encoder, with its statistics."""

    def loss(weights: Any, numbers: Any, inputs: Any, labels: Any, where: Any) -> Any:
        rows = jnp.matmul(inputs, weights, precision="highest")
        # Unit length, as the losses advise: of longer rows, squared norms cancel to less than float32's 1e-6.
        rows = rows / jnp.sqrt(jnp.sum(rows**2, axis=-1, keepdims=True))
        rows = jax.nn.softmax(3 * rows) if case.probabilities else rows
        return case.loss(labels, rows, *numbers, where=where, axis_name=axis_name, has_aux=True)

    return loss


def gradients_of(case: Case, axis_name: Any) -> Step:
    """Value and gradient in weights, numbers and inputs."""
    return jax.value_and_grad(loss_of(case, axis_name), argnums=(0, 1, 2), has_aux=True)


def averaged(case: Case, axis_name: Any) -> Step:
    """The step inside `pmap` and inside `shard_map` without varying-axes checks: gradients are averaged."""

    def step(*args: Any) -> Any:
        value, (weights, numbers, inputs) = gradients_of(case, axis_name)(*args)
        weights, numbers = jax.lax.pmean((weights, numbers), axis_name)
        return value, (weights, numbers, inputs / jax.lax.axis_size(axis_name))

    return step


def per_device(mapped: Callable[[Step], Step], case: Case) -> Step:
    """Runs a step under `pmap` or `vmap` and joins what the devices return."""
    step = mapped(averaged(case, "data"))

    def joined(weights: Any, numbers: Any, *batch: Any) -> Any:
        split = [x.reshape(NUM_DEVICES, -1, *x.shape[1:]) for x in batch]
        (value, stats), (weights, numbers, inputs) = jax.device_get(step(weights, numbers, *split))
        for replicated in jax.tree.leaves((value, stats, weights, numbers)):
            for copy in replicated[1:]:
                np.testing.assert_array_equal(copy, replicated[0], "devices disagree")
        value, stats, weights, numbers = jax.tree.map(lambda x: x[0], (value, stats, weights, numbers))
        return (value, stats), (weights, numbers, inputs.reshape(NUM_ROWS, *inputs.shape[2:]))

    return joined


def sharded(case: Case, axis_name: Any, *, check_vma: bool, outside: bool = False) -> Step:
    """Runs under `shard_map`, the gradient taken inside it or outside."""
    shape = (NUM_DEVICES,) if isinstance(axis_name, str) else (2, NUM_DEVICES // 2)
    mesh = Mesh(np.array(jax.devices()[:NUM_DEVICES]).reshape(shape), axis_name)
    step = gradients_of(case, axis_name) if check_vma else averaged(case, axis_name)
    rows, value = P(axis_name), (P(), P())
    mapped = jax.shard_map(
        loss_of(case, axis_name) if outside else step,
        mesh=mesh,
        in_specs=(P(), P(), rows, rows, rows),
        out_specs=value if outside else (value, (P(), P(), rows)),
        check_vma=check_vma,
    )
    return jax.jit(jax.value_and_grad(mapped, argnums=(0, 1, 2), has_aux=True) if outside else mapped)


IN_AXES = (None, None, 0, 0, 0)
RECIPES: dict[str, Callable[[Case], Step]] = {
    "pmap": partial(per_device, lambda step: jax.pmap(step, axis_name="data", in_axes=IN_AXES)),
    "vmap": partial(per_device, lambda step: jax.jit(jax.vmap(step, axis_name="data", in_axes=IN_AXES))),
    "shard_map": partial(sharded, axis_name="data", check_vma=True),
    "shard_map-outside-2x4": partial(sharded, axis_name=("hosts", "cores"), check_vma=True, outside=True),
    "shard_map-unchecked-2x4": partial(sharded, axis_name=("hosts", "cores"), check_vma=False),
}


@cache
def on_one_device(case: Case, name: str, dtype: Any) -> Any:
    """What one device makes of a batch."""
    return jax.device_get(one_device(case)(*batch_of(case, name, dtype)))


@cache
def one_device(case: Case) -> Step:
    """The step compiled for one device."""
    return jax.jit(gradients_of(case, None))


def judge(case: Case, recipe: str, dtype: Any, tolerance: float) -> None:
    """Compares a recipe with one device on every batch; gradients relative to the largest entry."""
    step = RECIPES[recipe](case)
    for name in LABELS:
        (value, stats), gradients = jax.device_get(step(*batch_of(case, name, dtype)))
        (value_1, stats_1), gradients_1 = on_one_device(case, name, dtype)
        np.testing.assert_allclose(value, value_1, tolerance, err_msg=name)
        for ours, theirs in zip(stats, stats_1, strict=True):
            # The smallest distance is what is left of squared norms of 1: absolutely, not relatively, near.
            np.testing.assert_allclose(ours, theirs, 1e-6, atol=1e-6, err_msg=name)
        for ours, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradients_1), strict=True):
            np.testing.assert_allclose(ours, theirs, 0, tolerance * max(np.abs(theirs).max(), 1), err_msg=name)


# Every loss under `shard_map`, each loss whose rows meet those of other devices inside `pmap` too, with the gradient
# outside as well if no other loss stands for it, and one of each way in all recipes: each has to be compiled.
MEETING = [case for case in PLAIN if case.declared.rows == "batch"]
TRIALS = [
    (case, recipe)
    for case in PLAIN
    for recipe in RECIPES
    if recipe == "shard_map"
    or case in OF_EACH_WAY
    or (case in MEETING and (recipe == "pmap" or (case in STANDING and recipe.startswith("shard_map-outside"))))
]


@trials(
    ("case", "recipe"),
    TRIALS,
    always=lambda case, recipe: case.name in ("batch_hard", "ge2e") or (case in OF_EACH_WAY and recipe == "shard_map"),
    ids=lambda case, recipe: f"{case.name}-{recipe}",
)
def test_many_devices_equal_one(case: Case, recipe: str, x64: None) -> None:
    judge(case, recipe, np.float64, 1e-12)


@pytest.mark.parametrize("case", [case for case in MEETING if case in ONE_OF_A_KIND], ids=lambda case: case.name)
def test_many_devices_equal_one_in_float32(case: Case) -> None:
    judge(case, "shard_map", np.float32, 1e-6)


@trials("case", MEETING, always=lambda case: case in ONE_OF_A_KIND, ids=lambda case: case.name)
def test_each_device_returns_the_terms_of_its_own_rows(case: Case, x64: None) -> None:
    def terms(labels: Any, rows: Any, where: Any, axis_name: Any = None) -> Any:
        return case.loss(labels, rows, *case.numbers, where=where, reduce_fn=None, axis_name=axis_name)

    _, _, _, labels, where = batch_of(case, "padded", np.float64)
    rows = random_rows(case, NUM_ROWS, 0)
    rows[~where] = np.nan
    batch = labels, rows, where
    mapped = jax.pmap(partial(terms, axis_name="data"), axis_name="data")
    ours = mapped(*(x.reshape(NUM_DEVICES, -1, *x.shape[1:]) for x in batch))
    expected = terms(*batch)  # of classes, whose last share may be filled up
    np.testing.assert_allclose(np.ravel(ours)[: len(expected)], expected, 1e-12, atol=1e-13)


def test_nan_on_one_device_reaches_all(x64: None) -> None:
    rows = np.random.default_rng(0).normal(size=(NUM_DEVICES, 2, DIM))
    rows[3, 1, 0] = np.nan
    labels = LABELS["ragged"].reshape(NUM_DEVICES, 2).astype(np.int32)
    losses = jax.pmap(partial(jt.batch_hard, axis_name="data"), axis_name="data")(labels, rows)
    assert np.isnan(losses).all()


def test_the_axis_must_exist() -> None:
    with pytest.raises(ValueError, match=r"axis_name='data': no such axis is mapped here.*parallel\.sharded"):
        jt.semi_hard(jnp.zeros(4, jnp.int32), jnp.zeros((4, 2)), axis_name="data")
