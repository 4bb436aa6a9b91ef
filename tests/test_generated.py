"""Generated batches against the loops in NumPy: value, gradient and contract of every loss (`--examples N` for more).

How near is near enough is not chosen but measured: the loop is run again with the rounding that arithmetic in the
program's precision may have (`strategies.rounding`), and what a loss may be off by is a few times what that changes.
Where a rounding decides which rows are mined, that is much, and elsewhere little.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from .strategies import DTYPES, LOGITS, Drawn, Program, batches, programs, rounding, weights

# Examples of each program in the quick suite, and where many are asked for.
FEW, MANY = 25, 50
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


def looped(program: Program, loop: Callable[..., Any], drawn: Drawn, rows: np.ndarray, numbers: Any) -> float:
    """What the loop says of valid rows, reduced as in the program."""
    terms = loop(drawn.labels[drawn.where], rows, *numbers)
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
    order = np.random.default_rng(0).permutation(program.rows)
    if program.reduction != "terms":
        moved = Drawn(drawn.labels[order], drawn.rows[order], drawn.where[order], drawn.numbers, drawn.scale)
        near_enough(program, drawn, run(program, moved)[0], by_rows, by_numbers, is_graded=False)


def near_enough(
    program: Program, drawn: Drawn, value: float, by_rows: np.ndarray, by_numbers: list[np.ndarray], *, is_graded: bool
) -> None:
    """Asserts value and gradient, in one direction at random, of the loop within what rounding may change."""
    rng = np.random.default_rng(0)
    rows = drawn.rows[drawn.where]
    eps = float(np.finfo(program.computed).eps)
    # Equal rows are moved together: which of them has a tie's gradient is a loss's own affair, the sum is not.
    flat = rows.reshape(-1, rows.shape[-1])
    distinct, which = np.unique(flat, axis=0, return_inverse=True)
    spread = float(np.sqrt(np.mean((flat - flat.mean(axis=0)) ** 2))) if len(flat) else 0.0
    step = 1e-4 * (spread or float(np.abs(flat).max(initial=0)) or 1.0)
    along = (step * rng.normal(size=distinct.shape))[which.ravel()].reshape(rows.shape)
    numbers_along = [1e-4 * (np.abs(number) + spread) * rng.normal(size=np.shape(number)) for number in drawn.numbers]
    if list(program.case.declared.numbers) != ["margin"]:
        numbers_along = [1e-4 * rng.normal(size=np.shape(number)) for number in drawn.numbers]

    def three(loop: Callable[..., Any], rounded: np.ndarray, seed: int) -> np.ndarray:
        def at(t: float) -> float:
            numbers = [number + t * by for number, by in zip(drawn.numbers, numbers_along, strict=True)]
            fresh = rounding(program, drawn, np.random.default_rng(seed)) if seed else loop
            return looped(program, fresh, drawn, rounded + t * along, numbers)

        return np.array([at(0), at(1), at(-1)])

    exact = three(program.case.reference, rows, 0)
    others = [
        three(program.case.reference, roughly(program, rows, which, seed), seed) for seed in range(1, 1 + ROUNDINGS)
    ]
    allowed = FACTOR * max((abs(other[0] - exact[0]) for other in others), default=0.0)
    tiny = float(np.sqrt(np.finfo(program.computed).tiny)) * 8  # squares below it are 0
    relative = 1e-4 if program.case.declared.name in LOGITS else 32 * eps
    allowed += relative * (abs(exact[0]) + largest_number(drawn)) + 4 * tiny * (1 + tiny) * weights(8).sum()
    assert abs(value - exact[0]) <= allowed, f"value {value}, the loop says {exact[0]} ± {allowed}\n{drawn}"
    if not is_graded or spread < 1e3 * tiny:
        return
    slopes = [(other[1] - other[2]) / 2 for other in [exact, *others]]
    bends = max(abs(other[1] + other[2] - 2 * other[0]) for other in [exact, *others])
    found = float(np.sum(by_rows[drawn.where] * along))
    found += float(sum(np.sum(one * by) for one, by in zip(by_numbers, numbers_along, strict=True)))
    size = float(np.sum(np.abs(by_rows[drawn.where] * along))) + abs(slopes[0])
    if bends > 1e-2 * size:  # a corner is near
        return
    room = FACTOR * max(abs(slope - slopes[0]) for slope in slopes) + bends
    room += (relative + float(jnp.finfo(DTYPES[program.dtype]).eps)) * size * 4 + 1e-9 * abs(exact[0])
    if program.dtype == "float16" and np.abs(by_rows).max(initial=0) >= 6e4:  # a gradient that float16 cannot hold
        return
    assert abs(found - slopes[0]) <= room, f"slope {found}, the loop says {slopes[0]} ± {room}\n{drawn}"


def roughly(program: Program, rows: np.ndarray, which: np.ndarray, seed: int) -> np.ndarray:
    """The rows, rounded once more where the loss has no distance that is; equal ones alike."""
    if program.distance is not None or not len(rows):
        return rows
    flat = rows.reshape(-1, rows.shape[-1])
    if program.case.declared.sees == "logits":
        flat = flat - flat.max(axis=-1, keepdims=True) if not program.case.probabilities else flat
    noise = np.random.default_rng(seed).uniform(-1, 1, (len(flat), 1) if False else flat.shape)
    noise = noise[np.unique(which.ravel(), return_inverse=True)[1]] if len(flat) else noise
    eps = 8 * float(np.finfo(program.computed).eps)
    return (flat + eps * np.abs(flat).max(axis=-1, keepdims=True) * noise).reshape(rows.shape)


def largest_number(drawn: Drawn) -> float:
    """The largest of the numbers, to whose size terms are rounded."""
    return max(float(np.max(np.abs(number), initial=0)) for number in drawn.numbers)
