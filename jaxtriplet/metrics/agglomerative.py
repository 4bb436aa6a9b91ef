"""Grouping utterances by speaker, without labels."""

import operator
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_distances

from jaxtriplet import _checks

from ._inputs import is_number, real


def agglomerative(embeddings: ArrayLike, num_clusters: int) -> NDArray[np.int64]:
    r"""Merge the two closest clusters, by mean cosine distance, until a given number of them is left.

    $$d(a, b) = \frac{1}{|a| \, |b|} \sum_{i \in a, j \in b} (1 - \cos(e_i, e_j))$$

    Args:
        embeddings: One row an utterance, [N, D]; any length (a row of zeros is at distance 1 from all others).
        num_clusters: Number of clusters to stop at, 1 to N.

    Returns:
        The cluster of every utterance, [N], integers from 0 to `num_clusters - 1` in no particular order.

    Raises:
        ValueError: The shape is wrong, an embedding is not finite, or there are fewer rows than clusters.

    >>> clusters = agglomerative([[1.0, 0.1], [2.0, 0.1], [0.0, 1.0]], 2)
    >>> bool(clusters[0] == clusters[1] != clusters[2])
    True

    Reference:
        Sokal, Michener, "A statistical method for evaluating systematic relationships", 1958 (UPGMA).
    """
    distances = _distances(embeddings)
    _checks.whole_number("num_clusters", num_clusters)
    if not 1 <= num_clusters <= len(distances):
        raise ValueError(f"num_clusters must be 1 to {len(distances)}, the number of utterances; got {num_clusters}")
    model = AgglomerativeClustering(num_clusters, metric="precomputed", linkage="average")
    return np.asarray(model.fit_predict(distances))


def agglomerative_within(embeddings: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Merge the two closest clusters, as `agglomerative` does, while their mean cosine is at least a threshold.

    Args:
        embeddings: One row an utterance, [N, D]; any length.
        threshold: Mean cosine of two clusters down to which they are one speaker, such as the score from which two
            recordings are accepted as one speaker's.

    Returns:
        The cluster of every utterance, [N], integers from 0.

    Raises:
        ValueError: The shape is wrong, an embedding is not finite, or the threshold is NaN.

    >>> agglomerative_within([[1.0, 0.1], [2.0, 0.1], [0.0, 1.0]], 0.5).max() + 1
    np.int64(2)

    Reference:
        As `agglomerative`.
    """
    if not is_number(threshold):
        raise ValueError(f"threshold must be a number; got {threshold!r}")
    if np.isnan(threshold):
        raise ValueError("the threshold is NaN")
    # Distances are never negative, and those below the limit are merged: just above it, so that equality counts too.
    limit = max(0.0, np.nextafter(1.0 - threshold, np.inf))
    model = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=limit)
    return np.asarray(model.fit_predict(_distances(embeddings)))


def silhouettes(embeddings: ArrayLike, counts: Iterable[int]) -> NDArray[np.float64]:
    r"""Compute how well utterances lie in their clusters, for several numbers of clusters.

    $$\frac{1}{N} \sum_i \frac{b_i - a_i}{\max(a_i, b_i)}$$

    where $a_i$ is the mean cosine distance of an utterance to the others of its cluster, and $b_i$ that to the nearest
    other cluster; an utterance alone in its cluster has 0 in the sum. The number of speakers is estimated as the one
    with the highest value.

    Args:
        embeddings: One row an utterance, [N, D].
        counts: Numbers of clusters, [K], each 2 to N - 1.

    Returns:
        The mean silhouette of each number of clusters, [K], -1 to 1.

    Raises:
        ValueError: The shape is wrong, an embedding is not finite, or a number is out of range.

    >>> silhouettes([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], [2, 3]).argmax()
    np.int64(0)

    Reference:
        Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", 1987.
    """
    distances = _distances(embeddings)
    try:
        numbers = [operator.index(count) for count in counts]
    except TypeError as error:
        raise ValueError(f"counts must be numbers of clusters, a list of them; got {_checks.seen(counts)}") from error
    if not all(2 <= count < len(distances) for count in numbers):
        raise ValueError(f"a number of clusters must be 2 to {len(distances) - 1} to have a silhouette; got {numbers}")
    merges = linkage(squareform(distances, checks=False), method="average")
    columns = cut_tree(merges, n_clusters=numbers).T
    return np.array([silhouette_score(distances, clusters, metric="precomputed") for clusters in columns])


def _distances(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Cosine distances [N, N] of finite rows, or what is wrong with these."""
    rows = real(embeddings, "embeddings must be numbers of shape [N, D]").astype(np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"embeddings must have shape [N, D] with at least two rows; got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("embeddings hold NaN or infinity")
    return np.asarray(cosine_distances(rows))
