"""Grouping utterances by speaker, without labels."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics.pairwise import cosine_distances


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
    rows = np.asarray(embeddings, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"embeddings must have shape [N, D] with at least two rows; got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("embeddings hold NaN or infinity")
    if not 1 <= num_clusters <= len(rows):
        raise ValueError(f"num_clusters must be 1 to {len(rows)}, the number of utterances; got {num_clusters}")
    model = AgglomerativeClustering(num_clusters, metric="precomputed", linkage="average")
    return np.asarray(model.fit_predict(cosine_distances(rows)))
