"""What the pictures of embeddings and of clusters show, of more than a picture can hold."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxtriplet.metrics.clustering import match
from jaxtriplet.pages import pictures

MAX_POINTS = 1000  # t-SNE takes some five seconds for so many, and more points hide each other.
MAX_CONFUSION = 30  # Wider tables of counts cannot be read.


def laid_out(
    embeddings: ArrayLike, names: Mapping[str, Sequence[str]]
) -> tuple[NDArray[np.float64], str, dict[str, list[str]]]:
    """Lay embeddings out in the plane, a thousand of them at most.

    Args:
        embeddings: One row an utterance, [N, D].
        names: By what to mark them, N names each.

    Returns:
        Points [n, 2], the method's name, and n names of each kind.

    Raises:
        ValueError: There are not as many names as embeddings.
    """
    rows = np.asarray(embeddings)
    total = len(rows)
    if others := {len(marks) for marks in names.values()} - {total}:
        raise ValueError(f"{total} embeddings are marked with as many names; got {others.pop()}")
    chosen = np.linspace(0, total - 1, min(total, MAX_POINTS)).astype(int)
    points, method = pictures.project(rows[chosen])
    return points, method, {by: [marks[i] for i in chosen] for by, marks in names.items()}


def table_of_clusters(
    labels: ArrayLike, clusters: ArrayLike, names: Sequence[str], numbered: bool
) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Count the utterances of every speaker in every cluster.

    Args:
        labels: The speakers of the utterances, [N].
        clusters: Their clusters, [N].
        names: Their names, N.
        numbered: Whether the clusters have numbers that are told elsewhere; else each is named after its place.

    Returns:
        Counts, a row a speaker; the rows' names, none if the table would be too wide to be read; the columns' names,
        "" where a speaker has no cluster.
    """
    first = np.unique(labels, return_index=True)[1]
    counts, order = match(labels, clusters)
    if max(counts.shape) > MAX_CONFUSION:
        return counts, [], []
    columns = ["" if place < 0 else str(np.unique(clusters)[place]) for place in order]
    if not numbered:
        columns = [str(place) if name else "" for place, name in enumerate(columns, 1)]
    return counts, [names[i] for i in first], columns
