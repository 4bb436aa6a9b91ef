"""Every metric against a loop over all thresholds, matches or rows, and against values known by hand."""

import itertools
import math
import re
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jaxtriplet import metrics
from tests.reference import trials as reference

SEEDS = range(20)


def trials(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores, every other time so coarse that many are tied, and few or many of either kind."""
    rng = np.random.default_rng(seed)
    targets, impostors = rng.integers(1, 40, size=2)
    scores = np.concatenate([rng.normal(1.0, 1.0, targets), rng.normal(0.0, 1.0, impostors)])
    same = np.arange(len(scores)) < targets
    order = rng.permutation(len(scores))
    return (scores.round(1 if seed % 2 else 12))[order], same[order]


def operating_points(scores: np.ndarray, same: np.ndarray) -> list[tuple[float, float, float]]:
    """(threshold, false acceptance rate, false rejection rate) at every score and beyond the highest, by counting."""
    points = []
    for threshold in [*sorted(set(scores.tolist())), math.inf]:
        accepted_impostors = sum(1 for s, t in zip(scores, same, strict=True) if not t and s >= threshold)
        rejected_targets = sum(1 for s, t in zip(scores, same, strict=True) if t and s < threshold)
        points.append((threshold, accepted_impostors / sum(~same), rejected_targets / sum(same)))
    return points


def crossing(points: list[tuple[float, float, float]]) -> float:
    """Where the path through the points meets the line of equal rates, by bisection along its segments."""
    for (_, far_0, frr_0), (_, far_1, frr_1) in itertools.pairwise(points):
        if frr_0 <= far_0 and frr_1 >= far_1:
            low, high = 0.0, 1.0
            for _ in range(60):
                middle = (low + high) / 2
                if frr_0 + middle * (frr_1 - frr_0) <= far_0 + middle * (far_1 - far_0):
                    low = middle
                else:
                    high = middle
            return far_0 + low * (far_1 - far_0)
    raise AssertionError("the path starts below the line and ends above it")


def random_partitions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    speakers, clusters = rng.integers(1, 6, size=2)
    return rng.integers(0, speakers, 25) * 3, rng.integers(0, clusters, 25) - 7


@pytest.mark.parametrize("seed", SEEDS)
def test_det_curve_is_every_operating_point(seed: int) -> None:
    curve = metrics.det_curve(*trials(seed))
    expected = np.array(operating_points(*trials(seed))).T
    np.testing.assert_array_equal(curve.thresholds, expected[0])
    np.testing.assert_allclose(curve.false_acceptance, expected[1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.false_rejection, expected[2], rtol=0, atol=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_roc_curve_is_the_det_curve_from_the_other_end(seed: int) -> None:
    scores, same = trials(seed)
    curve, points = metrics.roc_curve(scores, same), operating_points(scores, same)[::-1]
    expected = np.array(points).T
    np.testing.assert_array_equal(curve.thresholds, expected[0])
    np.testing.assert_allclose(curve.false_acceptance, expected[1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.true_acceptance, 1 - expected[2], rtol=0, atol=1e-15)
    above = [(t > i) + (t == i) / 2 for t in scores[same].tolist() for i in scores[~same].tolist()]
    assert curve.area == pytest.approx(sum(above) / len(above), abs=1e-14)
    assert curve.area == pytest.approx(roc_auc_score(same, scores), abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_error_rate_is_the_crossing(seed: int) -> None:
    expected = crossing(operating_points(*trials(seed)))
    assert metrics.equal_error_rate(*trials(seed)) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_error_rate_depends_on_the_order_alone(seed: int) -> None:
    scores, same = trials(seed)
    expected = metrics.equal_error_rate(scores, same)
    assert metrics.equal_error_rate(np.exp(scores / 3), same) == expected
    # Turning scores and truth round swaps the two errors.
    assert metrics.equal_error_rate(-scores, ~same) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_min_dcf_is_the_least_cost(seed: int) -> None:
    prior, miss, false_alarm = (0.01, 1.0, 1.0) if seed < 10 else (0.3, 2.0, 5.0)
    costs = [miss * prior * frr + false_alarm * (1 - prior) * far for _, far, frr in operating_points(*trials(seed))]
    found = metrics.min_dcf(*trials(seed), p_target=prior, cost_miss=miss, cost_false_alarm=false_alarm)
    assert found == pytest.approx(min(costs) / min(miss * prior, false_alarm * (1 - prior)), rel=1e-12)
    assert 0 <= found <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_actual_dcf_is_the_cost_at_a_threshold(seed: int) -> None:
    """At that of Bayes if none is named; the least of all that there are is `min_dcf`."""
    (scores, same), (prior, miss, false_alarm) = trials(seed), [(0.01, 1.0, 1.0), (0.3, 2.0, 5.0)][seed % 2]
    weights = {"p_target": prior, "cost_miss": miss, "cost_false_alarm": false_alarm}

    def cost(threshold: float) -> float:
        missed = sum(s < threshold for s in scores[same].tolist()) / same.sum()
        accepted = sum(s >= threshold for s in scores[~same].tolist()) / (~same).sum()
        total = miss * prior * missed + false_alarm * (1 - prior) * accepted
        return total / min(miss * prior, false_alarm * (1 - prior))

    bayes = math.log(false_alarm * (1 - prior) / (miss * prior))
    assert metrics.actual_dcf(scores, same, **weights) == pytest.approx(cost(bayes), rel=1e-12)
    thresholds = [*np.unique(scores).tolist(), -math.inf, math.inf]
    found = [metrics.actual_dcf(scores, same, threshold=threshold, **weights) for threshold in thresholds]
    assert found == pytest.approx([cost(threshold) for threshold in thresholds], rel=1e-12)
    assert min(found) == pytest.approx(metrics.min_dcf(scores, same, **weights), rel=1e-12)


def test_half_precision_scores_are_computed_with_in_float64() -> None:
    """Their many ties are joined as those of any scores, and the rates are not rounded to what float16 holds."""
    rng = np.random.default_rng(0)
    same = np.arange(60_000) < 20_000
    scores = (rng.normal(size=60_000) + 2.0 * same).astype(np.float16)
    assert len(np.unique(scores)) < 15_000
    for figure in (metrics.equal_error_rate, metrics.min_dcf, metrics.equal_error_threshold, metrics.cllr):
        assert figure(scores, same) == figure(scores.astype(np.float64), same)
    counts = [np.unique(scores, return_inverse=True)[1][kind] for kind in (same, ~same)]
    rejected, turned_down = (np.cumsum(np.bincount(one, minlength=15_000)) / len(one) for one in counts)
    expected = np.interp(0.0, rejected + turned_down - 1, 1 - turned_down)
    assert metrics.equal_error_rate(scores, same) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_threshold_brings_the_rates_closer(seed: int) -> None:
    scores, same = trials(seed)
    threshold = metrics.equal_error_threshold(scores, same)
    rates = metrics.error_rates(scores, same, threshold)
    closest = min(abs(frr - far) for _, far, frr in operating_points(scores, same))
    assert abs(rates.false_rejection - rates.false_acceptance) == pytest.approx(closest, abs=1e-14)


@pytest.mark.parametrize("threshold", [-0.3, 0.0, 0.5, 9.0])
def test_error_rates_are_counts(threshold: float) -> None:
    scores, same = trials(3)
    false_acceptance = sum(s >= threshold for s in scores[~same]) / sum(~same)
    false_rejection = sum(s < threshold for s in scores[same]) / sum(same)
    assert metrics.error_rates(scores, same, threshold) == pytest.approx((false_acceptance, false_rejection))


@pytest.mark.parametrize(
    ("scores", "same", "rate", "cost", "threshold"),
    [
        ([3.0, 2.0, 1.0, 0.0], [1, 1, 0, 0], 0.0, 0.0, 1.5),  # parted: half-way
        ([3.0, 2.0, 1.0, 0.0], [0, 0, 1, 1], 1.0, 1.0, 1.5),  # turned round
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 0, 0], 0.5, 1.0, 1.0),  # collapsed: all scores tied
        ([4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0], 0.5, 0.5, 2.5),  # interleaved
    ],
)
def test_values_known_by_hand(scores: list[float], same: list[int], rate: float, cost: float, threshold: float) -> None:
    truth = np.array(same, bool)
    assert metrics.equal_error_rate(scores, truth) == rate
    assert metrics.min_dcf(scores, truth) == cost
    assert metrics.equal_error_threshold(scores, truth) == threshold


def test_neighbouring_numbers_are_still_parted() -> None:
    low = 1.0
    scores, same = [low, np.nextafter(low, 2)], [False, True]
    assert metrics.error_rates(scores, same, metrics.equal_error_threshold(scores, same)) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pair_scores_are_cosines_in_order(dtype: type) -> None:
    rng = np.random.default_rng(0)
    embeddings, labels = rng.normal(size=(7, 3)).astype(dtype), np.array(["a", "b", "a", "c", "b", "a", "d"])
    scores, same = metrics.pair_scores(embeddings, labels)
    for k, (i, j) in enumerate(itertools.combinations(range(7), 2)):
        x, y = embeddings[i].tolist(), embeddings[j].tolist()
        assert scores[k] == pytest.approx(cosine(x, y), abs=1e-14)
        assert same[k] == (labels[i] == labels[j])
    assert len(scores) == len(same) == 21


@pytest.mark.parametrize("block", [1, 15, 60, 1 << 20])
def test_pairs_are_those_of_all_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtriplet.metrics._points._BLOCK", block)
    rng = np.random.default_rng(block)
    rows, labels = rng.normal(size=(11, 4)), rng.integers(3, size=11)
    scores, same = metrics.pair_scores(rows, labels)
    pairs = list(itertools.combinations(range(11), 2))
    np.testing.assert_allclose(scores, [cosine(rows[a].tolist(), rows[b].tolist()) for a, b in pairs], atol=1e-14)
    assert same.tolist() == [labels[a] == labels[b] for a, b in pairs]


@pytest.mark.parametrize("count", [0, 1])
def test_there_are_no_pairs_of_fewer_than_two(count: int) -> None:
    scores, same = metrics.pair_scores(np.ones((count, 3)), np.zeros(count))
    assert (scores.shape, same.shape, same.dtype) == ((0,), (0,), np.bool_)


def test_pairs_take_little_more_memory_than_their_scores() -> None:
    rows, labels = np.random.default_rng(0).normal(size=(3000, 8)), np.arange(3000) % 7
    tracemalloc.start()
    scores, _ = metrics.pair_scores(rows, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Score and truth are 9 bytes; the block and what is made of it on the way are 8 MiB each.
    assert peak < 10 * len(scores) + (24 << 20)


def cosine(x: list[float], y: list[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True)) / (math.hypot(*x) * math.hypot(*y))


def test_a_row_of_zeros_scores_zero() -> None:
    np.testing.assert_array_equal(metrics.pair_scores([[0.0, 0.0], [1.0, 2.0]], [0, 0])[0], [0.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_clustering_metrics_by_counting(seed: int) -> None:
    labels, clusters = random_partitions(seed)
    speakers, groups = sorted(set(labels)), sorted(set(clusters))
    counts = [[int(np.sum((labels == s) & (clusters == c))) for c in groups] for s in speakers]
    commonest = sum(max(row[c] for row in counts) for c in range(len(groups)))
    assert metrics.purity(labels, clusters) == pytest.approx(commonest / 25)

    width = max(len(speakers), len(groups))
    padded = [row + [0] * (width - len(groups)) for row in counts]
    matches = itertools.permutations(range(width), len(speakers))
    best = max(sum(row[c] for row, c in zip(padded, match, strict=True)) for match in matches)
    assert metrics.misclassification_rate(labels, clusters) == pytest.approx(1 - best / 25)

    matched = metrics.matched_counts(labels, clusters)
    assert sorted(map(tuple, matched.T)) == sorted(zip(*padded, strict=True))
    assert np.trace(matched) == best

    joint = [(n / 25, sum(row) / 25, sum(r[c] for r in counts) / 25) for row in counts for c, n in enumerate(row) if n]
    shared = sum(p * math.log(p / (s * c)) for p, s, c in joint)
    entropies = sum(entropy(ids) for ids in (labels, clusters))
    expected = 2 * shared / entropies if entropies else 1.0
    assert metrics.normalized_mutual_information(labels, clusters) == pytest.approx(expected, abs=1e-12)


def entropy(ids: np.ndarray) -> float:
    return -sum(n / len(ids) * math.log(n / len(ids)) for n in np.unique(ids, return_counts=True)[1])


def test_the_names_of_clusters_do_not_matter() -> None:
    labels, clusters = random_partitions(5)
    renamed = np.array(["c", "a", "d", "e", "b"])[clusters + 7]
    for metric in (metrics.purity, metrics.normalized_mutual_information, metrics.misclassification_rate):
        assert metric(labels, clusters) == pytest.approx(metric(labels, renamed))


@pytest.mark.parametrize("seed", range(5))
def test_nearest_centroid_by_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, train_labels = rng.normal(size=(12, 3)), np.arange(12) % 3 * 10
    rows, labels = rng.normal(size=(15, 3)), rng.integers(0, 4, 15) * 10  # 30 is not enrolled
    right = 0
    for row, label in zip(rows, labels, strict=True):
        best = -math.inf
        for speaker in (0, 10, 20):
            own = train[train_labels == speaker]
            score = cosine(row.tolist(), sum(x / math.hypot(*x) for x in own).tolist())
            if score > best:
                best, nearest = score, speaker
        right += bool(nearest == label)
    assert metrics.nearest_centroid_accuracy(train, train_labels, rows, labels) == pytest.approx(right / 15)


def test_the_length_of_an_embedding_is_no_vote() -> None:
    train, labels = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 90.0], [1.0, 3.0]]), [0, 0, 0, 1]
    assert metrics.nearest_centroid_accuracy(train, labels, [[1.0, 0.1]], [0]) == 1.0


@pytest.mark.parametrize("top", [2, 5, 300])
def test_as_norm_by_loops(top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(top)
    rows, cohort = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))
    first, second = rng.integers(7, size=(2, 11))
    expected = reference.adaptive_s_norm(rows, list(zip(first, second, strict=True)), cohort, top)
    np.testing.assert_allclose(metrics.adaptive_s_norm(rows, first, second, cohort, top=top), expected, rtol=1e-10)
    monkeypatch.setattr(metrics.normalization, "_BLOCK", 20)  # two rows at once, then one
    np.testing.assert_allclose(metrics.adaptive_s_norm(rows, first, second, cohort, top=top), expected, rtol=1e-10)
    scores = metrics.trial_scores(rows, first, second)
    expected = [reference.cosine(rows[a].tolist(), rows[b].tolist()) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_as_norm_undoes_what_a_channel_adds() -> None:
    """Recordings of a second channel share a direction, which lifts all their cosines."""
    rng = np.random.default_rng(0)
    labels, channels = np.repeat(np.arange(20), 4), np.tile([0, 0, 1, 1], 20)
    offset = np.array([0.0] * 16 + [6.0])

    def recorded(speakers: np.ndarray) -> np.ndarray:
        noise = rng.normal(scale=0.9, size=(80, 17))
        return np.pad(speakers[labels], ((0, 0), (0, 1))) + noise + channels[:, None] * offset

    rows, cohort = recorded(rng.normal(size=(20, 16))), recorded(rng.normal(size=(20, 16)))
    first, second = np.triu_indices(80, k=1)
    within = channels[first] == channels[second]
    first, second = first[within], second[within]
    same = labels[first] == labels[second]
    plain = metrics.equal_error_rate(metrics.trial_scores(rows, first, second), same)
    normalised = metrics.equal_error_rate(metrics.adaptive_s_norm(rows, first, second, cohort, top=20), same)
    assert normalised < 0.7 * plain


EYE = np.eye(3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.equal_error_rate([0.1, 0.2], [False, False]), "there is no target trial"),
        (lambda: metrics.equal_error_rate([0.1, 0.2], [True, True]), "there is no impostor trial"),
        (lambda: metrics.det_curve([], np.array([], bool)), "there is no target trial"),
        (lambda: metrics.min_dcf([0.1, np.nan], [True, False]), "1 of 2 scores are NaN"),
        (lambda: metrics.equal_error_threshold([np.inf, 0.0], [True, False]), "NaN or infinite"),
        (lambda: metrics.det_curve([0.1, 0.2], [True]), "shape [T], T trials; got (2,), (1,)"),
        (lambda: metrics.det_curve([[0.1], [0.2]], [[True], [False]]), "got (2, 1), (2, 1)"),
        (
            lambda: metrics.equal_error_rate([0.1, 0.2], [1, 0]),
            "same must be bool: True where a trial has one speaker; got int64; `.astype(bool)`",
        ),
        (lambda: metrics.error_rates([0.1, 0.2], [True, False], math.nan), "the threshold is NaN"),
        (lambda: metrics.min_dcf([0.1, 0.2], [True, False], p_target=1.0), "p_target is a probability"),
        (lambda: metrics.min_dcf([0.1, 0.2], [True, False], cost_miss=0.0), "costs must be positive"),
        (lambda: metrics.min_dcf([0.1, 0.2], [True, False], cost_miss=math.inf), "got cost_miss=inf"),
        (lambda: metrics.actual_dcf([0.1, 0.2], [True, False], threshold=math.nan), "the threshold is NaN"),
        (lambda: metrics.actual_dcf([0.1, 0.2], [True, False], p_target=math.nan), "p_target is a probability"),
        (lambda: metrics.actual_dcf([0.1, math.nan], [True, False]), "1 of 2 scores are NaN"),
        (lambda: metrics.actual_dcf([0.1, 0.2], [True, False], cost_false_alarm=-1.0), "costs must be positive"),
        (lambda: metrics.roc_curve([0.1, 0.2], [True, True]), "there is no impostor trial"),
        (lambda: metrics.roc_curve([], np.array([], bool)), "there is no target trial"),
        (lambda: metrics.pair_scores(EYE[0], [0]), "embeddings must have shape [N, D]"),
        (lambda: metrics.pair_scores(EYE, [0, 1]), "labels of 3 embeddings must have shape [3]; got (2,)"),
        (lambda: metrics.pair_scores(EYE, EYE), "must have shape [3]; got (3, 3)"),
        (lambda: metrics.pair_scores(EYE * np.nan, [0, 1, 2]), "NaN or infinity in 3 of 3 rows"),
        (lambda: metrics.trial_scores(EYE, [0.0], [1.0]), "must be integers of shape [T]; got float64"),
        (lambda: metrics.trial_scores(EYE, [0, 1], [2, 3]), "trials name rows 0 to 3, but there are 3 embeddings"),
        (lambda: metrics.trial_scores(EYE, [-1], [0]), "trials name rows -1 to 0"),
        (lambda: metrics.adaptive_s_norm(EYE, [0], [1], EYE[:, :2]), "have 3 dimensions, the cohort's 2"),
        (lambda: metrics.adaptive_s_norm(EYE, [0], [1], EYE, top=1), "at least 2 cohort recordings"),
        (lambda: metrics.adaptive_s_norm(EYE, [0], [1], EYE[:1]), "got top=300 of 1"),
        (lambda: metrics.adaptive_s_norm(EYE, [0], [1], EYE * [[1], [0], [0]], top=2), "2 of 3 recordings are equally"),
        (lambda: metrics.purity([0, 1], [0]), "labels and clusters must both have shape [N]"),
        (lambda: metrics.misclassification_rate([], []), "N > 0"),
        (lambda: metrics.normalized_mutual_information([[0]], [[0]]), "got (1, 1), (1, 1)"),
        (
            lambda: metrics.nearest_centroid_accuracy(EYE, [0, 1, 2], EYE[:, :2], [0, 1, 2]),
            "3 dimensions, the others 2",
        ),
        (lambda: metrics.nearest_centroid_accuracy(EYE, [0, 1, 2], EYE, [3, 4, 5]), "of an enrolled speaker"),
        (lambda: metrics.nearest_centroid_accuracy(EYE[0], [0], EYE, [0, 1, 2]), "training embeddings must have shape"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
