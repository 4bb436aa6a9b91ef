"""Average linkage against a loop that merges clusters one by one."""

import itertools
import re

import numpy as np
import pytest

from jaxtriplet.clustering import agglomerative


def merge(embeddings: np.ndarray, num_clusters: int) -> set[frozenset[int]]:
    """Merge the two clusters at the smallest mean cosine distance until so many are left."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    clusters = [frozenset([i]) for i in range(len(units))]
    while len(clusters) > num_clusters:
        a, b = min(
            itertools.combinations(clusters, 2),
            key=lambda pair: np.mean([1 - units[i] @ units[j] for i, j in itertools.product(*pair)]),
        )
        clusters = [c for c in clusters if c not in (a, b)] + [a | b]
    return set(clusters)


@pytest.mark.parametrize("num_clusters", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_are_the_loop_s(seed: int, num_clusters: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(12, 3))
    found = agglomerative(embeddings, num_clusters)
    assert found.shape == (12,)
    assert set(found.tolist()) == set(range(num_clusters))
    groups = {frozenset(np.flatnonzero(found == c).tolist()) for c in range(num_clusters)}
    assert groups == merge(embeddings, num_clusters)


def test_only_directions_count() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(20, 4))
    longer = embeddings * rng.uniform(0.1, 10.0, (20, 1))
    np.testing.assert_array_equal(agglomerative(embeddings, 4), agglomerative(longer, 4))


def test_collapsed_embeddings_are_clustered_all_the_same() -> None:
    for embeddings in (np.zeros((6, 3)), np.ones((6, 3))):
        assert set(agglomerative(embeddings, 2).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("embeddings", "num_clusters", "words"),
    [
        (np.ones(3), 1, "embeddings must have shape [N, D] with at least two rows; got (3,)"),
        (np.ones((1, 3)), 1, "at least two rows; got (1, 3)"),
        (np.full((3, 2), np.nan), 2, "NaN or infinity"),
        (np.eye(3), 4, "num_clusters must be 1 to 3, the number of utterances; got 4"),
        (np.eye(3), 0, "got 0"),
    ],
)
def test_bad_input_is_named(embeddings: np.ndarray, num_clusters: int, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        agglomerative(embeddings, num_clusters)
