"""Costs of log-likelihood ratios and calibration, against loops, scikit-learn and numbers worked out by hand."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from jaxtriplet import metrics
from tests.reference import trials as reference

SEEDS = range(12)


def trials(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores of few or many of either kind, every other time with many ties."""
    rng = np.random.default_rng(seed)
    targets, impostors = rng.integers(3, 60, size=2)
    scores = np.concatenate([rng.normal(1.0, 1.0, targets), rng.normal(0.0, 1.5, impostors), [0.0, 1.0]])
    same = np.arange(len(scores)) < targets
    same[-2:] = [True, False]  # they overlap, whatever was drawn
    order = rng.permutation(len(scores))
    return scores.round(0 if seed % 2 else 12)[order], same[order]


@pytest.mark.parametrize("seed", SEEDS)
def test_cllr_is_that_of_a_loop_and_of_log_loss(seed: int) -> None:
    ratios, same = trials(seed)
    found = metrics.cllr(ratios, same)
    assert found == pytest.approx(reference.cllr(ratios.tolist(), same.tolist()), rel=1e-12)
    weights = np.where(same, 1 / same.sum(), 1 / (~same).sum())
    assert found == pytest.approx(log_loss(same, 1 / (1 + np.exp(-ratios)), sample_weight=weights) / np.log(2))


@pytest.mark.parametrize("seed", SEEDS)
def test_min_cllr_is_that_of_pools(seed: int) -> None:
    scores, same = trials(seed)
    found = metrics.min_cllr(scores, same)
    assert found == pytest.approx(reference.min_cllr(scores.tolist(), same.tolist()), abs=1e-12)
    assert metrics.min_cllr(np.exp(scores), same) == found  # the order alone
    line = metrics.calibrate(scores, same)
    assert 0 < found <= metrics.cllr(line.apply(scores), same) <= 1


@pytest.mark.parametrize(
    ("ratios", "same", "cost", "least"),
    [
        ([0.0, 0.0], [1, 0], 1.0, 1.0),  # they say nothing
        # A likelihood ratio of 3 costs log2(4/3) of a target and 2 of an impostor.
        ([math.log(3)] * 2 + [-math.log(3)] * 2, [1, 1, 0, 0], math.log2(4 / 3), 0.0),
        ([math.log(3)] * 2 + [-math.log(3)] * 2, [0, 0, 1, 1], 2.0, 1.0),  # turned round: one pool
        # Pools of targets and impostors (0, 1), (1, 1), (1, 0): of the middle one the ratio is 1.
        ([-math.log(7), 0.0, 0.0, math.log(7)], [0, 1, 0, 1], (math.log2(8 / 7) + 1) / 2, 0.5),
        # Pools (1, 2), (2, 1): ratios 1/2 and 2; each kind costs a third of log2(3) and two thirds of log2(3/2).
        ([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], [1, 0, 0, 1, 1, 0], None, math.log2(3) / 3 + 2 * math.log2(1.5) / 3),
        ([800.0, -800.0], [1, 0], 0.0, 0.0),  # sure and right
        ([-800.0, 800.0], [1, 0], 800 / math.log(2), 1.0),  # sure and wrong: nothing overflows
    ],
)
def test_costs_worked_out_by_hand(ratios: list[float], same: list[int], cost: float | None, least: float) -> None:
    truth = np.array(same, bool)
    if cost is not None:
        assert metrics.cllr(ratios, truth) == pytest.approx(cost, rel=1e-12)
    assert metrics.min_cllr(ratios, truth) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("p_target", [0.5, 0.01, 0.9])
@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_is_weighted_logistic_regression(seed: int, p_target: float) -> None:
    scores, same = trials(seed)
    weights = np.where(same, p_target / same.sum(), (1 - p_target) / (~same).sum())
    peer = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(scores[:, None], same, weights)
    expected = (peer.coef_.item(), peer.intercept_.item() - math.log(p_target / (1 - p_target)))
    if expected[0] > 0:
        assert metrics.calibrate(scores, same, p_target=p_target) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    else:
        with pytest.raises(ValueError, match=f"best scale is {expected[0]:.3g}"):
            metrics.calibrate(scores, same, p_target=p_target)


