"""Back-ends against loops, scikit-learn, and the PLDA of Kaldi and speechbrain; and what is refused."""

import itertools
import re
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import spearmanr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from jaxtriplet import metrics
from jaxtriplet.metrics.backends import KINDS, Backend, fit
from tests.reference import backends as reference, trials

every_kind = pytest.mark.parametrize("kind", KINDS)


def layer(seed: int, dim: int = 6, most: int = 6, speakers: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Rows of speakers with one to some recordings, of unequal variances, in any order, far from the origin."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, speakers)
    counts[0] = max(2, counts[0])
    labels = rng.permutation(np.repeat([f"s{k}" for k in range(speakers)], counts))
    places = np.unique(labels, return_inverse=True)[1]
    spread = np.geomspace(0.2, 3.0, dim)
    rows = 2 * rng.normal(size=(speakers, dim))[places] + rng.normal(size=(len(labels), dim)) * spread + 5.0
    return rows, labels


@every_kind
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("within", "between"), [(0.1, 0.6), (0.3, 1.0), (1.0, 0.2), (0.1, 0.0)])
def test_scores_are_those_of_the_loops(kind: str, seed: int, within: float, between: float) -> None:
    dim = 9 if seed % 2 else 4  # fewer recordings within speakers than dimensions, or more
    rows, labels = layer(seed, dim)
    directions = (None, 2)[seed % 2] if kind == "lda" else None
    backend = fit(kind, rows, labels, within=within, between=between, dim=directions)
    expected = reference.fit(kind, rows, labels, within, between, directions or min(4, dim))
    x = np.concatenate([rows[:4], layer(seed + 50, dim)[0][:4]])
    every = list(itertools.product(range(len(x)), repeat=2))
    scores = [reference.score(kind, expected, x[a], x[b]) for a, b in every]
    np.testing.assert_allclose(backend.matrix(x, x).ravel(), scores, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(backend.trial_scores(x, *zip(*every, strict=True)), scores, rtol=1e-10, atol=1e-10)
    pairs, same = backend.pair_scores(x, np.arange(8) % 3)
    np.testing.assert_allclose(pairs, np.reshape(scores, (8, 8))[np.triu_indices(8, 1)], rtol=1e-10, atol=1e-10)
    assert same.tolist() == [a % 3 == b % 3 for a, b in itertools.combinations(range(8), 2)]


@every_kind
@pytest.mark.parametrize("seed", range(4))
def test_the_cosine_of_unit_embeddings_is_that_of_the_loops(kind: str, seed: int) -> None:
    rows, labels = layer(seed)
    x = np.concatenate([rows[:3], layer(seed + 50)[0][:3]])
    backend = fit(kind, rows, labels)
    expected = reference.fit(kind, rows, labels, 0.1, 0.6, 4)
    embeddings = backend.embed(x)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-14)
    for a, b in itertools.product(range(6), repeat=2):
        if kind == "plda":
            cosine = reference.embedded_cosine(expected, rows, x[a], x[b])
        else:
            cosine = reference.score(kind, expected, x[a], x[b])
        assert embeddings[a] @ embeddings[b] == pytest.approx(cosine, abs=1e-10)
    # All kinds but the one with scores of its own are their embeddings.
    assert backend.has_scores == (kind == "plda")
    if not backend.has_scores:
        vectors = backend.vectors(x)
        np.testing.assert_array_equal(embeddings, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("other", [reference.kaldi, reference.speechbrain])
def test_plda_scores_as_other_toolkits_do(seed: int, other: Any) -> None:
    rows, labels = layer(seed)
    model = reference.fit("plda", rows, labels, 0.1, 0.6)
    y = reference.normalized(model, rows)
    expected = [[other(a, b, model.between, model.within) for b in y] for a in y]
    np.testing.assert_allclose(fit("plda", rows, labels).matrix(rows, rows), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("speakers", "dim", "kept"), [(4, 6, None), (9, 5, 3), (2, 4, None)])
def test_lda_is_that_of_scikit_learn_where_speakers_have_as_many_recordings(
    speakers: int, dim: int, kept: int | None
) -> None:
    rng = np.random.default_rng(dim)
    labels = np.repeat(np.arange(speakers), 7)
    rows = rng.normal(size=(speakers, dim))[labels] + rng.normal(size=(len(labels), dim)) + 3.0
    found = fit("lda", rows, labels, within=0.0, dim=kept).whiten
    other = LinearDiscriminantAnalysis(solver="eigen", n_components=kept).fit(rows, labels)
    count = kept or min(speakers - 1, dim)
    expected = other.scalings_[:, :count] * np.sqrt(6 / 7)  # its covariance within speakers is biased
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), np.sum(found**2, axis=0), rtol=1e-9)
    signs = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=1e-9, atol=1e-9)


