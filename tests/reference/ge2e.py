"""Generalised end-to-end loss over speakers with any number of utterances each."""

import numpy as np

from .terms import Terms


def unit(x: np.ndarray) -> np.ndarray:
    """The vector over its length, the square of which is raised by 1e-6 as in the TensorFlow 1 program."""
    return x / np.sqrt(np.sum(x**2) + 1e-6)


def centroid(labels: np.ndarray, embeddings: np.ndarray, row: int, speaker: int) -> np.ndarray:
    """A speaker's centroid as an utterance sees it: its own speaker's leaves the utterance itself out."""
    members = [j for j in range(len(labels)) if labels[j] == speaker]
    if labels[row] != speaker:
        return unit(sum(embeddings[j] for j in members) / len(members))
    return unit(sum((embeddings[j] for j in members if j != row), np.zeros(embeddings.shape[1])))


def cosines(labels: np.ndarray, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """<embedding, centroid> of every utterance and every speaker, and each utterance's own column."""
    speakers = sorted({int(label) for label in labels})
    matrix = np.zeros((len(labels), len(speakers)))
    for i in range(len(labels)):
        for k, speaker in enumerate(speakers):
            matrix[i, k] = np.dot(embeddings[i], centroid(labels, embeddings, i, speaker))
    return matrix, np.array([speakers.index(int(label)) for label in labels], int)


def similarity(labels: np.ndarray, embeddings: np.ndarray, scale: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """The scaled similarity matrix, and each utterance's own column."""
    matrix, columns = cosines(labels, embeddings)
    return abs(scale) * matrix + bias, columns


def softmax_term(own: float, others: list[float]) -> float:
    """Minus the log of the share of the own speaker among all, its denominator raised by 1e-6."""
    return -own + np.logaddexp(np.logaddexp.reduce([own, *others]), np.log(1e-6))


def contrast_term(own: float, others: list[float]) -> float:
    """One minus the own sigmoid plus the largest of the others."""

    def sigmoid(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    return 1 - sigmoid(own) + max(sigmoid(s) for s in others)


def ge2e(
    labels: np.ndarray,
    embeddings: np.ndarray,
    scale: float,
    bias: float,
    *,
    method: str,
    num_speakers: int | None = None,
) -> Terms:
    """One term per utterance whose speaker has another utterance; one speaker alone has none.

    The statistics are about the utterances that have a term: 1 - <embedding, centroid>. A bound on the number of
    speakers changes nothing.
    """
    assert num_speakers is None or num_speakers >= len(set(labels))
    matrix, columns = cosines(labels, embeddings)
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in embeddings])
    term = {"softmax": softmax_term, "contrast": contrast_term}[method]
    for i, own in enumerate(columns):
        others = [k for k in range(matrix.shape[1]) if k != own]
        if others and np.sum(columns == own) > 1:
            terms.positive.append(1 - matrix[i, own])
            terms.negative += [1 - matrix[i, k] for k in others]
            scores = abs(scale) * matrix[i] + bias
            terms.add(i, term(scores[own], [scores[k] for k in others]))
    return terms
