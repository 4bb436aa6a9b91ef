"""The judgement: its keys, its honesty about the threshold, and figures known for real speech."""

import json
from itertools import combinations

import numpy as np
import pytest
from sktime.datasets import load_japanese_vowels

from jaxtriplet import metrics
from jaxtriplet.metrics import judge, judge_unseen

KEYS = (
    "equal_error_rate min_dcf accuracy threshold false_acceptance_rate false_rejection_rate purity nmi "
    "misclassification_rate num_trials num_speakers"
)


def speech(seed: int, utterances: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of five imagined speakers that overlap a little."""
    centres = np.random.default_rng(99).normal(size=(5, 6))
    labels = np.repeat(np.arange(5), utterances)
    return centres[labels] + 0.6 * np.random.default_rng(seed).normal(size=(len(labels), 6)), labels


def test_the_figures_are_plain_and_complete() -> None:
    figures = judge(*speech(0), *speech(1)).figures
    assert list(figures) == KEYS.split()
    assert json.loads(json.dumps(figures)) == figures
    assert {type(value) for value in figures.values()} == {float, int}
    assert figures["num_trials"] == len(list(combinations(range(40), 2)))
    assert figures["num_speakers"] == 5
    assert 0 < figures["equal_error_rate"] < 0.4


def test_the_threshold_comes_from_training_pairs_alone() -> None:
    scores, same = metrics.pair_scores(*speech(0))
    threshold = metrics.equal_error_threshold(scores, same)
    for seed in (1, 2):
        figures, trials = judge(*speech(0), *speech(seed)).figures, metrics.pair_scores(*speech(seed))
        assert figures["threshold"] == threshold
        rates = figures["false_acceptance_rate"], figures["false_rejection_rate"]
        assert rates == metrics.error_rates(*trials, threshold)
        assert figures["equal_error_rate"] == metrics.equal_error_rate(*trials)


def test_a_judgement_keeps_what_it_was_found_by() -> None:
    rows, labels = speech(1)
    known, unseen = judge(*speech(0), rows, labels), judge_unseen(rows, labels)
    assert (known.judged, unseen.judged) == ("test", "development")
    assert judge_unseen(rows, labels, judged="training").judged == "training"
    scores, same = metrics.pair_scores(rows, labels)
    for found in (known, unseen):
        np.testing.assert_array_equal(found.embeddings, rows)
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.same, same)
        np.testing.assert_array_equal(found.clusters, metrics.agglomerative(rows, 5))
    assert list(unseen.figures) == [name for name in KEYS.split() if name != "accuracy"]
    assert unseen.figures["threshold"] == metrics.equal_error_threshold(scores, same)
    alike = set(unseen.figures) - {"threshold", "false_acceptance_rate", "false_rejection_rate"}
    assert {name: known.figures[name] for name in alike} == {name: unseen.figures[name] for name in alike}


def test_perfect_and_collapsed_embeddings() -> None:
    labels = np.repeat(np.arange(3), 4)
    perfect = judge(np.eye(3)[labels], labels, np.eye(3)[labels], labels).figures
    assert [perfect[key] for key in ("equal_error_rate", "min_dcf", "misclassification_rate")] == [0.0, 0.0, 0.0]
    assert [perfect[key] for key in ("accuracy", "purity", "nmi", "threshold")] == [1.0, 1.0, 1.0, 0.5]
    collapsed = judge(np.ones((12, 3)), labels, np.ones((12, 3)), labels).figures
    assert (collapsed["equal_error_rate"], collapsed["min_dcf"]) == (0.5, 1.0)
    assert collapsed["accuracy"] == pytest.approx(1 / 3)


def test_no_speaker_in_common() -> None:
    train, labels = speech(0)
    with pytest.raises(ValueError, match="none of these utterances is of an enrolled speaker"):
        judge(train, labels, train, labels + 5)


def features(split: str, segments: int) -> tuple[np.ndarray, np.ndarray]:
    """The means of so many parts of every utterance; with one part, mean and standard deviation."""
    nested, labels = load_japanese_vowels(split=split, return_type="nested_univ")
    utterances = [np.stack([np.asarray(cepstrum) for cepstrum in row], axis=1) for row in nested.to_numpy()]
    if segments == 1:
        return np.stack([np.concatenate([u.mean(axis=0), u.std(axis=0)]) for u in utterances]), labels
    return np.stack(
        [np.concatenate([part.mean(axis=0) for part in np.array_split(u, segments)]) for u in utterances]
    ), labels


@pytest.mark.parametrize(("segments", "rate"), [(1, 0.1461), (5, 0.1241)])
def test_baselines_on_real_speech(segments: int, rate: float) -> None:
    """The equal error rates of two classical baselines on JapaneseVowels, measured with other code."""
    (train, train_labels), (test, test_labels) = features("train", segments), features("test", segments)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    figures = judge((train - mean) / deviation, train_labels, (test - mean) / deviation, test_labels).figures
    assert figures["num_trials"] == 68_265
    assert figures["equal_error_rate"] == pytest.approx(rate, abs=0.00005)  # known to two decimals of a percent
