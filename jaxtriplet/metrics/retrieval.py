r"""Retrieval: which references does a query find first?

References are ranked by their distance to the query, the nearest first. Relevant are those of the query's label, or
that share one of its labels; R of them. Queries without a relevant reference are left out. In one set, every row is a
query to all others.

- **Recall@k**, of metric learning: the share of queries with a relevant reference among the k nearest. (In information
  retrieval, recall@k is the share of relevant references that are among the k nearest, and this is "success" or "hit
  rate".) At k = 1 it is the precision@1.
- **R-precision**: the share of relevant references among the R nearest.
- **MAP@R**: $\frac{1}{R} \sum_{i=1}^{R} P(i)$, the precision at place i where that reference is relevant, else 0.
- **NDCG@k**: $\sum_i 1 / \log_2(i + 1)$ over the places i of relevant references among the k nearest, over the most
  that this can be.
- **Mean reciprocal rank**: of the place of the first relevant reference in the whole ranking.

**Ties.** References at one distance have no order, and a figure is its mean over all of their orders, in closed form:
an encoder that has collapsed finds what chance finds, not what the order of the rows happens to give. Equal rows are
always at one distance; others are where they are computed alike, and not where rounding sets them apart.

**Work.** Distances are made on whatever devices JAX has, in float32 (float64 with `jax_enable_x64`), a block of queries
at a time; the nearest are selected there. Queries that these leave undecided (ties across the last place, a first
relevant reference far down, hundreds of relevant ones) are ranked in full by NumPy.

Reference:
    MAP@R, R-precision: Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020. Ties: McSherry and Najork,
    "Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores", 2008.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax.sharding import Mesh
from numpy.typing import ArrayLike

from jaxtriplet import distances
from jaxtriplet.types import DistanceFn

from ._rankings import FIRST, MAP_AT_R, R_PRECISION, Rankings


class Retrieval(NamedTuple):
    """How well queries find what is relevant to them: means over queries, 0 to 1."""

    recall_at: dict[int, float]
    """By k."""
    precision_at_1: float
    r_precision: float
    map_at_r: float
    ndcg: float
    mean_reciprocal_rank: float
    num_queries: int
    """The queries that count."""
    num_left_out: int
    """Those without a relevant reference."""


def retrieval(
    embeddings: ArrayLike,
    labels: Any,
    references: ArrayLike | None = None,
    reference_labels: Any = None,
    *,
    k: int | Sequence[int] | None = None,
    ndcg_at: int | None = None,
    distance_fn: DistanceFn = distances.cosine,
    mesh: Mesh | None = None,
) -> Retrieval:
    """Judge embeddings by all figures of retrieval, from one pass over the distances.

    Args:
        embeddings: Queries, floats [Q, D].
        labels: Their labels: integers or strings [Q], a bool matrix [Q, L] of which labels each has, or Q sets.
        references: What they are to find, floats [N, D]; None: each other. A query that is among the references finds
            itself first: to look for others, give one set.
        reference_labels: The labels of references, in the form of `labels`.
        k: Of which recalls, one or several; None: of 1 and, if there are so many references, of 10.
        ndcg_at: How many of the nearest the NDCG looks at; None: 10, or all if these are fewer.
        distance_fn: `(queries, references) -> distances`, one of `jaxtriplet.distances` or any other.
        mesh: A mesh over whose devices the queries are spread, each device with all references; None for one device.
            Of several processes, each gives all rows.

    Returns:
        The figures, and how many queries count.

    Raises:
        ValueError: Shapes, labels or numbers are not as above; rows or distances are not finite; there are fewer
            references than `k` or `ndcg_at`; no query has a relevant reference, or all references are relevant to all.

    >>> found = retrieval([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.7]], ["a", "a", "b", "c"], k=(1, 2), ndcg_at=3)
    >>> found.recall_at, found.map_at_r, found.num_queries, found.num_left_out
    ({1: 1.0, 2: 1.0}, 1.0, 2, 2)
    """
    rankings = Rankings(embeddings, labels, references, reference_labels, distance_fn, mesh)
    if k is None:
        k = [one for one in (1, 10) if one <= rankings.number]
    try:
        ks = tuple(k)  # type: ignore[arg-type]
    except TypeError:
        ks = (k,)  # type: ignore[assignment]
    if not ks:
        raise ValueError("k must be a whole number above 0, or some of them; got none")
    ndcg_at = min(10, rankings.number) if ndcg_at is None else ndcg_at
    recalls = [rankings.recall(one) for one in (1, *ks)]
    figures = [*recalls, R_PRECISION, MAP_AT_R, rankings.ndcg(ndcg_at, "ndcg_at"), FIRST]
    precision_at_1, *recall_at, r_precision, map_at_r, ndcg, mean_reciprocal_rank = rankings.means(figures)
    judged = len(rankings.queries)
    return Retrieval(
        recall_at=dict(zip(map(int, ks), recall_at, strict=True)),
        precision_at_1=precision_at_1,
        r_precision=r_precision,
        map_at_r=map_at_r,
        ndcg=ndcg,
        mean_reciprocal_rank=mean_reciprocal_rank,
        num_queries=judged,
        num_left_out=len(rankings.positives) - judged,
    )
