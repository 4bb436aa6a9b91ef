"""Two views of the same things, without labels: rows [B, 2, D] of queries and documents, row i's with one another."""

import numpy as np

from .distances import inner_product, softplus
from .softmax import log_sum_exp
from .terms import Terms


def info_nce(
    rows: np.ndarray,
    temperature: float,
    *,
    symmetric: bool = False,
    ids: np.ndarray | None = None,
    more: np.ndarray | None = None,
) -> Terms:
    """One term per query: its document among those of all rows, and among `more` [M, D].

    A document with the id of one's own [B + M] is no negative. `symmetric` adds each document among the queries, and
    halves.
    """
    queries, documents = rows[:, 0], rows[:, 1]
    if more is not None:
        assert not symmetric
        documents = np.concatenate([documents, more])
    named = np.arange(len(documents)) if ids is None else ids
    terms = Terms(len(rows), norms=[np.linalg.norm(row) for row in [*queries, *documents]])
    for i in range(len(rows)):
        others = [j for j in range(len(documents)) if j != i and named[j] != named[i]]
        terms.positive.append(inner_product(queries[i], documents[i]))
        terms.negative += [inner_product(queries[i], documents[j]) for j in others]
        own = np.dot(queries[i], documents[i]) / temperature
        there = log_sum_exp([own, *(np.dot(queries[i], documents[j]) / temperature for j in others)]) - own
        if symmetric:
            back = log_sum_exp([own, *(np.dot(queries[j], documents[i]) / temperature for j in others)]) - own
            terms.add(i, (there + back) / 2)
        else:
            terms.add(i, there)
    return terms


def sigmoid_contrastive(rows: np.ndarray, scale: float, bias: float) -> Terms:
    """One term per row of the first view: the sum over all rows of the second, each pair told apart by a sigmoid."""
    x, y = rows[:, 0], rows[:, 1]
    terms = Terms(len(rows), norms=[np.linalg.norm(row) for row in [*x, *y]])
    for i in range(len(rows)):
        total = 0.0
        for j in range(len(rows)):
            logit = scale * np.dot(x[i], y[j]) + bias
            total += softplus(-logit if i == j else logit)  # minus the log of the sigmoid of z * logit
            (terms.positive if i == j else terms.negative).append(inner_product(x[i], y[j]))
        terms.add(i, total)
    return terms
