"""JapaneseVowels as published, and samplers that draw what they promise."""

import sys

import numpy as np
import pytest

from jaxtriplet.data import (
    EpochSampler,
    ShuffledSampler,
    SpeakerSampler,
    TripletSampler,
    japanese_vowels,
    sampler_of,
)

RAGGED = np.array([5, 5, 5, 5, 5, 9, 9, 2, 7, 7, 7, -1, -1, -1, -1, 5])
STEPS = range(20)


@pytest.mark.parametrize(
    ("split", "per_speaker"),
    # The counts of the data set's own documentation (UCI, DOI 10.24432/C5NS47).
    [("train", [30] * 9), ("test", [31, 35, 88, 44, 29, 24, 40, 50, 29])],
)
def test_japanese_vowels_as_published(split, per_speaker):
    features, lengths, labels = japanese_vowels(split)
    assert np.bincount(labels).tolist() == per_speaker
    assert features.shape == (sum(per_speaker), 29, 12)
    assert (features.dtype, lengths.dtype, labels.dtype) == (np.float32, np.int32, np.int32)
    assert 7 <= lengths.min() <= lengths.max() <= 29
    valid = np.arange(29) < lengths[:, None]
    assert not features[~valid].any()
    assert features[valid].any(axis=1).all()


def test_japanese_vowels_first_utterance():
    features, lengths, labels = japanese_vowels("train")
    assert (lengths[0], labels[0]) == (20, 0)
    np.testing.assert_array_equal(features[0, :3, 0], np.float32([1.860936, 1.891651, 1.939205]))
    np.testing.assert_array_equal(features[0, 0, :3], np.float32([1.860936, -0.207383, 0.261557]))


def test_japanese_vowels_unknown_split():
    with pytest.raises(ValueError, match='split must be "train" or "test"'):
        japanese_vowels("TRAIN")


def test_japanese_vowels_without_sktime(monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "jaxtriplet\[speech\]"'):
        japanese_vowels()


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: SpeakerSampler(RAGGED, speakers=3, utterances=3, seed=seed),
        lambda seed: TripletSampler(RAGGED, triplets=8, seed=seed),
        lambda seed: ShuffledSampler(len(RAGGED), rows=5, seed=seed),
        lambda seed: EpochSampler(RAGGED, speakers=3, utterances=3, seed=seed),
    ],
    ids=["speakers", "triplets", "shuffled", "epochs"],
)
def test_a_step_is_a_function_of_seed_and_step(make):
    sampler = make(3)
    forth = [sampler[step] for step in STEPS]
    back = [make(3)[step] for step in reversed(STEPS)][::-1]
    np.testing.assert_array_equal(forth, back)
    assert len({tuple(batch) for batch in forth}) == len(STEPS)
    assert any((make(4)[step] != forth[step]).any() for step in STEPS)


def test_speaker_batches():
    sampler = SpeakerSampler(RAGGED, speakers=3, utterances=3, seed=0)
    drawn = np.array([sampler[step] for step in STEPS]).reshape(-1, 3, 3)
    labels = RAGGED[drawn]
    assert (labels == labels[:, :, :1]).all()
    assert all(len(set(batch[:, 0])) == 3 for batch in labels)
    for rows, label in zip(drawn.reshape(-1, 3), labels[:, :, 0].ravel(), strict=True):
        assert len(set(rows)) == min(3, np.sum(label == RAGGED))
    assert set(drawn.ravel()) == set(range(len(RAGGED))) - {7}  # row 7 is its speaker's only one


def test_speaker_with_too_few_utterances_gives_each_as_often():
    drawn = SpeakerSampler([0, 0, 0], speakers=1, utterances=7, seed=0)[0]
    assert sorted(np.bincount(drawn)) == [2, 2, 3]


def test_one_utterance_each_draws_everybody():
    assert set(SpeakerSampler([4, 5, 6], speakers=3, utterances=1, seed=0)[0]) == {0, 1, 2}


def test_triplets():
    sampler = TripletSampler(RAGGED, triplets=200, seed=0)
    anchor, positive, negative = sampler[0].reshape(3, -1)
    assert (RAGGED[anchor] == RAGGED[positive]).all()
    assert (anchor != positive).all()
    assert (RAGGED[anchor] != RAGGED[negative]).all()
    everybody = set(range(len(RAGGED)))
    assert set(negative) == everybody  # a lone utterance (row 7) can be a negative, and nothing else
    assert set(anchor) == set(positive) == everybody - {7}


