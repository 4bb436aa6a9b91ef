"""Back-ends by loops over speakers and rows, explicit inverses and densities of Gaussians, in float64.

The scoring of PLDA by others is here too, written from their formulas: Kaldi's posterior of a speaker's mean
(`src/ivector/plda.cc`, after Ioffe 2006) and speechbrain's matrices of the total and the between-speaker covariance
(`processing/PLDA_LDA.py`, after Garcia-Romero and Espy-Wilson 2011).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import multivariate_normal


class Model(NamedTuple):
    """What a kind of back-end makes of rows: the inner product of x less `center` is that by `metric`."""

    center: np.ndarray
    metric: np.ndarray
    """M of <a, b> = a^T M b, [D, D]."""
    root: np.ndarray
    """R with R^T R = M, [K, D]."""
    between: np.ndarray
    within: float
    """B and w of a PLDA."""


def by_speaker(rows: np.ndarray, labels: Sequence[object]) -> list[list[np.ndarray]]:
    """The rows of each speaker."""
    groups: dict[object, list[np.ndarray]] = {}
    for row, label in zip(rows, labels, strict=True):
        groups.setdefault(label, []).append(row)
    return list(groups.values())


def mean(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of rows."""
    return sum(rows[1:], start=rows[0]) / len(rows)


def covariance(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The unbiased covariance of two rows or more."""
    return sum(np.outer(row - mean(rows), row - mean(rows)) for row in rows) / (len(rows) - 1)


def within_covariance(groups: list[list[np.ndarray]]) -> np.ndarray:
    """The mean of the speakers' covariances, where there are any."""
    return mean([covariance(group) for group in groups if len(group) > 1])


def shrunk(matrix: np.ndarray, share: float) -> np.ndarray:
    """With this share of the isotropic matrix."""
    return (1 - share) * matrix + share * sum(np.diag(matrix)) / len(matrix) * np.eye(len(matrix))


def normalized(model: Model, x: np.ndarray) -> np.ndarray:
    """Each row less the center, of length sqrt(K) by the metric, seen through its root."""
    rows = []
    for row in x:
        length = math.sqrt((row - model.center) @ model.metric @ (row - model.center))
        rows.append(math.sqrt(len(model.root)) * model.root @ (row - model.center) / length)
    return np.array(rows)


def fit(
    kind: str, rows: np.ndarray, labels: Sequence[object], within: float, between: float, dim: int | None = None
) -> Model:
    """A back-end of a kind."""
    groups, size = by_speaker(rows, labels), rows.shape[1]
    center = mean([mean(group) for group in groups])
    if kind == "centered":
        return Model(center, np.eye(size), np.eye(size), np.eye(size), 0.0)
    smooth = shrunk(within_covariance(groups), within)
    metric = np.linalg.inv(smooth)
    root = np.linalg.inv(np.linalg.cholesky(smooth))
    if kind == "lda":
        values, vectors = np.linalg.eig(metric @ covariance([mean(group) for group in groups]))
        best = vectors[:, np.argsort(-values.real)[:dim]].real
        best = best / np.sqrt(np.diag(best.T @ smooth @ best))
        metric, root = best @ best.T, best.T
    model = Model(center, metric, root, np.eye(len(root)), 0.0)
    if kind == "plda":
        groups = by_speaker(normalized(model, rows), labels)
        spread = shrunk(covariance([mean(group) for group in groups]), between)
        model = model._replace(between=spread, within=float(np.trace(within_covariance(groups)) / size))
    return model


def score(kind: str, model: Model, first: np.ndarray, second: np.ndarray) -> float:
    """Of two recordings: a cosine by the metric, or the logarithm of a ratio of two densities."""
    a, b = normalized(model, np.stack([first, second]))
    if kind != "plda":
        return float(a @ b) / len(a)
    total = model.between + model.within * np.eye(len(a))
    apart = np.zeros_like(total)
    one, two = (np.block([[total, side], [side, total]]) for side in (model.between, apart))
    both = np.concatenate([a, b])
    return float(multivariate_normal.logpdf(both, cov=one) - multivariate_normal.logpdf(both, cov=two))


def embedded_cosine(model: Model, rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The cosine of a PLDA's unit embeddings, fitted on rows: <u, u'> = y^T B (T T - B B)^-1 y', with T = B + w I."""
    total = model.between + model.within * np.eye(len(model.between))
    product = model.between @ np.linalg.inv(total @ total - model.between @ model.between)
    appended = 10 * sum(y @ product @ y for y in normalized(model, rows)) / len(rows)
    a, b = normalized(model, np.stack([first, second]))
    norms = [math.sqrt(y @ product @ y + appended) for y in (a, b)]
    return float((a @ product @ b + appended) / math.prod(norms))


def kaldi(enrolment: np.ndarray, test: np.ndarray, between: np.ndarray, within: float) -> float:
    """The density of the test given what one enrolment recording tells of the speaker's mean, over that given none."""
    ratios, turned = np.linalg.eigh(between / within)
    x, y = (row @ turned / math.sqrt(within) for row in (enrolment, test))
    total = 0.0
    for ratio, one, other in zip(ratios, x, y, strict=True):
        guess, variance = ratio / (ratio + 1) * one, 1 + ratio / (ratio + 1)
        total -= 0.5 * (math.log(variance) + (other - guess) ** 2 / variance)
        total += 0.5 * (math.log(1 + ratio) + other**2 / (1 + ratio))
    return total


def speechbrain(enrolment: np.ndarray, test: np.ndarray, between: np.ndarray, within: float) -> float:
    """Quadratic forms Q of either side and P of both, and the constant of one model with loading matrix F F^T = B."""
    size = len(between)
    loadings = np.linalg.cholesky(between)
    total = between + within * np.eye(size)
    inverse = np.linalg.inv(total)
    given = np.linalg.inv(total - between @ inverse @ between)
    own, shared = inverse - given, inverse @ between @ given
    evidence = loadings.T @ loadings / within
    dets = [np.linalg.slogdet(count * evidence + np.eye(size))[1] for count in (1, 2)]
    quadratic = 0.5 * (enrolment @ own @ enrolment + test @ own @ test)
    return float(quadratic + enrolment @ shared @ test + dets[0] - dets[1] / 2)
