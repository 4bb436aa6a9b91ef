"""The judgement of a speaker encoder: every figure of one run, from its embeddings."""

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet.metrics import (
    equal_error_rate,
    equal_error_threshold,
    error_rates,
    min_dcf,
    misclassification_rate,
    nearest_centroid_accuracy,
    normalized_mutual_information,
    pair_scores,
    purity,
)
from jaxtriplet.metrics.agglomerative import agglomerative


def judge(
    train_embeddings: ArrayLike, train_labels: ArrayLike, test_embeddings: ArrayLike, test_labels: ArrayLike
) -> dict[str, float | int]:
    """Judge embeddings of test utterances: verification, identification and clustering.

    Verification scores every pair of test utterances by cosine. The one number chosen by looking at scores, the
    threshold, is the equal-error threshold of the *training* pairs.

    Args:
        train_embeddings: Embeddings of the training utterances, [M, D].
        train_labels: Their speakers, [M].
        test_embeddings: Embeddings of the test utterances, [N, D].
        test_labels: Their speakers, [N], at least two of them and one with two utterances.

    Returns:
        Plain numbers, all rates from 0 to 1: `equal_error_rate` and `min_dcf` of the test pairs; `threshold`, with the
        `false_acceptance_rate` and `false_rejection_rate` of the test pairs there; `accuracy` of identification by
        nearest training centroid; `purity`, `nmi` and `misclassification_rate` of the test utterances, clustered into
        as many groups as they have speakers; `num_trials` (test pairs) and `num_speakers` (test speakers).

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, pairs of one kind are missing, or no test speaker
            has training utterances.

    >>> figures = judge([[1, 0], [2, 0], [0, 1], [0, 2]], [0, 0, 1, 1], [[3, 1], [2, 1], [1, 2], [1, 3]], [0, 0, 1, 1])
    >>> figures["equal_error_rate"], figures["accuracy"], figures["threshold"], figures["num_trials"]
    (0.0, 1.0, 0.5, 6)
    """
    threshold = equal_error_threshold(*pair_scores(train_embeddings, train_labels))
    accuracy = nearest_centroid_accuracy(train_embeddings, train_labels, test_embeddings, test_labels)
    return _figures(test_embeddings, test_labels, threshold, accuracy=accuracy)


def judge_unseen(embeddings: ArrayLike, labels: ArrayLike) -> dict[str, float | int]:
    """Judge embeddings of speakers who were not trained on: verification and clustering.

    Args:
        embeddings: Embeddings of the utterances, [N, D].
        labels: Their speakers, [N], at least two of them and one with two utterances.

    Returns:
        What `judge` returns, without `accuracy`; the threshold is the equal-error threshold of these pairs themselves.

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, or pairs of one kind are missing.

    >>> figures = judge_unseen([[3, 1], [2, 1], [1, 2], [1, 3]], [0, 0, 1, 1])
    >>> figures["equal_error_rate"], figures["purity"], figures["num_trials"]
    (0.0, 1.0, 6)
    """
    return _figures(embeddings, labels, equal_error_threshold(*pair_scores(embeddings, labels)))


def _figures(
    embeddings: ArrayLike, labels: ArrayLike, threshold: float, **identification: float
) -> dict[str, float | int]:
    scores, same = pair_scores(embeddings, labels)
    rates = error_rates(scores, same, threshold)
    num_speakers = len(np.unique(labels))
    clusters = agglomerative(embeddings, num_speakers)
    return {
        "equal_error_rate": equal_error_rate(scores, same),
        "min_dcf": min_dcf(scores, same),
        **identification,
        "threshold": threshold,
        "false_acceptance_rate": rates.false_acceptance,
        "false_rejection_rate": rates.false_rejection,
        "purity": purity(labels, clusters),
        "nmi": normalized_mutual_information(labels, clusters),
        "misclassification_rate": misclassification_rate(labels, clusters),
        "num_trials": len(scores),
        "num_speakers": num_speakers,
    }
