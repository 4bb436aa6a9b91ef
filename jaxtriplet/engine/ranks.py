"""Where an anchor's positives stand among all candidates, tile by tile: counts, of which figures of retrieval are made.

Nothing here has a gradient. Counts of candidates are 32-bit integers, those of pairs `Wide` ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.distances import form_of
from jaxtriplet.engine.rows import Rows, pairs, prepare, without_values
from jaxtriplet.engine.separable import sets_of
from jaxtriplet.engine.tiles import KEEPS, cut, fill, scan_tiles, unfold
from jaxtriplet.engine.tuning import by_platform, plans
from jaxtriplet.types import AxisName, DistanceFn

_DIGIT = 20  # bits: sums of 2,047 lower halves fit 32 bits


class Group(NamedTuple):
    """Candidates at one distance from each anchor, in a place of interest; integers [anchor]."""

    nearer: jax.Array
    """How many candidates are nearer."""
    size: jax.Array
    """How many are at this distance."""
    positives_nearer: jax.Array
    positives: jax.Array
    """How many positives are at this distance."""


Look = Callable[[jax.Array, jax.Array, jax.Array], Any]
"""From distances and masks of positives and of negatives, [candidate, anchor], to what is found."""


def for_each_anchor(look: Look, anchors: Rows, candidates: Rows, distance_fn: DistanceFn) -> Any:
    """Returns what is found of each anchor, [B], and evidence that is NaN where comparisons would drop a NaN.

    Args:
        look: Finds a tree of arrays [anchor].
        anchors: The rows of this device.
        candidates: The rows of all devices.
        distance_fn: A pairwise distance.
    """

    def step(carry: Any, tile: tuple[jax.Array, ...]) -> tuple[Any, Any]:
        distances, positive, negative = tile
        evidence = jnp.sum(jnp.where(positive | negative, 0 * distances, 0), axis=0)
        return carry, (look(*tile), evidence)

    return _tiles(step, lambda: (), anchors, candidates, distance_fn)[1]


def over_pairs(look: Look, anchors: Rows, candidates: Rows, distance_fn: DistanceFn) -> "Wide":
    """Returns the sum over tiles of the counts [...] of pairs that `look` finds in each."""
    shape = jax.eval_shape(look, jnp.zeros((1, 1), anchors.values.dtype), *[jnp.zeros((1, 1), bool)] * 2).shape

    def step(sums: Wide, tile: tuple[jax.Array, ...]) -> tuple[Wide, Any]:
        return sums.plus(Wide.of(look(*tile))), ()

    def nothing() -> Wide:  # which varies over devices as the rows do
        return Wide.of(jnp.zeros(shape, jnp.int32) + 0 * jnp.sum(anchors.place, dtype=jnp.int32))

    return _tiles(step, nothing, anchors, candidates, distance_fn)[0]


def _tiles(step: Any, first: Callable[[], Any], anchors: Rows, candidates: Rows, distance_fn: DistanceFn) -> Any:
    form, sets = form_of(distance_fn), sets_of(anchors, candidates)
    frame = form.frame(*sets)
    of_anchors, of_candidates = prepare(form, frame, anchors, candidates)
    known = without_values(candidates)

    def of_tile(carry: Any, tile: Any) -> Any:
        values, rows = tile
        return step(carry, (form.tile(of_candidates, values, frame), *pairs(rows, known)))

    def work(shape: tuple[int, int], of_anchors: Any) -> Any:
        # Rows fill up the last tile: a distance that somebody makes may take a mean of them.
        carry, found = scan_tiles(of_tile, first(), (fill(of_anchors, shape), without_values(anchors)), shape)
        return carry, unfold(found, count)

    count, everyone = len(anchors.labels), len(candidates.labels)
    shapes = plans(lambda tuning: cut(count, None, tuning.mined.anchors(everyone, KEEPS)))
    return by_platform(work, shapes, of_anchors)


def nearest_positive(distances: jax.Array, positive: jax.Array, negative: jax.Array) -> Group:
    """Returns the candidates at the distance of each anchor's nearest positive; without one, a group without any."""
    nearest = jnp.min(jnp.where(positive, distances, jnp.inf), axis=0, initial=jnp.inf)
    return _at(distances, nearest, positive, negative)


def last_of_positives(distances: jax.Array, positive: jax.Array, negative: jax.Array) -> tuple[Group, jax.Array]:
    """Returns the candidates at the distance of each anchor's R-th nearest, and R, the number of its positives."""
    number, keys = jnp.sum(positive, axis=0, dtype=jnp.int32), _ordered(distances)
    keys = jnp.where(positive | negative, keys, keys.dtype.type(jnp.iinfo(keys.dtype).max))
    return _at(keys, _smallest(keys, number), positive, negative), number


