"""What holds for every loss whatever it computes: order, padding, NaN, transformations, precisions."""

from dataclasses import replace
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt

from .cases import (
    BATCHES,
    CASES,
    LOSSES,
    OF_EACH_WAY,
    ONE_OF_A_KIND,
    PLAIN,
    STANDING,
    Case,
    another_order,
    random_rows,
    rows_of,
)
from .judge import compiled, compiled_reductions, deleted, outcome, run
from .modes import trials, trying


def of_losses(cases: list[Case]) -> Any:
    """Parametrises a test by cases, of which the plain losses run always."""
    return trials("case", cases, always=lambda case: case in STANDING, ids=lambda case: case.name)


every_case, every_loss, plain_loss = of_losses(CASES), of_losses(LOSSES), of_losses(PLAIN)
one_of_a_kind = of_losses(ONE_OF_A_KIND)
# What compiles each loss anew.
one_of_each_way = trials("case", PLAIN, always=lambda case: case in OF_EACH_WAY, ids=lambda case: case.name)
HALVES = (jnp.float16, jnp.bfloat16)
NAMED = {batch.name: batch for batch in BATCHES}


def value_and_gradient(case: Case, **options: Any) -> Any:
    """The plain thing that a user differentiates."""
    return jax.value_and_grad(
        lambda rows, labels, where=None: case.loss(labels, rows, *case.numbers, where=where, **options)
    )


def in_float32(case: Case) -> list[jax.Array]:
    """The numbers of a case on the device: weights in NumPy's float64 are no part of a program in float32."""
    return [jnp.asarray(number, jnp.float32) for number in case.numbers]


