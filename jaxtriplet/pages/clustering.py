"""The page about recordings in clusters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet.pages import page
from jaxtriplet.pages.figures import CLUSTERING, require


def clustering_page(
    folder: str | Path,
    *,
    figures: Mapping[str, Any],
    embeddings: ArrayLike,
    clusters: ArrayLike,
    settings: Mapping[str, Any],
    speakers: Sequence[str] | None = None,
    tried: Mapping[int, float] | None = None,
) -> Path:
    """Write `report.html` about clusters: maps of the embeddings and, if the truth is known, how they meet it.

    Args:
        folder: Where to write; made if it is not there. A `report.html` in it is replaced.
        figures: The content of `metrics.json`: `num_recordings`, `num_clusters` and `estimated_by` ("given",
            "threshold" or "silhouette"). Others are listed too; recordings left out under `left_out`, rows of `path`
            and `reason`.
        embeddings: One row a recording, [N, D].
        clusters: The number of the cluster of each, [N], as it is to be shown.
        settings: What was asked for.
        speakers: Who speaks in each recording, N names, if that is known.
        tried: The mean silhouette by number of clusters, if silhouettes decided.

    Returns:
        The path of the page.

    Raises:
        ValueError: A figure is missing, or shapes do not match.
    """
    require(figures, ("num_recordings", "num_clusters", "estimated_by"), "jobs.cluster")
    names = {"cluster": [str(number) for number in np.asarray(clusters).tolist()]}
    if speakers is not None:
        names["speaker"] = list(speakers)
    return page.write(
        folder,
        "clustering.html",
        figures=figures,
        meanings=CLUSTERING,
        settings=settings,
        embeddings=embeddings,
        clusters=clusters,
        names=names,
        tried=tried,
    )
