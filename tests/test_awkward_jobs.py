"""The commands on recordings as people have them: one alone, silence, offsets, pieces, lists that lead astray."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax import export as jax_export

from jaxtriplet import _files, jobs
from jaxtriplet.data import read_trials, recordings, recordings_of
from jaxtriplet.jobs import embedding, runs
from jaxtriplet.jobs.clustering import group
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.exporting import serialized
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from tests.audio_files import RATE, voice, write
from tests.saved import save

pytestmark = [pytest.mark.xdist_group("awkward"), pytest.mark.usefixtures("cache_of_module")]

SILENCE = np.zeros(12 * RATE, np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run; its weights are as they were drawn."""
    folder = tmp_path_factory.mktemp("run")
    config = Config().replace(encoder="lstm", embedding_dim=8, bands=40)
    save(folder, runs.SpeechRun(config, build_speech_encoder(config)))
    _files.write_json(folder / "metrics.json", {"judged": "development", "threshold": 0.3})
    return folder


@pytest.mark.parametrize(
    ("words", "by"),
    [((), "threshold"), (("--num-speakers", "1"), "given"), (("--estimate", "silhouette"), "silhouette")],
)
def test_one_recording_is_one_cluster(run: Path, tmp_path: Path, call: Any, words: tuple[str, ...], by: str) -> None:
    write(tmp_path / "data/ada/1.wav", voice(0.5))
    out = tmp_path / "out"
    status, said, err = call("cluster", run, "--data", tmp_path / "data", "--out", out, "--json", "--quiet", *words)
    assert status == 0, err
    figures = json.loads(said)
    assert (figures["num_clusters"], figures["num_recordings"], figures["estimated_by"]) == (1, 1, by)
    assert (figures["purity"], figures["misclassification_rate"]) == (1, 0)
    assert (out / "speakers.rttm").read_text().split()[7] == "speaker1"
    assert "<svg" in (out / "report.html").read_text()


def test_more_speakers_than_recordings_are_refused(run: Path, tmp_path: Path, call: Any) -> None:
    write(tmp_path / "data/ada/1.wav", voice(0.5))
    words = ("--data", tmp_path / "data", "--out", tmp_path / "out", "--quiet", "--num-speakers", "2")
    status, _, err = call("cluster", run, *words)
    assert (status, err) == (
        2,
        "jaxtriplet: --num-speakers must be 1 to 1, the number of utterances; got 2\n",
    )
    with pytest.raises(ValueError, match="must be 1 to 3"):
        group(np.eye(3), num_speakers=4)