@every_case
def test_the_order_of_rows_does_not_matter(case: Case) -> None:
    for name in ("ragged", "singletons", "padding"):
        batch = NAMED[name]
        order = another_order(case, np.array(batch.labels), 1)
        rows = rows_of(case, batch)
        there = outcome(case, batch)
        back = run(case, np.array(batch.labels)[order], rows[order], batch.valid[order])
        np.testing.assert_allclose(back["loss"], there["loss"], 1e-12, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(back["rows"], there["rows"][order], 1e-10, atol=1e-12, err_msg=name)


@one_of_each_way
def test_padding_is_deletion(case: Case, x64: None) -> None:
    batch = NAMED["padding"]
    labels, rows = deleted(case, batch)
    value, gradient = jax.jit(value_and_gradient(case))(rows, labels.astype(np.int32))
    np.testing.assert_allclose(outcome(case, batch)["loss"], value, 1e-12)
    np.testing.assert_allclose(outcome(case, batch)["rows"][batch.valid], gradient, 1e-10, atol=1e-13)


@every_case
def test_the_label_of_padding_does_not_matter(case: Case) -> None:
    batch = NAMED["padding"]
    for label in (-(2**31), -1, 0, 5, 2**31 - 1):
        labels = np.where(batch.valid, batch.labels, label)
        with trying(f"label {label}"):
            chex.assert_trees_all_equal(run(case, labels, rows_of(case, batch), batch.valid), outcome(case, batch))


@every_case
def test_nan_in_a_valid_row_comes_out(case: Case) -> None:
    for batch in BATCHES:
        valid = np.flatnonzero(batch.valid)
        for row in {valid[0], valid[len(valid) // 2], valid[-1]} if len(valid) else ():
            rows = rows_of(case, batch)
            rows[row].flat[row % rows[row].size] = np.nan
            out = run(case, batch.labels, rows, batch.valid)
            assert np.isnan(out["loss"]), (batch.name, row)
            assert np.isnan(out["rows"]).any(), (batch.name, row)


@every_loss
def test_nan_comes_out_of_every_reduction(case: Case) -> None:
    for name in ("ragged", "all distinct", "one class"):
        rows = rows_of(case, NAMED[name])
        rows[3] = np.nan
        out = run(case, NAMED[name].labels, rows, NAMED[name].valid, function=compiled_reductions)
        assert np.isnan(out.pop("terms")).any(), name
        assert np.isnan(list(out.values())).all(), name


@one_of_each_way
def test_vmap_over_a_leading_axis(case: Case, x64: None) -> None:
    batches = [NAMED[name] for name in ("ragged", "padding", "duplicates")]
    rows, labels, where = (
        jnp.stack([jnp.asarray(x) for x in xs])
        for xs in zip(*((rows_of(case, b), np.array(b.labels, np.int32), b.valid) for b in batches), strict=True)
    )
    values, gradients = jax.jit(jax.vmap(value_and_gradient(case)))(rows, labels, where)
    for i, batch in enumerate(batches):
        np.testing.assert_allclose(values[i], outcome(case, batch)["loss"], 1e-12)
        np.testing.assert_allclose(gradients[i], outcome(case, batch)["rows"], 1e-10, atol=1e-12)


@trials(
    ("case", "dtype"),
    [
        (case, dtype)
        for place, case in enumerate(PLAIN)
        for dtype in HALVES
        if dtype is HALVES[place % 2] or case in ONE_OF_A_KIND
    ],
    always=lambda case, dtype: case in STANDING and dtype is HALVES[PLAIN.index(case) % 2],
    ids=lambda case, dtype: f"{case.name}-{dtype.__name__}",
)
def test_half_precision_is_computed_in_float32(case: Case, dtype: Any) -> None:
    batch = NAMED["ragged"]
    rows = rows_of(case, batch).astype(dtype)
    labels = jnp.asarray(batch.labels, jnp.int32)
    numbers = in_float32(case)
    step = jax.jit(jax.value_and_grad(lambda rows: case.loss(labels, rows, *numbers, has_aux=True), has_aux=True))
    (value, stats), gradient = step(jnp.asarray(rows))
    reference = case.reference(np.array(batch.labels), rows.astype(np.float64), *case.numbers)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    assert all(np.asarray(s).dtype == np.float32 for s in jax.tree.leaves(stats))
    np.testing.assert_allclose(value, reference.reduced(case.reduction), 2e-5)
    # The gradient is float32's, rounded once at the end.
    full = run(case, batch.labels, rows.astype(np.float32), batch.valid, np.float32)["rows"]
    rounding = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(gradient.astype(np.float32), full, rounding, atol=1e-6)
    # Squared norms of these rows are beyond float16's 65,504.
    (value, _), gradient = step(jnp.asarray(rows * dtype(300)))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@one_of_a_kind
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.uint32])
def test_labels_of_every_integer_type(case: Case, dtype: Any) -> None:
    batch = NAMED["ragged"]
    rows = jnp.asarray(rows_of(case, batch), jnp.float32)
    value = case.loss(np.array(batch.labels, dtype), rows, *case.numbers)
    np.testing.assert_allclose(value, outcome(case, batch, np.float32)["loss"], 1e-6)


@one_of_a_kind
def test_numbers_of_every_kind(case: Case) -> None:
    """A python number, a NumPy scalar and an array of another precision are all the same margin."""
    batch = NAMED["ragged"]
    rows = jnp.asarray(rows_of(case, batch), jnp.float32)
    labels = jnp.asarray(batch.labels, jnp.int32)
    numbers = tuple(round(n) + 1 for n in case.numbers)
    values = [
        case.loss(labels, rows, *(kind(n) for n in numbers))
        for kind in (int, np.float64, jnp.float32, jnp.bfloat16, jnp.int32)
    ]
    np.testing.assert_allclose(values, values[0], 1e-6)


@one_of_a_kind
def test_the_terms_have_the_gradient_of_their_sum(case: Case, x64: None) -> None:
    batch = NAMED["padding"]
    rows, labels = rows_of(case, batch), np.array(batch.labels, np.int32)
    loss = partial(case.loss, where=batch.valid)
    terms, pull_back = jax.vjp(lambda rows: loss(labels, rows, *case.numbers, reduce_fn=None), rows)
    total = jax.grad(lambda rows: loss(labels, rows, *case.numbers, reduce_fn=jt.reductions.sum))(rows)
    of_each = [pull_back(one)[0] for one in np.eye(len(labels))]
    np.testing.assert_allclose(np.sum(of_each, axis=0), total, 1e-10, atol=1e-12)
    assert not np.array_equal(of_each[0], of_each[4])
    np.testing.assert_array_equal(np.stack(of_each)[:, ~batch.valid], 0)
    np.testing.assert_array_equal(terms[~batch.valid], 0)


@one_of_each_way
def test_statistics_have_no_gradient(case: Case) -> None:
    batch = NAMED["ragged"]
    labels, numbers = jnp.asarray(batch.labels, jnp.int32), in_float32(case)

    def statistics(rows: jax.Array) -> jax.Array:
        _, stats = case.loss(labels, rows, *numbers, has_aux=True)
        return sum(jax.tree.leaves(stats), jnp.float32(0))

    gradient = jax.jit(jax.grad(statistics))(jnp.asarray(rows_of(case, batch), jnp.float32))
    np.testing.assert_array_equal(gradient, 0)


@one_of_each_way
def test_a_custom_reduction_gets_three_float_scalars(case: Case) -> None:
    batch = NAMED["ragged"]
    terms = case.reference(np.array(batch.labels), rows_of(case, batch), *case.numbers)

    def smoothed(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
        chex.assert_shape((total, valid, active), ())
        chex.assert_type((total, valid, active), float)
        return total / (valid + active + 1)

    value = case.loss(
        jnp.asarray(batch.labels, jnp.int32),
        jnp.asarray(rows_of(case, batch), jnp.float32),
        *(jnp.asarray(number, jnp.float32) if np.ndim(number) else number for number in case.numbers),
        reduce_fn=smoothed,
    )
    expected = 0.0
    for kind in set(terms.kinds):
        own = [term for term, its in enumerate(terms.kinds) if its == kind]
        expected += sum(terms.values[term] for term in own) / (len(own) + sum(map(terms.active, own)) + 1)
    np.testing.assert_allclose(value, expected, 2e-5)


def products(jaxpr: Any) -> list[Any]:
    """Every dot_general of a program, those inside its calls and loops included."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append(equation)
        for parameter in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(parameter, "eqns"):
                found += products(parameter)
    return found


@every_case
def test_products_ask_for_full_precision(case: Case) -> None:
    """Accelerators default to bfloat16 or TF32 products, and |a|^2 - 2ab + |b|^2 cancels."""
    rows = jnp.asarray(random_rows(case, 6, 0), jnp.float32)
    labels = jnp.arange(6, dtype=jnp.int32) % 3
    program = jax.make_jaxpr(value_and_gradient(case))(rows, labels)
    highest = jax.lax.Precision.HIGHEST
    for product in products(program.jaxpr):
        assert product.params["precision"] == (highest, highest), product


@of_losses([case for case in PLAIN if case.numbers])
def test_one_trace_for_many_margins(case: Case) -> None:
    """The numbers are traced: a schedule of them does not compile anew."""
    batch = NAMED["ragged"]
    given = batch.labels, rows_of(case, batch), batch.valid
    values = {float(outcome(case, batch)["loss"])}
    for step in (0.25, 0.5):
        moved = replace(case, numbers=tuple(number + step for number in case.numbers))
        with jax.no_tracing(True):
            values.add(float(run(moved, *given, function=lambda _: compiled(case))["loss"]))
    assert len(values) > 1
