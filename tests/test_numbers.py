"""What rounding does to a loss: rows that are alike, long or short, nearly equal; numbers that are none."""

import itertools
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtriplet as jt

from . import judge
from .cases import BATCHES, DISTANCES, LOSSES, STANDING, Case, rows_of
from .modes import trials

LABELS = np.repeat(np.arange(8, dtype=np.int32), 4)
CENTRED = ("squared_euclidean", "euclidean", "cosine", "symmetric_kl")


def alike(spread: float, *, seed: int = 0, rows: int = len(LABELS), dim: int = 16) -> np.ndarray:
    """Rows of about unit length that differ by the spread, as float32 holds them."""
    rng = np.random.default_rng(seed)
    return ((rng.normal(size=dim) + spread * rng.normal(size=(rows, dim))) / dim**0.5).astype(np.float32)


@cache
def compiled(function: Any) -> Any:
    return jax.jit(function)


def in_both(function: Any, *arrays: np.ndarray) -> tuple[Any, Any]:
    """A function of float32 arrays computed in float32, and of the same numbers in float64."""
    ours = jax.device_get(compiled(function)(*map(jnp.asarray, arrays)))
    with jax.enable_x64(True):
        exact = jax.device_get(compiled(function)(*(jnp.asarray(array, jnp.float64) for array in arrays)))
    return ours, exact


def assert_near(ours: Any, exact: Any, tolerance: float) -> None:
    """Asserts that numbers differ by no more than a share of the largest."""
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(one, other, 0, tolerance * np.abs(other).max(initial=1e-30))


# How a loss is computed; the whole batch is tried always.
PATHS = {
    "whole": {},
    "tiles": {"block_size": 7},
    "padding": {"where": np.arange(len(LABELS)) % 5 != 2},
    "axis": {"axis_name": "devices"},
}
TRIED = {
    "semi_hard": (jt.semi_hard, "squared_euclidean"),
    "semi_hard-cosine": (jt.semi_hard, "cosine"),
    "semi_hard-symmetric_kl": (jt.semi_hard, "symmetric_kl"),
    "semi_hard_all": (partial(jt.semi_hard, negatives="all"), "euclidean"),
    "batch_all-cosine": (jt.batch_all, "cosine"),
    "batch_hard": (jt.batch_hard, "euclidean"),
}


@trials(
    ("name", "path"),
    itertools.product(TRIED, PATHS),
    always=lambda name, path: path == "whole" or name == "batch_hard",
    ids=lambda name, path: f"{name}-{path}",
)
def test_rows_that_are_alike_keep_value_and_gradient(name: str, path: str) -> None:
    """Of rows as they are, a product of matrices would leave a wrong gradient, or none to get out of a collapse by."""
    loss, distance = TRIED[name]
    options = {"distance_fn": DISTANCES[distance][0], **PATHS[path]}

    @jax.jit
    def of(rows: jax.Array) -> Any:
        def total(rows: jax.Array) -> jax.Array:
            if path != "axis":
                return loss(LABELS, rows, 0.3, **options)
            split = (jnp.asarray(LABELS).reshape(4, -1), rows.reshape(4, -1, rows.shape[1]))
            return jnp.mean(jax.vmap(lambda *one: loss(*one, 0.3, **options), axis_name="devices")(*split))

        return jax.value_and_grad(total)(rows)

    for spread in (1.0, 1e-2, 1e-4, 1e-6):
        rows = alike(spread)
        if path == "padding":
            rows[~options["where"]] = np.nan
        assert_near(*in_both(of, rows), 1e-5)


@pytest.mark.parametrize("name", ["kl_hinge", "kl_hinge of probabilities", "triplet", "siamese_kl_hinge"])
def test_given_rows_and_logits_that_are_alike_keep_value_and_gradient(name: str) -> None:
    same = np.arange(len(LABELS)) % 2 == 0
    losses = {
        "kl_hinge": lambda x: jt.kl_hinge(LABELS, x),
        "kl_hinge of probabilities": lambda x: jt.kl_hinge(LABELS, jax.nn.softmax(x), from_logits=False),
        "triplet": lambda x: jt.triplet(x[:9], x[9:18], x[18:27], 0.3, distance_fn=jt.distances.cosine),
        "siamese_kl_hinge": lambda x: jt.siamese_kl_hinge(same, x, jnp.roll(x, 5, axis=0)),
    }
    of = jax.jit(jax.value_and_grad(losses[name]))
    # Probabilities that float32 has rounded differ by no less than that: their softmax is taken in float32.
    for spread in (1.0, 1e-2, 1e-3) if "probabilities" in name else (1.0, 1e-2, 1e-4, 1e-6):
        assert_near(*in_both(of, alike(spread)), 1e-5 if "probabilities" not in name else 1e-3)


