"""What metrics take as numbers, names and sizes, and what they refuse, whatever library it is from."""

import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxtriplet import distances, metrics

SCORES, SAME = [0.75, 0.25, 0.5, 0.125], [True, True, False, False]
OF_SCORES: dict[str, Callable[[Any], Any]] = {
    "det_curve": lambda scores: [part.tolist() for part in metrics.det_curve(scores, SAME)],
    "cllr": lambda scores: metrics.cllr(scores, SAME),
    "min_cllr": lambda scores: metrics.min_cllr(scores, SAME),
    "calibrate": lambda scores: metrics.calibrate(scores, SAME),
    "apply": lambda scores: metrics.Calibration(2.0, 1.0).apply(scores).tolist(),
    "actual_dcf": lambda scores: metrics.actual_dcf(scores, SAME),
    "bootstrap": lambda scores: metrics.bootstrap_difference(scores, scores, SAME, draws=5),
}


@pytest.mark.parametrize("of", OF_SCORES.values(), ids=OF_SCORES)
def test_scores_are_numbers_of_any_library(of: Callable[[Any], Any]) -> None:
    plain = of(SCORES)
    read_only = np.repeat(np.array(SCORES, np.float32), 2)
    read_only.flags.writeable = False
    objects = np.array(SCORES, object)
    brain = np.array(SCORES, ml_dtypes.bfloat16)
    for given in (tuple(SCORES), np.float16(SCORES), jnp.array(SCORES), brain, objects, read_only[::2]):
        assert of(given) == plain


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.array(SCORES) + 1j, "scores must be numbers; got complex128 of shape [4]"),
        (["0.75", "0.25", "0.5", "0.125"], "scores must be numbers; got <U5 of shape [4]"),
        (np.array([1, 2, 3, 4], "datetime64[s]"), "scores must be numbers; got datetime64[s] of shape [4]"),
        ({0.75, 0.25}, "scores must be numbers; got {0.25, 0.75}"),
        ([[1.0], [1.0, 2.0]], "scores must be numbers; got rows of different lengths, [[1.0], [1.0, 2.0]]"),
        (np.ma.array(SCORES, mask=[0, 1, 0, 0]), "masked array, some of whose numbers are missing"),
        ([0.75, None, 0.5, 0.125], "1 of 4 scores are NaN or infinite"),
    ],
)
@pytest.mark.parametrize("of", OF_SCORES.values(), ids=OF_SCORES)
def test_what_is_no_score_is_not_taken_for_one(of: Callable[[Any], Any], scores: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        of(scores)


ROWS = np.random.default_rng(0).normal(size=(24, 5))
SPEAKERS = np.repeat(np.arange(6), 4)
TINY_AND_HUGE = 10.0 ** np.linspace(-300, 300, len(ROWS))[:, None]


def test_a_cosine_is_that_of_rows_of_any_length() -> None:
    scores, same = metrics.pair_scores(ROWS, SPEAKERS)
    scaled, _ = metrics.pair_scores(ROWS * TINY_AND_HUGE, SPEAKERS)
    np.testing.assert_allclose(scaled, scores, rtol=0, atol=1e-14)
    first, second = np.triu_indices(len(ROWS), k=1)
    np.testing.assert_allclose(metrics.trial_scores(ROWS * TINY_AND_HUGE, first, second), scores, rtol=0, atol=1e-14)
    assert metrics.equal_error_rate(scaled, same) == metrics.equal_error_rate(scores, same)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_retrieval_by_cosine_is_that_of_rows_of_any_length(dtype: type) -> None:
    """Losses take rows shorter than 1e-6 for none; whoever looks rows up must not find by chance for that reason."""
    limits = np.finfo(dtype)
    # Down to where numbers lose digits and up to where they end, by powers of 2, which leave all digits as they are.
    reach = np.linspace(limits.minexp + 3, limits.maxexp - 3, len(ROWS)).astype(int)
    rows = ROWS.astype(np.float16).astype(dtype)
    rows = np.where(np.abs(rows) < 0.1, dtype(0.125), rows)
    scaled = np.ldexp(rows, reach[:, None])
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).min() < 1e-4
    assert metrics.retrieval(scaled, SPEAKERS) == metrics.retrieval(rows, SPEAKERS)
    references = (rows[::-1], SPEAKERS[::-1])
    assert metrics.map_at_r(scaled, SPEAKERS, *references) == metrics.map_at_r(rows, SPEAKERS, *references)