def test_a_log_likelihood_ratio_is_calibrated() -> None:
    """Of data that the model is true of, trials with the score s are of one speaker e^s times as often as of two."""
    rng = np.random.default_rng(0)
    v, w = np.array([4.0, 1.0, 0.25]), 0.5
    t, left = v + w, w * (2 * v + w)
    model = Backend(
        "plda", np.zeros(3), np.eye(3), np.sqrt(v / left), v / (2 * t), 0.5 * np.log(t**2 / left).sum(), 1.0
    )

    def draws(same: bool) -> np.ndarray:
        first = rng.normal(size=(40000, 3)) * np.sqrt(v)
        second = first if same else rng.normal(size=(40000, 3)) * np.sqrt(v)
        sides = [side + rng.normal(size=side.shape) * np.sqrt(w) for side in (first, second)]
        a, b = (side * model.scales for side in sides)
        return np.sum(a * b, 1) - a**2 @ model.own - b**2 @ model.own + model.offset

    targets, impostors = draws(True), draws(False)
    edges = np.array([-3.0, -1.5, -0.5, 0.5, 1.5, 2.5])
    shares = [np.histogram(scores, edges)[0] for scores in (targets, impostors)]
    middles = [
        np.log(np.mean(np.exp(impostors[(impostors >= a) & (impostors < b)]))) for a, b in itertools.pairwise(edges)
    ]
    # Of a few thousand trials a bin, the logarithm of the shares' quotient scatters by some hundredths.
    np.testing.assert_allclose(np.log(shares[0] / shares[1]), middles, atol=0.15)


def speech(seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows [120, 20] of 12 speakers with 10 recordings each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(12), 10)
    speakers = rng.normal(size=(12, 20)) * np.geomspace(2.0, 0.2, 20)
    return speakers[labels] + noise * rng.normal(size=(120, 20)), labels


def test_a_far_constant_ranks_by_distance_and_none_by_cosine() -> None:
    backend, x = fit("plda", *speech(0)), speech(1)[0]
    u = backend.vectors(x)
    first, second = np.triu_indices(len(u), 1)
    far = 1e4 * backend.constant
    embeddings = backend._replace(constant=far).embed(x)
    # cos - 1 as half the square of a difference, which cancels less.
    limit = -0.5 * far**2 * np.sum((embeddings[first] - embeddings[second]) ** 2, axis=1)
    distances = -0.5 * np.sum((u[first] - u[second]) ** 2, axis=1)
    np.testing.assert_allclose(limit, distances, rtol=1e-6)

    scores, h = backend.trial_scores(x, first, second), 0.5 * np.sum(u**2, axis=1) - u**2 @ backend.own
    v_over_t = 2 * backend.own
    np.testing.assert_allclose(h, 0.5 * u**2 @ (1 - v_over_t), rtol=1e-12)  # w / t of each direction
    np.testing.assert_allclose(distances, scores - backend.offset - h[first] - h[second], rtol=1e-10, atol=1e-9)

    near = metrics.trial_scores(backend._replace(constant=0.0).embed(x), first, second)
    np.testing.assert_allclose(near, metrics.trial_scores(u, first, second), rtol=1e-12, atol=1e-14)

    # Trials of which the ratios are more than twice the spread of h apart keep their order.
    order = np.argsort(scores)
    scores, distances = scores[order], distances[order]
    after = np.searchsorted(scores, scores + 2 * np.ptp(h), side="right")
    lowest = np.append(np.minimum.accumulate(distances[::-1])[::-1], np.inf)  # from each trial on
    assert np.mean(after < len(scores)) > 0.5  # most trials have others so far above
    assert np.all(lowest[after] > distances)