@pytest.mark.parametrize("name", CENTRED)
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_distances_of_alike_rows_are_exact_to_rounding(name: str, offset: float) -> None:
    distance = DISTANCES[name][0]
    x = (alike(1e-3 if offset == 0 else 1.0) + np.float32(offset)).astype(np.float32)
    ours, exact = in_both(distance, x[:12], x[12:])
    # Where rows lie in one direction, 1,000 off, the float32 rows themselves tell the cosine to this.
    np.testing.assert_allclose(ours, exact, 1e-5)


def test_rows_of_any_norm_in_one_direction_keep_their_cosine() -> None:
    """Normalised first, rows lose it to their own rounding."""
    norms = np.random.default_rng(1).uniform(0.5, 2, (len(LABELS), 1)).astype(np.float32)
    ours, exact = in_both(jt.distances.cosine, *np.split(alike(1e-5) * norms, 2))
    np.testing.assert_allclose(ours, exact, 1e-5)


def gram_with_a_cut(x: jax.Array, y: jax.Array) -> jax.Array:
    """The textbook's squared distance, of which what may be rounding is 0: not centred."""
    size = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :]
    squared = size - 2 * jnp.matmul(x, y.T, precision="highest")
    return jnp.where(squared <= 8 * jnp.finfo(x.dtype).eps * size, 0, squared)


def leaves_collapse(loss: Any, spread: float = 1e-5, steps: int = 150) -> tuple[float, float, float]:
    """Trains a linear encoder whose unit embeddings are all alike: the first loss, the last, and the last spread."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(8, 20))[LABELS] + 0.5 * rng.normal(size=(len(LABELS), 20))
    parameters = (spread * rng.normal(size=(20, 16)), rng.normal(size=16))
    optimizer = optax.sgd(0.5, momentum=0.9)

    @jax.jit
    def step(parameters: Any, state: Any) -> Any:
        def objective(parameters: Any) -> Any:
            weights, bias = parameters
            embeddings = jt.l2_normalize(jnp.asarray(inputs, jnp.float32) @ weights + bias[None, :])
            return loss(LABELS, embeddings, 0.3), jnp.mean(jnp.std(embeddings, axis=0))

        (value, wide), gradient = jax.value_and_grad(objective, has_aux=True)(parameters)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(parameters, updates), state, value, wide

    parameters = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), parameters)
    state, values, wide = optimizer.init(parameters), [], 0.0
    for _ in range(steps):
        parameters, state, value, wide = step(parameters, state)
        values.append(float(value))
    return values[0], values[-1], float(wide)


@pytest.mark.parametrize("loss", [jt.semi_hard, jt.batch_hard])
def test_a_collapsed_encoder_is_trained_out_of_it(loss: Any) -> None:
    first, last, wide = leaves_collapse(loss)
    assert first == pytest.approx(0.3, abs=1e-3)  # the margin: all distances are next to 0
    assert last < 0.01
    assert wide > 0.1
    # Without centring there is no gradient at all.
    first, last, wide = leaves_collapse(partial(loss, distance_fn=gram_with_a_cut))
    assert first == last == pytest.approx(0.3)
    assert wide < 1e-3


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_batch_hard_measures_near_duplicates_by_their_differences(gap: float) -> None:
    """Unit rows 1e-4 apart, which a product of matrices cannot tell: two in each batch, and others far from them."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 24, 64))
    rows[:, 1] = rows[:, 0] + gap * rng.normal(size=(20, 64))
    rows = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    labels = np.maximum(np.arange(24, dtype=np.int32) - 1, 0)

    def of(rows: jax.Array) -> Any:
        one = jax.value_and_grad(lambda rows: jt.batch_hard(labels, rows, 2.0))
        return jax.vmap(one)(rows)

    # A row less the mean is rounded to 6e-8 of its length.
    assert_near(*in_both(of, rows), 1e-6 / gap)


# What is shorter than 1e-6 has a distance, but no direction.
LENGTHS = [("euclidean", 1e-30), ("euclidean", 1e-15), ("cosine", 1e-5)]
LENGTHS += [(name, scale) for name in ("euclidean", "cosine") for scale in (1e15, 1e30)]


@pytest.mark.parametrize(("name", "scale"), LENGTHS)
def test_rows_of_any_length_have_a_distance(name: str, scale: float) -> None:
    x = (alike(1.0) * scale).astype(np.float32)
    np.testing.assert_allclose(*in_both(DISTANCES[name][0], *np.split(x, 2)), 1e-5)


