"""Average linkage against a loop that merges clusters one by one."""

import itertools
import re

import numpy as np
import pytest

from jaxtriplet.metrics import agglomerative, agglomerative_within, silhouettes


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


@pytest.mark.parametrize("threshold", [-0.1, 0.0, 0.3, 0.9])
def test_merging_stops_at_the_threshold(threshold: float) -> None:
    """The clusters are those of some number, between which all mean cosines are below the threshold."""
    embeddings = np.random.default_rng(7).normal(size=(12, 3))
    found = agglomerative_within(embeddings, threshold)
    number = found.max() + 1
    groups = merge(embeddings, number)
    assert {frozenset(np.flatnonzero(found == c).tolist()) for c in range(number)} == groups
    assert closest(embeddings, groups) < threshold
    assert closest(embeddings, merge(embeddings, number + 1)) >= threshold


def closest(embeddings: np.ndarray, clusters: set[frozenset[int]]) -> float:
    """The highest mean cosine of two clusters."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return max(np.mean([units[i] @ units[j] for i in a for j in b]) for a, b in itertools.combinations(clusters, 2))


def test_a_threshold_that_all_or_none_reach() -> None:
    embeddings = np.random.default_rng(7).normal(size=(6, 3))
    assert set(agglomerative_within(embeddings, -1.0).tolist()) == {0}
    assert len(set(agglomerative_within(embeddings, 1.1).tolist())) == 6


def silhouette(embeddings: np.ndarray, clusters: set[frozenset[int]]) -> float:
    """The mean silhouette, row by row."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    total = 0.0
    for own in clusters:
        for i in own if len(own) > 1 else ():
            a = sum(1 - units[i] @ units[j] for j in own if j != i) / (len(own) - 1)
            b = min(np.mean([1 - units[i] @ units[j] for j in other]) for other in clusters if other != own)
            total += (b - a) / max(a, b)
    return total / len(embeddings)


@pytest.mark.parametrize("seed", range(3))
def test_silhouettes_are_the_loop_s(seed: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(12, 3))
    expected = [silhouette(embeddings, merge(embeddings, count)) for count in range(2, 12)]
    np.testing.assert_allclose(silhouettes(embeddings, range(2, 12)), expected, rtol=1e-10)


@pytest.mark.parametrize("speakers", [2, 5, 9])
def test_the_highest_silhouette_counts_the_speakers(speakers: int) -> None:
    rng = np.random.default_rng(speakers)
    centres = rng.normal(size=(speakers, 16))
    embeddings = np.repeat(centres, 8, axis=0) + rng.normal(scale=0.5, size=(8 * speakers, 16))
    assert 2 + silhouettes(embeddings, range(2, 16)).argmax() == speakers


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


def test_bad_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="the threshold is NaN"):
        agglomerative_within(np.eye(3), np.nan)
    for counts in ([1, 2], [3]):
        with pytest.raises(ValueError, match="must be 2 to 2 to have a silhouette"):
            silhouettes(np.eye(3), counts)
