r"""A distance in two steps: what is done once for every row, and what is left to do for each pair of rows.

Distances that do not change when all rows move are computed from rows less their mean: $|x|^2 + |y|^2 - 2 \langle x, y
\rangle$ cancels, and of rows that are alike (a fresh or a collapsed encoder) nothing but rounding would be left.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import _checks, numerics
from jaxtriplet.types import DistanceFn, Precision

Set = tuple[jax.Array, jax.Array]
"""Rows [M, D], and which of them are valid, [M]."""


class Form(NamedTuple):
    """A distance in two steps. What the functions return is a tree of arrays with a leading axis of rows, or pairs."""

    frame_fn: Callable[..., Any]
    """`(*sets) -> frame`: what the sets share, such as their mean; it has no gradient, and no value depends on it."""
    rows_fn: Callable[[jax.Array, jax.Array, Any], Any]
    """`(values [M, D], valid [M], frame) -> rows`: what is done once for every row."""
    between_fn: Callable[..., jax.Array]
    """`(rows of M, rows of N, frame, precision="exact") -> [M, N]`, by products of matrices."""
    apart_fn: Callable[[Any, Any, Any], jax.Array]
    """`(rows, rows, frame) -> [...]`: the distances of rows that stand beside each other, from their differences."""
    is_symmetric: bool
    """Whether d(x, y) = d(y, x), so that a matrix of them need not be transposed."""
    is_finite: bool = True
    """Whether the distances of finite rows are finite, or infinite where they overflow."""
    is_similarity: bool = False
    """Whether these are no distances but inner products: larger is closer."""

    def in_precision(self, precision: Precision) -> "Form":
        """Returns the form whose products of matrices are of this precision; what somebody brings stays as it is."""
        return self._replace(between_fn=functools.partial(self.between_fn, precision=precision))

    def tile(self, candidates: Any, anchors: Any, frame: Any) -> jax.Array:
        """Returns the distances [candidate, anchor] of rows that `rows_fn` made."""
        if self.is_symmetric:
            return self.between_fn(candidates, anchors, frame)
        return self.between_fn(anchors, candidates, frame).T

    def distances(self, scores: jax.Array) -> jax.Array:
        """Returns the distances that statistics speak of: of inner products, 1 less these."""
        return 1 - scores if self.is_similarity else scores

    def between(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Returns the distances [M, N] of two sets of rows that are given as they are."""
        x, y = _checks.two_sets(x, y)
        return _between(self, x, y)

    def beside(self, valid: jax.Array, *pairs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        """Returns the distances [B] of each pair of sets [B, D], whose rows stand beside each other."""
        frame = self.frame(*((rows, valid) for pair in pairs for rows in pair))
        rows_of = [[self.rows_fn(rows, valid, frame) for rows in pair] for pair in pairs]
        return tuple(self.apart_fn(x, y, frame) for x, y in rows_of)

    def frame(self, *sets: Set) -> Any:
        """Returns what the sets share."""
        return jax.lax.stop_gradient(self.frame_fn(*sets))


@functools.partial(jax.jit, static_argnums=0)
def _between(form: Form, x: jax.Array, y: jax.Array) -> jax.Array:
    first, second = ((numerics.widen(rows), jnp.ones(len(rows), bool)) for rows in (x, y))
    frame = form.frame(first, second)
    return form.between_fn(form.rows_fn(*first, frame), form.rows_fn(*second, frame), frame)


class Frame(NamedTuple):
    """Where the rows are, and how far they reach."""

    centre: jax.Array
    """[D]."""
    reach: jax.Array
    """A power of two near the largest number of the centred rows, in units of which nothing overflows."""


def mean(*sets: Set) -> jax.Array:
    """Returns the mean of the means of the sets, of valid rows; what is not finite spoils its own row alone."""
    means = []
    for values, valid in sets:
        share = 1 / jnp.maximum(1, jnp.sum(valid, dtype=values.dtype))
        counts = valid[:, None] & jnp.isfinite(values)
        means.append(jnp.sum(jnp.where(counts, values * share, 0), axis=0))  # a sum of shares does not overflow
    return sum(means[1:], start=means[0]) / len(means)


def _half_gram(x: Any, y: Any, precision: Precision) -> jax.Array:
    """Returns half the squared distances of centred rows; one too small to be told from rounding is 0."""
    (u, half_u), (v, half_v) = x, y
    size = half_u[:, None] + half_v[None, :]
    half = size - numerics.inner(u, v, precision)
    return jnp.where(rounds_to_zero(half, size, u.shape[1], precision), 0, half)


def rounds_to_zero(distance: jax.Array, size: jax.Array, width: int, precision: Precision) -> jax.Array:
    """Returns whether a distance is no larger than the rounding of its terms, whose size is given."""
    # Between a row of D floats and its copy, sums of products in two orders were seen to leave up to 1 epsilon of the
    # terms' size at D = 2, 4 at 64, 8 at 256 and 20 at 2048: rounding that walks as the square root of D.
    root = jnp.sqrt(jnp.asarray(width, distance.dtype))  # a width may be a symbol, when exported
    allowance = 4 + root / 2
    if precision == "fast" and distance.dtype == jnp.float32:
        # Three products leave out that of the lower halves, all of one sign: of a row and its copy up to 200 epsilon at
        # D = 2, 124 at 16, 62 at 64, 47 at 256 and 40 at 2048, 24 to 33 on average.
        allowance = allowance + 40 + 350 / root
    return jnp.abs(distance) <= allowance * jnp.finfo(distance.dtype).eps * size


def _half_squares(u: jax.Array) -> jax.Array:
    return jnp.sum(jnp.square(u), axis=-1) / 2


def _euclidean_frame(*sets: Set) -> Frame:
    centre = mean(*sets)
    far = [jnp.max(jnp.abs(_centred(*one, centre)), initial=0) for one in sets]
    return Frame(centre, numerics.power_of_two(functools.reduce(jnp.maximum, far)))


def _centred(values: jax.Array, valid: jax.Array, centre: jax.Array) -> jax.Array:
    return jnp.where(valid[:, None], values - centre[None, :], 0)


def _euclidean_rows(values: jax.Array, valid: jax.Array, frame: Frame) -> tuple[jax.Array, jax.Array]:
    u = _centred(values, valid, frame.centre) / frame.reach
    return u, _half_squares(u)


def _euclidean(of_half: Callable[[jax.Array, jax.Array], jax.Array]) -> Form:
    def between(x: Any, y: Any, frame: Frame, precision: Precision = "exact") -> jax.Array:
        return of_half(_half_gram(x, y, precision), frame.reach)

    def apart(x: Any, y: Any, frame: Frame) -> jax.Array:
        return of_half(_half_squares(x[0] - y[0]), frame.reach)

    return Form(_euclidean_frame, _euclidean_rows, between, apart, is_symmetric=True)


SQUARED_EUCLIDEAN = _euclidean(lambda half, reach: 2 * half * reach * reach)
EUCLIDEAN = _euclidean(lambda half, reach: numerics.safe_sqrt(2 * half) * reach)


# The cosine distance is half the squared distance of the unit rows, plus what rows lack that have no unit length: of a
# row without direction, |x|^2 = 0, one half.


def _cosine_frame(*sets: Set) -> jax.Array:
    return mean(*((numerics.l2_normalize(values), valid) for values, valid in sets))


def _cosine_rows(values: jax.Array, valid: jax.Array, centre: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    unit = numerics.l2_normalize(values)
    exact = jax.lax.stop_gradient(numerics.unit_less(values, centre))
    u = jnp.where(valid[:, None], exact + (unit - jax.lax.stop_gradient(unit)), 0)
    lacks = jnp.where(numerics.has_direction(values)[:, 0], 0, (1 - jnp.sum(jnp.square(unit), axis=1)) / 2)
    return u, _half_squares(u), lacks


def _cosine_between(x: Any, y: Any, frame: jax.Array, precision: Precision = "exact") -> jax.Array:
    del frame
    return _half_gram(x[:2], y[:2], precision) + (x[2][:, None] + y[2][None, :])


def _cosine_apart(x: Any, y: Any, frame: jax.Array) -> jax.Array:
    del frame
    return _half_squares(x[0] - y[0]) + (x[2] + y[2])


COSINE = Form(_cosine_frame, _cosine_rows, _cosine_between, _cosine_apart, is_symmetric=True)


def _inner_between(x: jax.Array, y: jax.Array, frame: None, precision: Precision = "exact") -> jax.Array:
    return 1 - _inner(x, y, frame, precision)


def _inner_apart(x: jax.Array, y: jax.Array, frame: None) -> jax.Array:
    return 1 - _inner_beside(x, y, frame)


def _no_frame(*sets: Set) -> None:
    del sets


def _as_they_are(values: jax.Array, valid: jax.Array, frame: None) -> jax.Array:
    del valid, frame
    return values


def _inner(x: jax.Array, y: jax.Array, frame: None, precision: Precision = "exact") -> jax.Array:
    del frame
    return numerics.inner(x, y, precision)


def _inner_beside(x: jax.Array, y: jax.Array, frame: None) -> jax.Array:
    del frame
    return jnp.sum(x * y, axis=-1)


SIMILARITY = Form(_no_frame, _as_they_are, _inner, _inner_beside, is_symmetric=True, is_similarity=True)
INNER_PRODUCT = Form(_no_frame, _as_they_are, _inner_between, _inner_apart, is_symmetric=True)


# Cosines to classes that may have several centres [C, K, D]: scores are then [..., K, C].


def _directions(values: jax.Array, valid: jax.Array, frame: None) -> jax.Array:
    del valid, frame
    unit = numerics.l2_normalize(values)
    return unit if unit.ndim == 2 else jnp.moveaxis(unit, 1, 0)


def _cosines(x: jax.Array, y: jax.Array, frame: None, precision: Precision = "exact") -> jax.Array:
    del frame
    if y.ndim == 2:
        return numerics.inner(x, y, precision)
    return numerics.inner(x, y.reshape(-1, y.shape[-1]), precision).reshape(len(x), *y.shape[:2])


ANGLES = Form(_no_frame, _directions, _cosines, _inner_beside, is_symmetric=True, is_similarity=True)


def brought(distance_fn: DistanceFn) -> Form:
    """Returns the form of a distance that somebody brings, of which nothing is known."""
    between, apart = (functools.partial(one, distance_fn) for one in (_brought_between, _brought_apart))
    return Form(mean, _padded_by_mean, between, apart, is_symmetric=False, is_finite=False)


def _padded_by_mean(values: jax.Array, valid: jax.Array, centre: jax.Array) -> jax.Array:
    # Rows of zeros would pull the mean away, in a distance that is made of these.
    return jnp.where(valid[:, None], values, centre[None, :])


def _brought_between(
    distance_fn: DistanceFn, x: jax.Array, y: jax.Array, frame: jax.Array, precision: Precision = "exact"
) -> jax.Array:
    del frame, precision
    found = distance_fn(x, y)
    _checks.distances(found, len(x), len(y))
    return found.astype(x.dtype)


def _brought_apart(distance_fn: DistanceFn, x: jax.Array, y: jax.Array, frame: jax.Array) -> jax.Array:
    def one(x: jax.Array, y: jax.Array) -> jax.Array:
        return _brought_between(distance_fn, x[None], y[None], frame)[0, 0]

    for _ in x.shape[1:]:
        one = jax.vmap(one)
    return one(x, y)
