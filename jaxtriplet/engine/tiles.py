"""Tiles: the distances of a few anchors to all candidates, and how a batch is worked off tile by tile."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxtriplet.engine.classes import Classes, Order
from jaxtriplet.engine.outcome import Found, Spread, gather, merge
from jaxtriplet.engine.rows import Rows
from jaxtriplet.engine.tuning import by_platform, plans
from jaxtriplet.types import Terms

_Tree = TypeVar("_Tree")

# Bytes that are kept of each pair, by a rule that makes weights of it.
KEEPS = 33


class Tile(NamedTuple):
    """Distances [candidate, anchor]: reductions run down the columns, which XLA vectorises on CPU."""

    distances: jax.Array
    """Or inner products, where no distance is asked for."""
    positive: jax.Array
    """Whether a candidate is another row of the anchor's class, [candidate, anchor]."""
    negative: jax.Array
    """Whether it is of another class, [candidate, anchor]."""
    classes: Classes | None
    """Where in the order of the candidates each anchor's class is; None where nobody has put them in order."""
    order: Order | None
    """The candidates in order of label."""
    most: int | None = None
    """The most positives that an anchor has, if that is known when the program is compiled."""
    straight: bool = False
    """Whether they are few enough to be visited in straight code."""

    @property
    def row(self) -> jax.Array:
        """The number of each candidate, in the shape of the distances."""
        return jax.lax.broadcasted_iota(jnp.int32, self.distances.shape, 0)

    @property
    def num_positives(self) -> jax.Array:
        """How many positives each anchor has, as floats."""
        return self._number(self.positive, self.classes and self.classes.positives)

    @property
    def num_negatives(self) -> jax.Array:
        """How many negatives each anchor has, as floats."""
        return self._number(self.negative, self.classes and self.classes.negatives)

    def _number(self, mask: jax.Array, known: jax.Array | None) -> jax.Array:
        dtype = self.distances.dtype
        return jnp.sum(mask, axis=0, dtype=dtype) if known is None else known.astype(dtype)


def cut(rows: int, block_size: int | None, good: int) -> tuple[int, int]:
    """Returns into how many tiles to cut so many rows, and how many each has: as even as can be.

    Args:
        rows: How many there are.
        block_size: How many a tile may have, if somebody asks for that.
        good: How many it may have if nobody does.
    """
    tiles = max(1, -(-rows // (block_size or good)))
    each = -(-rows // tiles)
    if tiles == 1 or block_size:
        return tiles, each
    each = -(-each // 8) * 8  # whole vectors
    return -(-rows // each), each


def fill(rows: _Tree, shape: tuple[int, int]) -> _Tree:
    """Returns arrays [B, ...] whose last row is repeated until it fills up so many tiles of so many rows."""

    def one(x: jax.Array) -> jax.Array:
        missing = shape[0] * shape[1] - x.shape[0]
        return jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1)), mode="edge") if missing and x.shape[0] else x

    return jax.tree.map(one, rows)


def scan_tiles(
    step: Callable[[_Tree, Any], tuple[_Tree, Any]], carry: _Tree, rows: Any, shape: tuple[int, int]
) -> tuple[_Tree, Any]:
    """`jax.lax.scan` over tiles of rows: a single tile is not looped over.

    Args:
        step: `(carry, tile of rows) -> (carry, found)`.
        carry: The first carry.
        rows: Arrays [B, ...]; zeros fill up the last tile.
        shape: The number of tiles and of rows in each.

    Returns:
        The last carry, and what was found, with a leading axis of tiles.
    """
    tiles, each = shape

    def fold(x: jax.Array) -> jax.Array:
        missing = tiles * each - x.shape[0]
        return jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1))).reshape(tiles, each, *x.shape[1:])

    if tiles == 1:
        carry, found = step(carry, rows)
        return carry, jax.tree.map(lambda x: x[None], found)
    return jax.lax.scan(step, carry, jax.tree.map(fold, rows))


def unfold(found: _Tree, rows: int) -> _Tree:
    """Joins tiles [tiles, each, ...] into [rows, ...]."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])[:rows], found)


def by_tiles(
    of_tile: Callable[[Any], tuple[Terms, Spread, Spread]],
    tiled: Any,
    anchors: Rows,
    *evidence: jax.Array,
    candidates: int,
    block_size: int | None,
) -> Found:
    """Runs a function of some anchors tile by tile, in plain autodiff, remembering nothing of a tile but its result.

    Args:
        of_tile: From a tile of `tiled` to the anchors' terms and the spreads of positive and of negative distances;
            differentiated by running it again.
        tiled: Arrays [B, ...].
        anchors: The rows of this device, [B].
        *evidence: Arrays that must be finite, or the total is not.
        candidates: How many rows each anchor meets.
        block_size: Anchors in a tile, or None.

    Returns:
        What was found in all tiles.
    """
    count = len(anchors.labels)

    def work(shape: tuple[int, int], tiled: Any) -> Any:
        again = of_tile if shape[0] == 1 else jax.checkpoint(of_tile, prevent_cse=False)  # a scan keeps them apart
        terms, *spreads = scan_tiles(lambda _, tile: ((), again(tile)), (), tiled, shape)[1]
        return unfold(terms, count), *map(merge, spreads)

    shapes = plans(lambda tuning: cut(count, block_size, tuning.mined.anchors(candidates, KEEPS)))
    terms, positives, negatives = by_platform(work, shapes, tiled)
    return gather(terms, positives, negatives, anchors, *evidence)
