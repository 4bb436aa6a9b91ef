"""A sampler of epochs: everybody at least once, no row twice, as few places empty as can be, and all rows in turn."""

from collections import Counter
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet import parallel
from jaxtriplet.data import EpochSampler


def ragged(seed: int) -> tuple[np.ndarray, int, int]:
    """Labels of speakers with 1 to 64 rows each, in any order, and the P and K of a batch."""
    rng = np.random.default_rng(seed)
    speakers = rng.permutation(40)[: rng.integers(1, 14)] - 9
    labels = np.repeat(speakers, rng.integers(1, 9, len(speakers)) ** rng.integers(1, 3))
    return rng.permutation(labels), *map(int, rng.integers(1, 6, 2))


def epoch_of(sampler: EpochSampler, epoch: int) -> list[np.ndarray]:
    first = epoch * sampler.steps_per_epoch
    return [sampler[step] for step in range(first, first + sampler.steps_per_epoch)]


def steps_by_counting(groups: dict[int, int], speakers: int) -> int:
    """The greatest number of batches that leave fewer than P places empty, among all that could be."""

    def empty(steps: int) -> int:
        return speakers * steps - sum(min(count, steps) for count in groups.values())

    return max(steps for steps in range(1, sum(groups.values()) + 1) if empty(steps) < speakers)


