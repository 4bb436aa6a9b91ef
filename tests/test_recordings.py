"""Folders of recordings: what is read, what is refused, what is remembered."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxtriplet.data import (
    Recordings,
    contents as contents_module,
    read,
    read_trials,
    recordings,
    recordings_of,
    require_pairs,
    split_by_speaker,
)
from jaxtriplet.data.audio import resample
from jaxtriplet.jobs.sources.recordings import _instead
from tests.audio_files import RATE, corpus, voice, write


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of its own for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def test_voxceleb_layout(tmp_path):
    index = recordings(corpus(tmp_path, speakers=3, sessions=2, utterances=2))
    assert index.speakers == ("s0", "s1", "s2")
    assert index.paths[:3].tolist() == ["s0/day0/00.wav", "s0/day0/01.wav", "s0/day1/00.wav"]
    assert index.labels.tolist() == np.repeat(range(3), 4).tolist()
    assert index.sessions.tolist() == np.repeat(range(6), 2).tolist()
    np.testing.assert_allclose(index.seconds, 0.5 + 0.01 * np.arange(1, 13))
    assert set(index.sample_rates) == {RATE}
    assert (index.labels.dtype, index.sessions.dtype) == (np.int32, np.int32)
    assert (len(index), index.problems) == (12, ())


def test_files_in_the_speakers_folder_are_one_session(tmp_path):
    for name in ("ada/1.wav", "ada/2.flac", "ada/day/3.wav", "bob/1.ogg"):
        write(tmp_path / name, voice(0.3))
    index = recordings(tmp_path)
    assert index.sessions[0] == index.sessions[1]
    assert len({*index.sessions.tolist()}) == 3


@pytest.mark.parametrize("ending", ["wav", "WAV", "flac", "ogg", "mp3", "aiff", "w64"])
def test_formats(tmp_path, ending):
    samples = voice(1.0)
    write(tmp_path / f"ada/1.{ending}", samples, format=None if ending.islower() else "WAV")
    index = recordings(tmp_path)
    assert (index.frames[0], index.sample_rates[0], index.problems) == (len(samples), RATE, ())
    heard = read(index.root / index.paths[0])
    assert heard.dtype == np.float32
    # Lossy codecs may do anything below hearing; all keep the waveform of a voice to within a tenth of its power.
    assert np.mean((heard - samples) ** 2) < 0.1 * np.mean(samples**2)


def test_other_files_are_passed_over(tmp_path):
    write(tmp_path / "ada/1.wav", voice(0.3))
    for name in ("ada/notes.txt", "ada/.hidden.wav", "ada/._1.wav", ".git/a/b/c/d.wav", "readme.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("no recording")
    index = recordings(tmp_path)
    assert (index.paths.tolist(), index.problems) == (["ada/1.wav"], ())


def test_links_are_followed(tmp_path):
    corpus(tmp_path / "elsewhere", speakers=1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/ada").symlink_to(tmp_path / "elsewhere/s0")
    index = recordings(tmp_path / "data")
    assert (len(index), index.speakers) == (4, ("ada",))
    (tmp_path / "elsewhere/s0/round").symlink_to(tmp_path / "data")
    again = recordings(tmp_path / "data")
    assert again.paths.tolist() == index.paths.tolist()
    assert [tuple(problem) for problem in again.problems] == [("ada/round", "a link to what is there already")]


def test_a_deeper_tree_is_refused_with_a_hint(tmp_path):
    corpus(tmp_path / "train")
    with pytest.raises(ValueError, match=r"train/s0/day0/00.wav .* if .*/train holds the speakers, give that folder"):
        recordings(tmp_path)
    unlabelled = recordings(tmp_path, labelled=False)
    assert (len(unlabelled), unlabelled.speakers, set(unlabelled.labels)) == (12, ("",), {0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no recording that can be used: it is empty; expected <speaker>/"),
        (lambda root: write(root / "1.wav", voice(0.3)), r"the first of 1: 1\.wav: lies in no speaker's folder"),
        (lambda root: root.rmdir(), "no such folder"),
    ],
    ids=["empty", "flat", "missing"],
)
def test_nothing_to_use(tmp_path, make, message):
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with pytest.raises(ValueError, match=message):
        recordings(folder)


def cut(path: Path, share: float) -> None:
    """Leaves the beginning of a file."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def with_a_hole(value: float) -> np.ndarray:
    samples = voice(0.5)
    samples[1000] = value
    return samples


