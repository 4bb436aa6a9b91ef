"""Batches of waveforms: what they hold, and that nothing but seed and step decides it."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxtriplet.data import Crops, Recordings, SpeakerSampler, load, read, recordings, whole_recordings
from jaxtriplet.data.audio import stream
from tests.audio_files import RATE, corpus, voice, write

SECONDS = (0.3, 0.4, 0.7)  # the recordings take 0.5 s and more: some crops are padded


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Recordings:
    root = corpus(tmp_path_factory.mktemp("corpus"), speakers=3, sessions=2, utterances=2)
    slow = voice(0.6, rate=8_000, pitch=110)
    write(root / "s0/day0/8kHz.wav", slow, 8_000)
    write(root / "s1/day1/stereo.flac", np.stack([voice(0.55), voice(0.55)], axis=1))
    write(root / "s2/day1/lossy.ogg", voice(0.8, pitch=170))
    return recordings(root, cache_dir=tmp_path_factory.mktemp("cache"))


def crops(index: Recordings, **changes) -> Crops:
    return Crops(index, **({"speakers": 2, "utterances": 3, "seed": 5, "seconds": SECONDS} | changes))


def assert_same(batches, others) -> None:
    for batch, other in zip(batches, others, strict=True):
        for part, other_part in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


def take(batches, count: int) -> list:
    return [next(batches) for _ in range(count)]


# Sessions


def test_positives_come_from_different_sessions_first():
    labels = np.repeat([3, 8], 8)
    sessions = np.tile([0, 0, 0, 0, 0, 1, 2, 2], 2) + 10 * labels
    sampler = SpeakerSampler(labels, speakers=2, utterances=3, seed=0, sessions=sessions)
    for step in range(50):
        for rows in sampler[step].reshape(2, 3):
            assert len(set(sessions[rows])) == 3
            assert len(set(labels[rows])) == 1
    # The fourth and fifth come from the sessions that hold a second recording, the rest from the largest.
    deep = SpeakerSampler(labels, speakers=2, utterances=6, seed=0, sessions=sessions)
    counts = [np.unique(sessions[rows], return_counts=True)[1] for rows in deep[0].reshape(2, 6)]
    np.testing.assert_array_equal(counts, [[3, 1, 2]] * 2)
    # Every recording has its turn.
    assert {row for step in range(50) for row in sampler[step]} == set(range(16))


def test_without_sessions_nothing_changes():
    labels = np.repeat([3, 8], 8)
    plain = SpeakerSampler(labels, speakers=2, utterances=3, seed=0)
    alike = SpeakerSampler(labels, speakers=2, utterances=3, seed=0, sessions=labels)
    assert all((plain[step] == alike[step]).all() for step in range(10))


@pytest.mark.parametrize("sessions", [[0, 1], np.zeros((4, 1), int), np.zeros(4)])
def test_bad_sessions(sessions):
    with pytest.raises(ValueError, match=r"sessions must be integers of shape \[4\]"):
        SpeakerSampler([0, 0, 1, 1], speakers=2, utterances=2, seed=0, sessions=sessions)


# Crops


def test_batches(index):
    seen = set()
    for step in range(12):
        waveforms, lengths, labels = crops(index)[step]
        assert (waveforms.dtype, lengths.dtype, labels.dtype) == (np.float32, np.int32, np.int32)
        assert waveforms.shape[0] == len(lengths) == len(labels) == 6
        assert (labels.reshape(2, 3) == labels.reshape(2, 3)[:, :1]).all()
        assert ((lengths > RATE // 4) & (lengths <= waveforms.shape[1])).all()
        assert all(not row[end:].any() and row[:end].any() for row, end in zip(waveforms, lengths, strict=True))
        seen.add(waveforms.shape[1])
    assert seen == {round(RATE * seconds) for seconds in SECONDS}  # one shape each, and so one compilation


def test_a_short_recording_is_padded(index):
    lengths = np.concatenate([crops(index, seconds=(0.7,))[step].lengths for step in range(8)])
    assert lengths.max() == 0.7 * RATE
    assert lengths.min() == np.floor(index.seconds.min() * RATE)


@pytest.mark.parametrize("room", [0, 1, 1_000])
def test_crops_are_pieces_from_anywhere(tmp_path, room):
    ramp = np.arange(4_000, dtype=np.int16)  # each sample says where it was
    for speaker in range(2):
        for name in "ab":
            write(tmp_path / f"s{speaker}/{name}.wav", ramp + np.int16(10_000 * speaker))
    index = recordings(tmp_path, cache_dir=tmp_path / ".cache")
    batches = crops(index, seconds=((len(ramp) - room) / RATE,), speakers=2, utterances=2)
    starts = []
    for step in range(100):
        waveforms, _, labels = batches[step]
        whole = np.round(waveforms * 2**15).astype(int) - 10_000 * labels[:, None]
        assert (np.diff(whole) == 1).all()
        starts += whole[:, 0].tolist()
    # 400 uniform draws: none in the outer 5 % of either end has a probability of 2 * 0.95^400 = 2e-9.
    assert 0 <= min(starts) <= 0.05 * room
    assert 0.95 * room <= max(starts) <= room


SPEEDS = {"speeds": (0.9, 1.0, 1.1)}
KINDS = {
    "plain": {},
    "speeds": SPEEDS,
    "shuffled": {"shuffled": True, **SPEEDS},
    "fine-tuned": {"tuned_from": 4, "tuned_seconds": (0.5, 0.6), **SPEEDS},
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_only_seed_and_step_count(index, changes):
    straight = [crops(index, **changes)[step] for step in range(8)]
    back = [crops(index, **changes)[step] for step in reversed(range(8))][::-1]
    assert_same(straight, back)
    other = crops(index, seed=6, **changes)
    assert any(other[step].waveforms.shape != straight[step].waveforms.shape for step in range(8))
    for memory in (0, 100_000):  # nothing kept, the first few kept
        assert_same(straight, [crops(index, memory=memory, **changes)[step] for step in range(8)])


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_threads_do_not_matter(index, threads):
    assert_same(take(load(crops(index), threads=threads), 8), [crops(index)[step] for step in range(8)])


@pytest.mark.parametrize("threads", [0, 2])
def test_resuming_is_exact(index, threads):
    uninterrupted = take(load(crops(index), threads=threads), 12)
    first = load(crops(index), threads=threads)
    assert_same(take(first, 5), uninterrupted[:5])
    state = json.loads(json.dumps(first.get_state()))
    resumed = load(crops(index), threads=2 - threads)
    resumed.set_state(state)
    assert_same(take(resumed, 7), uninterrupted[5:])
    resumed.set_state(state)  # and back again
    assert_same(take(resumed, 2), uninterrupted[5:7])


def test_speeds_are_speakers(tmp_path):
    time = np.arange(RATE) / RATE
    for speaker, pitch in enumerate((500, 800)):
        for name in "ab":
            write(tmp_path / f"s{speaker}/{name}.wav", 0.5 * np.sin(2 * np.pi * pitch * time))
    index = recordings(tmp_path, cache_dir=tmp_path / ".cache")
    batches = crops(index, speakers=6, utterances=2, seconds=(0.5,), speeds=(1.0, 0.9, 1.1))
    assert batches.num_speakers == 6
    waveforms, lengths, labels = batches[0]
    assert sorted(set(labels.tolist())) == list(range(6))
    assert set(lengths) == {RATE // 2}
    heard = np.abs(np.fft.rfft(waveforms * np.hanning(RATE // 2), axis=1)).argmax(axis=1) * 2  # bins of 2 Hz
    expected = np.array([500, 800, 450, 720, 550, 880])[labels]
    np.testing.assert_allclose(heard, expected, atol=2)


def test_speeds_keep_sessions_apart(index):
    batches = crops(index, speakers=9, utterances=2, speeds=(1.0, 0.9, 1.1))
    for step in range(10):
        rows = batches._first.sampler[step].reshape(9, 2) % len(index)
        assert (index.sessions[rows[:, 0]] != index.sessions[rows[:, 1]]).all()


def test_shuffled_crops_are_of_each_recording_once_an_epoch_at_each_speed(index):
    size = 3 * len(index)
    batches = crops(index, speakers=size // 3, utterances=3, shuffled=True, **SPEEDS)  # as many rows as an epoch
    several = crops(index, speakers=2, utterances=4, shuffled=True, **SPEEDS)
    counts = np.bincount(index.labels)
    for step in range(3):
        np.testing.assert_array_equal(np.bincount(batches[step].labels), np.tile(counts, 3))
    assert all(len(several[step].labels) == 8 for step in range(size))
    # More than two speakers, and no order.
    assert any(len(set(several[step].labels.tolist())) > 2 for step in range(size))


@pytest.mark.parametrize("shuffled", [False, True])
def test_fine_tuning_hears_other_lengths_and_no_other_speed(index, shuffled):
    numbers = {"speakers": 3, "shuffled": shuffled, **SPEEDS}
    before, tuned = crops(index, **numbers), crops(index, tuned_from=6, tuned_seconds=(0.5, 0.6), **numbers)
    assert_same([tuned[step] for step in range(6)], [before[step] for step in range(6)])
    later = [tuned[step] for step in range(6, 26)]
    assert {batch.waveforms.shape[1] / RATE for batch in later} == {0.5, 0.6}
    # The second speed is 1, so that the original speakers are the second three.
    assert {label for batch in later for label in batch.labels.tolist()} == {3, 4, 5}
    assert tuned.num_speakers == 9
    assert {crops(index, tuned_from=0)[step].waveforms.shape[1] / RATE for step in range(12)} == set(SECONDS)


def test_memory_is_read_once(index, monkeypatch):
    calls = []

    def counted(path, ranges, **options):
        calls.append((path, sum(stop - start for start, stop in ranges) / options["sample_rate"]))
        return stream(path, ranges, **options)

    monkeypatch.setattr("jaxtriplet.data.sound.stream", counted)
    batches = crops(index)
    for step in range(40):
        batches[step]
    assert len(calls) == len({path for path, _ in calls}) == len(index)
    calls.clear()
    small = crops(index, memory=0)
    lengths = small[0].lengths
    assert [seconds for _, seconds in calls] == (lengths / RATE).tolist()


def test_a_file_that_vanishes_is_named(tmp_path):
    index = recordings(corpus(tmp_path / "data"), cache_dir=tmp_path)
    for path in (tmp_path / "data").rglob("*.wav"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"s\d/day\d/\d\d\.wav"):
        next(load(crops(index)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speakers": 4}, "batches of 4 speakers need as many"),
        ({"utterances": 0}, "utterances must be"),
        ({"seconds": ()}, r"seconds must be numbers above 0; got \(\)"),
        ({"seconds": (1.6, 0.0)}, "seconds must be numbers above 0"),
        ({"speeds": (1.0, -0.9)}, "speeds must be numbers above 0"),
        ({"sample_rate": 0}, "sample_rate must be"),
        ({"tuned_from": 3, "tuned_seconds": (-1.0,)}, "tuned_seconds must be numbers above 0"),
        ({"tuned_from": 3, "speeds": (0.9, 1.1)}, "fine-tuning is at speed 1, which must be one of the speeds"),
        ({"shuffled": True, "triplet_shares": 1}, "triplets are drawn, and no shuffled rows"),
    ],
)
def test_bad_numbers(index, changes, message):
    with pytest.raises(ValueError, match=message):
        crops(index, **changes)


def test_one_speaker_is_not_enough(index):
    with pytest.raises(ValueError, match="holds recordings of 1 speaker; at least two"):
        crops(index.take(np.flatnonzero(index.labels == 0)))
    firsts = np.unique(index.labels, return_index=True)[1]
    with pytest.raises(ValueError, match=r"no speaker in .* has two recordings"):
        crops(index.take(firsts))


# Whole recordings


@pytest.mark.parametrize("threads", [0, 2])
def test_whole_recordings(index, threads):
    met = []
    for rows, waveforms, lengths in whole_recordings(index, batch_seconds=4, threads=threads):
        assert len(waveforms) == len(lengths) >= len(rows)
        for i, row in enumerate(rows):
            samples = read(index.root / index.paths[row])
            assert lengths[i] == len(samples)
            np.testing.assert_array_equal(waveforms[i, : lengths[i]], samples)
            assert not waveforms[i, lengths[i] :].any()
        for i in range(len(rows), len(waveforms)):
            np.testing.assert_array_equal(waveforms[i], waveforms[0])
        met += rows.tolist()
    assert sorted(met) == list(range(len(index)))


def imagined(seconds: list[float]) -> Recordings:
    """Recordings without files, of these lengths."""
    number = np.arange(len(seconds))
    frames = np.round(np.array(seconds) * RATE).astype(np.int64)
    paths = np.array([f"{i}.wav" for i in number])
    return Recordings(Path(), paths, ("",), 0 * number, 0 * number, frames, np.full(len(seconds), RATE))


def test_whole_recordings_have_few_shapes(monkeypatch):
    rng = np.random.default_rng(0)
    index = imagined((0.2 * 2 ** rng.uniform(0, 9, size=400)).tolist())  # 0.2 to 102 s
    monkeypatch.setattr("jaxtriplet.data.sound.stream", lambda path, ranges, **_: [np.ones(ranges[0][1], np.float32)])
    shapes, audio, padding = set(), 0, 0
    for rows, waveforms, lengths in whole_recordings(index, batch_seconds=30, threads=0):
        assert waveforms.size <= max(30 * RATE, waveforms.shape[1])
        shapes.add(waveforms.shape)
        if waveforms.shape[1] > RATE:
            valid = lengths[: len(rows)]
            audio, padding = audio + valid.sum(), padding + (waveforms.shape[1] - valid).sum()
            assert (valid > 0.79 * waveforms.shape[1]).all()
    # Up to one second is one shape; from there to 128 s are 7 octaves of 4.
    assert len(shapes) == len({length for _, length in shapes}) <= 29
    assert padding < 0.15 * audio
