"""What a reference returns: the terms of a loss, row by row, and the distances that its statistics speak of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Terms:
    """The terms of a loss, each with the row that it belongs to, and its kind if the loss has several."""

    num_rows: int
    rows: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    positive: list[float] = field(default_factory=list)
    negative: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    told: dict[int, bool] = field(default_factory=dict)
    """Which terms are active, by their place, where that is not which are above 0."""

    def add(self, row: int, value: float, kind: int = 0, *, active: bool | None = None) -> None:
        """Notes one valid term of a row."""
        if active is not None:
            self.told[len(self.rows)] = bool(active)
        self.rows.append(row)
        self.values.append(float(value))
        self.kinds.append(kind)

    def active(self, term: int) -> bool:
        """Whether the term at this place is active: above 0, unless it was told otherwise."""
        return self.told.get(term, self.values[term] > 0)

    def per_row(self) -> np.ndarray:
        """Each row's sum of terms."""
        sums = np.zeros(self.num_rows)
        for row, value in zip(self.rows, self.values, strict=True):
            sums[row] += value
        return sums

    def reduced(self, name: str) -> float:
        """The terms as one number, by `mean`, `mean_active` or `sum`: each kind apart, then added."""
        loss = 0.0
        for kind in set(self.kinds):
            terms = [term for term, its in enumerate(self.kinds) if its == kind]
            divisor = {"mean": len(terms), "mean_active": sum(map(self.active, terms)), "sum": 1}[name]
            loss += sum(self.values[term] for term in terms) / divisor if divisor else 0.0
        return loss

    def stats(self) -> dict[str, float]:
        """The statistics under their public names; 0 where there is nothing to count."""
        active = sum(map(self.active, range(len(self.values))))
        return {
            "num_valid": len(self.values),
            "num_active": active,
            "fraction_active": active / len(self.values) if self.values else 0.0,
            "mean_positive_distance": float(np.mean(self.positive)) if self.positive else 0.0,
            "mean_negative_distance": float(np.mean(self.negative)) if self.negative else 0.0,
            "hardest_positive_distance": max(self.positive, default=0.0),
            "hardest_negative_distance": min(self.negative, default=0.0),
            "mean_norm": float(np.mean(self.norms)) if self.norms else 0.0,
        }


def positive_pairs(labels: np.ndarray) -> Iterator[tuple[int, int]]:
    """Every anchor with every other row of its class."""
    for a in range(len(labels)):
        for p in range(len(labels)):
            if a != p and labels[a] == labels[p]:
                yield a, p


def positives_of(labels: np.ndarray, anchor: int) -> list[int]:
    """The other rows of its class."""
    return [p for p in range(len(labels)) if p != anchor and labels[p] == labels[anchor]]


def negatives_of(labels: np.ndarray, anchor: int) -> list[int]:
    """The rows of the other classes."""
    return [n for n in range(len(labels)) if labels[n] != labels[anchor]]


def distance_matrix(embeddings: np.ndarray, distance: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """The distance from every anchor (row) to every candidate (column)."""
    matrix = np.zeros((len(embeddings), len(embeddings)))
    for a, anchor in enumerate(embeddings):
        for c, candidate in enumerate(embeddings):
            matrix[a, c] = distance(anchor, candidate)
    return matrix


def mining_terms(labels: np.ndarray, embeddings: np.ndarray, distances: np.ndarray) -> Terms:
    """Terms of a mining loss, still empty: its statistics are about every pair of valid rows, mined or not."""
    return Terms(
        len(labels),
        positive=[distances[a, p] for a, p in positive_pairs(labels)],
        negative=[distances[a, n] for a in range(len(labels)) for n in negatives_of(labels, a)],
        norms=[np.linalg.norm(row) for row in embeddings],
    )