def test_overflow_is_no_distance_of_zero() -> None:
    x, y = jnp.asarray([[1.5e19, 0]], jnp.float32), jnp.asarray([[-1.5e19, 0]], jnp.float32)
    np.testing.assert_array_equal(jt.distances.squared_euclidean(x, y), np.inf)
    np.testing.assert_allclose(jt.distances.euclidean(x, y), 3e19, 1e-6)
    half = jnp.full((1, 2), 300, jnp.float16)
    np.testing.assert_allclose(jt.distances.squared_euclidean(half, -half), 720_000)


@pytest.mark.parametrize("loss", [jt.semi_hard, partial(jt.semi_hard, negatives="all"), jt.batch_all, jt.batch_hard])
def test_a_loss_of_distances_that_overflow_is_not_finite(loss: Any) -> None:
    long = (alike(1.0) * 1e25).astype(np.float32)
    assert not np.isfinite(loss(LABELS, long, 0.3, distance_fn=jt.distances.squared_euclidean))
    value, gradient = jax.jit(jax.value_and_grad(lambda x: loss(LABELS, x, 0.3, distance_fn=jt.distances.euclidean)))(
        long
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def broken(x: jax.Array, y: jax.Array) -> jax.Array:
    """A distance that somebody brings, which is NaN between rows that are far apart."""
    found = jt.distances.euclidean(x, y)
    return jnp.where(found > 2, jnp.nan, found)


@pytest.mark.parametrize("loss", [jt.semi_hard, jt.batch_all, jt.batch_hard])
def test_a_distance_that_is_nan_comes_out(loss: Any) -> None:
    rows = alike(1.0)
    rows[5] *= 4
    assert np.isnan(loss(LABELS, rows, 0.3, distance_fn=broken))


def test_unit_rows_of_any_length() -> None:
    rows = jnp.asarray([[3e19, 4e19], [3e-5, 4e-5], [1e-25, 0], [3e38, 0]], jnp.float32)
    np.testing.assert_allclose(jt.l2_normalize(rows), [[0.6, 0.8], [0.6, 0.8], [1e-25, 0], [1, 0]], 1e-6)
    gradient = jax.grad(lambda x: jnp.sum(jt.l2_normalize(x) * jnp.asarray([[1.0, 2.0]])))(rows)
    np.testing.assert_allclose(gradient[0], np.array([1, 2]) / 5e19 - 2.2 * np.array([0.6, 0.8]) / 5e19, 1e-5)
    assert np.isfinite(gradient).all()


def test_long_rows_keep_their_centroids() -> None:
    """The soft unit of GE2E, whose squares overflow."""
    rows = (alike(1.0) * 1e20).astype(np.float32)
    ours, exact = in_both(lambda x: jt.ge2e(LABELS, x / 1e20, 3.0, -1.0), rows)
    np.testing.assert_allclose(ours, exact, 1e-5)
    with_centroids = jax.jit(jax.value_and_grad(lambda x: jt.ge2e(LABELS, x, 3e-20, -1.0)))
    (value, gradient), (exact, slope) = in_both(with_centroids, rows)
    np.testing.assert_allclose(value, exact, 1e-5)
    np.testing.assert_allclose(gradient, slope, 0, 1e-4 * np.abs(slope).max())


def slope_of_kl_hinge(x: jax.Array) -> jax.Array:
    """The gradient for three speakers of four."""
    return jax.grad(lambda x: jt.kl_hinge(jnp.arange(12) // 4, x))(x)


@pytest.mark.parametrize("name", ["kl", "symmetric_kl"])
@pytest.mark.parametrize("spread", [1.0, 0.1, 1e-3, 1e-5])
def test_small_logits_keep_their_divergence(name: str, spread: float) -> None:
    """As a difference of two numbers near log C it would be lost below 0.003."""
    x = (spread * np.random.default_rng(0).normal(size=(12, 256))).astype(np.float32)
    ours, exact = in_both(DISTANCES[name][0], x[:5], x[5:])
    np.testing.assert_allclose(ours, exact, 1e-5)
    ours, exact = in_both(slope_of_kl_hinge, x)
    assert_near(ours, exact, 1e-5)


def every_divergence(x: jax.Array) -> Any:
    """Values and gradients of what is made of logits [12, C]."""
    labels = jnp.arange(12) // 3
    losses = (
        lambda x: jt.kl_hinge(labels, x),
        lambda x: jt.batch_hard(labels, x, distance_fn=jt.distances.kl),
        lambda x: jnp.sum(jt.distances.symmetric_kl(*jnp.split(x, 2))),
    )
    return [jax.value_and_grad(loss)(x) for loss in losses]


@pytest.mark.parametrize("scale", [3.0, 30.0, 1e3, 1e8, 1e20])
def test_large_logits_keep_their_divergence(scale: float) -> None:
    x = (scale * np.random.default_rng(0).normal(size=(12, 16))).astype(np.float32)
    for (value, gradient), (exact, slope) in zip(*in_both(every_divergence, x), strict=True):
        np.testing.assert_allclose(value, exact, 1e-6)
        # The gradient is a difference of probabilities, and these are rounded to the size of the logits' differences.
        np.testing.assert_allclose(gradient, slope, 0, 2e-6 * min(scale, 30) * np.abs(slope).max())


def wrapped(x: jax.Array, y: jax.Array) -> jax.Array:
    """A distance that somebody makes of one of ours."""
    return jt.distances.squared_euclidean(x, y)


@pytest.mark.parametrize("path", ["whole", "tiles", "padding"])
def test_a_distance_made_of_ours_is_as_exact_with_padding_as_without(path: str) -> None:
    def of(rows: jax.Array) -> Any:
        """With a margin in the size of the distances."""
        loss = partial(jt.batch_all, LABELS, margin=1e-10, distance_fn=wrapped, **PATHS[path])
        return jax.value_and_grad(lambda rows: loss(rows))(rows)

    assert_near(*in_both(of, alike(1e-5)), 1e-5)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("name", [name for name in DISTANCES if name != "manhattan"])
def test_distances_of_half_precision_are_computed_in_float32(name: str, dtype: Any) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(7, 64)) / 8, dtype)
    found = DISTANCES[name][0](x[:3], x[3:])
    assert found.dtype == jnp.float32
    full = x.astype(jnp.float32)
    np.testing.assert_array_equal(found, DISTANCES[name][0](full[:3], full[3:]))


def test_a_gradient_that_float16_cannot_hold_is_its_largest() -> None:
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)) * 1e-6, jnp.float16)
    labels = np.array([0, 0, 1, 1], np.int32)
    for loss in (
        lambda x: jt.batch_hard(labels, x, distance_fn=jt.distances.cosine),
        lambda x: jt.batch_hard(labels, jt.l2_normalize(x)),
    ):
        gradient = jax.grad(loss)(rows)
        assert gradient.dtype == jnp.float16
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() == np.finfo(np.float16).max


