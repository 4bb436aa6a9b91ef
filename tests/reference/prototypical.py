"""Each speaker's first row against the means of the remaining rows of all."""

from collections.abc import Callable

import numpy as np

from .distances import cosine, squared_euclidean
from .softmax import log_sum_exp
from .terms import Terms


def against_prototypes(labels: np.ndarray, x: np.ndarray, distance: Callable, logit: Callable) -> Terms:
    """One term per speaker that has two rows, of its first row; one such speaker alone has none.

    A speaker with a lone row is neither a query nor a prototype. The statistics are about the queries that have a term.
    """
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in x])
    rows = {label: np.flatnonzero(labels == label) for label in sorted({int(label) for label in labels})}
    queries = {label: members[0] for label, members in rows.items() if len(members) > 1}
    prototypes = {label: sum(x[j] for j in rows[label][1:]) / (len(rows[label]) - 1) for label in queries}
    for label, query in queries.items():
        distances = {other: distance(x[query], prototype) for other, prototype in prototypes.items()}
        if len(distances) > 1:
            terms.positive.append(distances[label])
            terms.negative += [d for other, d in distances.items() if other != label]
            terms.add(query, log_sum_exp([logit(d) for d in distances.values()]) - logit(distances[label]))
    return terms


def angular_prototypical(labels: np.ndarray, x: np.ndarray, scale: float, bias: float) -> Terms:
    """By scaled cosines."""
    return against_prototypes(labels, x, cosine, lambda distance: abs(scale) * (1 - distance) + bias)


def prototypical(labels: np.ndarray, x: np.ndarray) -> Terms:
    """By squared distances."""
    return against_prototypes(labels, x, squared_euclidean, lambda distance: -distance)


def n_pairs(labels: np.ndarray, x: np.ndarray) -> Terms:
    """One term per class that has two rows: its first row among the second rows of all, by inner products."""
    terms = Terms(len(labels), norms=[np.linalg.norm(row) for row in x])
    rows = {label: np.flatnonzero(labels == label) for label in sorted({int(label) for label in labels})}
    pairs = {label: members[:2] for label, members in rows.items() if len(members) > 1}
    for label, (query, own) in pairs.items():
        logits = {other: np.dot(x[query], x[second]) for other, (_, second) in pairs.items()}
        if len(logits) > 1:
            terms.positive.append(1 - logits[label])
            terms.negative += [1 - logit for other, logit in logits.items() if other != label]
            terms.add(query, log_sum_exp(list(logits.values())) - np.dot(x[query], x[own]))
    return terms
