"""Sound files as people have them: headers that lie, silence, offsets, channels that cancel, hours in one file."""

import os
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
from flax import nnx

from jaxtriplet.data import Crops, Recordings, read, recordings, recordings_of
from jaxtriplet.data.sound import Piece
from jaxtriplet.models import LSTM
from jaxtriplet.speech import SpeechEncoder, embed_recordings, normalize_level, recordings as embedding
from tests.audio_files import RATE, corpus, voice, write
from tests.reference.speech import embed_sliding

MIB = 1 << 20
SILENCE = np.zeros(12 * RATE, np.float32)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def model() -> SpeechEncoder:
    return SpeechEncoder(LSTM(40, hidden=8, projection=8, embedding_dim=8, rngs=nnx.Rngs(0)))


def index_of(folder: Path, **files: np.ndarray) -> Recordings:
    for name, samples in files.items():
        write(folder / f"{name}.wav", samples)
    return recordings_of(folder, [f"{name}.wav" for name in files])


def patched(path: Path, at: int, content: bytes) -> Path:
    """Overwrites a part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:at] + content + data[at + len(content) :])
    return path


# Headers that lie


RATE_AT, DATA_SIZE_AT, FLAC_LENGTH_AT = 24, 40, 21  # in WAV and in FLAC


@pytest.mark.parametrize("rate", [0, 1, 999, 1_999, 768_001, 2**31 - 1, 2**32 - 1])
def test_a_rate_that_no_recording_has_is_named(tmp_path, rate):
    write(tmp_path / "ada/good.wav", voice(0.3))
    bad = patched(write(tmp_path / "ada/bad.wav", voice(1.2)), RATE_AT, rate.to_bytes(4, "little"))
    index = recordings(tmp_path)
    [problem] = index.problems
    assert index.paths.tolist() == ["ada/good.wav"]
    assert problem.path == "ada/bad.wav"
    # libsndfile itself refuses some of them.
    assert f"its header says {rate:,} Hz" in problem.reason or "broken" in problem.reason
    with pytest.raises(ValueError, match=r"bad\.wav: (its header says|broken)"):
        read(bad)


@pytest.mark.parametrize(
    ("name", "at", "size"),
    [
        ("a.wav", DATA_SIZE_AT, (0x7FFE0000).to_bytes(4, "little")),
        ("a.flac", FLAC_LENGTH_AT, b"\x0f\xff\xff\xff\xff"),  # 2^36 - 1 samples
        ("a.flac", FLAC_LENGTH_AT, b"\x00\x3f\xff\xff\xff"),
        ("a.aiff", 22, (2**31 - 1).to_bytes(4, "big")),
        ("a.au", 8, (2**31 - 1).to_bytes(4, "big")),
        ("a.w64", 0x60, (2**60).to_bytes(8, "little")),
    ],
)
def test_a_length_that_is_not_there_takes_no_memory(tmp_path, name, at, size):
    path = write(tmp_path / "ada" / name, voice(0.5))
    if name.endswith("flac"):
        size = bytes([path.read_bytes()[at] & 0xF0 | size[0]]) + size[1:]
    patched(path, at, size)
    write(tmp_path / "ada/good.wav", voice(0.3))
    tracemalloc.start()
    try:
        content = recordings_of(tmp_path, [f"ada/{name}", "ada/good.wav"])
        try:
            found = len(read(path))
        except ValueError as error:
            assert name in str(error)  # noqa: PT017
            found = 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB
    assert found <= RATE
    # What the header says of a stream is not believed in either direction: it is named, or read as far as it goes.
    assert [problem.path for problem in content.problems] == [f"ada/{name}"] or content.frames[0] == RATE // 2


def test_a_header_that_changes_after_the_look_is_named_where_it_is_read(tmp_path, model):
    corpus(tmp_path, speakers=2)
    index = recordings(tmp_path)
    for path in tmp_path.rglob("*.wav"):
        patched(path, RATE_AT, (1).to_bytes(4, "little"))
    with pytest.raises(ValueError, match=r"\d\d\.wav: its header says 1 Hz"):
        embed_recordings(model, index)
    for memory in (0, 1 << 29):
        with pytest.raises(ValueError, match=r"\d\d\.wav: its header says 1 Hz"):
            Crops(index, speakers=2, utterances=2, seed=0, memory=memory)[0]


def test_many_channels_take_no_more_memory(tmp_path):
    path = write(tmp_path / "a.wav", np.repeat(voice(0.5)[:, None], 256, axis=1))
    tracemalloc.start()
    try:
        assert recordings_of(tmp_path, ["a.wav"]).frames.tolist() == [RATE // 2]
        np.testing.assert_allclose(read(path), voice(0.5), atol=2**-14)
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()


FORMATS: dict[str, dict[str, str]] = {
    **{ending: {} for ending in ("wav", "flac", "ogg", "mp3", "aiff", "w64", "au", "caf", "voc")},
    "sph": {"format": "NIST"},
    "rf64.wav": {"format": "RF64"},
    "float.wav": {"subtype": "FLOAT"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Content with some bits, bytes or numbers changed, in the header above all, or cut."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        place = rng.integers(len(data) if rng.random() < 0.3 else 160)
        number = int(rng.choice([rng.integers(2**31), 2**31 - 1, 2**32 - 1, 0]))
        change = [
            bytes([data[place] ^ 1 << rng.integers(8)]),
            bytes([rng.integers(256)]),
            number.to_bytes(4, "little"),
            number.to_bytes(4, "big"),
        ][rng.integers(4)]
        data[place : place + len(change)] = change
    return bytes(data[: rng.integers(1, len(data))] if rng.random() < 0.1 else data)


@pytest.mark.parametrize(
    "cases",
    [13 * 8, pytest.param(13 * int(os.environ.get("DAMAGES", "150")), marks=pytest.mark.exhaustive)],
    ids=["some", "many"],
)
def test_any_damage_is_named_or_heard_in_little_memory(tmp_path, cases):
    rng = np.random.default_rng(0)
    good = {
        ending: write(tmp_path / f"good.{ending}", voice(0.5), **options).read_bytes()
        for ending, options in FORMATS.items()
    }
    named = 0
    tracemalloc.start()
    try:
        for case in range(cases):
            ending = list(FORMATS)[case % len(FORMATS)]
            path = tmp_path / f"damaged.{ending}"
            path.write_bytes(damaged(good[ending], rng))
            index = recordings_of(tmp_path, [path.name, "good.wav"])
            named += len(index.problems)
            samples = [index.sound(row).read(RATE) for row in range(len(index))]
            assert all(np.isfinite(x).all() for x in samples)
            assert all(abs(len(x) - n) <= 2 for x, n in zip(samples, index.samples(RATE), strict=True))
            assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()
    assert 0.3 * cases < named < 0.8 * cases


# What can be heard


def whole(path: Path) -> str | None:
    """Why a file cannot be used."""
    good = write(path.parent / "good.wav", voice(0.3))
    problems = recordings_of(path.parent, [path.name, good.name]).problems
    return problems[0].reason if problems else None


@pytest.mark.parametrize(
    ("peak", "subtype", "silent"),
    [
        (5e-5, "PCM_24", False),
        (5e-5, "FLOAT", False),
        (5e-5, "DOUBLE", False),
        (5e-5, "PCM_32", False),
        (5e-5, "PCM_16", True),
        (1e-7, "PCM_24", True),
        (1e-7, "FLOAT", True),
        (2e-4, "PCM_16", False),
        (0.01, "PCM_U8", True),
        (0.1, "PCM_U8", False),
        (1e-4, "ULAW", True),
        (0.01, "ULAW", False),
        (5e-4, "ALAW", True),
        (0.01, "ALAW", False),
    ],
)
def test_silence_is_judged_by_the_depth_of_the_file(tmp_path, peak, subtype, silent):
    samples = voice(0.5)
    path = write(tmp_path / "a.wav", samples * (peak / np.abs(samples).max()), subtype=subtype)
    assert whole(path) == ("silent" if silent else None)


def test_opposite_channels_are_heard_by_one(tmp_path):
    x = voice(0.5)
    path = write(tmp_path / "a.wav", np.stack([0.5 * x, -x], axis=1), subtype="FLOAT")
    write(tmp_path / "b.wav", np.stack([x, -x], axis=1) + 0.1, subtype="FLOAT")
    index = recordings_of(tmp_path, ["a.wav", "b.wav"])
    assert [piece.channel for piece in index.pieces] == [-1, 0]  # half of it is left of the first: its mean is heard
    np.testing.assert_allclose(index.sound(1).read(RATE), x + 0.1, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "b.wav"), x + 0.1, atol=1e-6)
    np.testing.assert_allclose(read(path), -0.25 * x, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "b.wav", channel=1), 0.1 - x, atol=1e-6)
    for start, seconds in ((None, 0.2), (0.25, 0.1), (0.4, None)):
        first = round((start or 0) * RATE)
        stop = None if seconds is None else first + round(seconds * RATE)
        part = read(tmp_path / "b.wav", start=start, seconds=seconds)
        np.testing.assert_array_equal(part, read(tmp_path / "b.wav")[first:stop])


def test_a_part_is_heard_by_the_channel_of_the_whole(tmp_path):
    x, quiet = voice(0.5), 0.1 * voice(0.2, seed=1)  # in the end, the channels do not cancel
    path = write(tmp_path / "a.wav", np.stack([np.r_[x, quiet], np.r_[-0.9 * x, quiet / 2]], axis=1))
    whole, part = read(path), read(path, start=0.5, seconds=0.1)
    np.testing.assert_array_equal(part, whole[8_000:9_600])
    np.testing.assert_array_equal(part, read(path, start=0.5, seconds=0.1, channel=0))


def test_independent_channels_and_a_single_one_of_six_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    for channels in (2, 8):
        path = write(tmp_path / f"{channels}.wav", 0.1 * rng.normal(size=(RATE, channels)), subtype="FLOAT")
        assert recordings_of(tmp_path, [path.name]).pieces[0].channel == -1
    centre = np.zeros((RATE // 2, 6), np.float32)
    centre[:, 2] = voice(0.5) * 3e-4  # some 6 steps of 16 bits, one in the mean
    write(tmp_path / "centre.wav", centre)
    index = recordings_of(tmp_path, ["centre.wav"])
    assert (index.problems, index.sound(0).stretches) == ((), ((0, RATE // 2),))


@pytest.mark.parametrize(
    ("samples", "subtype", "reason"),
    [
        (np.zeros(0), "PCM_16", "too short: 0.00 s"),
        (np.full(1, 0.5), "PCM_16", "too short: 0.00 s"),
        (np.stack([voice(0.5), np.full(8000, np.nan)], axis=1), "FLOAT", "NaN or infinite"),
        (np.full(8000, np.inf), "FLOAT", "NaN or infinite"),
        (1e30 * voice(0.5), "FLOAT", "holds samples of 7e+29, where full scale is 1"),
        (1e300 * voice(0.5).astype(np.float64), "DOUBLE", "NaN or infinite"),
        (np.concatenate([np.zeros(8000), voice(0.02), np.zeros(8000)]), "PCM_16", "silent but for 0.02 s"),
    ],
    ids=["no samples", "one sample", "NaN in one channel", "infinite", "huge", "huger", "a click"],
)
def test_what_holds_no_sound_says_why(tmp_path, samples, subtype, reason):
    assert reason in str(whole(write(tmp_path / "a.wav", samples, subtype=subtype)))


def test_samples_in_the_scale_of_integers_are_a_recording(tmp_path, model):
    x = voice(0.5)
    for name, scale in (("a", 1), ("b", 2**15), ("c", 2**31)):
        write(tmp_path / f"{name}.wav", scale * x, subtype="FLOAT")
    rows = embed_recordings(model, recordings_of(tmp_path, ["a.wav", "b.wav", "c.wav"]))
    np.testing.assert_allclose(rows[1:], rows[[0, 0]], atol=1e-5)


# Silence


def test_long_silences_are_found(tmp_path):
    x = voice(1.0)
    dither = np.random.default_rng(0).choice([-1, 0, 1], 16_000).astype(np.float32) * 2.0**-15
    soft = np.concatenate([x, 0.003 * x])  # 50 dB softer, and speech
    index = index_of(
        tmp_path,
        speech=x,
        after=np.concatenate([x, SILENCE]),
        around=np.concatenate([SILENCE, x, SILENCE, x, SILENCE]),
        pause=np.concatenate([x, np.zeros(4_000), x]),  # 0.25 s
        gap=np.concatenate([x, np.zeros(4_960), x]),  # 0.31 s
        dither=np.concatenate([0.02 * x, dither]),
        offset=np.concatenate([x, SILENCE]) + 0.02,
        soft=soft,
        faint=0.002 * x,
        clicked=0.002 * x + np.eye(1, 16_000, 8_000)[0],
    )
    second, twelve = RATE, len(SILENCE)
    found = dict(zip(index.paths.tolist(), (index.sound(row).stretches for row in range(len(index))), strict=True))
    assert found == {
        "speech.wav": ((0, second),),
        "after.wav": ((0, second),),
        "around.wav": ((twelve, twelve + second), (2 * twelve + second, 2 * twelve + 2 * second)),
        "pause.wav": ((0, 2 * second + 4_000),),
        "gap.wav": ((0, second), (second + 4_960, 2 * second + 4_960)),
        "dither.wav": ((0, second),),
        "offset.wav": ((0, second),),
        "soft.wav": ((0, 2 * second),),
        "faint.wav": ((0, second),),
        "clicked.wav": ((0, second),),
    }
    assert index.seconds[1] == 13
    assert index.samples(RATE)[[1, 2]].tolist() == [second, 2 * second]


@pytest.mark.parametrize("seconds", [1.0, 7.0, 11.003])
def test_silence_does_not_change_an_embedding(tmp_path, model, seconds):
    x = voice(seconds)
    middle = 3 * len(x) // 7
    index = index_of(
        tmp_path,
        plain=x,
        after=np.concatenate([x, SILENCE]),
        before=np.concatenate([SILENCE, x]),
        within=np.concatenate([x[:middle], SILENCE, x[middle:]]),
        ticking=np.concatenate([x, SILENCE, np.zeros(RATE), SILENCE]) + 0.01,
    )
    rows = embed_recordings(model, index)
    # Silence is cut out by the hundredth of a second: so much of it may stay at either end, less than a frame's window.
    # The cosine of two sessions of one speaker is some 0.1 from 1.
    assert (rows @ rows[0] > 1 - 1e-3).all()


def test_no_crop_is_silent_and_the_memory_changes_none(tmp_path):
    for speaker in range(2):
        for number in range(2):
            x = voice(0.6, pitch=100 + 50 * speaker, seed=number)
            rate = RATE if number else 8_000
            parts = [SILENCE, x, SILENCE, x[::-1], SILENCE]
            write(tmp_path / f"s{speaker}/{number}.wav", np.concatenate(parts)[:: RATE // rate], rate)
    index = recordings(tmp_path)
    options = {"speakers": 2, "utterances": 2, "seed": 0, "seconds": (0.3, 0.8)}
    batches, others = Crops(index, **options), Crops(index, memory=0, **options)
    for step in range(20):
        waveforms, lengths, _ = batches[step]
        np.testing.assert_array_equal(waveforms, others[step].waveforms)
        assert (lengths == waveforms.shape[1]).all()
        levels = np.abs(waveforms.reshape(len(waveforms), -1, 160)).max(axis=2)
        assert (levels > 0.01).mean() > 0.95  # at the ends, a hundredth of a second may be


def test_stretches_of_a_piece():
    assert Piece().stretches(10) == ((0, 10),)
    assert Piece(silences=((0, 3), (5, 8))).stretches(10) == ((3, 5), (8, 10))
    assert Piece(silences=((0, 10),)).stretches(10) == ()
    assert Piece(start=4, silences=((0, 5), (6, 7), (9, 20))).stretches(4) == ((5, 6), (7, 8))
    assert Piece(start=4, silences=((0, 4), (8, 9))).stretches(4) == ((4, 8),)


# A constant


@pytest.mark.parametrize("offset", [0.01, -0.02, 0.5])
def test_an_offset_changes_neither_level_nor_features(model, offset):
    waveforms = np.stack([voice(0.5), np.pad(voice(0.3, seed=1), (0, 3_200))])
    lengths = np.array([8_000, 4_800])
    hear = nnx.jit(lambda model, waveforms: (*model.features(waveforms, lengths), model.embed(waveforms, lengths)))
    plain, counts, expected = hear(model, waveforms)
    moved, _, embeddings = hear(model, waveforms + np.float32(offset))
    # Samples near 0.5 are rounded to 2^-25, 100 dB below the voice: so are bands that hold nothing.
    np.testing.assert_allclose(moved, plain, atol=2e-2)
    np.testing.assert_allclose(embeddings, expected, atol=1e-3)
    assert counts.tolist() == [47, 27]


def test_training_hears_no_offset(model):
    waveforms, lengths = voice(0.5)[None], np.array([8_000])
    keys = jax.random.split(jax.random.key(3), 1)  # noise is drawn, whose power is told from that of the waveform
    embed_fn = nnx.jit(lambda model, waveforms: model(waveforms, lengths, keys=keys))
    plain, moved = (embed_fn(model, waveforms + np.float32(move)) for move in (0, 0.1))
    np.testing.assert_allclose(moved, plain, atol=1e-3)


def test_a_constant_is_silence():
    for constant in (0.1, 1e-3, 1e4):
        found = normalize_level(np.full((1, 9_000), constant, np.float32), np.array([9_000]))
        assert np.abs(found).max() <= 1e-6 * constant


# Hours


def test_long_recordings_are_embedded_as_the_mean_of_their_windows(tmp_path, model):
    index = index_of(tmp_path, a=voice(13.3), b=voice(0.5), c=voice(10.5, pitch=200), d=voice(41.0, seed=5))
    rows = embed_recordings(model, index)
    long = [0, 2, 3]

    @jax.jit
    def embed_fn(window):
        return model.embed(window[None], np.array([4 * RATE]))[0]

    for row in long:
        expected = embed_sliding(embed_fn, read(tmp_path / index.paths[row]), window=4 * RATE)
        np.testing.assert_allclose(rows[row], expected, atol=1e-5)


@pytest.mark.parametrize("sizes", [[7], [3, 4], [1] * 7, [4], [5], [8, 1], [2], [40], [13, 0, 27]])
def test_windows_do_not_depend_on_blocks(sizes):
    total = np.arange(sum(sizes), dtype=np.float32)
    found = [window.tolist() for window in embedding.windows(np.split(total, np.cumsum(sizes)[:-1]), 4, 2)]
    starts = [*range(0, max(0, len(total) - 4), 2), max(0, len(total) - 4)]
    assert found == [total[start : start + 4].tolist() for start in starts]


@pytest.mark.parametrize(
    ("ending", "rate"), [("wav", RATE), ("flac", 8_000), pytest.param("ogg", RATE, marks=pytest.mark.exhaustive)]
)
def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path, model, monkeypatch, ending, rate):
    path, minute = tmp_path / f"a.{ending}", voice(60.0, rate=rate)
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        for _ in range(10):  # libsndfile's encoder of Vorbis breaks down if it is given all at once
            file.write(minute)  # 37 MiB in the end, at 16 kHz
    windows = 0

    def embed(_, waveforms, lengths, *, batch_size, layer):
        nonlocal windows
        windows += len(lengths)
        return np.ones((len(lengths), 8), np.float32)

    monkeypatch.setattr(embedding, "embed", embed)
    tracemalloc.start()
    try:
        embed_recordings(model, recordings_of(tmp_path, [path.name]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert windows == 299
    assert peak < 16 * MIB
