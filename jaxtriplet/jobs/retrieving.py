"""Retrieval figures: of each recording's nearest others, which are of its speaker."""

from typing import Any

import numpy as np

from jaxtriplet import metrics
from jaxtriplet.jobs.trials import Chosen

RANKS = (1, 5, 10)


def require_known(judged: Chosen) -> None:
    """Refuses recordings of nobody knows whom, or of whose speakers nobody has two.

    Args:
        judged: The recordings.

    Raises:
        ValueError: They are such.
    """
    if judged.speakers is None:
        raise ValueError(
            "`retrieval` needs to know who speaks: the first folder of every path, in agreement with the trials"
        )
    if np.bincount(judged.speakers).max() < 2:
        raise ValueError("`retrieval`: nobody has two recordings, so there is nothing to find")


def retrieved(embeddings: np.ndarray, speakers: np.ndarray) -> dict[str, Any]:
    """Returns the figures of recordings that are looked for among all others, by cosine.

    Args:
        embeddings: One row a recording, [N, E].
        speakers: Who speaks, [N] integers.

    Raises:
        ValueError: Nobody has two recordings.
    """
    others = len(embeddings) - 1
    ranks = tuple(k for k in RANKS if k <= others)
    found = metrics.retrieval(embeddings, speakers, k=ranks, ndcg_at=1)  # which is not told
    figures: dict[str, Any] = {f"recall_at_{k}": found.recall_at[k] for k in ranks}
    if missing := [str(k) for k in RANKS if k not in ranks]:
        figures["no_recall"] = f"no recall at {' or '.join(missing)}: each recording has {others} others"
    return figures | {
        "r_precision": found.r_precision,
        "map_at_r": found.map_at_r,
        "mean_reciprocal_rank": found.mean_reciprocal_rank,
        "num_queries": found.num_queries,
        "num_queries_left_out": found.num_left_out,
    }
