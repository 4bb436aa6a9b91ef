"""Intervals of equal error rates, draw by draw against loops that weigh or copy every trial."""

import itertools
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from jaxtriplet import metrics
from jaxtriplet.metrics import _resampling
from tests.reference import trials as reference


def speaker_trials(seed: int, speakers: int = 5, copies: int = 1) -> list[tuple[float, bool, str, str]]:
    """Trials of which a speaker's all lie high or low together, some of them tied with others."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=speakers)
    found = []
    for first, second in [*itertools.combinations(range(speakers), 2), *[(s, s) for s in range(speakers)] * 2] * copies:
        score = (first == second) + shift[first] + shift[second] + rng.normal(scale=0.3)
        found.append((round(float(score), 1), first == second, f"s{first}", f"s{second}"))
    return found


def columns(rows: list[tuple[float, bool, str, str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, same, *names = (np.array(column) for column in zip(*rows, strict=True))
    return scores, same, np.stack(names, axis=1)


def rates_of(scored: list[np.ndarray], same: np.ndarray, speakers: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    return _resampling.by_speaker(scored, same, *_resampling.numbered(speakers), draws, seed)


def test_a_draw_copies_the_trials_of_its_speakers() -> None:
    """The draws are those of NumPy's generator: each is made of copies of trials, and judged as these."""
    rows = speaker_trials(1)
    scores, same, speakers = columns(rows)
    rng, expected = np.random.default_rng(3), []
    while len(expected) < 200:
        copies = reference.resampled(rows, [f"s{i}" for i in rng.integers(5, size=5)])
        drawn, truths = (np.array(column) for column in zip(*copies, strict=True))
        if truths.any() and not truths.all():
            expected.append(metrics.equal_error_rate(drawn, truths))
    assert len(set(expected)) == 10
    np.testing.assert_allclose(rates_of([scores], same, speakers, 200, seed=3)[0], expected, rtol=0, atol=1e-12)
    found = metrics.bootstrap_interval(scores, same, speakers, draws=200, seed=3)
    assert found == pytest.approx(np.quantile(expected, [0.025, 0.975]), abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 12])
