"""The distance of two vectors, and the hinges."""

import numpy as np


def squared_euclidean(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of squared differences."""
    return np.sum((x - y) ** 2)


def euclidean(x: np.ndarray, y: np.ndarray) -> float:
    """The length of the difference."""
    return np.sqrt(np.sum((x - y) ** 2))


def manhattan(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of absolute differences: not in the package, what a user might bring."""
    return np.sum(np.abs(x - y))


def unit(x: np.ndarray) -> np.ndarray:
    """The vector at length one; one that is shorter than 1e-6 stays as it is."""
    length = np.linalg.norm(x)
    return x / length if length > 1e-6 else x


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    """One minus the cosine; of equal rows 0, and not what rounding leaves, if they have a direction."""
    return 0.0 if np.array_equal(x, y) and np.linalg.norm(x) > 1e-6 else 1 - np.dot(unit(x), unit(y))


def inner_product(x: np.ndarray, y: np.ndarray) -> float:
    """One minus the inner product."""
    return 1 - np.dot(x, y)


def softmax(logits: np.ndarray) -> np.ndarray:
    """The probabilities of logits."""
    weights = np.exp(logits - np.max(logits))
    return weights / np.sum(weights)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) of two probability vectors, clipped to [1e-7, 1] as in the siamese Keras net."""
    p, q = np.clip(p, 1e-7, 1), np.clip(q, 1e-7, 1)
    return np.sum(p * np.log(p / q))


def kl(x: np.ndarray, y: np.ndarray) -> float:
    """KL(x || y) of two vectors of logits."""
    p, q = softmax(x), softmax(y)
    return np.sum(p * np.log(p / q))


def symmetric_kl(x: np.ndarray, y: np.ndarray) -> float:
    """KL(x || y) + KL(y || x) of two vectors of logits."""
    return kl(x, y) + kl(y, x)


def relu(x: float) -> float:
    """The hinge."""
    return max(x, 0.0)


def softplus(x: float) -> float:
    """The soft hinge log(1 + exp(x))."""
    return np.logaddexp(0.0, x)