def _at(values: jax.Array, value: jax.Array, positive: jax.Array, negative: jax.Array) -> Group:
    """Returns the group of candidates at a value of each anchor."""

    def number(mask: jax.Array) -> jax.Array:
        return jnp.sum(mask, axis=0, dtype=jnp.int32)

    nearer, at, both = values < value[None, :], values == value[None, :], positive | negative
    return Group(number(nearer & both), number(at & both), number(nearer & positive), number(at & positive))


def _ordered(x: jax.Array) -> jax.Array:
    """Returns integers without a sign in the order of floats, equal where these are."""
    bits = jnp.finfo(x.dtype).bits
    unsigned = jnp.uint64 if bits == 64 else jnp.uint32
    as_bits = jax.lax.bitcast_convert_type(jnp.where(x == 0, jnp.zeros_like(x), x), unsigned)  # -0.0 is 0.0
    top = unsigned(2 ** (bits - 1))
    return jnp.where(as_bits >= top, ~as_bits, as_bits | top)


def _smallest(keys: jax.Array, number: jax.Array) -> jax.Array:
    """Returns the number-th smallest of each column, from 1, of integers without a sign: its bits, the highest first.

    One pass for each bit, whatever the number is; to sort takes longer on a CPU, and more memory.
    """
    bits = jnp.iinfo(keys.dtype).bits

    def step(index: jax.Array, found: jax.Array) -> jax.Array:
        bit = jax.lax.shift_left(jnp.ones_like(found), (bits - 1 - index).astype(keys.dtype))
        below = jnp.sum(keys < (found | bit)[None, :], axis=0, dtype=jnp.int32)
        return jnp.where(below < number, found | bit, found)

    return jax.lax.fori_loop(0, bits, step, jnp.min(keys, axis=0) * 0)


def expected_recall(group: Group, k: int) -> jax.Array:
    """Returns the probability that a positive is among the k nearest, over all orders of tied candidates, [anchor].

    Args:
        group: That of the nearest positive.
        k: How many of the nearest count; static.
    """
    drawn = jnp.clip(k - group.nearer, 0, group.size)
    one = jnp.arange(k, dtype=jnp.int32)[:, None]  # of how many are drawn, each is another one that is no positive
    others = jnp.maximum((group.size - group.positives)[None, :] - one, 0)
    left = _floats(others) / _floats(jnp.maximum(group.size[None, :] - one, 1))
    none = jnp.prod(jnp.where(one < drawn[None, :], left, 1), axis=0)
    return jnp.where(group.positives > 0, 1 - none, 0)


def expected_precision(group: Group, number: jax.Array) -> jax.Array:
    """Returns the share of positives among so many nearest, over all orders of tied candidates, [anchor].

    Args:
        group: That of the last of them.
        number: How many, [anchor]; where 0, the share is 0.
    """
    tied = _floats(group.positives) * _floats(number - group.nearer) / _floats(jnp.maximum(group.size, 1))
    share = (_floats(group.positives_nearer) + tied) / _floats(jnp.maximum(number, 1))
    return jnp.where(number > 0, share, 0)


def _floats(counts: jax.Array) -> jax.Array:
    return counts.astype(jnp.result_type(float))


class Wide(NamedTuple):
    """Counts up to 2^51, which 32-bit integers hold in two halves; the lower below 2^20."""

    high: jax.Array
    low: jax.Array

    @classmethod
    def of(cls, counts: jax.Array) -> "Wide":
        """Returns 32-bit counts as wide ones."""
        return cls(jnp.zeros_like(counts), counts)._carried()

    def plus(self, other: "Wide") -> "Wide":
        """Returns the sums."""
        return Wide(self.high + other.high, self.low + other.low)._carried()

    def total(self) -> "Wide":
        """Returns the sum along the first axis, of 2,047 at most."""
        return Wide(jnp.sum(self.high, 0, jnp.int32), jnp.sum(self.low, 0, jnp.int32))._carried()

    def everywhere(self, axis_name: AxisName) -> "Wide":
        """Returns the sums over devices, 2,047 at most."""
        return self if axis_name is None else Wide(*jax.lax.psum(tuple(self), axis_name))._carried()

    def _carried(self) -> "Wide":
        return Wide(self.high + (self.low >> _DIGIT), self.low & (2**_DIGIT - 1))

    def floats(self) -> jax.Array:
        """Returns the nearest floats."""
        return _floats(self.high) * 2**_DIGIT + _floats(self.low)
