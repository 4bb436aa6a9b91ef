"""Retrieval against its definitions over every order of ties, other libraries, chance, and itself on other devices."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from jaxtriplet import distances, metrics, parallel
from jaxtriplet.metrics import _nearest, _rankings, _relevance

from .reference import retrieval as reference

RECORDED = Path(__file__).parent / "recorded" / "pytorch_metric_learning_2.9_retrieval.npz"
ALONE = ("r_precision", "map_at_r", "mean_reciprocal_rank", "precision_at_1")
KS, NDCG_AT = (1, 3), 4
X, LABELS = np.eye(4, 3, dtype=np.float32) + 0.1, [0, 0, 1, 1]


def flat(found: metrics.Retrieval) -> dict[str, float]:
    """All figures by name."""
    recalls = {f"recall_at_{k}": value for k, value in found.recall_at.items()}
    return recalls | {name: getattr(found, name) for name in (*ALONE, "ndcg")}


def judged(*given: Any, **options: Any) -> dict[str, float]:
    return flat(metrics.retrieval(*given, **{"k": KS, "ndcg_at": NDCG_AT} | options))


def assert_same(found: dict[str, float], expected: dict[str, float], rtol: float = 1e-12) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol)


def grid(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Rows of few whole numbers, whose inner products are exact and often tied."""
    return rng.integers(-2, 3, (rows, 2)).astype(np.float32)


def products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - x.astype(np.float64) @ y.astype(np.float64).T


# All that is selected decides all; some of it; none.
every_depth = pytest.mark.parametrize("deep", [_rankings._DEEP, 4, 1])


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, deep: int) -> None:
    """How deep the selection goes before rankings are sorted."""
    monkeypatch.setattr(_rankings, "_DEEP", deep)
    monkeypatch.setattr(_rankings, "_LOOKED_THROUGH", min(deep, _rankings._LOOKED_THROUGH))


@every_depth
@pytest.mark.usefixtures("looks")
@pytest.mark.parametrize("is_one_set", [False, True])
def test_figures_are_means_over_every_order_of_ties(is_one_set: bool) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        references, labels = grid(rng, 8), rng.integers(0, 4, 8)
        queries, of_queries = grid(rng, 7), rng.integers(0, 5, 7)
        if is_one_set:
            alike = labels[:, None] == labels
            apart = reference.without_themselves(products(references, references))
            expected = reference.figures(apart, reference.without_themselves(alike), KS, NDCG_AT)
            found = judged(references, labels, distance_fn=distances.inner_product)
        else:
            expected = reference.figures(products(queries, references), of_queries[:, None] == labels, KS, NDCG_AT)
            found = judged(queries, of_queries, references, labels, distance_fn=distances.inner_product)
        assert_same(found, expected)


@every_depth
@pytest.mark.usefixtures("looks")
def test_sets_of_labels_are_relevant_where_they_share_one(deep: int) -> None:
    rng = np.random.default_rng(4)
    queries, references = grid(rng, 7), grid(rng, 8)
    has, have = rng.random((7, 5)) < 0.3, rng.random((8, 5)) < 0.3
    options = {"distance_fn": distances.inner_product}
    expected = reference.figures(products(queries, references), has @ have.T, KS, NDCG_AT)
    assert_same(judged(queries, has, references, have, **options), expected)
    names = np.array(["a", "b", "c", "d", "e"])
    sets, of_references = ([set(names[row].tolist()) for row in rows] for rows in (has, have))
    assert_same(judged(queries, sets, references, of_references, **options), expected)
    shared = reference.without_themselves(have @ have.T)
    apart = reference.without_themselves(products(references, references))
    assert_same(judged(references, have, **options), reference.figures(apart, shared, KS, NDCG_AT))


def test_each_figure_alone_is_that_of_all() -> None:
    rng = np.random.default_rng(6)
    given = (grid(rng, 7), rng.integers(0, 4, 7), grid(rng, 8), rng.integers(0, 4, 8))
    found = judged(*given)
    for name in ALONE:
        assert getattr(metrics, name)(*given) == found[name]
    assert metrics.ndcg(*given, k=NDCG_AT) == found["ndcg"]
    for k in KS:
        assert metrics.recall_at_k(*given, k=k) == found[f"recall_at_{k}"]


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of ragged classes, a tenth of them copies of others wherever they stand, and their cosine distances."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 40, 1003) // rng.integers(1, 4, 1003)
    x = (rng.normal(size=(40, 37))[labels] + 2 * rng.normal(size=(1003, 37))).astype(np.float32)
    x[rng.permutation(1003)[:100]] = x[rng.permutation(1003)[:100]]
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    return x, labels, 1 - unit @ unit.T