@pytest.mark.parametrize("appended", [0.0, 0.3, 3.0, 100.0])
def test_where_speakers_vary_alike_in_all_directions_the_order_is_the_same_for_every_constant(appended: float) -> None:
    backend, x = fit("plda", *speech(0), between=1.0), speech(1)[0]
    first, second = np.triu_indices(len(x), 1)
    embeddings = backend._replace(constant=appended * backend.constant).embed(x)
    cosines, scores = metrics.trial_scores(embeddings, first, second), backend.trial_scores(x, first, second)
    # Rising by the same order: what rounding errors tie is left out.
    order = np.argsort(scores)
    apart = np.diff(scores[order]) > 1e-6
    assert apart.mean() > 0.9
    assert np.all(np.diff(cosines[order])[apart] > 0)


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.0])
def test_unit_embeddings_rank_nearly_as_the_ratio(noise: float) -> None:
    backend, x = fit("plda", *speech(0, noise)), speech(1, noise)[0]
    first, second = np.triu_indices(len(x), 1)
    cosines, scores = metrics.trial_scores(backend.embed(x), first, second), backend.trial_scores(x, first, second)
    assert spearmanr(cosines, scores).statistic > 0.9
    # But not exactly: a recording is as near to itself as any other to itself, and has a ratio of its own.
    own = backend.trial_scores(x, np.arange(len(x)), np.arange(len(x)))
    assert np.ptp(own) > 0.5


def test_a_back_end_tells_strangers_apart_whom_cosine_does_not() -> None:
    """Recordings vary most in directions in which speakers do not."""
    rng = np.random.default_rng(0)

    def recordings(speakers: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(speakers), 8)
        means = rng.normal(size=(speakers, 24)) * np.geomspace(1.0, 0.1, 24)
        return means[labels] + rng.normal(size=(len(labels), 24)) * np.geomspace(0.2, 2.0, 24) + 1.0, labels

    known, (x, ids) = recordings(30), recordings(20)
    rates = {kind: metrics.equal_error_rate(*fit(kind, *known).pair_scores(x, ids)) for kind in KINDS}
    plain = metrics.equal_error_rate(*metrics.pair_scores(x, ids))
    assert rates["centered"] < plain
    assert max(rates["wccn"], rates["lda"], rates["plda"]) < 0.5 * rates["centered"]
    assert rates["plda"] < rates["wccn"]