BROKEN = {
    "empty.wav": (lambda path: path.write_bytes(b""), "empty: 0 bytes"),
    "empty.mp3": (lambda path: path.write_bytes(b""), "empty: 0 bytes"),
    "header.wav": (
        lambda path: (write(path, voice(0.5)), path.write_bytes(path.read_bytes()[:44])),
        "cut short: 0.00 s",
    ),
    "truncated.wav": (lambda path: (write(path, voice(3.0)), cut(path, 1 / 3)), "cut short: 1.00 s .* less than"),
    "truncated.flac": (lambda path: (write(path, voice(1.0)), cut(path, 0.5)), "broken or cut short"),
    "truncated.ogg": (lambda path: (write(path, voice(1.0)), cut(path, 0.5)), "cut short: "),
    "truncated.mp3": (lambda path: (write(path, voice(3.0)), cut(path, 0.5)), "cut short: "),
    "cut_header.wav": (lambda path: (write(path, voice(0.5)), cut(path, 0.002)), "cut short: "),
    "truncated.aiff": (lambda path: (write(path, voice(1.0)), cut(path, 0.5)), "cut short"),
    "truncated.opus": (
        lambda path: (write(path, voice(4.0), format="OGG", subtype="OPUS"), cut(path, 0.5)),
        "cut short: ",
    ),
    "silent.wav": (lambda path: write(path, np.zeros(RATE)), "silent"),
    "constant.wav": (lambda path: write(path, np.full(RATE, 0.25)), "silent"),
    "nan.wav": (lambda path: write(path, with_a_hole(np.nan), subtype="FLOAT"), "NaN or infinite"),
    "infinite.wav": (lambda path: write(path, with_a_hole(-np.inf), subtype="FLOAT"), "NaN or infinite"),
    "blip.wav": (lambda path: write(path, voice(0.05)), r"too short: 0\.05 s"),
    "text.wav": (lambda path: path.write_text("no recording\n" * 100), "no audio that libsndfile can read"),
    "text.mp3": (lambda path: path.write_text("no recording\n" * 100), "no audio that libsndfile can read"),
    "phone.m4a": (lambda path: path.write_bytes(b"\0\0\0\x20ftypM4A " * 20), "no audio that libsndfile can read"),
    "gone.wav": (lambda path: path.symlink_to("nowhere.wav"), "no such file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_the_rest_goes_on(tmp_path, name):
    make, reason = BROKEN[name]
    write(tmp_path / "ada/good.wav", voice(0.3))
    make(tmp_path / "ada" / name)
    index = recordings(tmp_path)
    assert index.paths.tolist() == ["ada/good.wav"]
    (problem,) = index.problems
    assert problem.path == f"ada/{name}"
    assert re.search(reason, problem.reason)


def test_read_names_a_file_that_it_cannot_decode(tmp_path):
    path = tmp_path / "text.wav"
    path.write_text("no recording")
    with pytest.raises(ValueError, match=r"text\.wav: no audio"):
        read(path)
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        read(tmp_path / "gone.wav")


def test_a_stream_of_unknown_length_is_whole(tmp_path):
    path = write(tmp_path / "ada/piped.wav", voice(0.5))
    data = bytearray(path.read_bytes())
    size = data.index(b"data") + 4
    data[4:8] = data[size : size + 4] = b"\xff" * 4  # what ffmpeg writes to a pipe
    path.write_bytes(data)
    assert recordings(tmp_path).frames.tolist() == [RATE // 2]


def test_stereo_is_mixed_down(tmp_path):
    left, right = voice(0.5, pitch=100), voice(0.5, pitch=160)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(read(path), (left + right) / 2, atol=1e-7)


def test_24_bits(tmp_path):
    samples = voice(0.5)
    # Half a step of 24 bits, and as much for the rounding of float32 below 1.
    np.testing.assert_allclose(read(write(tmp_path / "a.wav", samples, subtype="PCM_24")), samples, atol=2**-23)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_another_rate_sounds_the_same(tmp_path, rate):
    tone = {r: (0.5 * np.sin(2 * np.pi * 1_000 * np.arange(r) / r)).astype(np.float32) for r in (rate, RATE)}
    heard = read(write(tmp_path / "a.wav", tone[rate], rate, subtype="FLOAT"))
    assert abs(len(heard) - RATE) <= 1
    # The filter rings where the tone begins and ends; between, soxr's high quality is good for 20 bits.
    middle = slice(800, -800)
    np.testing.assert_allclose(heard[: len(tone[RATE])][middle], tone[RATE][: len(heard)][middle], atol=2**-18)


def test_resampling_leaves_no_alias(tmp_path):
    above = 0.5 * np.sin(2 * np.pi * 9_000 * np.arange(44_100) / 44_100)  # would come back at 7 kHz
    heard = read(write(tmp_path / "a.wav", above, 44_100, subtype="FLOAT"))
    assert np.abs(heard[800:-800]).max() < 1e-4


def test_speed_changes_pitch_and_length():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    slow = resample(tone, 0.9)
    assert abs(len(slow) - RATE / 0.9) <= 1
    spectrum = np.abs(np.fft.rfft(slow))
    assert spectrum.argmax() * RATE / len(slow) == pytest.approx(900, abs=1)


@pytest.mark.parametrize(
    ("ending", "rate", "subtype"),
    [
        ("wav", RATE, None),
        ("flac", RATE, None),
        ("ogg", RATE, None),
        ("mp3", RATE, None),
        ("wav", 8_000, None),
        ("wav", RATE, "ULAW"),
        ("wav", RATE, "IMA_ADPCM"),
        ("wav", RATE, "GSM610"),  # begins at its beginning alone
        ("wav", 8_000, "GSM610"),
    ],
)
def test_a_part_is_a_slice_of_the_whole(tmp_path, ending, rate, subtype):
    path = write(tmp_path / f"a.{ending}", voice(1.5, rate=rate), rate, subtype=subtype)
    index = recordings_of(tmp_path, [path.name])
    assert abs(index.seconds[0] - 1.5) < 0.05  # some codes fill up their last block
    whole = read(path)
    for start, seconds in ((None, 0.5), (0.3, 0.4), (0.75, None), (1.2, 9.0), (2.0, 1.0)):
        first = round((start or 0) * RATE)
        end = None if seconds is None else first + round(seconds * RATE)
        np.testing.assert_array_equal(read(path, start=start, seconds=seconds), whole[first:end])


def kaldi(root: Path, waves: str, speakers: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "wav.scp").write_text(waves)
    (root / "utt2spk").write_text(speakers)
    return root


def test_kaldi_layout(tmp_path):
    absolute = write(tmp_path / "elsewhere/with space.wav", voice(0.3))
    write(tmp_path / "kaldi/b.flac", voice(0.4))
    folder = kaldi(tmp_path / "kaldi", f"u1 {absolute}\nu2\tb.flac\nu3 c.wav\n", "u1 ada\nu2 bob\nu3 bob\nu4 bob\n")
    with pytest.raises(ValueError, match=r"wav\.scp names 1 file outside .*with space\.wav; `allow_outside=True`"):
        recordings(folder)
    index = recordings(folder, allow_outside=True)
    assert index.speakers == ("ada", "bob")
    assert dict(zip(index.paths.tolist(), index.labels.tolist(), strict=True)) == {str(absolute): 0, "b.flac": 1}
    assert [tuple(problem) for problem in index.problems] == [
        ("u4", "in utt2spk, but not in wav.scp"),
        ("c.wav", "no such file"),
    ]
    assert read(index.root / index.paths[index.labels == 0][0]).shape == (4800,)
    (folder / "utt2spk").unlink()
    unlabelled = recordings(folder, labelled=False, allow_outside=True)
    assert (unlabelled.paths.tolist(), unlabelled.names.tolist()) == (index.paths.tolist(), ["u1", "u2"])


@pytest.mark.parametrize(
    ("waves", "speakers", "message"),
    [
        ("u1 touch {trap}; cat a.wav |\n", "u1 ada\n", "u1 is a command, which is never run; name a file: touch"),
        ("u1 a.wav\n", "u2 ada\n", "utt2spk does not say who speaks in u1"),
        ("u1 a.wav\nu2\n", "u1 ada\n", r"wav\.scp, line 2: expected .*'u2'"),
        ("u1 a.wav\nu1 b.wav\n", "u1 ada\n", r"wav\.scp, line 2: expected a new utterance"),
    ],
)
def test_bad_kaldi(tmp_path, waves, speakers, message):
    trap = tmp_path / "trap"
    folder = kaldi(tmp_path / "kaldi", waves.format(trap=trap), speakers)
    with pytest.raises(ValueError, match=message):
        recordings(folder)
    assert not trap.exists()


def test_kaldi_files_that_are_missing(tmp_path):
    folder = kaldi(tmp_path, "u1 a.wav\n", "u1 ada\n")
    (folder / "utt2spk").unlink()
    with pytest.raises(ValueError, match="utt2spk: no such file"):
        recordings(folder)


@pytest.fixture
def looks(monkeypatch):
    """The names of the files that are read from end to end, as it happens."""
    seen, real = [], contents_module.inspect

    def inspect(path):
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(contents_module, "inspect", inspect)
    return seen


def test_only_new_and_changed_files_are_read_again(tmp_path, looks):
    for name in ("ada/1.wav", "ada/2.wav", "ada/3.wav"):
        write(tmp_path / name, voice(0.3))
    (tmp_path / "ada/3.wav").write_bytes(b"")
    first, before = recordings(tmp_path), sorted(tmp_path.rglob("*"))
    assert (sorted(looks), looks.clear()) == (["1.wav", "2.wav", "3.wav"], None)
    again = recordings(tmp_path)
    assert looks == []
    assert (again.paths.tolist(), again.frames.tolist()) == (first.paths.tolist(), first.frames.tolist())
    assert again.problems == first.problems
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written beside the recordings

    time = (tmp_path / "ada/1.wav").stat().st_mtime_ns
    os.utime(write(tmp_path / "ada/1.wav", voice(0.6)), ns=(time, time))  # another size
    os.utime(tmp_path / "ada/2.wav", ns=(1, 1))  # another time
    write(tmp_path / "bob/4.wav", voice(0.3))
    (tmp_path / "ada/3.wav").unlink()
    changed = recordings(tmp_path)
    assert sorted(looks) == ["1.wav", "2.wav", "4.wav"]
    np.testing.assert_allclose(changed.seconds, [0.6, 0.3, 0.3])
    assert changed.problems == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 2, "files": {"ada/1.wav": [1]}}',
        "\0",
        "[" * 100_000,
        "\x80",
        "9" * 9999,
    ],
)
def test_a_broken_cache_is_made_anew(tmp_path, cache, caplog, looks, content):
    write(tmp_path / "ada/1.wav", voice(0.3))
    recordings(tmp_path)
    (stored,) = (cache / "jaxtriplet").iterdir()
    good = stored.read_text()
    stored.write_text(content)
    assert len(recordings(tmp_path)) == 1
    assert looks == ["1.wav", "1.wav"]
    assert "is made anew" in caplog.text
    assert json.loads(stored.read_text()) == json.loads(good)


