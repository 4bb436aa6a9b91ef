"""How good embeddings are: verification, identification and clustering, in NumPy and scikit-learn."""

from .agglomerative import agglomerative, agglomerative_within, silhouettes
from .bootstrap import Interval, bootstrap_interval
from .clustering import matched_counts, misclassification_rate, normalized_mutual_information, purity
from .identification import nearest_centroid_accuracy
from .judgement import Judgement, judge, judge_unseen
from .normalization import adaptive_s_norm
from .verification import (
    DetCurve,
    ErrorRates,
    det_curve,
    equal_error_rate,
    equal_error_threshold,
    error_rates,
    min_dcf,
    pair_scores,
    trial_scores,
)

__all__ = [
    "DetCurve",
    "ErrorRates",
    "Interval",
    "Judgement",
    "adaptive_s_norm",
    "agglomerative",
    "agglomerative_within",
    "bootstrap_interval",
    "det_curve",
    "equal_error_rate",
    "equal_error_threshold",
    "error_rates",
    "judge",
    "judge_unseen",
    "matched_counts",
    "min_dcf",
    "misclassification_rate",
    "nearest_centroid_accuracy",
    "normalized_mutual_information",
    "pair_scores",
    "purity",
    "silhouettes",
    "trial_scores",
]