def test_rankings_of_a_thousand_are_those_of_scikit_learn(many: tuple[np.ndarray, ...]) -> None:
    x, labels, apart = many
    alike, scores = labels[:200, None] == labels[200:], -apart[:200, 200:].round(12)
    of_all = metrics.retrieval(x[:200], labels[:200], x[200:], labels[200:], k=1, ndcg_at=25)
    assert of_all.ndcg == pytest.approx(ndcg_score(alike, scores, k=25), abs=1e-6)
    nearest = scores >= scores.max(axis=1, keepdims=True)
    assert of_all.precision_at_1 == pytest.approx(np.mean((alike & nearest).sum(1) / nearest.sum(1)), abs=1e-9)
    # With one relevant reference, all means of precisions are the inverse of its place.
    rng = np.random.default_rng(8)
    theirs = rng.normal(size=(200, 37)).astype(np.float32)
    ours = theirs + 2 * rng.normal(size=(200, 37)).astype(np.float32)
    found = metrics.mean_reciprocal_rank(ours, np.arange(200), theirs, np.arange(200), distance_fn=distances.euclidean)
    farther = -np.linalg.norm(ours[:, None].astype(np.float64) - theirs, axis=2)
    assert found == pytest.approx(label_ranking_average_precision_score(np.eye(200, dtype=bool), farther), abs=1e-12)


def test_the_order_of_rows_changes_nothing_though_some_are_copies(many: tuple[np.ndarray, ...]) -> None:
    x, labels, _ = many
    order = np.random.default_rng(9).permutation(len(x))
    assert_same(judged(x[order], labels[order]), judged(x, labels), 1e-9)


def test_equal_rows_are_tied_though_their_distances_were_rounded_apart() -> None:
    x, labels = np.tile([[1.0, 0.0], [-0.0, 1.0], [0.0, 1.0]], (4, 1)), [0, 1, 2] * 4

    def rounded(x: jax.Array, y: jax.Array) -> jax.Array:
        return distances.euclidean(x, y) + 1e-6 * jnp.arange(len(y), dtype=jnp.float32)[None, :]

    options = {"k": (1, 2), "ndcg_at": 3}
    assert_same(judged(x, labels, distance_fn=rounded, **options), judged(x, labels, **options))


def test_rows_are_told_apart_though_their_hashes_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([[0.0, 1.0], [2.0, 1.0], [-0.0, 1.0], [2.0, 3.0], [2.0, 1.0]], np.float32)
    assert _nearest._first_alike(x).tolist() == [0, 1, 0, 3, 1]
    assert _nearest._first_alike(x[[0, 1, 3]]) is None
    monkeypatch.setattr(_nearest, "hash", lambda data: 7, raising=False)
    assert _nearest._first_alike(x).tolist() == [0, 1, 0, 3, 4]  # a copy is overlooked, but no other taken for one


def test_a_collapsed_encoder_finds_what_chance_finds() -> None:
    rng = np.random.default_rng(10)
    row, labels = rng.normal(size=37).astype(np.float32), np.repeat(np.arange(59), 17)
    x = np.tile(row, (len(labels), 1))
    others, relevant, k = len(labels) - 1, 16, 10
    chances = [relevant / others * (1 + (j - 1) * (relevant - 1) / (others - 1)) / j for j in range(1, relevant + 1)]
    none_before = [math.comb(others - j, relevant) / math.comb(others, relevant) for j in range(others - relevant + 1)]
    firsts = [none * relevant / (others - j) / (j + 1) for j, none in enumerate(none_before)]
    for distance_fn in (distances.cosine, distances.inner_product):
        found = metrics.retrieval(x, labels, k=k, ndcg_at=k, distance_fn=distance_fn)
        assert found.recall_at[k] == pytest.approx(1 - none_before[k], rel=1e-12)
        chance = relevant / others
        for figure in (found.precision_at_1, found.r_precision, found.ndcg):
            assert figure == pytest.approx(chance, rel=1e-12)
        assert found.map_at_r == pytest.approx(sum(chances) / relevant, rel=1e-12)
        assert found.mean_reciprocal_rank == pytest.approx(sum(firsts), rel=1e-12)