def test_a_cache_of_another_version_is_not_used(tmp_path, cache, looks, monkeypatch):
    write(tmp_path / "ada/1.wav", voice(0.3))
    recordings(tmp_path)
    monkeypatch.setattr(contents_module, "_VERSION", 0)
    recordings(tmp_path)
    assert looks == ["1.wav", "1.wav"]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, caplog):
    write(tmp_path / "data/ada/1.wav", voice(0.3))
    (tmp_path / "file").touch()
    assert len(recordings(tmp_path / "data", cache_dir=tmp_path / "file")) == 1
    assert "cannot be written" in caplog.text


def test_an_interrupted_look_goes_on(tmp_path, looks):
    corpus(tmp_path, speakers=1, sessions=1, utterances=4)

    def stop(done: int, total: int) -> None:
        assert total == 4
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recordings(tmp_path, progress_fn=stop)
    looks.clear()
    calls = []
    assert len(recordings(tmp_path, progress_fn=lambda done, total: calls.append((done, total)))) == 4
    assert sorted(looks) == ["02.wav", "03.wav"]
    assert calls == [(1, 2), (2, 2)]


def imagined(names: list[str]) -> Recordings:
    """Two recordings of each speaker, in sessions of their own, without files."""
    labels = np.repeat(np.arange(len(names), dtype=np.int32), 2)
    paths = np.array([f"{names[label]}/{i}.wav" for i, label in enumerate(labels)])
    frames, rates = np.full(len(labels), RATE), np.full(len(labels), RATE)
    return Recordings(Path("voices"), paths, tuple(names), labels, np.arange(len(labels)), frames, rates)


