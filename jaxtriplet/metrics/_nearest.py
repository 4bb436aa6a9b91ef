"""The references that are nearest to each query, on whatever devices JAX has, a block of queries at a time."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from jaxtriplet import parallel
from jaxtriplet.distances import form_of
from jaxtriplet.parallel.automatic import automatic, of_automatic_axes
from jaxtriplet.types import DistanceFn

_Ints = NDArray[np.int64]

# Bytes of one block of distances, on each device. CPU: two cores, 120,000 references of 256 numbers: larger blocks are
# no quicker.
_BUDGET = {"cpu": 2**26}
_BUDGET_ELSEWHERE = 2**29
_LEAST, _MOST = 8, 4096
# References are filled up to whole slices; see `_smallest`.
_MULTIPLE = 128


class Field:
    """References, which lie on the devices, and the queries that meet them."""

    def __init__(
        self,
        queries: NDArray[np.floating],
        references: NDArray[np.floating] | None,
        distance_fn: DistanceFn,
        mesh: Mesh | None,
    ) -> None:
        """Prepares the references.

        Args:
            queries: Finite floats [Q, D].
            references: Finite floats [N, D]; None: the queries, each of which leaves itself out.
            distance_fn: A pairwise distance.
            mesh: The mesh over whose devices queries are spread, or None.
        """
        self._queries, self._leaves_itself_out = queries, references is None
        self._distance_fn = distance_fn
        self._mesh = None if mesh is None else of_automatic_axes(mesh)
        rows = queries if references is None else references
        self._references = len(rows)
        self.number = len(rows) - self._leaves_itself_out
        first, missing = _first_alike(rows), -len(rows) % _MULTIPLE
        filled = np.pad(rows, ((0, missing), (0, 0)), mode="edge")
        placed = [self._placed(filled), *([] if references is None else [self._placed(queries)])]
        alike = None if first is None else self._placed(np.pad(first, (0, missing)))
        self._met = (*_prepared(distance_fn, self._mesh, *placed), alike)
        devices = jax.devices() if mesh is None else mesh.devices.ravel().tolist()
        budget = _BUDGET.get(devices[0].platform, _BUDGET_ELSEWHERE)
        each = min(_MOST, max(_LEAST, budget // (queries.itemsize * len(rows)) // 8 * 8))
        spread = 1 if mesh is None else mesh.size
        self.block = spread * min(each, -(-len(queries) // spread))

    def nearest(self, queries: _Ints, number: int) -> Iterator[tuple[_Ints, NDArray[np.floating], _Ints]]:
        """Yields blocks of queries, and of each the nearest references: their distances and numbers, [q, K] both.

        Args:
            queries: Numbers of queries.
            number: How many references to find, K.

        Raises:
            ValueError: Distances are NaN, or those of the nearest infinite.
        """
        for block, (distances, found, is_number) in self._blocks(number, queries):
            wrong = len(block) - int(np.sum(is_number & np.isfinite(distances).all(axis=1)))
            if wrong:
                raise ValueError(f"distances of {wrong} of {len(block)} queries to the references are NaN or infinite")
            yield block, distances, found

    def rows(self, queries: _Ints) -> Iterator[tuple[_Ints, NDArray[np.floating]]]:
        """Yields blocks of queries, and their distances to all references, [q, N], infinite to themselves."""
        for block, (distances,) in self._blocks(None, queries):
            yield block, distances

    def _blocks(self, nearest: int | None, queries: _Ints) -> Iterator[tuple[_Ints, list[NDArray[Any]]]]:
        """Runs a program on blocks of queries, each while the one before is looked at."""
        kind = _Kind(self._distance_fn, self._references, self._mesh, nearest)
        running: tuple[_Ints, Any] | None = None
        for start in range(0, len(queries), self.block):
            block = queries[start : start + self.block]
            given = np.pad(block, (0, self.block - len(block)), mode="edge")
            itself = given if self._leaves_itself_out else np.full_like(given, -1)
            found = _found(kind, self._met, *map(self._spread, (self._queries[given], itself.astype(np.int32))))
            if running is not None:
                yield running[0], self._fetched(running)
            running = block, found
        if running is not None:
            yield running[0], self._fetched(running)

    def _fetched(self, running: tuple[_Ints, Any]) -> list[NDArray[Any]]:
        block, found = running
        if self._mesh is not None:
            found = parallel.on_this_process(found)
        return [np.asarray(part)[: len(block)] for part in found]

    def _placed(self, array: NDArray[Any]) -> jax.Array:
        return self._put(array, parallel.replicated)

    def _spread(self, array: NDArray[Any]) -> jax.Array:
        return self._put(array, parallel.by_rows)

    def _put(self, array: NDArray[Any], lies: Callable[[Mesh], Any]) -> jax.Array:
        placed: Any = jnp.asarray(array) if self._mesh is None else parallel.place(array, lies(self._mesh))
        return placed


def _first_alike(rows: NDArray[np.floating]) -> NDArray[np.int32] | None:
    """Returns the number of the first row equal to each, [N]; None if all differ.

    No product of matrices promises to round equal columns alike wherever they stand, and then they would not be tied.
    """
    marks = np.fromiter((hash((row + 0.0).tobytes()) for row in rows), np.int64, len(rows))  # 0.0 is -0.0
    _, first, which = np.unique(marks, return_index=True, return_inverse=True)
    found = first[which]
    later = np.flatnonzero(found != np.arange(len(rows)))
    alike = np.array([np.array_equal(rows[one], rows[found[one]]) for one in later], bool)
    found[later[~alike]] = later[~alike]
    return found.astype(np.int32) if alike.any() else None


class _Kind(NamedTuple):
    """What a program is compiled for."""

    distance_fn: DistanceFn
    references: int
    """How many there are, padding left out."""
    mesh: Mesh | None
    nearest: int | None
    """How many of the nearest to find; None for all distances."""


@functools.partial(jax.jit, static_argnums=(0, 1))
def _prepared(distance_fn: DistanceFn, mesh: Mesh | None, *sets: jax.Array) -> tuple[Any, Any]:
    """Returns what a distance takes of each row of the first set, references, and what all sets share."""
    form = form_of(distance_fn)

    def program(*sets: jax.Array) -> tuple[Any, Any]:
        of_all = [(rows, jnp.ones(len(rows), bool)) for rows in sets]
        frame = form.frame(*of_all)
        return form.rows_fn(*of_all[0], frame), frame

    return program(*sets) if mesh is None else automatic(program, mesh, PartitionSpec())(*sets)


@functools.partial(jax.jit, static_argnums=0)
def _found(kind: _Kind, met: Any, queries: jax.Array, itself: jax.Array) -> tuple[jax.Array, ...]:
    """Returns what a block of queries finds; of a mesh, each device looks for a share of them, and then has all."""
    program = functools.partial(_of_block, kind)
    if kind.mesh is None:
        return program(met, queries, itself)
    rows, everywhere = PartitionSpec(tuple(kind.mesh.axis_names)), PartitionSpec()
    mapped = jax.shard_map(program, mesh=kind.mesh, in_specs=(everywhere, rows, rows), out_specs=rows)
    whole = NamedSharding(kind.mesh, everywhere)

    def gathered(*given: Any) -> Any:
        return jax.lax.with_sharding_constraint(mapped(*given), whole)

    return automatic(gathered, kind.mesh, everywhere)(met, queries, itself)


def _of_block(kind: _Kind, met: Any, queries: jax.Array, itself: jax.Array) -> tuple[jax.Array, ...]:
    (references, frame, first), form = met, form_of(kind.distance_fn)
    rows = form.rows_fn(queries, jnp.ones(len(queries), bool), frame)
    distances = form.between_fn(rows, references, frame)
    if first is not None:
        distances = jnp.take(distances, first, axis=1, mode="clip")
    column = jnp.arange(distances.shape[1], dtype=jnp.int32)[None, :]
    is_hidden = (column == itself[:, None]) | (column >= kind.references)
    distances = jnp.where(is_hidden, jnp.inf, distances)
    if kind.nearest is None:
        return (distances[:, : kind.references],)
    return _smallest(jax.lax.optimization_barrier(distances), kind.nearest)  # or XLA makes them anew for each use


def _smallest(x: jax.Array, number: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the smallest numbers of each row [q, N] in order, their places, and whether none of the row is NaN.

    The numbers are cut into `width` slices, one above the other. The smallest are in as many columns of these, those
    whose own smallest are the smallest: to select among columns, and then in these, takes about N / width + width
    steps for each number, instead of N.
    """
    rows, count = x.shape
    width = math.gcd(count, 2 ** max(0, int(math.log2(math.sqrt(count / number)))))
    if width == 1:
        values, places = jax.lax.top_k(-x, number)
        return -values, places, ~jnp.any(jnp.isnan(x), axis=1)
    length = count // width
    slices = x.reshape(rows, width, length)
    least, total = jnp.min(slices, axis=1), jnp.sum(slices, axis=1)  # on a CPU, minima drop a NaN
    _, columns = jax.lax.top_k(-least, number)
    among = jnp.take_along_axis(slices, columns[:, None, :], axis=2).reshape(rows, width * number)
    values, places = jax.lax.top_k(-among, number)
    places = places // number * length + jnp.take_along_axis(columns, places % number, axis=1)
    return -values, places, ~jnp.any(jnp.isnan(total), axis=1)
