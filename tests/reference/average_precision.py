"""Average precision, softened."""

import numpy as np

from .distances import relu, squared_euclidean
from .terms import Terms, distance_matrix, mining_terms, negatives_of, positives_of


def fast_ap(labels: np.ndarray, x: np.ndarray, *, num_bins: int) -> Terms:
    """One term per row that has a positive: one minus the average precision of histograms of squared distances.

    The bins' middles are spread from 0 to 4, where squared distances of unit rows end; each distance is shared out
    linearly between the two nearest.
    """
    d = distance_matrix(x, squared_euclidean)
    terms = mining_terms(labels, x, d)
    width = 4 / num_bins

    def histogram(distances: list[float]) -> list[float]:
        return [sum(relu(1 - abs(each - width * k) / width) for each in distances) for k in range(num_bins + 1)]

    for i in range(len(labels)):
        positives = [d[i, p] for p in positives_of(labels, i)]
        if not positives:
            continue
        of_positives, of_negatives = histogram(positives), histogram([d[i, n] for n in negatives_of(labels, i)])
        precision = 0.0
        for k in range(num_bins + 1):
            nearer, all_nearer = sum(of_positives[: k + 1]), sum(of_positives[: k + 1]) + sum(of_negatives[: k + 1])
            if of_positives[k] > 0:
                precision += of_positives[k] * nearer / all_nearer
        terms.add(i, 1 - precision / len(positives))
    return terms
