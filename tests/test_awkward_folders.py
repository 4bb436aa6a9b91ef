"""Folders and lists as people have them: links, lists that lead astray, marks and ends of lines, damaged caches."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from jaxtriplet.data import Recordings, contents as contents_module, read, read_trials, recordings, recordings_of
from jaxtriplet.jobs import listening
from tests.audio_files import RATE, corpus, voice, write

SHORT = voice(0.3)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def found(folder: Path, **options: bool) -> tuple[list[str], list[tuple[str, str]]]:
    """The recordings of a folder, and what is left out."""
    index = recordings(folder, **options)
    return index.paths.tolist(), [tuple(problem) for problem in index.problems]


# Links


def test_links_in_a_circle_are_left_out(tmp_path):
    for name in "ab":
        write(tmp_path / name / "u.wav", SHORT)
        (tmp_path / name / "back").symlink_to("..")
        (tmp_path / name / "self").symlink_to(".")
        (tmp_path / name / "above").symlink_to("/")
    (tmp_path / "a/round.wav").symlink_to("round.wav")
    paths, left_out = found(tmp_path)
    assert paths == found(tmp_path, labelled=False)[0] == ["a/u.wav", "b/u.wav"]
    links = {f"{name}/{link}" for name in "ab" for link in ("back", "self", "above")}
    assert {path for path, _ in left_out} == links | {"a/round.wav"}
    assert dict(left_out)["a/back"] == "a link to what is there already"
    assert "evels of symbolic links" in dict(left_out)["a/round.wav"]


def test_each_file_and_folder_is_met_once_and_by_its_own_name(tmp_path):
    root = tmp_path / "data"
    for name in ("b/day/1.wav", "c/2.wav", ".store/3.wav", ".store/more/4.wav"):
        write(root / name, SHORT)
    write(tmp_path / "elsewhere/e/5.wav", SHORT)
    for name, target in {
        "a": "b",  # a folder by another name, which comes first
        "c/again.wav": "../b/day/1.wav",
        "c/3.wav": "../.store/3.wav",  # as git-annex keeps files
        "d": ".store/more",
        "e": "../elsewhere/e",  # out of the folder
        "f": "../elsewhere",  # and a folder around that
        "b/night": "day",
    }.items():
        (root / name).symlink_to(target)
    (root / "g").mkdir()
    os.link(root / "b/day/1.wav", root / "g/hard.wav")  # a second name of its own
    paths, left_out = found(root)
    assert paths == ["b/day/1.wav", "c/2.wav", "c/3.wav", "d/4.wav", "e/5.wav", "g/hard.wav"]
    assert [path for path, _ in left_out] == ["a", "b/night", "c/again.wav", "f/e"]


def test_files_come_before_folders_as_ever(tmp_path):
    names = ["a/z.wav", "a/day/1.wav", "a/day-2/1.wav", "a-b/1.wav"]
    for name in names:
        write(tmp_path / name, SHORT)
    assert found(tmp_path)[0] == names


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    for name in ("a/1.wav", "b/2.wav"):
        write(tmp_path / name, SHORT)
    scan = os.scandir

    def guarded(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert found(tmp_path) == (["a/1.wav"], [("b", "a folder that cannot be read: Permission denied")])


def test_what_is_no_file_is_never_opened(tmp_path):
    write(tmp_path / "a/1.wav", SHORT)
    os.mkfifo(tmp_path / "a/pipe.wav")
    (tmp_path / "a/zero.wav").symlink_to("/dev/zero")
    paths, left_out = found(tmp_path)
    assert paths == ["a/1.wav"]
    assert left_out == [(f"a/{name}.wav", "no file, but a folder, pipe or device") for name in ("pipe", "zero")]


def test_any_name_is_taken_or_named_on_one_line(tmp_path, capsys):
    names = ["a/two words.WAV", "a/line\nbreak.Flac", "a/ümlaut 話.wav", "a/'quoted' \"twice\" & <b>.wav"]
    for name in names:
        write(tmp_path / name, SHORT, format="FLAC" if "Flac" in name else "WAV")
    (tmp_path / "a/\x1b[31mred\n.wav").touch()
    Path(os.fsdecode(bytes(tmp_path) + b"/a/latin-\xfc.wav")).write_bytes((tmp_path / names[0]).read_bytes())
    index = listening.listen(tmp_path, labelled=True, quiet=True)
    assert sorted(index.paths.tolist()) == sorted(names)
    assert capsys.readouterr().err.splitlines() == [
        r"jaxtriplet: a/latin-\udcfc.wav: its name is not in UTF-8; give it another",
        r"jaxtriplet: a/\x1b[31mred\n.wav: empty: 0 bytes",
        "jaxtriplet: 2 files left out, 4 recordings used",
    ]
    assert recordings(tmp_path).paths.tolist() == index.paths.tolist()  # from the cache


# Lists


def marked(path: Path, text: str) -> None:
    """Writes a text as Windows does."""
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def test_marks_and_ends_of_lines_are_no_part_of_a_list(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", SHORT)
    marked(tmp_path / "trials.txt", "1 a.wav b.wav\n0 b.wav b.wav\n\n")
    marked(tmp_path / "wav.scp", "u1 a.wav\nu2 b.wav\n")
    marked(tmp_path / "utt2spk", "u1 ada\nu2 bob\n")
    assert read_trials(tmp_path / "trials.txt", tmp_path).paths == ("a.wav", "b.wav")
    index = recordings(tmp_path)
    assert (index.speakers, index.names.tolist()) == (("ada", "bob"), ["u1", "u2"])
    marked(tmp_path / "segments", "u1 u1 0 0.2\nu2 u2 0.1 0.3\n")
    assert recordings(tmp_path).frames.tolist() == [3_200, 3_200]


@pytest.mark.parametrize("name", ["trials.txt", "wav.scp", "utt2spk", "segments"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 a.wav b.wav\n".encode("utf-16"), "is no text in UTF-8: byte 0 is 0xff"),
        (b"u1 \xfc.wav\n", "is no text in UTF-8: byte 3 is 0xfc"),
        (b"u1 a\0.wav\n", "is no text: it holds zero bytes"),
    ],
    ids=["UTF-16", "Latin 1", "zeros"],
)
def test_a_list_that_is_no_text_is_named(tmp_path, name, content, message):
    write(tmp_path / "a.wav", SHORT)
    for other in ("wav.scp", "utt2spk"):
        (tmp_path / other).write_text("u1 a.wav\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        read_trials(tmp_path / name, tmp_path) if name == "trials.txt" else recordings(tmp_path)


def listed(root: Path, name: str) -> list[Callable[..., Iterable[str]]]:
    """A folder with a store beside it and links to that; what reads its lists, which name `a.wav` and another file."""
    data = root / "data"
    secret = write(root / "secret/s.wav", SHORT)
    write(data / "sub/b.wav", SHORT)
    write(data / "a.wav", SHORT)
    (data / "link.wav").symlink_to(secret)
    (data / "linked").symlink_to(secret.parent)
    (data / "twice.wav").symlink_to("linked/s.wav")
    (root / "trials.txt").write_text(f"1 a.wav {name}\n0 a.wav a.wav\n")
    (data / "wav.scp").write_text(f"u1 a.wav\nu2 {name}\n")
    (data / "utt2spk").write_text("u1 ada\nu2 bob\n")
    return [
        lambda **options: read_trials(root / "trials.txt", data, **options).paths,
        lambda **options: recordings(data, **options).paths.tolist(),
        lambda **options: recordings(data, labelled=False, **options).paths.tolist(),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "{root}/secret/s.wav",
        "../secret/s.wav",
        "sub/../../secret/s.wav",
        "{root}/data/../secret/s.wav",
        "linked/../secret/s.wav",  # the folder above is that of the store
        "linked/../data/../secret/s.wav",
        "a.wav/../../secret/s.wav",  # through a file: there is nothing
    ],
)
def test_lists_do_not_lead_out_of_the_folder(tmp_path, name):
    name = name.format(root=tmp_path)
    for call in listed(tmp_path, name):
        with pytest.raises(ValueError, match=r"names 1 file outside .*`allow_outside=True`"):
            call()
        if "a.wav" not in name:
            assert set(call(allow_outside=True)) == {"a.wav", name}


@pytest.mark.parametrize(
    "name",
    ["link.wav", "linked/s.wav", "twice.wav", "sub/../link.wav", "./linked/./s.wav", "{root}/data/linked/s.wav"],
)
def test_links_in_the_folder_are_followed_by_lists_as_by_trees(tmp_path, name):
    name = name.format(root=tmp_path)
    for call in listed(tmp_path, name):
        assert set(call()) == {"a.wav", name}


def test_a_name_that_no_file_can_have_is_missing(tmp_path):
    (tmp_path / "trials.txt").write_text(f"1 {'a' * 300}.wav b.wav\n")
    with pytest.raises(ValueError, match="2 of the 2 files"):
        read_trials(tmp_path / "trials.txt", tmp_path)
    (tmp_path / "wav.scp").write_text(f"u1 {'a' * 300}.wav\n")
    with pytest.raises(ValueError, match=r"no recording that can be used; the first of 1: a+\.wav: File name too long"):
        recordings(tmp_path, labelled=False)


def test_empty_lists_say_what_is_missing(tmp_path):
    for name in ("trials.txt", "wav.scp", "utt2spk"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf\r\n")
    with pytest.raises(ValueError, match=r"trials\.txt holds no trials"):
        read_trials(tmp_path / "trials.txt", tmp_path)
    with pytest.raises(ValueError, match=r"holds no recording that can be used: wav\.scp names none"):
        recordings(tmp_path)


def test_lists_may_name_the_folder_by_any_name(tmp_path):
    write(tmp_path / "data/sub/a.wav", SHORT)
    (tmp_path / "also").symlink_to("data")
    for name in ("sub/a.wav", "sub/../sub/a.wav", f"{tmp_path}/data/sub/a.wav", f"{tmp_path}/also/sub/a.wav"):
        (tmp_path / "trials.txt").write_text(f"1 {name} {name}\n")
        for root in ("data", "also"):
            assert read_trials(tmp_path / "trials.txt", tmp_path / root).paths == (name,)


def test_what_lies_outside_is_not_even_looked_for(tmp_path):
    (tmp_path / "trials.txt").write_text("1 /etc/passwd /nowhere/at/all\n0 ../data2/a.wav b.wav\n")
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match=r"names 3 files outside .*/data, the first: \.\./data2/a\.wav; "):
        read_trials(tmp_path / "trials.txt", tmp_path / "data")


# Kaldi's segments


def kaldi(root: Path, segments: str, speakers: str) -> Path:
    write(root / "a.wav", np.arange(32_000) / 2**15)  # each sample says where it was
    write(root / "b.flac", voice(1.0, rate=8_000), 8_000)
    (root / "wav.scp").write_text("rec1 a.wav\nrec2 b.flac\n")
    (root / "segments").write_text(segments)
    (root / "utt2spk").write_text(speakers)
    return root


def heard(index: Recordings, row: int) -> np.ndarray:
    return index.sound(row).read(RATE)


def test_segments_are_pieces_of_files(tmp_path):
    lines = "u3 rec2 0.5 -1\nu1 rec1 0.25 0.75\nu2 rec1 1.5 2.3\n"
    index = recordings(kaldi(tmp_path, lines, "u1 ada\nu2 bob\nu3 ada\n"))
    assert index.paths.tolist() == ["a.wav", "a.wav", "b.flac"]
    assert index.names.tolist() == ["u1", "u2", "u3"]
    assert [index.speakers[label] for label in index.labels] == ["ada", "bob", "ada"]
    assert len(set(index.sessions.tolist())) == 3  # of Ada's two, each has its own file; Bob shares hers
    np.testing.assert_allclose(index.seconds, [0.5, 0.5, 0.5])
    whole = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(heard(index, 0), whole[4_000:12_000])
    np.testing.assert_array_equal(heard(index, 1), whole[24_000:])
    # Resampled alone, a piece rings where it begins: a hundredth of a second.
    np.testing.assert_allclose(heard(index, 2)[160:], read(tmp_path / "b.flac")[8_160:], atol=1e-5)
    np.testing.assert_array_equal(index.sound(2).read(RATE, 1_000, 500), heard(index, 2)[1_000:1_500])
    turned = index.take([2, 0])
    assert turned.names.tolist() == ["u3", "u1"]
    np.testing.assert_array_equal(heard(turned, 1), heard(index, 0))
    np.testing.assert_array_equal(index.sound(0).read(RATE, 100, 50), whole[4_100:4_150])
    (tmp_path / "utt2spk").unlink()
    assert recordings(tmp_path, labelled=False).names.tolist() == ["u1", "u2", "u3"]


def test_segments_that_hold_nothing_are_named(tmp_path):
    silent = np.concatenate([voice(1.0), np.zeros(2 * RATE), voice(1.0)])
    lines = "u1 rec1 0 1\nu2 rec3 0 1\nu3 rec2 0.2 1.6\nu4 rec1 0 0.05\nu5 rec2 5 6\nu6 rec4 1.2 2.8\nu7 rec4 0 1.5\n"
    lines += "u9 rec1 1e305 -1\n"
    folder = kaldi(tmp_path, lines, "".join(f"u{i} ada\n" for i in (1, 2, 3, 4, 5, 6, 7, 8, 9)))
    write(folder / "c.wav", silent)
    with (folder / "wav.scp").open("a") as file:
        file.write("rec4 c.wav\n")
    index = recordings(folder)
    assert index.names.tolist() == ["u1", "u7"]
    assert len(heard(index, 1)) == RATE
    assert {tuple(problem) for problem in index.problems} == {
        ("u2", "a piece of rec3, which is not in wav.scp"),
        ("u3", "ends at 1.6 s, b.flac at 1 s"),
        ("u4", "holds 0.05 s of sound, less than 0.1 s"),
        ("u5", "ends at 6 s, b.flac at 1 s"),
        ("u6", "holds 0.00 s of sound, less than 0.1 s"),
        ("u8", "in utt2spk, but not in segments"),
        ("u9", "begins at 1e+305 s, a.wav ends at 2 s"),
    }


@pytest.mark.parametrize(
    "line",
    [
        *("u1 rec1 1.0", "u1 rec1 a b", "u1 rec1 1 0.5", "u1 rec1 -1 2", "u1 rec1 nan 1", "u1 rec1 0 1 2"),
        *("u1 rec1 inf -1", "u1 rec1 0 nan", "u1 rec1 0 inf", "u1 rec1 0 -inf", "u1 rec1 0 1e999"),
    ],
)
def test_bad_segments(tmp_path, line):
    folder = kaldi(tmp_path, f"u0 rec1 0 1\n{line}\n", "u0 ada\nu1 ada\n")
    with pytest.raises(ValueError, match=r"segments, line 2: expected a new utterance, a recording, and the seconds"):
        recordings(folder)


def test_segments_need_speakers_and_no_command(tmp_path):
    folder = kaldi(tmp_path, "u0 rec1 0 1\nu1 rec1 1 2\n", "u0 ada\n")
    with pytest.raises(ValueError, match="utt2spk does not say who speaks in u1"):
        recordings(folder)
    trap = tmp_path / "trap"
    (folder / "wav.scp").write_text(f"rec1 touch {trap} |\n")
    with pytest.raises(ValueError, match="rec1 is a command, which is never run"):
        recordings(folder, labelled=False)
    assert not trap.exists()


# The cache


def test_any_flipped_bit_in_the_cache_is_made_good(tmp_path, cache):
    write(tmp_path / "ada/1.wav", SHORT)
    (tmp_path / "ada/2.wav").touch()
    good = recordings(tmp_path)
    [stored] = (cache / "jaxtriplet").iterdir()
    content, rng = stored.read_bytes(), np.random.default_rng(0)
    for place in [*range(30), *rng.integers(0, len(content), 120)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        stored.write_bytes(flipped)
        index = recordings(tmp_path)
        assert (index.paths.tolist(), index.frames.tolist(), index.problems) == (["ada/1.wav"], [4_800], good.problems)
        assert stored.read_bytes() == content
    for end in range(0, len(content), 7):
        stored.write_bytes(content[:end])
        assert recordings(tmp_path).frames.tolist() == [4_800]
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


def signed(files: object) -> str:
    return json.dumps({"version": contents_module._VERSION, "sha256": contents_module._checksum(files), "files": files})


@pytest.mark.parametrize(
    "files", [{"ada/1.wav": [1]}, {"ada/1.wav": 3}, [], {"ada/1.wav": [0, 0, 1, 1, None, 0, 5]}, {"ada/1.wav": []}]
)
def test_a_cache_of_wrong_types_is_made_anew(tmp_path, cache, caplog, files):
    write(tmp_path / "ada/1.wav", SHORT)
    recordings(tmp_path)
    [stored] = (cache / "jaxtriplet").iterdir()
    good = stored.read_text()
    stored.write_text(signed(files))
    assert recordings(tmp_path).frames.tolist() == [4_800]
    assert "is made anew" in caplog.text
    assert stored.read_text() == good


def test_a_full_disk_leaves_no_half_of_a_cache(tmp_path, cache, caplog, monkeypatch):
    write(tmp_path / "ada/1.wav", SHORT)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    assert len(recordings(tmp_path)) == 1
    assert "cannot be written, so the next run reads every file again: [Errno 28]" in caplog.text
    assert list((cache / "jaxtriplet").iterdir()) == []


def test_a_cache_in_the_place_of_which_is_a_folder_does_no_harm(tmp_path, cache, caplog):
    write(tmp_path / "ada/1.wav", SHORT)
    recordings(tmp_path)
    [stored] = (cache / "jaxtriplet").iterdir()
    stored.unlink()
    stored.mkdir()
    assert len(recordings(tmp_path)) == 1
    assert "cannot be written" in caplog.text
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


def test_without_a_home_nothing_is_remembered(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    corpus(tmp_path / "data", speakers=1)
    assert len(recordings(tmp_path / "data")) == len(recordings_of("data", ["s0/day0/00.wav"])) * 4
    assert not (tmp_path / "~").exists()