@pytest.mark.parametrize("name", ["one", "two"])
def test_figures_are_those_of_pytorch_metric_learning(name: str) -> None:
    with np.load(RECORDED) as recorded:
        keys = ["x", "labels", *(["references", "reference_labels"] if name == "two" else [])]
        found = metrics.retrieval(*(recorded[f"{name}/{key}"] for key in keys))
        assert found.num_left_out == {"one": 5, "two": 2}[name]
        for ours in ALONE:
            theirs = recorded[f"{name}/{'mean_average_precision_at_r' if ours == 'map_at_r' else ours}"]
            assert getattr(found, ours) == pytest.approx(float(theirs), abs=1e-7)


def test_eight_devices_and_blocks_find_what_one_does(
    many: tuple[np.ndarray, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels, _ = many
    one = judged(x, labels)
    assert_same(judged(x, labels, mesh=parallel.data_mesh()), one, 1e-6)
    explicit = jax.make_mesh((2, 4), ("hosts", "cores"))
    with jax.set_mesh(explicit):
        assert_same(judged(x, labels, mesh=explicit), one, 1e-6)
    monkeypatch.setitem(_nearest._BUDGET, "cpu", 4 * 1024 * 72)  # 72 queries at once, and 67 in the last block
    assert _nearest.Field(x, None, distances.cosine, None).block == 72
    assert_same(judged(x, labels), one, 1e-6)


def test_the_smallest_are_found_among_slices() -> None:
    rng = np.random.default_rng(11)
    for number, columns in ((1, 4096), (5, 640), (9, 24), (24, 24)):
        x = rng.integers(0, 50, (6, columns)).astype(np.float32)
        values, places, is_number = jax.jit(_nearest._smallest, static_argnums=1)(x, number)
        np.testing.assert_array_equal(values, np.sort(x, axis=1)[:, :number])
        np.testing.assert_array_equal(np.take_along_axis(x, np.asarray(places), 1), values)
        assert all(len(set(row)) == number for row in np.asarray(places).tolist())
        assert is_number.all()
        x[2, 3] = np.nan
        assert jax.jit(_nearest._smallest, static_argnums=1)(x, number)[2].tolist() == [row != 2 for row in range(6)]


def test_half_precision_and_doubles_are_computed_in_float32(many: tuple[np.ndarray, ...]) -> None:
    x, labels, _ = many
    for rows in (x.astype(np.float16), x.astype(ml_dtypes.bfloat16), jnp.asarray(x[:, :30], jnp.bfloat16)):
        assert_same(judged(rows, labels), judged(np.asarray(rows, np.float32), labels))
    assert_same(judged(x.astype(np.float64), labels), judged(x, labels))


@pytest.mark.usefixtures("x64")
def test_doubles_are_told_apart_with_x64() -> None:
    x = 1 + np.array([[0.0], [1e-12], [3e-12], [7e-12]])
    assert metrics.map_at_r(x, LABELS, distance_fn=distances.squared_euclidean) == pytest.approx(0.75)
    assert metrics.map_at_r(x.astype(np.float32), LABELS, distance_fn=by_hand) == pytest.approx(1 / 3)


def by_hand(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((x[:, None] - y[None, :]) ** 2, axis=2)


def test_labels_of_any_type_are_told_apart() -> None:
    x = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 0.9]])
    names = [["one", "one", "two", "two"], [2**63, 2**63, 2**63 + 1, 2**63 + 1], np.array([-1, -1, 7, 7], np.int8)]
    for labels in names:
        assert metrics.precision_at_1(x, labels) == 1
    mixed = np.array([2**53, 2**53 + 1], np.uint64), np.array([2**53, 2**53 + 1], np.int64)
    assert metrics.precision_at_1(x[[0, 2]], mixed[0], x[[1, 3]], mixed[1]) == 1


def test_queries_without_a_relevant_reference_are_left_out_and_counted() -> None:
    x = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 0.9]])
    found = metrics.retrieval(x, [1, 1, 2, 3], k=1, ndcg_at=1)
    assert (found.num_queries, found.num_left_out) == (2, 2)
    met = metrics.retrieval(x[:3], [1, 2, 9], x, [1, 5, 2, 3], k=1, ndcg_at=1)
    assert met == metrics.retrieval(x[:2], [1, 2], x, [1, 5, 2, 3], k=1, ndcg_at=1)._replace(num_left_out=1)


