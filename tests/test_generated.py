"""Generated batches against the loops in NumPy: value, gradient and contract of every loss (`--examples N` for more).

How near is near enough is not chosen but measured: the loop is run again with the rounding that arithmetic in the
program's precision may have (`strategies.rounding`), and what a loss may be off by is a few times what that changes.
Where a rounding decides which rows are mined, that is much, and elsewhere little.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from .cases import another_order
from .strategies import DTYPES, Drawn, Program, batches, programs, rounding, weights

# Examples of each program in the quick suite, and where many are asked for.
FEW, MANY = 40, 50
# Roundings that are tried, and how many times what they change a loss may be off by.
ROUNDINGS, FACTOR = 4, 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each program, so that each is compiled once."""
    asked = metafunc.config.getoption("--examples")
    if "program" in metafunc.fixturenames:
        chosen = programs(-(-asked // MANY) if asked else None)
        each = -(-asked // len(chosen)) if asked else FEW
        numbered = [f"{place}-{program}" for place, program in enumerate(chosen)]
        metafunc.parametrize(("program", "examples"), [(program, each) for program in chosen], ids=numbered)


@cache
def compiled(program: Program) -> Callable[..., Any]:
    return program.compiled


def run(program: Program, drawn: Drawn) -> tuple[float, np.ndarray, list[np.ndarray]]:
    """Value and gradients as float64, their dtypes looked at."""
    with jax.enable_x64(program.dtype == "float64"):
        value, (by_rows, by_numbers) = jax.device_get(
            compiled(program)(
                jnp.asarray(drawn.rows.astype(DTYPES[program.dtype])),
                tuple(jnp.asarray(number, program.computed) for number in drawn.numbers),
                jnp.asarray(drawn.labels.astype(program.labels)),
                jnp.asarray(drawn.where),
            )
        )
    assert value.dtype == program.computed
    assert by_rows.dtype == DTYPES[program.dtype]
    return float(value), by_rows.astype(np.float64), [np.asarray(one, np.float64) for one in by_numbers]


def looped(
    program: Program, loop: Callable[..., Any], drawn: Drawn, rows: np.ndarray, numbers: Any, held: Mapping[str, Any]
) -> float:
    """What the loop says of valid rows, reduced as in the program."""
    terms = loop(drawn.labels[drawn.where], rows, *numbers, **held)
    if program.reduction == "terms":
        return float(terms.per_row() @ weights(program.rows)[drawn.where])
    return terms.reduced(program.reduction or program.case.reduction)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the loops overflow where the losses may
def test_what_is_generated(program: Program, examples: int, request: pytest.FixtureRequest) -> None:
    @settings(
        max_examples=examples,
        derandomize=not request.config.getoption("--examples"),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def holds(data: Any) -> None:
        with np.errstate(all="ignore"):
            drawn = data.draw(batches(program))
            judge(program, drawn)

    holds()


def judge(program: Program, drawn: Drawn) -> None:
    """All that must hold of one batch."""
    value, by_rows, by_numbers = run(program, drawn)
    valid = drawn.rows[drawn.where]
    np.testing.assert_array_equal(by_rows[~drawn.where], 0, "padding has a gradient")
    if not np.isfinite(valid).all():
        assert np.isnan(value), "a row that is not finite looks healthy"
        assert np.isnan(by_rows).any()
        return
    largest = np.finfo(program.computed).max
    if np.sum(valid**2) * 8 >= largest:
        # Squares overflow: the right number, or none at all, but no wrong one.
        if np.isfinite(value):
            near_enough(program, drawn, value, by_rows, by_numbers, is_graded=False)
        return
    assert np.isfinite(value), "not finite, though every row is"
    if np.abs(valid).max(initial=0) > 1e-3 and program.dtype != "float16":
        assert np.isfinite(by_rows).all(), "a gradient that is not finite, though every row is"
    near_enough(program, drawn, value, by_rows, by_numbers, is_graded=True)
    order = another_order(program.case, drawn.labels, 0)
    if program.reduction != "terms":
        moved = Drawn(drawn.labels[order], drawn.rows[order], drawn.where[order], drawn.numbers, drawn.scale)
        near_enough(program, drawn, run(program, moved)[0], by_rows, by_numbers, is_graded=False)


def near_enough(
    program: Program, drawn: Drawn, value: float, by_rows: np.ndarray, by_numbers: list[np.ndarray], *, is_graded: bool
) -> None:
    """Asserts value and gradient, in one direction at random, of the loop within what rounding may change."""
    rng = np.random.default_rng(0)
    rows = drawn.rows[drawn.where]
    # Equal rows are moved together: which of them has a tie's gradient is a loss's own affair, the sum is not.
    flat = rows.reshape(-1, rows.shape[-1])
    distinct, which = np.unique(flat, axis=0, return_inverse=True)
    spread = float(np.sqrt(np.mean((flat - flat.mean(axis=0)) ** 2))) if len(flat) else 0.0
    step = (1e-6 if program.is_smoothed else 1e-4) * (spread or float(np.abs(flat).max(initial=0)) or 1.0)
    along = (step * rng.normal(size=distinct.shape))[which.ravel()].reshape(rows.shape)
    numbers_along = [1e-4 * np.abs(number) * rng.normal(size=np.shape(number)) for number in drawn.numbers]

    def looped_along(rounded: np.ndarray, seed: int) -> np.ndarray:
        """The loop here, a step ahead and a step back, with one and the same rounding."""
        held = program.case.held(rounded, *drawn.numbers)

        def at(t: float) -> float:
            numbers = [number + t * by for number, by in zip(drawn.numbers, numbers_along, strict=True)]
            loop = rounding(program, drawn, np.random.default_rng(seed)) if seed else program.case.reference
            return looped(program, loop, drawn, rounded + t * along, numbers, held)

        return np.array([at(0), at(1), at(-1)])

    exact = looped_along(rows, 0)
    if not np.isfinite(exact).all():  # the loop adds up exponentials as they are: what overflows there says nothing
        return
    others = [looped_along(roughly(program, rows, seed), seed) for seed in range(1, 1 + ROUNDINGS)]
    accuracy = accuracy_of(program, spread)
    if program.is_smoothed:  # scores are rounded to their own size, which is that of the rows
        accuracy *= 1 + float(np.linalg.norm(flat, axis=-1).max(initial=0))
    largest = max((float(np.max(np.abs(number), initial=0)) for number in drawn.numbers), default=0.0)
    # What is shorter has a square of 0.
    shortest = 8 * float(np.sqrt(np.finfo(program.computed).tiny))
    room = FACTOR * max(abs(other[0] - exact[0]) for other in others)
    room += accuracy * (abs(exact[0]) + largest) + shortest * weights(8).sum()
    if program.case.declared.name == "deep_speaker":  # of distances 1 - <x, y>, rounded to the size of 1
        room += FACTOR * float(np.finfo(program.computed).eps)
    assert abs(value - exact[0]) <= room, f"value {value}, the loop says {exact[0]} ± {room}\n{drawn}"
    if not is_graded or spread < 1e3 * shortest or _clipped(program, by_rows):
        return
    if program.is_of_angles and len(flat) and np.linalg.norm(flat, axis=-1).min() <= 1e-6:
        return  # a step of the loop would give a direction to a row that has none
    slopes = np.array([(ahead - back) / 2 for _, ahead, back in [exact, *others]])
    bend = max(abs(ahead + back - 2 * here) for here, ahead, back in [exact, *others])
    parts = [by_rows[drawn.where] * along, *(one * by for one, by in zip(by_numbers, numbers_along, strict=True))]
    slope, size = float(sum(map(np.sum, parts))), float(sum(np.sum(np.abs(part)) for part in parts))
    if bend > 1e-2 * (size + abs(slopes[0])):  # a corner is near: there is no slope to compare
        return
    room = FACTOR * np.max(np.abs(slopes - slopes[0])) + bend
    # The gradient is rounded to the dtype of the rows; a difference of the loop to about the fifth digit.
    room += (4 * accuracy + 4 * float(jnp.finfo(DTYPES[program.dtype]).eps) + 1e-5) * size + 1e-12 * abs(exact[0])
    # What terms of both signs add to the slope by a number cancels (by GE2E's bias, say), their rounding does not.
    room += accuracy * sum(float(np.sum(np.abs(by))) for by in numbers_along) * weights(8).sum()
    if program.distance not in ("squared_euclidean", "euclidean", "manhattan"):
        room += 1e-13  # the loop's own rounding, of distances that are 1 less something, or of logarithms
    assert abs(slope - slopes[0]) <= room, f"slope {slope}, the loop says {slopes[0]} ± {room}\n{drawn}"


def accuracy_of(program: Program, spread: float) -> float:
    """How many digits are promised of sums; of divergences four, down to logits that are a thousandth apart."""
    digits = 32 * float(np.finfo(program.computed).eps)
    if not program.is_of_logits:
        return digits
    return 1e-4 * max(1.0, 1e-3 / spread) if spread else 1.0


def roughly(program: Program, rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows of a loss that has no distance, each number off by a few roundings of the largest; equal rows alike."""
    if program.distance is not None or not len(rows):
        return rows
    flat = rows.reshape(-1, rows.shape[-1])
    _, which = np.unique(flat, axis=0, return_inverse=True)
    noise = np.random.default_rng(seed).uniform(-1, 1, flat.shape)[which.ravel()]
    # A divergence does not change when all logits of a row move.
    middle = flat.mean(axis=-1, keepdims=True) if program.case.declared.sees == "logits" else 0
    off = 8 * float(np.finfo(program.computed).eps) * np.abs(flat - middle).max(axis=-1, keepdims=True)
    return (flat + off * noise).reshape(rows.shape)


def _clipped(program: Program, by_rows: np.ndarray) -> bool:
    """Whether a gradient is beyond what the dtype of the rows can hold."""
    return program.dtype == "float16" and np.abs(by_rows).max(initial=0) >= 6e4