@pytest.mark.parametrize(("leaf", "counts"), [(1, 1 << 22), (1, 50), (30, 50), (2048, 1 << 22)])
def test_halving_finds_what_going_through_all_trials_finds(
    decimals: int, leaf: int, counts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where many scores are tied, and where truth and names do not agree, as of twins and of wrong labels."""
    monkeypatch.setattr(_resampling, "_LEAF", leaf)
    monkeypatch.setattr(_resampling, "_COUNTS", counts)
    rng = np.random.default_rng(decimals)
    speakers = rng.integers(9, size=(400, 2))
    same = (speakers[:, 0] == speakers[:, 1]) ^ (rng.random(400) < 0.05)
    scores = (rng.normal(size=400) + same + rng.normal(size=9)[speakers].sum(axis=1) / 2).round(decimals)
    other = (rng.normal(size=400) + same).round(decimals)
    expected = [reference.drawn_rates(one, same, speakers, 60) for one in (scores, other)]
    np.testing.assert_allclose(rates_of([scores, other], same, speakers, 60), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("leaf", [1, 2048])
@pytest.mark.parametrize("scores", [np.zeros, np.arange, lambda count: -np.arange(count)])
def test_halving_at_the_ends(leaf: int, scores: Callable[[int], np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """All scores tied, and targets all above or all below impostors; a kind is rare, so that draws lack it."""
    monkeypatch.setattr(_resampling, "_LEAF", leaf)
    speakers = np.array([[0, 1], [0, 2], [1, 3], [3, 4], [1, 2], [4, 4]])
    same = np.arange(6) == 5
    expected = reference.drawn_rates(scores(6).astype(float), same, speakers, 50)
    np.testing.assert_allclose(rates_of([scores(6).astype(float)], same, speakers, 50)[0], expected, atol=1e-12)


@pytest.mark.parametrize(
    "names", [["b", "a", "c"], [7, -1, 3], [0.5, 0.25, 9.0], [b"x", b"", b"y"], np.array(["b", None, 3], object)]
)
def test_speakers_may_be_named_in_any_way(names: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_resampling, "_NAMES", 3)
    drawn = np.random.default_rng(0).integers(3, size=(10, 2))
    size, places = _resampling.numbered(np.asarray(names)[drawn])
    ranks = {name: rank for rank, name in enumerate(sorted(names, key=lambda name: (str(type(name)), name)))}
    assert size == 3
    assert places.tolist() == [[ranks[names[side]] for side in sides] for sides in drawn]


@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("decimals", [0, 12])
def test_draws_of_trials_are_as_frequent_as_all_there_are(vectors: int, decimals: int) -> None:
    """Of six trials there are 6^6 draws, of which those without either kind do not count."""
    rng = np.random.default_rng(2)
    same = np.array([True, True, True, False, False, False])
    scored = [(same + rng.normal(size=6)).round(decimals) for _ in range(vectors)]
    exact: Counter[tuple[float, ...]] = Counter()
    for drawn in itertools.combinations_with_replacement(range(6), 6):
        often = np.bincount(drawn, minlength=6)
        if often[same].any() and often[~same].any():
            rates = tuple(round(reference.weighted_rate(scores, same, often), 9) for scores in scored)
            exact[rates] += math.factorial(6) // math.prod(map(math.factorial, often.tolist()))
    count = 1200
    found = Counter(tuple(one) for one in _resampling.by_trial(scored, same, count, 0).T.round(9).tolist())
    assert found.keys() <= exact.keys()
    assert len(exact) > 3
    for rates, ways in exact.items():
        share = ways / exact.total()
        # Four standard deviations.
        assert abs(found[rates] / count - share) < 4 * math.sqrt(share * (1 - share) / count) + 1e-3


@pytest.mark.parametrize("decimals", [1, 12])
def test_intervals_over_trials_are_those_of_a_loop(decimals: int) -> None:
    rng = np.random.default_rng(0)
    same = rng.random(150) < 0.3
    scores = (rng.normal(size=150) + 1.5 * same).round(decimals)
    rates = [
        reference.weighted_rate(scores, same, np.bincount(rng.integers(150, size=150), minlength=150))
        for _ in range(400)
    ]
    found = _resampling.by_trial([scores], same, 1000, 0)[0]
    assert found.mean() == pytest.approx(np.mean(rates), abs=0.008)  # four standard errors of 400 draws
    assert found.std() == pytest.approx(np.std(rates), rel=0.15)
    interval = metrics.bootstrap_interval(scores, same, draws=1000)
    assert interval == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=1e-12)
    assert metrics.bootstrap_interval(scores, same, draws=1000, seed=1) != interval


def test_the_interval_knows_that_speakers_differ() -> None:
    scores, same, speakers = columns(speaker_trials(0, speakers=12, copies=20))
    by_speaker = metrics.bootstrap_interval(scores, same, speakers)
    by_trial = metrics.bootstrap_interval(scores, same)
    assert by_speaker.high - by_speaker.low > 2 * (by_trial.high - by_trial.low)
    half = metrics.bootstrap_interval(scores, same, speakers, level=0.5)
    assert by_speaker.low < half.low < half.high < by_speaker.high


@pytest.mark.parametrize("by_speaker", [True, False])
def test_a_difference_is_that_of_the_same_draws(by_speaker: bool) -> None:
    """What both vectors share falls out: the interval is narrower than that of either rate."""
    first, same, speakers = columns(speaker_trials(4, speakers=12, copies=4))
    second = first + np.random.default_rng(1).normal(scale=0.4, size=len(first))
    asked = speakers if by_speaker else None
    found = metrics.bootstrap_difference(first, second, same, asked, draws=300)
    assert found.estimate == metrics.equal_error_rate(first, same) - metrics.equal_error_rate(second, same)
    if by_speaker:
        rates = np.array([reference.drawn_rates(one, same, speakers, 300) for one in (first, second)])
        assert found[1:3] == pytest.approx(np.quantile(rates[0] - rates[1], [0.025, 0.975]), abs=1e-12)
        assert found.share_lower == np.mean(rates[0] < rates[1]) + np.mean(rates[0] == rates[1]) / 2
        low, high = metrics.bootstrap_interval(first, same, speakers, draws=300)
        assert found.high - found.low < 0.6 * (high - low)
    turned = metrics.bootstrap_difference(second, first, same, asked, draws=300)
    assert turned.estimate == -found.estimate
    if by_speaker:
        assert turned[1:] == pytest.approx((-found.high, -found.low, 1 - found.share_lower), abs=1e-12)


@pytest.mark.parametrize("by_speaker", [True, False])
def test_scores_of_one_order_do_not_differ(by_speaker: bool) -> None:
    scores, same, speakers = columns(speaker_trials(0, speakers=6, copies=3))
    found = metrics.bootstrap_difference(scores, np.exp(scores), same, speakers if by_speaker else None, draws=100)
    assert found == (0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize("by_speaker", [True, False])
def test_without_an_error_the_rate_is_exactly_none(by_speaker: bool) -> None:
    """Whoever reads an interval asks whether its upper bound is 0."""
    rng = np.random.default_rng(0)
    for size in range(20, 40):
        same = np.arange(size) < size // 3
        speakers = np.stack([np.arange(size) % 9, (np.arange(size) + ~same) % 9], axis=1)
        scores, asked = rng.random(size) + 2 * same, speakers if by_speaker else None
        assert metrics.bootstrap_interval(scores, same, asked, draws=20) == (0.0, 0.0)
        assert metrics.bootstrap_interval(-scores, same, asked, draws=20) == (1.0, 1.0)


FEW = np.array([[0, 0], [1, 2], [3, 3], [2, 3]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.bootstrap_interval([0.1, 0.2], [True, True]), "there is no impostor trial"),
        (lambda: metrics.bootstrap_interval([], np.array([], bool)), "there is no target trial"),
        (lambda: metrics.bootstrap_interval([0.1, np.nan], [True, False]), "1 of 2 scores are NaN"),
        (lambda: metrics.bootstrap_interval([0.1, 0.2], [True, False], [0, 1]), "shape [2, 2]; got (2,)"),
        (lambda: metrics.bootstrap_interval([0.1, 0.2], [True, False], [[0, 0], [0, 0]]), "too few speakers for an in"),
        (
            lambda: metrics.bootstrap_interval([0.1, 0.2, 0.3, 0.4], [True, False] * 2, FEW),
            "too few speakers for an interval: 4; at least 5 are needed",
        ),
        (lambda: metrics.bootstrap_interval([0.1, 0.2], [True, False], level=1.0), "level must lie between 0 and 1"),
        (
            lambda: metrics.bootstrap_interval([0.1, 0.2], [True, False], draws=0),
            "draws must be a whole number above 0",
        ),
        (lambda: metrics.bootstrap_difference([0.1, 0.2], [0.1], [True, False]), "got (1,), (2,)"),
        (lambda: metrics.bootstrap_difference([0.1, 0.2], [np.nan, 0.1], [True, False]), "1 of 2 scores are NaN"),
        (lambda: metrics.bootstrap_difference([0.1, 0.2], [0.2, 0.1], [True, False], FEW), "[2, 2]; got (4, 2)"),
        (
            lambda: metrics.bootstrap_difference([0.1, 0.2, 0.3, 0.4], [0.1] * 4, [True, False] * 2, FEW),
            "too few speakers",
        ),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_five_speakers_are_enough() -> None:
    assert metrics.MIN_SPEAKERS == 5
    scores, same, speakers = columns(speaker_trials(0, speakers=5))
    low, high = metrics.bootstrap_interval(scores, same, speakers, draws=50)
    assert 0 <= low < high <= 1


MILLIONS = """
import time
import numpy as np
from jaxtriplet import metrics
from jaxtriplet.tools.bench.worker import peak_memory

rng = np.random.default_rng(0)
labels, shift = rng.integers(1200, size=2721), rng.normal(scale=0.3, size=1200)
first, second = np.triu_indices(2721, k=1)
speakers = np.stack([labels[first], labels[second]], axis=1)
del first, second
same = speakers[:, 0] == speakers[:, 1]
scores = (rng.normal(size=len(same)) + 4 * same + shift[speakers].sum(axis=1)).astype(np.float32)
begun = time.process_time()
np.argsort(scores, kind="stable")
once = time.process_time() - begun
begun = time.process_time()
rate = metrics.equal_error_rate(scores, same)
metrics.min_dcf(scores, same), metrics.equal_error_threshold(scores, same)
for found in (metrics.bootstrap_interval(scores, same, speakers), metrics.bootstrap_interval(scores, same)):
    assert found.low < rate < found.high < 1.3 * found.low
assert len(same) > 3_700_000
print((time.process_time() - begun) / once, peak_memory() / 2**30)
"""


@pytest.mark.exhaustive
def test_millions_of_trials_cost_few_sorts_and_less_than_a_gibibyte() -> None:
    """Rate, cost, threshold and both intervals of 3.7 million trials, against sorting their scores in the same process.

    12 to 17 of them; intervals that sort each of their 1,000 samples would cost more than 1,000.
    """
    done = subprocess.run([sys.executable, "-c", MILLIONS], capture_output=True, text=True, check=True)
    sorts, peak = map(float, done.stdout.split())
    assert sorts < 60
    assert peak < 1, done.stdout
