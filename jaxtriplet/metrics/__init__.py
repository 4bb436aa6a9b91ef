"""How good embeddings are: verification, retrieval, identification and clustering, of arrays of NumPy.

- **Scores** of pairs of recordings: `pair_scores`, `trial_scores`; by a back-end, `backends.fit`; `adaptive_s_norm`.
- **Verification** by scores and the truth: `equal_error_rate`, `equal_error_threshold`, `error_rates`, `min_dcf`,
  `actual_dcf`; `det_curve`, `roc_curve`; how sure that is, `bootstrap_interval`, `bootstrap_difference`.
- **Log-likelihood ratios**: `calibrate`, `cllr`, `min_cllr`.
- **Retrieval** by embeddings and labels: `retrieval`, or one figure: `recall_at_k`, `precision_at_1`, `r_precision`,
  `map_at_r`, `ndcg`, `mean_reciprocal_rank`.
- **Clusters**: `agglomerative`, `agglomerative_within`, `silhouettes`; `purity`, `normalized_mutual_information`,
  `misclassification_rate`, `matched_counts`. **Identification**: `nearest_centroid_accuracy`.
- All of one encoder: `judge`, `judge_unseen`.

Embeddings come first here, and labels second; inside of a compiled step there is `jaxtriplet.training.metrics`.
"""

from . import backends as backends
from .agglomerative import (
    agglomerative as agglomerative,
    agglomerative_within as agglomerative_within,
    silhouettes as silhouettes,
)
from .backends import Backend as Backend
from .bootstrap import (
    MIN_SPEAKERS as MIN_SPEAKERS,
    Difference as Difference,
    Interval as Interval,
    bootstrap_difference as bootstrap_difference,
    bootstrap_interval as bootstrap_interval,
)
from .calibration import (
    Calibration as Calibration,
    calibrate as calibrate,
    cllr as cllr,
    min_cllr as min_cllr,
)
from .clustering import (
    matched_counts as matched_counts,
    misclassification_rate as misclassification_rate,
    normalized_mutual_information as normalized_mutual_information,
    purity as purity,
)
from .costs import actual_dcf as actual_dcf, min_dcf as min_dcf
from .identification import nearest_centroid_accuracy as nearest_centroid_accuracy
from .judgement import Judgement as Judgement, judge as judge, judge_unseen as judge_unseen
from .normalization import adaptive_s_norm as adaptive_s_norm
from .retrieval import Retrieval as Retrieval, retrieval as retrieval
from .retrieved import (
    map_at_r as map_at_r,
    mean_reciprocal_rank as mean_reciprocal_rank,
    ndcg as ndcg,
    precision_at_1 as precision_at_1,
    r_precision as r_precision,
    recall_at_k as recall_at_k,
)
from .verification import (
    DetCurve as DetCurve,
    ErrorRates as ErrorRates,
    RocCurve as RocCurve,
    det_curve as det_curve,
    equal_error_rate as equal_error_rate,
    equal_error_threshold as equal_error_threshold,
    error_rates as error_rates,
    pair_scores as pair_scores,
    roc_curve as roc_curve,
    trial_scores as trial_scores,
)
