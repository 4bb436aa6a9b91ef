"""Each figure of `retrieval` by itself, which does only the work that it needs; what they are is said there."""

from typing import Any

from jax.sharding import Mesh
from numpy.typing import ArrayLike

from jaxtriplet import distances
from jaxtriplet.types import DistanceFn

from ._rankings import FIRST, MAP_AT_R, R_PRECISION, Rankings


def recall_at_k(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    k: int = 1,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    """Compute the share of queries with a relevant reference among the k nearest.

    Args:
        embeddings: As in `retrieval`, and so are all but `k`.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        k: How many of the nearest to look at.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The recall@k of metric learning, 0 to 1.

    Raises:
        ValueError: As in `retrieval`.

    >>> recall_at_k([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.6, 0.7]], [4, 4, 7, 7], k=1)
    1.0
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    return rankings.means([rankings.recall(k)])[0]


def precision_at_1(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    """Compute the share of queries whose nearest reference is relevant.

    Args:
        embeddings: As in `retrieval`, and so are the others.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The precision, 0 to 1; the recall at 1 is the same number.

    Raises:
        ValueError: As in `retrieval`.

    >>> precision_at_1([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], [[0.8, 0.0], [0.7, 0.1], [0.6, 0.9]], ["a", "b", "a"])
    0.5
    """
    return recall_at_k(embeddings, labels, references, reference_labels, k=1, distance_fn=distance_fn, mesh=mesh)


def r_precision(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    """Compute the share of relevant references among the R nearest, R being how many of them there are.

    Args:
        embeddings: As in `retrieval`, and so are the others.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The mean over queries, 0 to 1.

    Raises:
        ValueError: As in `retrieval`.

    >>> r_precision([[1.0, 0.0]], ["a"], [[0.8, 0.0], [0.7, 0.1], [0.6, 0.9]], ["a", "b", "a"])
    0.5
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    return rankings.means([R_PRECISION])[0]


def map_at_r(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    r"""Compute the mean average precision at R, the number of relevant references.

    $$\frac{1}{R} \sum_{i=1}^{R} \mathrm{rel}_i \, \frac{1}{i} \sum_{j \le i} \mathrm{rel}_j$$

    Args:
        embeddings: As in `retrieval`, and so are the others.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The mean over queries, 0 to 1.

    Raises:
        ValueError: As in `retrieval`.

    >>> map_at_r([[1.0, 0.0]], ["a"], [[0.8, 0.3], [0.7, 0.1], [0.6, 0.9]], ["a", "b", "a"])
    0.25

    Reference:
        Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020.
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    return rankings.means([MAP_AT_R])[0]


def ndcg(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    k: int = 10,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    r"""Compute the normalised discounted cumulative gain of the k nearest, each relevant reference being worth 1.

    $$\sum_{i \le k} \frac{\mathrm{rel}_i}{\log_2(i + 1)} \Big/ \sum_{i \le \min(k, R)} \frac{1}{\log_2(i + 1)}$$

    Args:
        embeddings: As in `retrieval`, and so are all but `k`.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        k: How many of the nearest to look at.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The mean over queries, 0 to 1.

    Raises:
        ValueError: As in `retrieval`.

    >>> round(ndcg([[1.0, 0.0]], ["a"], [[0.8, 0.3], [0.7, 0.1], [0.6, 0.9]], ["a", "b", "a"], k=2), 4)
    0.3869

    Reference:
        Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    return rankings.means([rankings.ndcg(k)])[0]


def mean_reciprocal_rank(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> float:
    """Compute the mean inverse of the place at which each query finds its first relevant reference.

    Args:
        embeddings: As in `retrieval`, and so are the others.
        labels: Of the queries.
        references: What they are to find; None: each other.
        reference_labels: Of the references.
        distance_fn: `(queries, references) -> distances`.
        mesh: A mesh over whose devices the queries are spread.

    Returns:
        The mean over queries, 0 to 1.

    Raises:
        ValueError: As in `retrieval`.

    >>> mean_reciprocal_rank([[1.0, 0.0]], ["a"], [[0.8, 0.3], [0.7, 0.1], [0.6, 0.9]], ["a", "b", "a"])
    0.5
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    return rankings.means([FIRST])[0]
