"""Figures of rankings, each query's in as much of its ranking as decides them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from numpy.typing import ArrayLike, NDArray

from jaxtriplet import _checks
from jaxtriplet.distances import cosine
from jaxtriplet.types import DistanceFn

from . import _ties
from ._inputs import finite_rows, of_moderate_size
from ._nearest import Field
from ._relevance import relevance

_Ints = NDArray[np.int64]

# To select more than this takes as long as to sort: 120,000 references, two cores.
_DEEP = 512
# So many are looked through for the first relevant one.
_LOOKED_THROUGH = 64


class Figure(NamedTuple):
    """A figure, and how much of a ranking it sees."""

    of_groups: Callable[[_ties.Groups, _Ints], NDArray[np.float64]]
    """`(groups, positives) -> values`, [q]: of how many relevant references each of q queries has."""
    depth: int | None
    """How many of the nearest it sees; None: as many as are relevant."""
    sees_first: bool = False
    """Whether it sees the first relevant one, wherever that is."""


R_PRECISION = Figure(_ties.r_precision, depth=None)
MAP_AT_R = Figure(_ties.map_at_r, depth=None)
FIRST = Figure(_ties.mean_reciprocal_rank, depth=1, sees_first=True)


class Rankings:
    """Queries, what they meet, and what is relevant to them."""

    def __init__(
        self,
        embeddings: ArrayLike,
        labels: Any,
        references: ArrayLike | None,
        reference_labels: Any,
        distance_fn: DistanceFn,
        mesh: Mesh | None,
    ) -> None:
        """Checks what is given; see `retrieval`."""
        _checks.functions(distance_fn=distance_fn)
        if mesh is not None:
            _checks.mesh(mesh)
        if (references is None) != (reference_labels is None):
            raise ValueError("references and reference_labels are given together, or neither")
        _checks.swapped("embeddings", embeddings, "labels", labels)
        _checks.swapped("references", references, "reference_labels", reference_labels)
        queries = _rows(embeddings, "embeddings", distance_fn)
        found = None if references is None else _rows(references, "references", distance_fn)
        if found is not None and found.shape[1] != queries.shape[1]:
            raise ValueError(f"embeddings have {queries.shape[1]} dimensions, references {found.shape[1]}")
        others = queries if found is None else found
        given = labels if found is None else reference_labels
        self._relevance = relevance(labels, len(queries), given, len(others))
        self._is_one_set = found is None
        self.positives: _Ints = self._relevance.counts()
        if self._is_one_set:
            everyone = np.arange(len(queries))
            self.positives = self.positives - self._relevance.of(everyone, everyone[:, None])[:, 0]
        self.queries = np.flatnonzero(self.positives)
        number = len(others) - self._is_one_set
        if not len(self.queries):
            raise ValueError(f"no reference is relevant to any of {len(queries)} queries: none has its label")
        if (self.positives[self.queries] == number).all():
            raise ValueError("every reference is relevant to every query, so there is nothing to tell apart")
        self.number = number
        """How many references each query has."""
        self._field = Field(queries, found, distance_fn, mesh)

    def recall(self, k: int, name: str = "k") -> Figure:
        """Returns the recall at k, an argument of that name, which is checked."""
        return Figure(partial(_ties.recall_at_k, k=self._checked(k, name)), depth=k)

    def ndcg(self, k: int, name: str = "k") -> Figure:
        """Returns the NDCG at k, an argument of that name, which is checked."""
        return Figure(partial(_ties.ndcg, k=self._checked(k, name)), depth=k)

    def _checked(self, k: int, name: str) -> int:
        _checks.positive_integer(name, k)
        if k > self.number:
            beside = " beside the query" if self._is_one_set else ""
            raise ValueError(f"{name}={k} of {self.number} references{beside}: there are fewer than that")
        return k

    def means(self, figures: Sequence[Figure]) -> list[float]:
        """Returns the mean of each figure over the queries that have a relevant reference."""
        depths = np.max([self.positives if one.depth is None else 0 * self.positives + one.depth for one in figures], 0)
        values = np.zeros((len(figures), len(self.positives)))

        def settle(queries: _Ints, groups: _ties.Groups) -> None:
            for value, figure in zip(values, figures, strict=True):
                value[queries] = figure.of_groups(groups, self.positives[queries])

        ranked_in_full = [self.queries[depths[self.queries] > _DEEP]]
        quick = self.queries[depths[self.queries] <= _DEEP]
        sees_first = any(one.sees_first for one in figures)
        least = max(1 + depths[quick].max(initial=0), _LOOKED_THROUGH if sees_first else 0)
        enough = min(self.number, least)
        for block, distances, found in self._field.nearest(quick, int(enough)):
            relevant = self._relevance.of(block, found)
            settle(block, _ties.of_nearest(distances, relevant))
            if enough < self.number:
                goes_on = distances < distances[:, -1:]
                undecided = ~np.take_along_axis(goes_on, depths[block, None] - 1, axis=1)[:, 0]
                undecided |= sees_first & ~(goes_on & relevant).any(axis=1)
                ranked_in_full.append(block[undecided])
        with ThreadPoolExecutor() as threads:
            for block, distances in self._field.rows(np.concatenate(ranked_in_full)):
                relevant = self._relevance.of(block, slice(None))
                if self._is_one_set:
                    relevant[np.arange(len(block)), block] = False
                settle(block, _ties.joined(list(threads.map(self._ranked, distances, relevant))))
        return [float(np.mean(value[self.queries])) for value in values]

    def _ranked(self, distances: NDArray[np.floating], relevant: NDArray[np.bool_]) -> _ties.Groups:
        """Returns the groups of one query, put in order."""
        ranking = np.sort(distances)[: self.number]  # itself, at infinity, is the last
        if not np.isfinite(ranking[[0, -1]]).all():
            raise ValueError("distances of a query to the references are NaN or infinite")
        return _ties.of_row(ranking, distances[relevant])


def _rows(given: ArrayLike, name: str, distance_fn: DistanceFn) -> NDArray[np.floating]:
    """Returns finite rows in the dtype to compute in; of those that count by their direction alone, none is tiny."""
    wants = f"{name} must be floats of shape [N, D], one row each"
    array = _checks.taken(given, wants)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer)) or not np.size(array):
        raise ValueError(f"{wants}; got {_checks.seen(array)}")
    if np.ma.is_masked(given):
        raise ValueError(f"{wants}; got a masked array, some of whose numbers are missing")
    is_double = array.dtype == np.float64 == jax.dtypes.canonicalize_dtype(np.float64)  # with jax_enable_x64
    dtype = np.float64 if is_double else np.float32
    rows = np.asarray(array)
    if distance_fn is cosine and rows.ndim == 2:  # which is that of any length, but takes 1e-7 for none
        rows = of_moderate_size(rows.astype(np.promote_types(np.float32, rows.dtype), copy=False))
    return finite_rows(rows, name=name, dtype=dtype)