@pytest.mark.parametrize("p_target", [0.5, 0.01])
def test_no_other_line_costs_less(p_target: float) -> None:
    """The cost is written out anew; its slope at the line is 0 in both numbers."""
    scores, same = trials(4)
    line = metrics.calibrate(scores, same, p_target=p_target)

    def cost(scale: float, offset: float) -> float:
        odds = math.exp(offset) * p_target / (1 - p_target)
        targets = [math.log1p(math.exp(-scale * s) / odds) for s in scores[same].tolist()]
        impostors = [math.log1p(math.exp(scale * s) * odds) for s in scores[~same].tolist()]
        return p_target * sum(targets) / len(targets) + (1 - p_target) * sum(impostors) / len(impostors)

    for scale, offset in ((1e-3, 0.0), (0.0, 1e-3)):
        up, down = (cost(line.scale + sign * scale, line.offset + sign * offset) for sign in (1, -1))
        assert min(up, down) > cost(*line)
        assert (up - down) / 2e-3 == pytest.approx(0.0, abs=1e-7)


def test_calibration_finds_the_ratios_of_normal_scores() -> None:
    """Normal scores a distance d apart have the ratio d s - d^2 / 2; which share of trials are targets is no matter."""
    rng = np.random.default_rng(0)
    same = rng.random(40_000) < 0.1
    scores = rng.normal(size=len(same)) + 2.0 * same
    for p_target in (0.5, 0.05):
        line = metrics.calibrate(scores, same, p_target=p_target)
        assert line == pytest.approx((2.0, -2.0), abs=0.1)
        ratios = line.apply(scores)
        assert metrics.cllr(ratios, same) == pytest.approx(metrics.min_cllr(scores, same), abs=0.005)
        assert metrics.actual_dcf(ratios, same, p_target=0.1) < metrics.min_dcf(scores, same, p_target=0.1) + 0.02


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e6, 3e7), (1.0, -1e4)])
def test_calibration_does_not_mind_the_scale_of_scores(scale: float, offset: float) -> None:
    scores, same = trials(0)
    expected = metrics.calibrate(scores, same).apply(scores)
    moved = scores * scale + offset
    np.testing.assert_allclose(metrics.calibrate(moved, same).apply(moved), expected, rtol=1e-6, atol=1e-6)


def test_scores_of_any_shape_and_precision_are_calibrated() -> None:
    found = metrics.Calibration(2.0, 1.0).apply(np.array([[0.5], [-1.0]], np.float16))
    np.testing.assert_array_equal(found, [[2.0], [-1.0]])
    assert found.dtype == np.float64


BOTH = [True, False]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.cllr([0.1, 0.2], [True, True]), "there is no impostor trial"),
        (lambda: metrics.cllr([math.nan, 0.2], BOTH), "1 of 2 scores are NaN or infinite"),
        (lambda: metrics.cllr([0.1], BOTH), "got (1,), (2,)"),
        (lambda: metrics.min_cllr([0.1, 0.2], [False, False]), "there is no target trial"),
        (lambda: metrics.min_cllr([], np.array([], bool)), "there is no target trial"),
        (lambda: metrics.min_cllr([math.nan, math.inf], BOTH), "2 of 2 scores are NaN or infinite"),
        (lambda: metrics.calibrate([0.1, 0.2], [True, True]), "there is no impostor trial"),
        (lambda: metrics.calibrate([0.1, math.nan], BOTH), "1 of 2 scores are NaN"),
        (lambda: metrics.calibrate([0.1, 0.2], BOTH, p_target=0.0), "p_target is a probability between 0 and 1; got 0"),
        (lambda: metrics.calibrate([0.5, 0.5], BOTH), "all scores are equal"),
        (lambda: metrics.calibrate([0.9, 0.5, 0.2], [True, True, False]), "the best scale is infinite"),
        (lambda: metrics.calibrate([0.9, 0.5, 0.5, 0.2], [True, True, False, False]), "the best scale is infinite"),
        (lambda: metrics.calibrate([0.2, 0.5, 0.5, 0.9], [True, True, False, False]), "(the best scale is -inf)"),
        (lambda: metrics.calibrate([0.2, 0.6, 0.5, 0.9], [True, True, False, False]), "(the best scale is -6.84)"),
        (lambda: metrics.Calibration(1.0, 0.0).apply([[1.0, math.nan]]), "1 of 2 scores are NaN or infinite"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
