"""What every metric asks of the arrays that it is given."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def labelled_rows(
    embeddings: ArrayLike, labels: ArrayLike, *, name: str = "embeddings"
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Return finite float64 rows [N, D] and their labels [N], or say in plain words what is wrong with them."""
    rows, ids = finite_rows(embeddings, name=name), np.asarray(labels)
    if ids.shape != rows.shape[:1]:
        raise ValueError(f"labels of {len(rows)} {name} must have shape [{len(rows)}]; got {ids.shape}")
    return rows, ids


def finite_rows(
    embeddings: ArrayLike, *, name: str = "embeddings", dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    """Return finite rows [N, D] of that dtype, or say in plain words what is wrong with them."""
    rows = np.asarray(embeddings)
    if rows.ndim != 2:
        raise ValueError(f"{name} must have shape [N, D]: one row an utterance; got {rows.shape}")
    rows = rows.astype(dtype, copy=False)
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} hold NaN or infinity in {np.sum(~np.isfinite(rows).all(axis=1))} of {len(rows)} rows")
    return rows


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to unit length; a row of zeros stays as it is."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def checked_trials(scores: ArrayLike, same: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return finite float64 scores [T] and the truth [T], of both kinds, or say what is wrong with them."""
    scores, same = np.asarray(scores, np.float64), np.asarray(same)
    if scores.ndim != 1 or same.shape != scores.shape:
        raise ValueError(f"scores and same must both have shape [T], T trials; got {scores.shape}, {same.shape}")
    if same.dtype != np.bool_:
        raise ValueError(f"same must be bool: True where a trial has one speaker; got {same.dtype}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are NaN or infinite")
    if not same.any():
        raise ValueError("there is no target trial (two utterances of one speaker), so nothing can be falsely rejected")
    if same.all():
        raise ValueError("there is no impostor trial (two speakers), so nothing can be falsely accepted")
    return scores, same
