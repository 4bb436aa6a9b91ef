"""The five older programs as they were, in NumPy, quirks included: equality and departures are shown against them."""

import numpy as np


def deep_speaker(embeddings: np.ndarray, alpha: float) -> float:
    """Deep Speaker (Keras): thirds of anchors, positives and negatives, by inner products."""
    split = len(embeddings) // 3
    anchor, positive, negative = embeddings[:split], embeddings[split : 2 * split], embeddings[2 * split :]
    sap = np.sum(anchor * positive, axis=1)
    san = np.sum(anchor * negative, axis=1)
    return np.mean(np.maximum(san - sap + alpha, 0.0))


def semi_hard(labels: np.ndarray, embeddings: np.ndarray, alpha: float = 1.0, dtype: type = np.float32) -> float:
    """The NumPy loop that explains TensorFlow Addons' semi-hard loss (its distances are float32)."""
    n_rows = len(embeddings)
    distances = np.zeros((n_rows, n_rows), dtype)
    for k in range(n_rows):
        for s in range(k + 1, n_rows):
            distances[k, s] = distances[s, k] = np.sum((embeddings[k] - embeddings[s]) ** 2)
    total, count = 0.0, 0
    for a in range(n_rows):
        for p in range(n_rows):
            if a == p or labels[a] != labels[p]:
                continue
            nearest, farthest, chosen = 1e10, 1e-10, -1
            for n in range(n_rows):
                if labels[a] == labels[n]:
                    continue
                farthest = max(farthest, distances[a, n])
                if distances[a, p] >= distances[a, n] or distances[a, n] >= distances[a, p] + alpha:
                    continue
                if distances[a, n] < nearest:
                    nearest, chosen = distances[a, n], n
            total += np.maximum(distances[a, p] - (farthest if chosen == -1 else nearest) + alpha, 0)
            count += 1
    return total / count if count else total


def ge2e_similarity(embedded: np.ndarray, w: float, b: float, n: int, m: int) -> np.ndarray:
    """GE2E (TensorFlow 1): n speakers with m utterances each, in order."""

    def normalize(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.sum(x**2, axis=-1, keepdims=True) + 1e-6)

    split = embedded.reshape(n, m, -1)
    center = normalize(split.mean(axis=1))
    center_except = normalize(split.sum(axis=1, keepdims=True) - split)
    blocks = [
        [split[j] @ center[i] if i != j else np.sum(center_except[i] * split[j], axis=1) for i in range(n)]
        for j in range(n)
    ]
    return abs(w) * np.concatenate([np.stack(columns, axis=1) for columns in blocks]) + b


def ge2e_loss(s: np.ndarray, method: str, n: int, m: int) -> float:
    """GE2E (TensorFlow 1): the loss of a similarity matrix."""
    own = np.repeat(np.eye(n, dtype=bool), m, axis=0)
    if method == "softmax":
        return -np.sum(s[own] - np.log(np.sum(np.exp(s), axis=1) + 1e-6))
    sigmoid = 1 / (1 + np.exp(-s))
    return np.sum(1 - sigmoid[own] + np.max(np.where(own, 0 * sigmoid, sigmoid), axis=1))


def anchor_positive_mask(labels: np.ndarray) -> np.ndarray:
    """The well-known batch-all/batch-hard TensorFlow program: distinct rows of one label."""
    return ~np.eye(len(labels), dtype=bool) & (labels[None, :] == labels[:, None])


def anchor_negative_mask(labels: np.ndarray) -> np.ndarray:
    """The same program: rows of two labels."""
    return ~(labels[None, :] == labels[:, None])


def triplet_mask(labels: np.ndarray) -> np.ndarray:
    """The same program: i, j, k distinct, i and j of one label, k of another."""
    differ = ~np.eye(len(labels), dtype=bool)
    equal = labels[None, :] == labels[:, None]
    distinct = differ[:, :, None] & differ[:, None, :] & differ[None, :, :]
    return distinct & equal[:, :, None] & ~equal[:, None, :]


def pairwise_distances(embeddings: np.ndarray, squared: bool) -> np.ndarray:
    """The same program: Euclidean distances in Gram form."""
    dot = embeddings @ embeddings.T
    norms = np.diag(dot)
    distances = np.maximum(norms[:, None] - 2 * dot + norms[None, :], 0.0)
    return distances if squared else np.sqrt(distances)


def pairwise_cosine_distances(embeddings: np.ndarray) -> np.ndarray:
    """The same program's "cosine distance": a similarity, clipped at 0 and rooted."""
    norms = np.linalg.norm(embeddings, axis=1)
    return np.sqrt(np.maximum(embeddings @ embeddings.T / (norms[:, None] * norms[None, :]), 0.0))


def batch_all(labels: np.ndarray, embeddings: np.ndarray, margin: float, squared: bool) -> tuple[float, float]:
    """The same program: the mean over the active triplets, and their fraction."""
    d = pairwise_distances(embeddings, squared)
    mask = triplet_mask(labels)
    losses = np.maximum(mask * (d[:, :, None] - d[:, None, :] + margin), 0.0)
    active = np.sum(losses > 1e-16)
    return np.sum(losses) / (active + 1e-16), active / (np.sum(mask) + 1e-16)


def batch_hard_terms(labels: np.ndarray, embeddings: np.ndarray, margin: float, squared: bool) -> np.ndarray:
    """The same program: a term per anchor, with or without a positive and a negative; its loss is their mean."""
    d = pairwise_distances(embeddings, squared)
    positive = np.max(anchor_positive_mask(labels) * d, axis=1)
    negative = np.min(d + np.max(d, axis=1, keepdims=True) * ~anchor_negative_mask(labels), axis=1)
    return np.maximum(positive - negative + margin, 0.0)


def soft_batch_hard(labels: np.ndarray, embeddings: np.ndarray) -> float:
    """TensorFlow Addons' batch-hard with `soft=True`: the margin does not occur in it."""
    d = pairwise_distances(embeddings, squared=False)
    positive = np.max(np.where(anchor_positive_mask(labels), d, -np.inf), axis=1)
    negative = np.min(np.where(anchor_negative_mask(labels), d, np.inf), axis=1)
    return np.mean(np.log1p(np.exp(positive - negative)))


def kl_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The siamese KL-divergence net (Keras): one direction, both sides clipped to [1e-7, 1]."""
    x, y = np.clip(x, 1e-7, 1), np.clip(y, 1e-7, 1)
    return np.sum(x * np.log(x / y), axis=-1)


def kl_hinge(same: np.ndarray, distance: np.ndarray, margin: float = 1.0) -> float:
    """The same net's loss of that distance, averaged over the pairs."""
    return np.mean(same * distance + (1 - same) * np.maximum(margin - distance, 0.0))