def test_scores_hear_neither_silence_nor_offset(run: Path, tmp_path: Path) -> None:
    """Of each recording there are three: as it is, with silence around it, with an offset."""
    lines = []
    for speaker in range(3):
        x = voice(1.0, pitch=90 + 50 * speaker, seed=speaker)
        for name, samples in (("a", x), ("b", np.concatenate([SILENCE, x, SILENCE])), ("c", 0.5 * x + 0.1)):
            write(tmp_path / "data" / f"s{speaker}" / f"{name}.wav", samples, subtype="FLOAT")
        lines += [f"1 s{speaker}/a.wav s{speaker}/{name}.wav" for name in "bc"]
        lines += [f"0 s{speaker}/{name}.wav s{(speaker + 1) % 3}/a.wav" for name in "abc"]
    (tmp_path / "trials.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    done = jobs.evaluate(run, tmp_path / "data", tmp_path / "trials.txt", draws=10, out=tmp_path / "out", quiet=True)
    scores = done.scores[""]
    assert (scores[done.trials.same] > 1 - 1e-3).all()
    other = scores[~done.trials.same].reshape(3, 3)
    np.testing.assert_allclose(other, np.repeat(other[:, :1], 3, axis=1), atol=1e-3)


def test_an_exported_encoder_hears_no_offset(run: Path) -> None:
    encoder = runs.load_speech(run)
    function = jax_export.deserialize(bytearray(serialized(encoder.forward, encoder.sample_rate)))
    waveforms, lengths = voice(0.5)[None], np.array([7_000], np.int32)
    plain, moved = (function.call(waveforms + np.float32(offset), lengths) for offset in (0, 0.1))
    np.testing.assert_allclose(moved, plain, atol=1e-3)


def segmented(root: Path) -> Path:
    """A Kaldi folder: two files, cut into six pieces."""
    pitches = (90, 180, 120)
    for name in ("one", "two"):
        write(root / f"{name}.wav", np.concatenate([voice(0.6, pitch=pitch) for pitch in pitches]), subtype="FLOAT")
    (root / "wav.scp").write_text("one one.wav\ntwo two.wav\n")
    cuts = [(f"{name}-{i}", name, 0.6 * i, 0.6 * i + 0.6) for name in ("one", "two") for i in range(3)]
    (root / "segments").write_text("".join(f"{utt} {name} {a:.1f} {b:.1f}\n" for utt, name, a, b in cuts))
    (root / "utt2spk").write_text("".join(f"{utt} s{utt[-1]}\n" for utt, *_ in cuts))
    return root


def test_pieces_of_a_file_keep_apart_in_parts_and_results(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = segmented(tmp_path / "data"), tmp_path / "rows.npz"
    whole = embedding.embed_batches

    def stopped(model: Any, index: Any, **options: Any) -> Iterator[Any]:
        rows, embeddings = next(iter(whole(model, index, **options)))
        yield rows[:4], embeddings[:4]
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "embed_batches", stopped)
        with pytest.raises(KeyboardInterrupt):
            jobs.embed(run, data, file, quiet=True)
    text = (data / "segments").read_text()
    (data / "segments").write_text(text.replace("one-0 one 0.0 0.6", "one-0 one 0.6 1.2"))  # changed meanwhile
    done = jobs.embed(run, data, file, quiet=True)
    assert done.figures["num_resumed"] == 3
    with np.load(file) as found:
        assert found["utterances"].tolist() == done.recordings.names.tolist()
        assert found["paths"].tolist() == ["one.wav"] * 3 + ["two.wav"] * 3
        named = dict(zip(found["utterances"].tolist(), found["embeddings"], strict=True))
    encoder = runs.load_speech(run)
    for name, pitch in (("one-0", 180), ("one-1", 180), ("one-2", 120), ("two-0", 90), ("two-2", 120)):
        expected = encoder.embed(voice(0.6, pitch=pitch)[None], np.array([9_600]))[0]
        np.testing.assert_allclose(named[name], expected, atol=1e-5)


def test_pieces_are_clustered_with_their_times(run: Path, tmp_path: Path, call: Any) -> None:
    data = segmented(tmp_path / "data")
    words = ("--data", data, "--out", tmp_path / "out", "--num-speakers", "3", "--json", "--quiet")
    status, out, err = call("cluster", run, *words)
    assert status == 0, err
    lines = [line.split() for line in (tmp_path / "out/speakers.rttm").read_text().splitlines()]
    assert [(line[1], line[3], line[4]) for line in lines] == [
        (name, f"{0.6 * i:.3f}", "0.600") for name in ("one.wav", "two.wav") for i in range(3)
    ]
    assert json.loads(out)["misclassification_rate"] == 0


def test_the_command_line_reads_elsewhere_if_told_to(run: Path, tmp_path: Path, call: Any) -> None:
    for i in range(2):
        write(tmp_path / f"elsewhere/{i}.wav", voice(0.5, pitch=100 + 60 * i))
    data = tmp_path / "data"
    data.mkdir()
    (data / "wav.scp").write_text("".join(f"u{i} {tmp_path}/elsewhere/{i}.wav\n" for i in range(2)))
    (tmp_path / "trials.txt").write_text(
        "1 ../elsewhere/0.wav ../elsewhere/0.wav\n0 ../elsewhere/0.wav ../elsewhere/1.wav"
    )
    commands = {
        "embed": ("--unlabelled", "--out", tmp_path / "rows.npz"),
        "cluster": ("--unlabelled", "--out", tmp_path / "clusters"),
        "evaluate": ("--trials", tmp_path / "trials.txt", "--out", tmp_path / "judged", "--draws", "5"),
    }
    for command, words in commands.items():
        status, out, err = call(command, run, "--data", data, *words, "--quiet")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "outside" in err
        assert err.endswith("--allow-outside reads such files, too\n")
        status, _, err = call(command, run, "--data", data, *words, "--quiet", "--allow-outside")
        assert status == 0, err
    (data / "utt2spk").write_text("u0 ada\nu1 bob\n")
    for words in (("train", "--out", tmp_path / "trained"), ("throughput",)):
        status, out, err = call(*words, "--data", data, "--quiet")
        assert (status, out) == (2, "")
        assert "--allow-outside reads such files, too" in err
        status, _, err = call(*words, "--data", data, "--quiet", "--allow-outside")
        assert (status, "no speaker in" in err) == (2, True)  # of the two, each has a single recording
    assert len(recordings(data, allow_outside=True)) == 2


def test_a_folder_of_links_to_a_store_is_judged_and_embedded_alike(run: Path, tmp_path: Path, call: Any) -> None:
    data = tmp_path / "data"
    for i in range(2):
        stored = write(tmp_path / f"store/{i}.wav", voice(0.5, pitch=100 + 60 * i))
        (data / f"speaker{i}").mkdir(parents=True)
        (data / f"speaker{i}/u.wav").symlink_to(stored)
    (tmp_path / "trials.txt").write_text("1 speaker0/u.wav speaker0/u.wav\n0 speaker0/u.wav speaker1/u.wav\n")
    status, _, err = call("embed", run, "--data", data, "--out", tmp_path / "rows.npz", "--quiet")
    assert status == 0, err
    words = ("--trials", tmp_path / "trials.txt", "--out", tmp_path / "judged", "--draws", "5")
    status, _, err = call("evaluate", run, "--data", data, *words, "--quiet")
    assert status == 0, err


@pytest.mark.parametrize("words", [("cluster",), ("evaluate", "--trials", "trials.txt")], ids=["cluster", "evaluate"])
def test_no_job_writes_into_the_folder_of_a_run(run: Path, tmp_path: Path, call: Any, words: tuple[str, ...]) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    (tmp_path / "trials.txt").write_text("1 a.wav b.wav\n")
    words = tuple(str(tmp_path / word) if word == "trials.txt" else word for word in words)
    before = (run / "metrics.json").read_bytes()
    status, _, err = call(words[0], run, "--data", tmp_path, *words[1:], "--out", run, "--overwrite")
    assert (status, err) == (2, f"jaxtriplet: {run} holds a training run; name another folder\n")
    assert (run / "metrics.json").read_bytes() == before


def test_trials_name_pieces(run: Path, tmp_path: Path, call: Any) -> None:
    data, trials, out = segmented(tmp_path / "data"), tmp_path / "trials.txt", tmp_path / "judged"
    trials.write_text("1 one-0 two-0\n1 two-1 one-1\n0 one-0 one-1\n0 one-2 two-1\n")
    words = ("evaluate", run, "--data", data, "--trials", trials, "--out", out, "--draws", 5, "--quiet")
    status, _, err = call(*words)
    assert (status, err) == (0, "")
    scored = [line.split() for line in (out / "scores.txt").read_text().splitlines()]
    assert [line[:3] for line in scored] == [line.split() for line in trials.read_text().splitlines()]
    index = recordings(data)
    rows = dict(zip(index.names.tolist(), runs.load_speech(run).embed_recordings(index), strict=True))
    for _, first, second, score in scored:
        assert float(score) == pytest.approx(float(rows[first] @ rows[second]), abs=1e-5)
    for name in ("one.wav", "one", "three-0"):  # neither a whole file nor a recording is an utterance here
        trials.write_text(f"1 one-0 {name}\n")
        status, _, err = call(*words, "--overwrite")
        said = f"1 of the 2 utterances that {trials} names are not in {data}/segments: {name}"
        assert (status, err) == (2, f"jaxtriplet: {said}\n")


def test_trials_name_utterances_or_files_where_these_are_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.wav", voice(0.3))
    (tmp_path / "wav.scp").write_text("u1 a.wav\nu2 b.wav\n")
    for first, second in (("u1", "u2"), ("a.wav", "b.wav")):
        (tmp_path / "trials.txt").write_text(f"1 {first} {second}\n")
        found = read_trials(tmp_path / "trials.txt", tmp_path)
        assert found.paths == (first, second)
        assert recordings_of(tmp_path, found.paths).paths.tolist() == ["a.wav", "b.wav"]
