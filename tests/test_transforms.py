"""What JAX's own tools make of the losses: NaN hunting, guarded transfers, shapes without numbers, export."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt

from .cases import BATCHES, OF_EACH_WAY, PLAIN, Batch, Case, random_rows, rows_of
from .modes import trials

NAMED = {batch.name: batch for batch in BATCHES}
plain_loss, one_of_each_way = (
    trials("case", cases, always=lambda case: case.name in ("batch_hard", "ge2e"), ids=lambda case: case.name)
    for cases in (PLAIN, OF_EACH_WAY)
)


def arrays(case: Case, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Labels, rows and mask on the device."""
    rows = rows_of(case, batch).astype(np.float32)
    return jnp.asarray(batch.labels, jnp.int32), jax.device_put(rows), jnp.asarray(batch.valid)


def graded(case: Case) -> Any:
    """Value, statistics and gradient of (rows, labels, where), by the loss's own numbers."""
    weights = tuple(jnp.asarray(one, jnp.float32) for one in case.numbers if np.ndim(one))
    return jax.value_and_grad(
        lambda rows, labels, where: case.loss(labels, rows, *weights, where=where, has_aux=True), has_aux=True
    )


# Padding of NaN and infinity, and healthy rows that are hard to tell apart.
HUNTED = ("padding", "padding first", "all padding", "one class", "a zero row", "identical rows")


@plain_loss
def test_no_nan_is_made_of_healthy_rows_and_padding_of_nan(case: Case) -> None:
    own = tuple(jnp.asarray(number, jnp.float32) for number in case.numbers)

    @jax.jit
    def both(rows: Any, labels: Any, where: Any) -> Any:
        terms = partial(case.loss, where=where, reduce_fn=None)
        return graded(case)(rows, labels, where), jax.grad(lambda rows: jnp.sum(terms(labels, rows, *own)))(rows)

    for name in HUNTED:
        labels, rows, where = arrays(case, NAMED[name])
        assert np.isnan(rows).any() == ("padding" in name)
        with jax.debug_nans(True):
            both(rows, labels, where)
    if case.declared.rows == "batch":  # the sides of others are cut out of the rows, NaN and all, by these tests
        labels, rows, where = arrays(case, NAMED["padding"])
        with jax.debug_nans(True):
            graded(case)(rows, labels, where)


def test_nan_hunting_finds_a_row_that_is_nan() -> None:
    rows = jnp.ones((4, 2)).at[1].set(jnp.nan)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        jt.batch_hard(jnp.array([0, 0, 1, 1]), rows)


@plain_loss
def test_default_numbers_are_no_transfer(case: Case) -> None:
    labels, rows, where = arrays(case, NAMED["ragged"])
    weights = tuple(jnp.asarray(one, jnp.float32) for one in case.numbers if np.ndim(one))
    numbers = dict.fromkeys(case.declared.numbers, 0.5)

    @jax.jit
    def step(rows: Any, labels: Any, where: Any) -> Any:
        # Inside of jit, a number in Python is a part of the program.
        return graded(case)(rows, labels, where), case.loss(labels, rows, *weights, **numbers)

    with jax.transfer_guard("disallow"):
        step(rows, labels, where)
        if case.declared.rows == "batch" and not weights:  # the labels of others are reckoned out by these tests
            case.loss(labels, rows, where=where)


@plain_loss
def test_shapes_are_known_without_numbers(case: Case) -> None:
    shape = jax.ShapeDtypeStruct((6, *case.shape), jnp.bfloat16)
    labels, where = jax.ShapeDtypeStruct((6,), jnp.int32), jax.ShapeDtypeStruct((6,), jnp.bool_)
    (loss, stats), gradient = jax.eval_shape(graded(case), shape, labels, where)
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, stats))} == {jnp.dtype(jnp.float32)}
    assert (gradient.shape, gradient.dtype) == (shape.shape, shape.dtype)


@one_of_each_way
def test_a_loss_is_exported_for_rows_of_any_width(case: Case) -> None:
    (width,) = jax.export.symbolic_shape("d")
    weights, numbers = (case.numbers[:1], case.numbers[1:]) if case.declared.class_weights else ((), case.numbers)

    @jax.jit
    def step(rows: Any, labels: Any, *weights: Any) -> Any:
        own = [jnp.float32(number) for number in numbers]
        return jax.value_and_grad(lambda rows: case.loss(labels, rows, *weights, *own, where=labels != 2))(rows)

    rows = random_rows(case, 12, 0).astype(np.float32)
    labels = np.arange(12, dtype=np.int32) // 3
    given = (rows, labels, *(one.astype(np.float32) for one in weights))
    widened = [
        jax.ShapeDtypeStruct((*one.shape[:-1], width) if one.ndim > 1 else one.shape, one.dtype) for one in given
    ]
    exported = jax.export.deserialize(jax.export.export(step)(*widened).serialize())
    for ours, theirs in zip(jax.tree.leaves(exported.call(*given)), jax.tree.leaves(step(*given)), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-5, atol=1e-6)


@plain_loss
def test_a_batch_of_unknown_size_is_refused_in_words(case: Case) -> None:
    (rows,) = jax.export.symbolic_shape("b")
    shapes = jax.ShapeDtypeStruct((rows, *case.shape), jnp.float32), jax.ShapeDtypeStruct((rows,), jnp.int32)
    own = [jnp.asarray(number, jnp.float32) for number in case.numbers]
    with pytest.raises(
        ValueError, match=r"the number of rows must be known when a loss is compiled.*got .* of shape \["
    ):
        jax.export.export(jax.jit(lambda rows, labels: case.loss(labels, rows, *own)))(*shapes)


@plain_loss
def test_rows_without_width_are_all_alike(case: Case) -> None:
    rows = jnp.zeros((6, *case.shape[:-1], 0))
    numbers = [jnp.asarray(number, jnp.float32) for number in case.numbers]
    numbers = [number[:, :0] if number.ndim else number for number in numbers]
    labels = jnp.array([0, 0, 1, 1, 2, 2])
    value, gradient = jax.value_and_grad(lambda rows: case.loss(labels, rows, *numbers))(rows)
    zeros = np.zeros((6, *case.shape))
    numbers = [np.zeros((3, zeros.shape[-1])) if np.ndim(number) else number for number in case.numbers]
    expected = case.reference(np.asarray(labels), zeros, *numbers).reduced(case.reduction)
    np.testing.assert_allclose(value, expected, 1e-5)
    assert gradient.shape == rows.shape