MARGINS = [case for case in LOSSES if "margin" in case.declared.numbers]
BATCH = next(batch for batch in BATCHES if batch.name == "ragged")


def with_number(case: Case, place: int, number: float) -> dict[str, Any]:
    """Value and gradients of a case with one of its numbers another, by what was compiled of it for its own."""
    numbers = (*case.numbers[:place], number, *case.numbers[place + 1 :])
    given = BATCH.labels, rows_of(case, BATCH), BATCH.valid
    return judge.run(replace(case, numbers=numbers), *given, function=lambda _: judge.compiled(case))


@trials("case", LOSSES, always=lambda case: case in STANDING, ids=lambda case: case.name)
def test_a_number_that_is_nan_comes_out(case: Case) -> None:
    """No hinge swallows it: value and gradients are NaN."""
    for place in (place for place, number in enumerate(case.numbers) if np.ndim(number) == 0):
        found = with_number(case, place, np.nan)
        assert np.isnan(found["loss"])
        assert np.isnan(found["rows"]).all()
        assert np.isnan(found["numbers"][place])


# Where the term is quadratic in the margin, or the margin an angle: what is infinite comes out, or the limit.
_ANGULAR = ("tuplet_margin", "aam_softmax", "aam_softmax_monotone", "aam_softmax_none", "sphereface2_angle")
NOT_LINEAR = [case for case in MARGINS if case.declared.name in ("circle", "lifted_structure", *_ANGULAR)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("case", NOT_LINEAR, ids=lambda case: case.name)
def test_an_infinite_margin_is_no_number_like_any(case: Case, sign: int) -> None:
    place = list(case.declared.numbers).index("margin") + bool(case.declared.class_weights)
    limit, far = (with_number(case, place, sign * margin) for margin in (np.inf, 1e4))
    if np.isfinite(limit["loss"]):
        np.testing.assert_allclose(limit["loss"], far["loss"], 1e-9, atol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
@trials(
    "case",
    [case for case in MARGINS if case not in NOT_LINEAR],
    always=lambda case: case in STANDING,
    ids=lambda case: case.name,
)
def test_an_infinite_margin_is_the_limit(case: Case, sign: int) -> None:
    place = list(case.declared.numbers).index("margin") + bool(case.declared.class_weights)
    limit, far = (with_number(case, place, sign * margin) for margin in (np.inf, 1e4))
    if far["loss"] > 1e3:  # it grows with the margin
        assert limit["loss"] == np.inf
    else:
        np.testing.assert_allclose(limit["loss"], far["loss"], 1e-9, atol=1e-9)
    np.testing.assert_allclose(limit["rows"], far["rows"], 1e-9, atol=1e-9)
