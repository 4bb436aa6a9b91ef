"""What every metric asks of the arrays that it is given."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def labelled_rows(
    embeddings: ArrayLike, labels: ArrayLike, *, name: str = "embeddings"
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Return finite float64 rows [N, D] and their labels [N], or say in plain words what is wrong with them."""
    rows, ids = np.asarray(embeddings), np.asarray(labels)
    if rows.ndim != 2:
        raise ValueError(f"{name} must have shape [N, D]: one row an utterance; got {rows.shape}")
    if ids.shape != rows.shape[:1]:
        raise ValueError(f"labels of {len(rows)} {name} must have shape [{len(rows)}]; got {ids.shape}")
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} hold NaN or infinity in {np.sum(~np.isfinite(rows).all(axis=1))} of {len(rows)} rows")
    return rows, ids


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to unit length; a row of zeros stays as it is."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)
