"""How good embeddings are: verification, identification, clustering and retrieval; NumPy in, NumPy out."""

from . import backends as backends
from .agglomerative import (
    agglomerative as agglomerative,
    agglomerative_within as agglomerative_within,
    silhouettes as silhouettes,
)
from .backends import Backend as Backend
from .bootstrap import Interval as Interval, bootstrap_interval as bootstrap_interval
from .clustering import (
    matched_counts as matched_counts,
    misclassification_rate as misclassification_rate,
    normalized_mutual_information as normalized_mutual_information,
    purity as purity,
)
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
    det_curve as det_curve,
    equal_error_rate as equal_error_rate,
    equal_error_threshold as equal_error_threshold,
    error_rates as error_rates,
    min_dcf as min_dcf,
    pair_scores as pair_scores,
    trial_scores as trial_scores,
)
