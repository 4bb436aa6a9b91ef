"""Losses over weights of classes: each row among all classes, or each proxy of a class against all rows.

Weights are [C, D], or [C, K, D] of several centres to a class, of which the nearest counts. Labels are 0..C-1; with
another one the loss is NaN. A margin is one for all classes, or [C].
"""

from collections.abc import Callable

import numpy as np

from .distances import softplus, squared_euclidean, unit
from .softmax import log_sum_exp
from .terms import Terms


def cosine(row: np.ndarray, centre: np.ndarray) -> float:
    """The cosine of two vectors; of one that has no length, 0."""
    return np.dot(unit(row), unit(centre))


def angle(row: np.ndarray, centre: np.ndarray) -> float:
    """The angle in radians, exact near 0 and pi too, where a cosine no longer tells angles apart."""
    x, y = unit(row), unit(centre)
    if not (x.any() and y.any()):  # no direction: a cosine of 0
        return np.pi / 2
    return 2 * np.arctan2(np.linalg.norm(x - y), np.linalg.norm(x + y))


def nearest(row: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Of the centres of one class, [D] or [K, D], that of the largest cosine."""
    return max(np.atleast_2d(centres), key=lambda centre: cosine(row, centre))


def to_nearest(row: np.ndarray, centres: np.ndarray) -> float:
    """The cosine to a class."""
    return cosine(row, nearest(row, centres))


def among_classes(
    labels: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    term: Callable[[np.ndarray, int], float],
    similarity: Callable[[np.ndarray, np.ndarray], float] = to_nearest,
) -> Terms:
    """One term per row, active until the row is more similar to its own class than to every other one."""
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in x])
    for i, row in enumerate(x):
        if not 0 <= labels[i] < len(weights):
            terms.add(i, np.nan)
            continue
        similarities = [similarity(row, centres) for centres in weights]
        own, others = similarities[labels[i]], [s for c, s in enumerate(similarities) if c != labels[i]]
        terms.positive.append(1 - own)
        terms.negative += [1 - other for other in others]
        terms.add(i, term(row, labels[i]), active=any(other >= own for other in others))
    return terms


def cross_entropy(logits: list[float], label: int) -> float:
    """Minus the logarithm of the label's share."""
    return log_sum_exp(logits) - logits[label]


def normalized_softmax(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, temperature: float) -> Terms:
    """The cross entropy of cosines over a temperature."""

    def term(row: np.ndarray, label: int) -> float:
        return cross_entropy([to_nearest(row, centres) / temperature for centres in weights], label)

    return among_classes(labels, x, weights, term)


def am_softmax(
    labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float | np.ndarray, scale: float
) -> Terms:
    """The own cosine less a margin."""
    margins = np.broadcast_to(margin, len(weights))

    def term(row: np.ndarray, label: int) -> float:
        logits = [scale * to_nearest(row, centres) for centres in weights]
        logits[label] -= scale * margins[label]
        return cross_entropy(logits, label)

    return among_classes(labels, x, weights, term)


def widened(angle: float, margin: float, beyond: str) -> float:
    """The cosine of an angle and its margin; past half a turn, where it would rise again, what `beyond` says."""
    if angle + margin <= np.pi or beyond == "none":
        return np.cos(angle + margin)
    if beyond == "linear":
        return np.cos(angle) - margin * np.sin(margin)
    assert beyond == "monotone"
    return np.cos(angle) - 1 - np.cos(np.pi - margin)


def aam_softmax(
    labels: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    margin: float | np.ndarray,
    scale: float,
    *,
    beyond: str = "linear",
    inter_top_k: int = 0,
    penalty: float = 0.06,
) -> Terms:
    """A margin on the own angle; the nearest of the wrong classes are brought nearer by a penalty on theirs."""
    margins = np.broadcast_to(margin, len(weights))

    def term(row: np.ndarray, label: int) -> float:
        angles = [angle(row, nearest(row, centres)) for centres in weights]
        cosines = [np.cos(a) for a in angles]
        wrong = sorted((c for c in range(len(weights)) if c != label), key=lambda c: angles[c])
        for c in wrong[:inter_top_k]:
            cosines[c] = np.cos(angles[c] - penalty)
        cosines[label] = widened(angles[label], margins[label], beyond)
        return cross_entropy([scale * c for c in cosines], label)

    return among_classes(labels, x, weights, term)


def sphereface2(
    labels: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    margin: float | np.ndarray,
    scale: float,
    bias: float,
    *,
    exponent: float = 3.0,
    balance: float = 0.7,
    margin_type: str = "cosine",
) -> Terms:
    """Per row the sum of a binary problem for each class, which has a margin of its own."""
    margins = np.broadcast_to(margin, len(weights))

    def spread(z: float) -> float:
        half = (z + 1) / 2  # below 0 far beyond half a turn, where an odd exponent keeps the sign; here every one does
        return 2 * np.sign(half) * abs(half) ** exponent - 1

    def score(row: np.ndarray, c: int, *, own: bool) -> float:
        near = nearest(row, weights[c])
        if margin_type == "cosine":
            return spread(cosine(row, near)) + (-margins[c] if own else margins[c])
        assert margin_type == "angle"
        turned = angle(row, near)
        return spread(widened(turned, margins[c], "monotone") if own else np.cos(turned - margins[c]))

    def term(row: np.ndarray, label: int) -> float:
        logits = [scale * score(row, c, own=c == label) + bias for c in range(len(weights))]
        return sum(
            balance * softplus(-logit) if c == label else (1 - balance) * softplus(logit)
            for c, logit in enumerate(logits)
        )

    return among_classes(labels, x, weights, term)


def proxy_nca(labels: np.ndarray, x: np.ndarray, proxies: np.ndarray, scale: float) -> Terms:
    """The cross entropy of squared distances at length one."""

    def term(row: np.ndarray, label: int) -> float:
        near = [nearest(row, centres) for centres in proxies]
        return cross_entropy([-scale * squared_euclidean(unit(row), unit(proxy)) for proxy in near], label)

    return among_classes(labels, x, proxies, term)


def proxy_anchor(labels: np.ndarray, x: np.ndarray, proxies: np.ndarray, margin: float, scale: float) -> Terms:
    """Terms of proxies [C, D]: those that have rows pull them (kind 0), all push the rows of the others (kind 1)."""
    terms = Terms(len(proxies), norms=[np.linalg.norm(row) for row in x])
    poison = 0.0 if all(0 <= label < len(proxies) for label in labels) else np.nan
    for c, proxy in enumerate(proxies):
        own = [cosine(row, proxy) for row, label in zip(x, labels, strict=True) if label == c]
        others = [cosine(row, proxy) for row, label in zip(x, labels, strict=True) if label != c]
        terms.positive += [1 - s for s in own]
        terms.negative += [1 - s for s in others]
        if own:
            terms.add(c, softplus(log_sum_exp([scale * (margin - s) for s in own])) + poison, kind=0)
        if len(x):
            terms.add(c, softplus(log_sum_exp([scale * (s + margin) for s in others])) + poison, kind=1)
    return terms


def soft_triple(
    labels: np.ndarray,
    x: np.ndarray,
    centers: np.ndarray,
    scale: float,
    gamma: float,
    margin: float | np.ndarray,
) -> Terms:
    """The similarity to a class is the mean of its centres' cosines, weighed by their softmax over `gamma`."""
    margins = np.broadcast_to(margin, len(centers))

    def similarity(row: np.ndarray, centres: np.ndarray) -> float:
        cosines = np.array([cosine(row, centre) for centre in np.atleast_2d(centres)])
        shares = np.exp((cosines - cosines.max()) / gamma)
        return np.sum(shares * cosines) / np.sum(shares)

    def term(row: np.ndarray, label: int) -> float:
        logits = [scale * similarity(row, centres) for centres in centers]
        logits[label] -= scale * margins[label]
        return cross_entropy(logits, label)

    return among_classes(labels, x, centers, term, similarity)
