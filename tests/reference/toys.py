"""The two toys: soft sums over positives and negatives, and a softmax over the cosines to vectors of classes."""

from collections.abc import Callable

import numpy as np

from .terms import Terms, distance_matrix, mining_terms, negatives_of, positive_pairs


def soft_sums(positives: list[float], negatives: list[float], alpha: float, beta: float, base: float) -> float:
    """What an anchor's distances pull and push."""
    pulled = np.log1p(sum(np.exp(alpha * (d - base)) for d in positives)) / alpha
    pushed = np.log1p(sum(np.exp(beta * (base - d)) for d in negatives)) / beta
    return pulled + pushed


def toy(
    labels: np.ndarray, embeddings: np.ndarray, alpha: float, beta: float, base: float, *, distance: Callable
) -> Terms:
    """One term per anchor that has a positive and a negative."""
    d = distance_matrix(embeddings, distance)
    terms = mining_terms(labels, embeddings, d)
    for a in range(len(labels)):
        positives = [d[a, p] for anchor, p in positive_pairs(labels) if anchor == a]
        negatives = [d[a, n] for n in negatives_of(labels, a)]
        if positives and negatives:
            terms.add(a, soft_sums(positives, negatives, alpha, beta, base))
    return terms


def unit(x: np.ndarray) -> np.ndarray:
    """The vector over its length, the square of which is raised by 1e-6."""
    return x / np.sqrt(np.sum(x**2) + 1e-6)


def toy_softmax(labels: np.ndarray, embeddings: np.ndarray, weights: np.ndarray, scale: float) -> Terms:
    """One term per row."""
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in embeddings])
    for i, (label, row) in enumerate(zip(labels, embeddings, strict=True)):
        cosines = [np.dot(unit(row), unit(w)) for w in weights]
        terms.positive.append(1 - cosines[label])
        terms.negative += [1 - cosine for k, cosine in enumerate(cosines) if k != label]
        terms.add(i, np.logaddexp.reduce([scale * cosine for cosine in cosines]) - scale * cosines[label])
    return terms
