"""Means and covariances of speakers, each of whom counts alike, however many recordings there are."""

import numpy as np
from numpy.typing import NDArray

# A number this much smaller than those that it was computed from is their rounding error.
ROUNDING = 64 * float(np.finfo(np.float64).eps)
ROUNDING_32 = 64 * float(np.finfo(np.float32).eps)

Matrix = NDArray[np.float64]
Members = NDArray[np.intp]


def speaker_means(rows: Matrix, members: Members) -> Matrix:
    """The mean of each speaker's rows, [S, D]."""
    counts = np.bincount(members)
    starts = np.cumsum(counts) - counts
    return np.add.reduceat(rows[np.argsort(members, kind="stable")], starts) / counts[:, None]


def within_deviations(rows: Matrix, members: Members) -> Matrix:
    """Rows less their speaker's mean, so weighed that the sum of their squares is the speakers' mean covariance."""
    counts = np.bincount(members)
    several = counts > 1
    if not several.any():
        raise ValueError("how recordings of one speaker vary is learnt from at least one speaker with two recordings")
    weights = several / (np.sum(several) * np.maximum(counts - 1, 1))
    return (rows - speaker_means(rows, members)[members]) * np.sqrt(weights)[members, None]


def between_covariance(rows: Matrix, members: Members) -> Matrix:
    """The covariance of the speakers' means, [D, D]."""
    means = speaker_means(rows, members)
    deviations = means - means.mean(axis=0)
    if np.abs(deviations).max() <= ROUNDING * np.abs(rows).max():
        raise ValueError("all speakers have the same mean, so that nothing tells them apart")
    return deviations.T @ deviations / (len(means) - 1)


def shrunk(covariance: Matrix, share: float) -> Matrix:
    """A covariance with this share of the isotropic one of the same trace."""
    dim = len(covariance)
    return (1 - share) * covariance + share * np.trace(covariance) / dim * np.eye(dim)


def whitening(rows: Matrix, members: Members, within: float, rounding: float) -> Matrix:
    """The symmetric root of the inverse of the shrunk covariance within speakers, [D, D]; `rounding` as above."""
    deviations = within_deviations(rows, members)
    scale = np.abs(deviations).max()
    if scale <= rounding * np.abs(rows).max():
        raise ValueError("the recordings of each speaker are equal, so that how they vary cannot be learnt")
    deviations = deviations / scale
    values, directions = np.linalg.eigh(shrunk(deviations.T @ deviations, within))
    if values[0] <= len(values) * np.finfo(np.float64).eps * values[-1]:
        raise ValueError(
            f"recordings of one speaker do not vary in all {len(values)} dimensions, so that `within` must be larger; "
            f"got {within}"
        )
    return (directions / np.sqrt(values)) @ directions.T / scale


def leading(whitened: Matrix, members: Members, dim: int | None) -> Matrix:
    """The directions [K, dim] in which the means of the speakers differ most."""
    values, directions = np.linalg.eigh(between_covariance(whitened, members))
    rank = min(int(np.sum(values > ROUNDING * values[-1])), members.max())
    dim = rank if dim is None else dim
    if not 1 <= dim <= rank:
        raise ValueError(
            f"the means of these speakers differ in {rank} directions: `dim` must be 1 to {rank}; got {dim}"
        )
    return directions[:, ::-1][:, :dim]