def test_of_few_references_the_usual_figures_are_those_that_there_are() -> None:
    found = metrics.retrieval(X, LABELS)
    assert list(found.recall_at) == [1]
    assert found.ndcg == metrics.ndcg(X, LABELS, k=3)
    assert list(metrics.retrieval(np.eye(12, 3), np.arange(12) // 2).recall_at) == [1, 10]


BAD: dict[str, tuple[Sequence[Any], dict[str, Any], str]] = {
    "fewer references than k": ((X, LABELS), {"k": 4}, "k=4 of 3 references beside the query"),
    "fewer than the k of NDCG": ((X, LABELS, X, LABELS), {"ndcg_at": 5}, "ndcg_at=5 of 4 references:"),
    "k of 0": ((X, LABELS), {"k": (1, 0)}, "k must be a whole number above 0; got 0"),
    "no k": ((X, LABELS), {"k": ()}, "got none"),
    "NaN": ((np.where(X[1, 1] == X, np.nan, X), LABELS), {}, "embeddings hold NaN or infinity in 3 of 4 rows"),
    "references of infinity": (
        (X, LABELS, X * np.float32(np.inf), LABELS),
        {},
        "references hold NaN or infinity in 4 of 4 rows",
    ),
    "another width": ((X, LABELS, X[:, :2], LABELS), {}, "embeddings have 3 dimensions, references 2"),
    "a vector": ((X[0], LABELS), {}, "embeddings must have shape [N, D]"),
    "words": ((["a", "b"], [0, 0]), {}, "embeddings must be floats of shape [N, D]"),
    "no rows": (
        (X[:0], []),
        {},
        "embeddings must be floats of shape [N, D], one row each; got float32 of shape [0, 3]",
    ),
    "too few labels": ((X, LABELS[:3]), {}, "labels must be integers or strings of shape [4]"),
    "floats": ((X, [0.0, 0.0, 1.0, 1.0]), {}, "got float64 of shape [4]"),
    "flags as numbers": ((X, np.eye(4, 2)), {}, "got float64 of shape [4, 2]; `.astype(bool)`"),
    "several labels as words": ((X, np.full((4, 2), "a")), {}, "got <U1 of shape [4, 2]; `set` of each"),
    "objects": ((X, np.array(["a", "a", "b", "b"], object)), {}, "got object of shape [4]; `.astype(str)`"),
    "ragged labels": ((X, [[1], [1, 2], [2], [3]]), {}, "labels must be integers or strings of shape [4]"),
    "some sets": ((X, [{1}, {1}, 2, {2}]), {}, "got 4 values, 3 of them sets"),
    "two kinds": ((X, LABELS, X, ["0", "0", "1", "1"]), {}, "labels are integers, reference_labels strings"),
    "flags of two widths": ((X, X > 1, X, X[:, :2] > 1), {}, "sets of 3 labels, reference_labels sets of 2 labels"),
    "references without labels": ((X, LABELS, X), {}, "given together, or neither"),
    "nobody relevant": ((X, [0, 1, 2, 3]), {}, "no reference is relevant to any of 4 queries"),
    "one class": ((X, [5, 5, 5, 5]), {}, "every reference is relevant to every query"),
    "no function": ((X, LABELS), {"distance_fn": "cosine"}, "distance_fn must be a function"),
    "no mesh": ((X, LABELS), {"mesh": 8}, "mesh must be a mesh"),
    "distances of NaN": ((X, LABELS), {"distance_fn": lambda x, y: x @ y.T * jnp.nan}, "distances of 4 of 4 queries"),
    "distances of another shape": ((X, LABELS), {"distance_fn": lambda x, y: x}, "distance_fn must map"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    given, options, says = BAD[name]
    with pytest.raises(ValueError, match=re.escape(says)):
        metrics.retrieval(*given, **{"k": 1, "ndcg_at": 1} | options)


def test_distances_that_overflow_are_named_in_full_rankings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([[1e25], [2e25], [-1e25], [3.0]])
    options: dict[str, Callable[..., Any]] = {"distance_fn": distances.squared_euclidean}
    with pytest.raises(ValueError, match="NaN or infinite"):
        metrics.precision_at_1(x, LABELS, **options)
    monkeypatch.setattr(_rankings, "_DEEP", 0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        metrics.precision_at_1(x, LABELS, **options)


def test_relevance_of_many_sets_is_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    has = np.random.default_rng(12).random((50, 9)) < 0.2
    whole = _relevance.relevance(has, 50, has, 50).counts()
    np.testing.assert_array_equal(whole, (has @ has.T).sum(1))
    monkeypatch.setattr(_relevance, "_BLOCK", 100)
    np.testing.assert_array_equal(_relevance.relevance(has, 50, has, 50).counts(), whole)
