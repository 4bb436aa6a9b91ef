"""Clustering: how well do groups found without labels agree with the speakers?"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix


def purity(labels: ArrayLike, clusters: ArrayLike) -> float:
    r"""Compute the share of utterances that belong to the commonest speaker of their cluster.

    $$\frac{1}{N} \sum_c \max_s n_{sc}$$

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N], named in any way.

    Returns:
        The purity, above 0 to 1. It never falls when a cluster is split.

    Raises:
        ValueError: Shapes do not match or are empty.

    >>> purity([0, 0, 1, 1], [5, 5, 5, 9])
    0.75

    Reference:
        Manning, Raghavan, Schütze, "Introduction to Information Retrieval", section 16.3, 2008.
    """
    counts = _counts(labels, clusters)
    return float(counts.max(axis=0).sum() / counts.sum())


def normalized_mutual_information(labels: ArrayLike, clusters: ArrayLike) -> float:
    r"""Compute the information that clusters and speakers share, relative to the mean of their entropies.

    $$\frac{2 \, I(s; c)}{H(s) + H(c)}$$

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N], named in any way.

    Returns:
        0 (independent) to 1 (the same partition).

    Raises:
        ValueError: Shapes do not match or are empty.

    >>> normalized_mutual_information([0, 0, 1, 1], [7, 7, 3, 3])
    1.0

    Reference:
        Strehl, Ghosh, "Cluster ensembles", JMLR 2002 (there with the geometric mean).
    """
    return float(normalized_mutual_info_score(*_check_partitions(labels, clusters)))


def misclassification_rate(labels: ArrayLike, clusters: ArrayLike) -> float:
    r"""Compute the share of utterances outside the best one-to-one match of clusters and speakers.

    $$1 - \frac{1}{N} \max_{\pi} \sum_s n_{s \pi(s)}$$

    A speaker spread over two clusters is right in one of them only, and two speakers in one cluster count as one.

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N], named in any way.

    Returns:
        The rate, 0 to below 1.

    Raises:
        ValueError: Shapes do not match or are empty.

    >>> misclassification_rate([0, 0, 1, 1], [5, 5, 5, 9])
    0.25

    Reference:
        Kotti, Moschou, Kotropoulos, "Speaker segmentation and clustering", Signal Processing 2008.
    """
    counts = matched_counts(labels, clusters)
    return float(1.0 - np.trace(counts) / counts.sum())


def matched_counts(labels: ArrayLike, clusters: ArrayLike) -> NDArray[np.int64]:
    """Count the utterances of every speaker in every cluster, each speaker's own cluster on the diagonal.

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N], named in any way.

    Returns:
        Counts [S, max(S, C)]: a row for each speaker, in sorted order; column s is the cluster matched to speaker s
        (empty where there are fewer clusters than speakers), and unmatched clusters come last.

    Raises:
        ValueError: Shapes do not match or are empty.

    >>> matched_counts([0, 0, 1, 1], [9, 5, 5, 5])
    array([[1, 1],
           [0, 2]])

    Reference:
        Kuhn, "The Hungarian method for the assignment problem", 1955 (SciPy's `linear_sum_assignment`).
    """
    return match(labels, clusters)[0]


def match(labels: ArrayLike, clusters: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what `matched_counts` does, and which cluster each column is: its place in sorted order, -1 for none.

    >>> match([0, 0, 1, 1], [9, 5, 5, 5])[1], match([0, 1], [5, 5])[1]
    (array([1, 0]), array([ 0, -1]))
    """
    counts = _counts(labels, clusters)
    speakers, found = counts.shape
    counts = np.pad(counts, ((0, 0), (0, max(0, speakers - found))))
    _, own = linear_sum_assignment(counts, maximize=True)
    order = np.array([*own, *np.setdiff1d(np.arange(counts.shape[1]), own)], np.int64)
    return counts[:, order], np.where(order < found, order, -1)


def _counts(labels: ArrayLike, clusters: ArrayLike) -> NDArray[np.int64]:
    return np.asarray(contingency_matrix(*_check_partitions(labels, clusters)))


def _check_partitions(labels: ArrayLike, clusters: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    speakers, groups = np.asarray(labels), np.asarray(clusters)
    if speakers.ndim != 1 or speakers.shape != groups.shape or not speakers.size:
        raise ValueError(f"labels and clusters must both have shape [N], N > 0; got {speakers.shape}, {groups.shape}")
    return speakers, groups