@pytest.mark.parametrize("seeds", [range(first, first + 100) for first in (0, 100, 200)], ids=lambda one: f"{one[0]}-")
def test_an_epoch_has_everybody_and_no_row_twice(seeds: range) -> None:
    tried = 0
    for seed in seeds:
        labels, speakers, utterances = ragged(seed)
        counts = {label: count for label, count in Counter(labels.tolist()).items() if count >= min(utterances, 2)}
        if len(counts) < speakers:
            with pytest.raises(ValueError, match=f"batches of {speakers} speakers .* the labels hold {len(counts)}"):
                EpochSampler(labels, speakers=speakers, utterances=utterances, seed=seed)
            continue
        tried += 1
        sampler = EpochSampler(labels, speakers=speakers, utterances=utterances, seed=seed)
        whole = {label: max(count // utterances, 1) for label, count in counts.items()}
        assert sampler.steps_per_epoch == steps_by_counting(whole, speakers)
        assert sampler.never_drawn.tolist() == [row for row, label in enumerate(labels) if label not in counts]
        for epoch in range(2):
            batches = epoch_of(sampler, epoch)
            rows = np.concatenate(batches)
            drawn = rows[rows >= 0]
            assert len(set(drawn.tolist())) == len(drawn) == sampler.rows_per_epoch
            assert set(labels[drawn].tolist()) == set(counts)
            empty, groups = 0, Counter[int]()
            for batch in batches:
                there = [group[group >= 0] for group in batch.reshape(speakers, utterances)]
                those = [int(labels[group[0]]) for group in there if len(group)]
                assert len(set(those)) == len(those)
                empty += speakers - len(those)
                groups.update(those)
                for group in there:
                    if len(group):
                        assert len(set(labels[group].tolist())) == 1
                        assert len(group) == min(utterances, counts[int(labels[group[0]])])
            assert empty < speakers
            assert groups == {label: min(count, sampler.steps_per_epoch) for label, count in whole.items()}
    assert tried > 50


def test_a_giant_among_dwarfs() -> None:
    labels = np.concatenate([np.zeros(10_000, int), np.repeat(np.arange(1, 1001), 2)])
    sampler = EpochSampler(labels, speakers=32, utterances=2, seed=0)
    # 33 batches have 33 of the giant's groups and one of every dwarf, 23 less than their places; 34 had 54 less.
    assert (sampler.steps_per_epoch, sampler.rows_per_epoch) == (33, 2 * 33 + 2 * 1000)
    rows = np.concatenate(epoch_of(sampler, 0))
    assert np.sum(rows < 0) == 2 * 23
    # Four for each: of a dwarf half of a group is empty.
    assert EpochSampler(labels, speakers=16, utterances=4, seed=0).rows_per_epoch == 4 * 67 + 2 * 1000
    # Of four speakers one has a single group: rather than ending with it, the others go on while few places are empty.
    few = EpochSampler(np.repeat([0, 1, 2, 3], [99, 99, 99, 2]), speakers=4, utterances=2, seed=0)
    assert (few.steps_per_epoch, few.rows_per_epoch) == (4, 3 * 4 * 2 + 2)


@pytest.mark.parametrize("seed", range(5))
def test_what_an_epoch_leaves_out_comes_first_in_the_next(seed: int) -> None:
    labels, speakers, utterances = np.repeat([3, 1, 2, 0], [23, 7, 5, 2]), 2, 3
    sampler = EpochSampler(labels, speakers=speakers, utterances=utterances, seed=seed)
    epochs = [np.concatenate(epoch_of(sampler, epoch)) for epoch in range(24)]
    for label, count in Counter(labels.tolist()).items():
        own = [set(rows[(rows >= 0) & (labels[rows] == label)].tolist()) for rows in epochs]
        turns = -(-count // len(own[0]))
        for first in range(len(own) - turns + 1):
            assert len(set.union(*own[first : first + turns])) == count
    assert len({frozenset(rows[rows >= 0].tolist()) for rows in epochs}) > 1


def test_who_meets_whom_is_another_in_each_epoch_and_with_each_seed() -> None:
    labels = np.repeat(np.arange(12), 6)
    met = [
        np.stack(epoch_of(EpochSampler(labels, speakers=4, utterances=2, seed=seed), epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert all((one != another).any() for one, another in zip(met, met[1:] + met[:1], strict=True))
    pairs = Counter[tuple[int, int]]()
    sampler = EpochSampler(labels, speakers=4, utterances=2, seed=0)
    for epoch in range(300):
        for batch in epoch_of(sampler, epoch):
            speakers = sorted(set(labels[batch].tolist()))
            pairs.update((a, b) for place, a in enumerate(speakers) for b in speakers[place + 1 :])
    # 300 epochs of 9 batches of 6 pairs, among 66: a mean of 245, whose standard deviation is below 16.
    assert len(pairs) == 66
    assert min(pairs.values()) > 245 - 80
    assert max(pairs.values()) < 245 + 80


def test_processes_that_divide_the_speakers_have_some_of_their_own() -> None:
    labels = np.repeat(np.arange(9), [2, 3, 9, 4, 4, 8, 2, 2, 5])
    sampler = EpochSampler(labels, speakers=4, utterances=3, seed=0)
    each = 4 * 3 // 2
    for batch in epoch_of(sampler, 3):
        shares = [batch[process * each : (process + 1) * each] for process in range(2)]
        first, second = (set(labels[share[share >= 0]].tolist()) for share in shares)
        assert not first & second
    assert parallel.share_of(4 * 3) == slice(0, 12)


def test_a_batch_is_the_users_own() -> None:
    sampler = EpochSampler([0, 0, 1, 1], speakers=2, utterances=2, seed=0)
    before = sampler[0].copy()
    sampler[0][:] = 7
    np.testing.assert_array_equal(sampler[0], before)


def test_padding_is_as_if_it_were_not_there(x64: None) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3])
    rows = np.random.default_rng(0).normal(size=(10, 4))
    batch = EpochSampler(labels, speakers=3, utterances=4, seed=0)[0]
    there = batch[batch >= 0]
    assert len(there) < len(batch)
    padded = jt.batch_all(labels[batch], jnp.asarray(rows[batch]), where=batch >= 0)
    np.testing.assert_allclose(padded, jt.batch_all(labels[there], jnp.asarray(rows[there])), 1e-12)


@pytest.mark.parametrize(
    ("labels", "numbers", "message"),
    [
        ([0, 0, 1], {"speakers": 2, "utterances": 2}, "2 speakers .* 2 or more utterances; the labels hold 1"),
        ([], {"speakers": 1, "utterances": 1}, "labels must be integers"),
        ([0, 0, 1, 1], {"speakers": 0, "utterances": 2}, "speakers must be"),
        ([0, 0, 1, 1], {"speakers": 2, "utterances": 1.5}, "utterances must be"),
        ([[0, 0, 1, 1]], {"speakers": 2, "utterances": 2}, "labels must be integers of shape"),
    ],
)
def test_labels_that_fill_no_batch_are_refused(labels: Any, numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochSampler(labels, **numbers, seed=0)
