"""The judgement of a speaker encoder: every figure of one run, from its embeddings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .agglomerative import agglomerative
from .clustering import misclassification_rate, normalized_mutual_information, purity
from .costs import min_dcf
from .identification import nearest_centroid_accuracy
from .verification import equal_error_rate, equal_error_threshold, error_rates, pair_scores


@dataclass(frozen=True, eq=False)
class Judgement:
    """How good the embeddings of N utterances are, and what that was found by.

    Attributes:
        figures: Plain numbers by name, all rates from 0 to 1; `judge` says which.
        embeddings: The embeddings, [N, D].
        labels: Their speakers, [N].
        scores: The cosine of every pair, [N (N - 1) / 2], in the order of `pair_scores`.
        same: True for the pairs of one speaker, of that shape.
        clusters: The cluster of every utterance, [N], in as many clusters as there are speakers.
        judged: What the utterances are, in a word: "test", "development" or "training".
    """

    figures: dict[str, float | int]
    embeddings: NDArray[np.generic]
    labels: NDArray[np.generic]
    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    clusters: NDArray[np.int64]
    judged: str


def judge(
    train_embeddings: ArrayLike,
    train_labels: ArrayLike,
    test_embeddings: ArrayLike,
    test_labels: ArrayLike,
    *,
    judged: str = "test",
) -> Judgement:
    """Judge embeddings of test utterances: verification, identification and clustering.

    Verification scores every pair of test utterances by cosine. The one number chosen by looking at scores, the
    threshold, is the equal-error threshold of the *training* pairs.

    Args:
        train_embeddings: Embeddings of the training utterances, [M, D].
        train_labels: Their speakers, [M].
        test_embeddings: Embeddings of the test utterances, [N, D].
        test_labels: Their speakers, [N], at least two of them and one with two utterances.
        judged: What the test utterances are, in a word.

    Returns:
        The judgement. Its figures: `equal_error_rate` and `min_dcf` of the test pairs; `threshold`, with the
        `false_acceptance_rate` and `false_rejection_rate` of the test pairs there; `accuracy` of identification by
        nearest training centroid; `purity`, `nmi` and `misclassification_rate` of the test utterances, clustered into
        as many groups as they have speakers; `num_trials` (test pairs) and `num_speakers` (test speakers).

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, pairs of one kind are missing, or no test speaker
            has training utterances.

    >>> labels = [0, 0, 1, 1]
    >>> judgement = judge([[1, 0], [2, 0], [0, 1], [0, 2]], labels, [[3, 1], [2, 1], [1, 2], [1, 3]], labels)
    >>> [judgement.figures[name] for name in ("equal_error_rate", "accuracy", "threshold", "num_trials")]
    [0.0, 1.0, 0.5, 6]
    """
    threshold = equal_error_threshold(*pair_scores(train_embeddings, train_labels))
    accuracy = nearest_centroid_accuracy(train_embeddings, train_labels, test_embeddings, test_labels)
    return _judgement(test_embeddings, test_labels, judged, threshold, accuracy=accuracy)


def judge_unseen(
    embeddings: ArrayLike, labels: ArrayLike, *, judged: str = "development", threshold: float | None = None
) -> Judgement:
    """Judge embeddings of speakers who were not trained on: verification and clustering.

    Args:
        embeddings: Embeddings of the utterances, [N, D].
        labels: Their speakers, [N], at least two of them and one with two utterances.
        judged: What the utterances are, in a word.
        threshold: Cosine from which a pair is accepted; None for the equal-error threshold of these pairs themselves.

    Returns:
        The judgement, with the figures of `judge` but for `accuracy`.

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, or pairs of one kind are missing.

    >>> judgement = judge_unseen([[3, 1], [2, 1], [1, 2], [1, 3]], [0, 0, 1, 1])
    >>> [judgement.figures[name] for name in ("equal_error_rate", "purity", "num_trials")]
    [0.0, 1.0, 6]
    """
    return _judgement(embeddings, labels, judged, threshold)


def _judgement(
    embeddings: ArrayLike, labels: ArrayLike, judged: str, threshold: float | None, **identification: float
) -> Judgement:
    scores, same = pair_scores(embeddings, labels)
    if threshold is None:
        threshold = equal_error_threshold(scores, same)
    rates = error_rates(scores, same, threshold)
    num_speakers = len(np.unique(labels))
    clusters = agglomerative(embeddings, num_speakers)
    figures = {
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
    return Judgement(figures, np.asarray(embeddings), np.asarray(labels), scores, same, clusters, judged)
