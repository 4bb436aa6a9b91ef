"""How good embeddings are: verification, identification and clustering, in NumPy and scikit-learn."""

from .clustering import matched_counts, misclassification_rate, normalized_mutual_information, purity
from .identification import nearest_centroid_accuracy
from .verification import (
    DetCurve,
    ErrorRates,
    det_curve,
    equal_error_rate,
    equal_error_threshold,
    error_rates,
    min_dcf,
    pair_scores,
)

__all__ = [
    "DetCurve",
    "ErrorRates",
    "det_curve",
    "equal_error_rate",
    "equal_error_threshold",
    "error_rates",
    "matched_counts",
    "min_dcf",
    "misclassification_rate",
    "nearest_centroid_accuracy",
    "normalized_mutual_information",
    "pair_scores",
    "purity",
]