@every_kind
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_a_layer_changes_no_score(kind: str, scale: float) -> None:
    rows, labels = layer(0)
    expected = fit(kind, rows, labels).matrix(rows, rows)
    np.testing.assert_allclose(
        fit(kind, scale * rows, labels).matrix(scale * rows, scale * rows), expected, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kind", ["wccn", "lda", "plda"])
def test_without_shrinkage_no_linear_map_changes_a_score(kind: str) -> None:
    rows, labels = layer(3, dim=4)
    changed = rows @ np.random.default_rng(0).normal(size=(4, 4)) - 3.0
    expected = fit(kind, rows, labels, within=0.0).matrix(rows, rows)
    np.testing.assert_allclose(
        fit(kind, changed, labels, within=0.0).matrix(changed, changed), expected, rtol=1e-8, atol=1e-8
    )


def test_without_shrinkage_only_directions_in_which_speakers_differ_count() -> None:
    rows, labels = layer(1, dim=9)
    assert np.count_nonzero(fit("plda", rows, labels, between=0.0).scales) == 4  # of five speakers
    assert np.count_nonzero(fit("plda", rows, labels, between=1e-3).scales) == 9


@every_kind
def test_the_order_and_names_of_recordings_change_no_score(kind: str) -> None:
    rows, labels = layer(1)
    order = np.random.default_rng(0).permutation(len(rows))
    renamed = np.array([9 - int(label[1:]) for label in labels])
    found = fit(kind, rows[order], renamed[order]).matrix(rows, rows)
    np.testing.assert_allclose(found, fit(kind, rows, labels).matrix(rows, rows), rtol=1e-10, atol=1e-10)


@every_kind
def test_a_back_end_comes_back_from_a_file(kind: str, tmp_path: Path) -> None:
    rows, labels = layer(2)
    backend = fit(kind, rows, labels)
    np.savez(tmp_path / "backend.npz", **backend._asdict())  # type: ignore[arg-type]
    with np.load(tmp_path / "backend.npz") as saved:
        again = Backend(**saved)
    np.testing.assert_array_equal(again.matrix(rows, rows), backend.matrix(rows, rows))
    np.testing.assert_array_equal(again.embed(rows), backend.embed(rows))
    assert again.has_scores is backend.has_scores


@every_kind
def test_metrics_score_by_the_back_end_that_they_are_given(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = layer(4)
    backend, cohort = fit(kind, rows, labels), layer(5)[0]
    first, second = np.random.default_rng(0).integers(len(rows), size=(2, 9))
    np.testing.assert_array_equal(
        metrics.trial_scores(rows, first, second, backend=backend), backend.trial_scores(rows, first, second)
    )
    for found, expected in zip(
        metrics.pair_scores(rows, labels, backend=backend), backend.pair_scores(rows, labels), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    model = reference.fit(kind, rows, labels, 0.1, 0.6, 4)
    normalised = trials.adaptive_s_norm(
        rows, list(zip(first, second, strict=True)), cohort, 3, score=lambda a, b: reference.score(kind, model, a, b)
    )
    for block in (metrics.normalization._BLOCK, 2 * len(cohort)):  # all rows at once, and two
        monkeypatch.setattr(metrics.normalization, "_BLOCK", block)
        found = metrics.adaptive_s_norm(rows, first, second, cohort, top=3, backend=backend)
        np.testing.assert_allclose(found, normalised, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("backend", [None, fit("plda", *layer(0, dim=256))], ids=["cosine", "plda"])
def test_trials_are_scored_in_blocks(backend: Backend | None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = layer(1, dim=256)[0]
    first, second = np.random.default_rng(0).integers(len(rows), size=(2, 100_000))
    tracemalloc.start()
    scores = metrics.trial_scores(rows, first, second, backend=backend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6  # both sides of all trials take 410 MB
    monkeypatch.setattr(metrics._points, "_BLOCK", 1 << 40)
    some = slice(None, None, 97)
    np.testing.assert_allclose(
        scores[some], metrics.trial_scores(rows, first[some], second[some], backend=backend), rtol=1e-12, atol=1e-12
    )


@pytest.mark.exhaustive
def test_a_million_trials_take_seconds() -> None:
    rows, labels = np.random.default_rng(0).normal(size=(3000, 1024)), np.arange(3000) % 27
    backend = fit("plda", rows, labels)
    first, second = np.random.default_rng(1).integers(3000, size=(2, 1_000_000))
    start = time.process_time()
    metrics.trial_scores(rows, first, second, backend=backend)
    assert time.process_time() - start < 20  # 4 to 5 on one core


@every_kind
def test_what_is_no_different_from_the_center_has_no_direction(kind: str) -> None:
    rows, labels = layer(0)
    backend = fit(kind, rows, labels)
    x = np.stack([backend.center, np.nextafter(backend.center, np.inf), rows[0], np.zeros(6)])
    vectors, embeddings = backend.vectors(x), backend.embed(x)
    assert not vectors[:2].any()
    assert np.isfinite(embeddings).all()
    lengths = np.linalg.norm(embeddings, axis=1)
    np.testing.assert_allclose(lengths, [backend.has_scores, backend.has_scores, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(backend.matrix(x[:2], x[:2]), backend.offset)


@pytest.mark.parametrize("kind", ["wccn", "lda", "plda"])
def test_dimensions_that_are_constant_tell_nothing(kind: str) -> None:
    rows, labels = layer(0)
    padded = np.pad(rows, ((0, 0), (1, 2)), constant_values=7.0)
    backend = fit(kind, padded, labels)
    moved = backend.matrix(padded, padded)
    assert np.isfinite(moved).all()
    rates = [metrics.equal_error_rate(*fit(kind, x, labels).pair_scores(x, labels)) for x in (rows, padded)]
    assert abs(rates[0] - rates[1]) < 0.1  # it shrinks towards another isotropic matrix


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 4).flatmap(
        lambda dim: st.lists(st.lists(st.integers(-2, 2), min_size=dim, max_size=dim), min_size=3, max_size=9)
    ),
    speakers=st.integers(2, 4),
    within=st.sampled_from([0.0, 0.1, 1.0]),
    between=st.sampled_from([0.0, 0.6, 1.0]),
)
def test_any_rows_are_fitted_or_refused(
    kind: str, rows: list[list[int]], speakers: int, within: float, between: float
) -> None:
    """Few whole numbers, so that rows are often equal, zero, on one line, or as many as speakers."""
    labels, refused = np.arange(len(rows)) % speakers, ""
    try:
        backend = fit(kind, rows, labels, within=within, between=between)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert re.search("at least|are equal|do not vary|same mean|one direction", refused)
        return
    x = np.concatenate([rows, -np.array(rows) - 1, np.zeros((1, len(rows[0])))])
    scores, embeddings = backend.matrix(x, x), backend.embed(x)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, scores.T, rtol=1e-12, atol=1e-9 * np.abs(scores).max())
    lengths = np.linalg.norm(embeddings, axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-12) | (lengths == 0))


ROWS, LABELS = layer(0)
NEARLY_EQUAL = np.nextafter(ROWS[[0, 0, 1, 1]].astype(np.float32), np.float32([[0.0], [np.inf]] * 2))


@pytest.mark.parametrize(
    ("kind", "rows", "labels", "options", "words"),
    [
        ("pca", ROWS, LABELS, {}, "kind must be one of centered, wccn, lda, plda; got 'pca'"),
        ("wccn", ROWS[0], LABELS[:1], {}, "layer vectors must have shape [N, D]"),
        ("wccn", ROWS, LABELS[1:], {}, "must have shape"),
        ("plda", ROWS * np.nan, LABELS, {}, "layer vectors hold NaN or infinity"),
        ("centered", ROWS, ["one"] * len(ROWS), {}, "recordings of at least two speakers are needed; got 1"),
        ("centered", ROWS[:0], [], {}, "at least two speakers are needed; got 0"),
        ("plda", ROWS[:, :0], LABELS, {}, "of 0 numbers"),
        ("wccn", ROWS, np.arange(len(ROWS)), {}, "at least one speaker with two recordings"),
        ("plda", ROWS[[0, 0, 1, 1]] + 1e6, [0, 0, 1, 1], {}, "the recordings of each speaker are equal"),
        ("wccn", NEARLY_EQUAL, [0, 0, 1, 1], {}, "the recordings of each speaker are equal"),
        ("plda", ROWS[[0, 1, 1, 0]], [0, 0, 1, 1], {}, "all speakers have the same mean"),
        ("lda", ROWS[[0, 1, 1, 0]], [0, 0, 1, 1], {}, "all speakers have the same mean"),
        ("plda", [[1.0], [2.0], [8.0], [9.0]], [0, 0, 1, 1], {}, "lie in one direction"),
        ("wccn", ROWS[:5], LABELS[:5], {"within": 0.0}, "so that `within` must be larger; got 0.0"),
        ("wccn", ROWS, LABELS, {"within": 1.5}, "shares, 0 to 1; got within=1.5"),
        ("wccn", ROWS, LABELS, {"within": float("nan")}, "got within=nan"),
        ("plda", ROWS, LABELS, {"between": -0.1}, "between=-0.1"),
        ("plda", ROWS, LABELS, {"dim": 3}, "`dim` is the number of directions that lda keeps; plda keeps all"),
        ("lda", ROWS, LABELS, {"dim": 5}, "differ in 4 directions: `dim` must be 1 to 4; got 5"),
        ("lda", ROWS, LABELS, {"dim": 0}, "must be 1 to 4; got 0"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(
    kind: str, rows: Any, labels: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        fit(kind, rows, labels, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda backend: backend.vectors(ROWS[:, :3]), "have 3 dimensions, the back-end's 6"),
        (lambda backend: backend.embed(ROWS[0]), "must have shape [N, D]"),
        (lambda backend: backend.matrix(ROWS, ROWS * np.inf), "NaN or infinity"),
        (lambda backend: backend.trial_scores(ROWS, [0], [len(ROWS)]), "trials name rows 0 to"),
        (lambda backend: backend.pair_scores(ROWS, LABELS[1:]), "must have shape"),
        (lambda backend: metrics.adaptive_s_norm(ROWS[:, :3], [0], [1], ROWS[:, :3], backend=backend), "3 dimensions"),
    ],
)
def test_what_does_not_fit_the_back_end_is_named(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call(fit("plda", ROWS, LABELS))