def test_triplets_are_uniform():
    labels = [0, 0, 0, 1, 1]
    anchor, positive, negative = TripletSampler(labels, triplets=20_000, seed=0)[0].reshape(3, -1)
    pairs = np.histogram2d(anchor, positive, bins=5)[0] / 20_000
    expected = np.zeros((5, 5))
    expected[:3, :3], expected[3:, 3:] = 1 / 10, 1 / 5
    np.fill_diagonal(expected, 0)
    # Five standard deviations of a share of 20,000 draws: 5 * sqrt(p * (1 - p) / 20000) < 0.0145 for p <= 1 / 5.
    np.testing.assert_allclose(pairs, expected, atol=0.0145)
    np.testing.assert_allclose(np.bincount(negative[anchor < 3]) / np.sum(anchor < 3), [0, 0, 0, 0.5, 0.5], atol=0.025)


@pytest.mark.parametrize(
    ("labels", "numbers", "message"),
    [
        ([0, 0, 1], {"speakers": 2, "utterances": 2}, "2 speakers .* 2 or more utterances; the labels hold 1"),
        ([0, 1, 2], {"speakers": 2, "utterances": 2}, "no speaker has two utterances"),
        ([], {"speakers": 2, "utterances": 2}, "labels must be integers"),
        ([0, 0, 1, 1], {"speakers": 0, "utterances": 2}, "speakers must be"),
        ([0, 0, 1, 1], {"speakers": 2, "utterances": 0}, "utterances must be"),
        ([[0, 0, 1, 1]], {"speakers": 2, "utterances": 2}, "labels must be integers of shape"),
        ([0.0, 0.0], {"speakers": 1, "utterances": 2}, "labels must be integers of shape"),
    ],
)
def test_bad_speaker_sampler(labels, numbers, message):
    with pytest.raises(ValueError, match=message):
        SpeakerSampler(labels, **numbers, seed=0)


@pytest.mark.parametrize(
    ("labels", "triplets", "message"),
    [
        ([0, 0, 0], 2, "a negative needs a second speaker; the labels hold 1"),
        ([0, 1, 2], 2, "no speaker has two utterances"),
        ([0, 0, 1], 0, "triplets must be"),
    ],
)
def test_bad_triplet_sampler(labels, triplets, message):
    with pytest.raises(ValueError, match=message):
        TripletSampler(labels, triplets=triplets, seed=0)


@pytest.mark.parametrize("rows", [1, 5, 16, 23])
def test_shuffled_batches_are_epochs_one_after_the_other(rows):
    sampler = ShuffledSampler(len(RAGGED), rows=rows, seed=0)
    drawn = [sampler[step] for step in range(4 * len(RAGGED))]
    assert {len(batch) for batch in drawn} == {rows}
    epochs = np.concatenate(drawn).reshape(-1, len(RAGGED))
    np.testing.assert_array_equal(np.sort(epochs), np.broadcast_to(np.arange(len(RAGGED)), epochs.shape))
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_a_sampler_is_chosen_by_what_is_asked_for():
    numbers = {"speakers": 3, "utterances": 4, "seed": 3}
    expected = [
        SpeakerSampler(RAGGED, **numbers),
        ShuffledSampler(len(RAGGED), rows=12, seed=3),
        TripletSampler(RAGGED, triplets=4, seed=3, shares=2),
    ]
    for other, options in zip(expected, ({}, {"shuffled": True}, {"triplet_shares": 2}), strict=True):
        np.testing.assert_array_equal(sampler_of(RAGGED, **numbers, **options)[6], other[6])
    with pytest.raises(ValueError, match="triplets are drawn"):
        sampler_of(RAGGED, **numbers, shuffled=True, triplet_shares=1)


@pytest.mark.parametrize(("size", "rows", "message"), [(0, 3, "size must be"), (3, 0, "rows must be")])
def test_bad_shuffled_sampler(size, rows, message):
    with pytest.raises(ValueError, match=message):
        ShuffledSampler(size, rows=rows, seed=0)
