"""Who is relevant to whom: references of the query's label, or that share one of its labels."""

from collections.abc import Iterable, Sequence, Set
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from jaxtriplet import _checks

_BLOCK = 1 << 24  # pairs of sets at once
_WANTS = (
    "must be integers or strings of shape [{rows}], a bool matrix [{rows}, L] of which labels a row has, or {rows} sets"
)


class Relevance(Protocol):
    """Which references are relevant to which queries; of one set, a row still among its own."""

    def counts(self) -> NDArray[np.int64]:
        """Returns how many references are relevant to each query, [Q]."""
        ...

    def of(self, queries: NDArray[np.int64], references: NDArray[np.integer] | slice) -> NDArray[np.bool_]:
        """Returns whether references are relevant.

        Args:
            queries: Numbers of queries, [q].
            references: Numbers of references for each of them, [q, K], or a slice of all references.

        Returns:
            Booleans, [q, K].
        """
        ...


def relevance(labels: Any, num_rows: int, reference_labels: Any, num_references: int) -> Relevance:
    """Returns who is relevant to whom by the labels of both sets.

    Args:
        labels: Of the queries.
        num_rows: How many queries there are.
        reference_labels: Of the references; the very object `labels`, if these are the queries.
        num_references: How many references there are.

    Raises:
        ValueError: Labels are of no such form, of two forms, or not as many as rows.
    """
    queries = _read(labels, num_rows, "labels")
    references = queries
    if reference_labels is not labels:
        references = _read(reference_labels, num_references, "reference_labels")
    if queries.kind != references.kind:
        raise ValueError(f"labels are {queries.kind}, reference_labels {references.kind}: they must be of one kind")
    return (_by_sets if queries.several else _by_label)(queries.values, references.values)


class _Labels(NamedTuple):
    """What every row is labelled with: one value, or several."""

    values: list[Any]
    kind: str
    several: bool = False


def _read(labels: Any, rows: int, name: str) -> _Labels:
    """Returns labels of any form, or says what is wrong with them."""
    wants = f"{name} {_WANTS.format(rows=rows)}"
    if isinstance(labels, Sequence) and (sets := sum(isinstance(one, Set) for one in labels)):
        if sets != len(labels) or len(labels) != rows:
            raise ValueError(f"{wants}; got {len(labels)} values, {sets} of them sets")
        return _Labels(list(labels), "sets", several=True)
    array = _checks.hosted(labels, wants)
    if array.dtype == bool and array.ndim == 2 and len(array) == rows:
        values = [np.flatnonzero(row).tolist() for row in array]
        return _Labels(values, f"sets of {array.shape[1]} labels", several=True)
    kinds = {"i": "integers", "u": "integers", "U": "strings"}
    if array.shape != (rows,) or array.dtype.kind not in kinds:
        advice = ""
        if array.ndim == 2:
            advice = (
                "; `.astype(bool)`, if these are flags" if array.dtype.kind in "iuf" else "; `set` of each, if several"
            )
        elif array.dtype.kind == "f":
            advice = "; `.astype(int)`, if they are whole"
        elif array.dtype.kind == "O":
            advice = "; `.astype(str)`, if these are strings"
        raise ValueError(f"{wants}; got {array.dtype} of shape {list(array.shape)}{advice}")
    if (
        array.dtype.kind == "U"
        and not isinstance(labels, np.ndarray)
        and not all(isinstance(one, str) for one in labels)
    ):
        raise ValueError(f"{wants}; got strings and others, of which 1 and '1' would be one label")
    return _Labels(array.tolist(), kinds[array.dtype.kind])


def _numbered(values: Iterable[Any], known: dict[Any, int]) -> NDArray[np.int64]:
    """Returns a number for each value; by Python's equality, since no dtype holds int64 and uint64 alike."""
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


def _by_label(queries: list[Any], references: list[Any]) -> Relevance:
    known: dict[Any, int] = {}
    return _ByLabel(_numbered(queries, known), _numbered(references, known))


def _by_sets(queries: list[Any], references: list[Any]) -> Relevance:
    known: dict[Any, int] = {}
    sets: dict[frozenset[int], int] = {}
    ours, theirs = (
        _numbered((frozenset(_numbered(one, known).tolist()) for one in several), sets)
        for several in (queries, references)
    )
    ends = np.cumsum([0, *map(len, sets)])
    columns = np.array([label for one in sets for label in one], np.int64)
    shape = (len(sets), max(1, len(known)))
    return _BySets(ours, theirs, sparse.csr_array((np.ones(len(columns), np.int32), columns, ends), shape=shape))


class _ByLabel:
    """Relevant are references of the query's label."""

    def __init__(self, queries: NDArray[np.int64], references: NDArray[np.int64]) -> None:
        self._queries, self._references = queries, references

    def counts(self) -> NDArray[np.int64]:
        most = 1 + max(self._queries.max(), self._references.max())
        return np.bincount(self._references, minlength=most)[self._queries]

    def of(self, queries: NDArray[np.int64], references: NDArray[np.integer] | slice) -> NDArray[np.bool_]:
        return self._references[references] == self._queries[queries][:, None]


class _BySets:
    """Relevant are references that share a label with the query; of alike sets, one is looked at."""

    def __init__(self, queries: NDArray[np.int64], references: NDArray[np.int64], table: Any) -> None:
        self._queries, self._references, self._table = queries, references, table
        self._of_labels = table.T.tocsr()

    def _sharing(self, sets: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns which of all sets share a label with each of these, [s, S]."""
        return (self._table[sets] @ self._of_labels).toarray() > 0

    def counts(self) -> NDArray[np.int64]:
        number = self._table.shape[0]
        copies = np.bincount(self._references, minlength=number)
        size = max(1, _BLOCK // number)
        found = [self._sharing(np.arange(at, min(at + size, number))) @ copies for at in range(0, number, size)]
        return np.concatenate(found)[self._queries]

    def of(self, queries: NDArray[np.int64], references: NDArray[np.integer] | slice) -> NDArray[np.bool_]:
        sharing, sets = self._sharing(self._queries[queries]), self._references[references]
        return sharing[:, sets] if sets.ndim == 1 else np.take_along_axis(sharing, sets, axis=1)