def test_split_by_speaker():
    names = [f"id{i:03}" for i in range(30)]
    train, dev = split_by_speaker(imagined(names), 0.2, seed=1)
    assert len(dev.speakers) == 6
    assert sorted(train.speakers + dev.speakers) == names
    for side in (train, dev):
        assert [side.speakers[label] for label in side.labels] == [path.split("/")[0] for path in side.paths]
        assert sorted(set(side.labels)) == list(range(len(side.speakers)))
        assert sorted(side.sessions) == list(range(len(side)))
    assert split_by_speaker(imagined(names), 0.2, seed=1)[1].speakers == dev.speakers
    assert split_by_speaker(imagined(names), 0.2, seed=2)[1].speakers != dev.speakers


def test_a_new_speaker_moves_at_most_one_other():
    names = [f"id{i:03}" for i in range(30)]
    before = set(split_by_speaker(imagined(names), 0.2)[1].speakers)
    for i in range(20):
        after = set(split_by_speaker(imagined(sorted([*names, f"new{i}"])), 0.2)[1].speakers)
        assert len((before ^ after) - {f"new{i}"}) <= 1


@pytest.mark.parametrize(
    ("count", "fraction", "message"),
    [
        (30, 0.0, "must lie between 0 and 1; got 0.0"),
        (30, 1.5, "must lie between 0 and 1"),
        (10, 0.1, "0.1 of the 10 speakers in voices would leave 9 to train on and 1 to develop on"),
        (3, 0.5, "each side needs at least two"),
    ],
)
def test_bad_split(count, fraction, message):
    with pytest.raises(ValueError, match=message):
        split_by_speaker(imagined([f"id{i}" for i in range(count)]), fraction)