def test_a_line_is_found_for_scores_of_any_scale() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(400) < 0.3
    scores = rng.normal(size=400) + 2 * same
    scale, offset = metrics.calibrate(scores, same)
    for unit in (1e-300, 1e-12, 1e12, 1e300):
        found = metrics.calibrate(scores * unit, same)
        assert (found.scale * unit, found.offset) == pytest.approx((scale, offset), rel=1e-9)


def test_a_line_is_the_best_one_near_any_prior() -> None:
    """In the limit of rare targets, a target costs its own ratio and an impostor the exponential of its own."""
    rng = np.random.default_rng(1)
    same = rng.random(400) < 0.3
    scores = rng.normal(size=400) + 2 * same
    for p_target in (1e-12, 1e-30, 1e-300):
        line = metrics.calibrate(scores, same, p_target=p_target)
        odds = np.exp(line.apply(scores[~same]))
        assert np.mean(odds) == pytest.approx(1.0, rel=1e-6)  # where the slope by the offset is 0
        assert np.mean(odds * scores[~same]) == pytest.approx(scores[same].mean(), rel=1e-6)  # and that by the scale


WITHOUT_NAME = np.array([["a", "a"], ["b", "b"], ["c", np.nan], ["d", "e"]], object)
CONTRARY = [[0, 0], [1, 2], [3, 3], [4, 5]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: metrics.pair_scores(ROWS + 1j, SPEAKERS),
            "embeddings must be numbers of shape [N, D]; got complex128",
        ),
        (lambda: metrics.pair_scores(ROWS.astype(str), SPEAKERS), "embeddings must be numbers of shape [N, D]; got <U"),
        (lambda: metrics.pair_scores(np.ma.masked_less(ROWS, 0), SPEAKERS), "a masked array, some of whose numbers"),
        (lambda: metrics.pair_scores(ROWS, np.where(SPEAKERS > 2, SPEAKERS, np.nan)), "12 of 24 labels of embeddings"),
        (lambda: metrics.pair_scores(ROWS[:2], np.array(["a", np.nan], object)), "1 of 2 labels of embeddings are NaN"),
        (lambda: metrics.retrieval(np.ma.masked_less(ROWS, 0), SPEAKERS), "a masked array, some of whose numbers"),
        (lambda: metrics.retrieval(ROWS, [0, "0"] * 12), "got strings and others, of which 1 and '1' would be one"),
        (lambda: metrics.retrieval(ROWS, SPEAKERS, k=2.5), "k must be a whole number above 0; got 2.5"),  # type: ignore[arg-type]
        (lambda: metrics.retrieval(ROWS, SPEAKERS, k=""), "got none"),  # type: ignore[arg-type]
        (
            lambda: metrics.retrieval(ROWS * 1e300, SPEAKERS, distance_fn=distances.euclidean),
            "embeddings hold numbers that are too large for float32, up to 2.",
        ),
        (lambda: metrics.actual_dcf(SCORES, SAME, threshold="0.5"), "threshold must be a number; got '0.5'"),  # type: ignore[arg-type]
        (lambda: metrics.error_rates(SCORES, SAME, SCORES), "threshold must be a number; got [0.75, 0.25, 0.5, 0.125]"),  # type: ignore[arg-type]
        (lambda: metrics.min_dcf(SCORES, SAME, p_target="0.5"), "p_target is a probability between 0 and 1; got '0.5'"),  # type: ignore[arg-type]
        (lambda: metrics.actual_dcf(SCORES, SAME, cost_miss=None), "costs must be positive; got cost_miss=None"),  # type: ignore[arg-type]
        (lambda: metrics.calibrate(SCORES, SAME, p_target=None), "p_target is a probability between 0 and 1; got None"),  # type: ignore[arg-type]
        (lambda: metrics.calibrate(np.array([4, 2, 3, 1]) * 5e-324, SAME), "are too small: no float is their scale"),
        (lambda: metrics.bootstrap_interval(SCORES, SAME, draws=1.5), "draws must be a whole number above 0; got 1.5"),  # type: ignore[arg-type]
        (lambda: metrics.bootstrap_interval(SCORES, SAME, level="a"), "level must lie between 0 and 1; got 'a'"),  # type: ignore[arg-type]
        (lambda: metrics.bootstrap_interval(SCORES, SAME, seed=-1), "seed must be a whole number, at least 0; got -1"),
        (
            lambda: metrics.bootstrap_interval(SCORES, SAME, WITHOUT_NAME),
            "1 of the speakers are NaN, which names nobody",
        ),
        (lambda: metrics.bootstrap_interval(SCORES, SAME, CONTRARY), "who speaks in 2 of 4 trials?"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        call()
