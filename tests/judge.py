"""Runs a case once per batch and precision, and works out what its reference says."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .cases import REDUCTIONS, Batch, Case, rows_of
from .reference.differences import central_differences
from .reference.terms import Terms


@cache
def compiled(case: Case) -> Any:
    """Loss, statistics and gradients, as one compiled function of (labels, rows, numbers, where)."""

    @jax.jit
    def outcome(labels: Any, rows: Any, numbers: Any, where: Any) -> dict[str, Any]:
        def with_stats(rows: Any, numbers: Any) -> Any:
            return case.loss(labels, rows, *numbers, where=where, has_aux=True)

        (loss, stats), gradients = jax.value_and_grad(with_stats, argnums=(0, 1), has_aux=True)(rows, numbers)
        return {"loss": loss, "stats": stats, "rows": gradients[0], "numbers": gradients[1]}

    return outcome


@cache
def compiled_reductions(case: Case) -> Any:
    """The loss by every reduction, by none, and as it comes without statistics."""

    @jax.jit
    def reductions(labels: Any, rows: Any, numbers: Any, where: Any) -> dict[str, Any]:
        loss = partial(case.loss, labels, rows, *numbers, where=where)
        reduced = {name: loss(reduce_fn=reduce_fn) for name, reduce_fn in REDUCTIONS.items()}
        return {"loss": loss(), "terms": loss(reduce_fn=None), **reduced}

    return reductions


def run(
    case: Case, labels: Any, rows: np.ndarray, where: Any, dtype: Any = np.float64, *, function: Any = compiled
) -> dict[str, Any]:
    """The case on one batch in one precision, as NumPy arrays."""
    with jax.enable_x64(dtype is np.float64):
        numbers = tuple(jnp.asarray(n, dtype) for n in case.numbers)
        labels = jnp.asarray(np.array(labels, np.int32))
        return jax.device_get(function(case)(labels, jnp.asarray(rows, dtype), numbers, jnp.asarray(where)))


@cache
def outcome(case: Case, batch: Batch, dtype: Any = np.float64) -> dict[str, Any]:
    """The case on a batch of the table."""
    return run(case, batch.labels, rows_of(case, batch), batch.valid, dtype)


def deleted(case: Case, batch: Batch, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Labels and rows of a batch without its padding, as the loss saw them (rounded to its precision)."""
    rows = rows_of(case, batch)[batch.valid].astype(dtype).astype(np.float64)
    return np.array(batch.labels, int)[batch.valid], rows


@cache
def expected(case: Case, batch: Batch, dtype: Any = np.float64) -> Terms:
    """What the reference says of a batch of the table."""
    labels, rows = deleted(case, batch, dtype)
    return case.reference(labels, rows, *case.numbers)


@cache
def expected_gradient(case: Case, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Central differences in the numbers (in one vector) and in the distinct rows, and which of these each row is.

    Equal rows are moved together: which of them a loss sends a tie's gradient to is its own affair, the sum is not.
    """
    labels, rows = deleted(case, batch)
    distinct, which = np.unique(rows.reshape(-1, rows.shape[-1]), axis=0, return_inverse=True)

    shapes = [np.shape(number) for number in case.numbers]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def loss(distinct: np.ndarray, numbers: np.ndarray) -> float:
        apart = (part.reshape(shape) for part, shape in zip(np.split(numbers, ends)[:-1], shapes, strict=True))
        return case.reference(labels, distinct[which].reshape(rows.shape), *apart, **held).reduced(case.reduction)

    numbers = flat(case.numbers)
    held = case.held(rows, *case.numbers)
    by_rows = central_differences(lambda x: loss(x, numbers), distinct)
    by_numbers = central_differences(lambda n: loss(distinct, n), numbers)
    return by_numbers, by_rows, which


def flat(numbers: tuple[Any, ...]) -> np.ndarray:
    """All the numbers of a loss in one vector, its class weights included."""
    return np.concatenate([np.zeros(0), *(np.ravel(number) for number in numbers)])


def summed(gradient: np.ndarray, which: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A gradient of rows, summed over equal rows."""
    sums = np.zeros_like(like)
    np.add.at(sums, which, gradient.reshape(-1, gradient.shape[-1]))
    return sums


def value(case: Case, batch: Batch, dtype: Any) -> None:
    """Asserts that a loss has the value of its reference."""
    rtol = {np.float64: 1e-10, np.float32: 2e-5}[dtype]
    reference = expected(case, batch, dtype).reduced(case.reduction)
    np.testing.assert_allclose(outcome(case, batch, dtype)["loss"], reference, rtol, atol=rtol)


def gradient(case: Case, batch: Batch, dtype: Any) -> None:
    """Asserts that a loss has the gradient of its reference, by the rows and by its numbers."""
    out = outcome(case, batch, dtype)
    by_numbers, by_rows, which = expected_gradient(case, batch)
    # Central differences are good to about 1e-9 of the loss; float32 to its own rounding, squared distances included.
    scale = max(1.0, np.abs(by_rows).max(initial=0.0), np.abs(by_numbers).max(initial=0.0))
    atol = scale * {np.float64: 2e-7, np.float32: 1e-4}[dtype]
    np.testing.assert_allclose(summed(out["rows"][batch.valid], which, by_rows), by_rows, 0, atol)
    np.testing.assert_allclose(flat(out["numbers"]), by_numbers, 0, atol)