def test_a_share_that_does_not_go_is_answered_by_one_that_does():
    for count in range(4, 150):
        for fraction in (0.001, 0.999):
            share = float(_instead(count, fraction).removeprefix(": give `dev_fraction=").removesuffix("`"))
            train, dev = split_by_speaker(imagined([f"id{i}" for i in range(count)]), share)
            assert 2 <= min(len(train.speakers), len(dev.speakers)) <= 3
    assert "name a folder of other speakers, `dev`" in _instead(3, 0.5)


def test_pairs_are_required():
    require_pairs(imagined(["ada", "bob"]))
    with pytest.raises(ValueError, match="voices holds recordings of 1 speaker"):
        require_pairs(imagined(["ada"]))
    with pytest.raises(ValueError, match="no speaker in voices has two recordings"):
        require_pairs(imagined(["ada", "bob"]).take([0, 2]))


def test_files_by_name_keep_their_order(tmp_path):
    corpus(tmp_path, speakers=2, sessions=1)
    (tmp_path / "bad.wav").touch()
    index = recordings_of(tmp_path, ["s1/day0/00.wav", "bad.wav", "s0/day0/01.wav"])
    assert index.paths.tolist() == ["s1/day0/00.wav", "s0/day0/01.wav"]
    assert [tuple(problem) for problem in index.problems] == [("bad.wav", "empty: 0 bytes")]


def test_trials(tmp_path):
    corpus(tmp_path, speakers=2, sessions=1)
    lines = ["1 s1/day0/00.wav s1/day0/01.wav", "0 s1/day0/01.wav  s0/day0/00.wav", ""]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    same, first, second, paths = read_trials(tmp_path / "trials.txt", tmp_path)
    assert same.tolist() == [True, False]
    assert same.dtype == bool
    assert [paths[i] for i in first] == ["s1/day0/00.wav", "s1/day0/01.wav"]
    assert [paths[i] for i in second] == ["s1/day0/01.wav", "s0/day0/00.wav"]
    assert paths == ("s0/day0/00.wav", "s1/day0/00.wav", "s1/day0/01.wav")
    assert recordings_of(tmp_path, paths).paths.tolist() == list(paths)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a.wav a.wav\n2 a.wav a.wav\n", r"trials\.txt, line 2: expected 1 or 0 and two paths; got `2 a.wav a.wav`"),
        ("\n1 a.wav\n", r"trials\.txt, line 2: expected"),
        ("1 a b.wav a.wav\n", r"trials\.txt, line 1: expected"),
        ("\n", "holds no trials"),
        ("1 a.wav b.wav\n0 c.wav a.wav\n", r"2 of the 3 files .*: b\.wav, c\.wav$"),
        (
            "".join(f"1 a.wav {i:02}.wav\n" for i in range(12)),
            r"12 of the 13 files .*: 00\.wav, .*, 09\.wav and 2 more$",
        ),
    ],
)
def test_bad_trials(tmp_path, text, message):
    write(tmp_path / "a.wav", voice(0.3))
    (tmp_path / "trials.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_trials(tmp_path / "trials.txt", tmp_path)


def test_importing_the_data_takes_no_audio_library():
    code = "import sys, jaxtriplet.data; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"soundfile", "soxr", "grain", "sktime"} & set(loaded)


def test_without_soundfile(monkeypatch, tmp_path):
    path = write(tmp_path / "a.wav", voice(0.3))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match=r'recordings need soundfile: pip install "jaxtriplet\[speech,audio\]"'):
        read(path)
