"""The commands about recordings as a user meets them: evaluate, embed, cluster, export and throughput."""

import functools
import itertools
import json
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import export as jax_export

from jaxtriplet import _files, jobs, metrics
from jaxtriplet.cli import evaluate, train
from jaxtriplet.data import recordings, recordings_of
from jaxtriplet.jobs import embedding, exporting, runs
from jaxtriplet.jobs.clustering import group
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.models import ENCODERS
from tests.audio_files import corpus, voice, write
from tests.reference import trials as reference
from tests.saved import save

# One worker takes them all: they share what takes long to make.
pytestmark = [pytest.mark.xdist_group("commands"), pytest.mark.usefixtures("cache_of_module")]

COMMANDS = ("evaluate", "embed", "cluster", "export")
THRESHOLD = 0.3


def speech_run(**numbers: Any) -> runs.SpeechRun:
    config = Config().replace(**{"encoder": "lstm", "embedding_dim": 8, "bands": 40, **numbers})
    return runs.SpeechRun(config, build_speech_encoder(config))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has seen development speakers; its weights are as they were drawn."""
    folder = tmp_path_factory.mktemp("run")
    save(folder, speech_run())
    _files.write_json(folder / "metrics.json", {"judged": "development", "threshold": THRESHOLD})
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers with four recordings each, a broken one, and the trials of all pairs."""
    root = corpus(tmp_path_factory.mktemp("data") / "calls", speakers=4)
    (root / "s1" / "day0" / "broken.wav").write_bytes(b"RIFF of nothing")
    return root


@pytest.fixture(scope="module")
def trials(data: Path) -> Path:
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.wav"))
    pairs = ((f"{int(a[:2] == b[:2])}", a, b) for a, b in itertools.combinations(paths, 2))
    (data.parent / "trials.txt").write_text("".join(f"{' '.join(pair)}\n" for pair in pairs))
    return data.parent / "trials.txt"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cohort")
    for i in range(6):
        write(root / f"{i}.wav", voice(0.6, pitch=85 + 31 * i, seed=50 + i))
    return root


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with a recording each."""
    root = tmp_path_factory.mktemp("few")
    for i in range(2):
        write(root / f"s{i}" / "0.wav", voice(0.6, pitch=90 + 50 * i, seed=i))
    return root


def test_evaluate_leaves_what_it_promises(
    run: Path, data: Path, trials: Path, cohort: Path, call: Any, tmp_path: Path
) -> None:
    words = ("--trials", trials, "--cohort", cohort, "--as-norm", "--top", "4", "--out", tmp_path / "out", "--json")
    status, out, err = call("evaluate", run, "--data", data, *words)
    assert status == 0, err
    figures = json.loads(out)
    assert figures == json.loads((tmp_path / "out" / "metrics.json").read_text())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {"report.html", "det.png", "det_as_norm.png"}
    assert names == {"metrics.json", "scores.txt", "scores_as_norm.txt", *pictures}
    assert "s1/day0/broken.wav: no audio" in err
    assert "1 file left out, 16 recordings used" in err
    assert [problem["path"] for problem in figures["left_out"]] == ["s1/day0/broken.wav"]
    assert (figures["num_trials"], figures["num_trials_left_out"], figures["num_target_trials"]) == (120, 16, 24)
    assert figures["num_speakers"] == 4

    lines = [line.split() for line in (tmp_path / "out" / "scores.txt").read_text().splitlines()]
    wanted = [line.split() for line in trials.read_text().splitlines() if "broken" not in line]
    assert [line[:3] for line in lines] == wanted
    paths = sorted({path for line in lines for path in line[1:3]})
    loaded = runs.load_speech(run)
    rows = dict(zip(paths, loaded.embed_recordings(recordings_of(data, paths)), strict=True))
    scores, same = np.array([float(line[3]) for line in lines]), np.array([line[0] == "1" for line in lines])
    np.testing.assert_allclose(scores, [rows[a] @ rows[b] for _, a, b, _ in lines], atol=2e-6)

    normalised = np.loadtxt(tmp_path / "out" / "scores_as_norm.txt", usecols=3)
    others = loaded.embed_recordings(recordings(cohort, labelled=False))
    sides = [(paths.index(a), paths.index(b)) for _, a, b, _ in lines]
    expected = reference.adaptive_s_norm(np.stack([rows[path] for path in paths]), sides, others, 4)
    np.testing.assert_allclose(normalised, expected, rtol=1e-3, atol=1e-3)  # spreads of float32 cosines are divisors
    for prefix, values in (("", scores), ("as_norm_", normalised)):
        # Rounded to six places, neighbouring scores may tie: one trial in 24 at the most.
        assert figures[f"{prefix}equal_error_rate"] == pytest.approx(metrics.equal_error_rate(values, same), abs=0.05)
        assert figures[f"{prefix}min_dcf_0.05"] == pytest.approx(metrics.min_dcf(values, same, p_target=0.05), abs=0.1)
        assert f"{prefix}equal_error_rate_interval" not in figures
    assert figures["no_interval"] == "too few speakers for an interval: 4, fewer than 5"
    assert figures["development_threshold"] == THRESHOLD
    rates = metrics.error_rates(scores, same, THRESHOLD)
    assert (figures["false_acceptance_rate"], figures["false_rejection_rate"]) == rates


def test_what_is_said_at_the_end_has_its_caveats_and_thresholds(tmp_path: Path) -> None:
    names = ["equal_error_rate", "min_dcf", "purity", "nmi", "misclassification_rate", "num_trials", "step"]
    for count in (4, 5):
        told = train._in_words({**dict.fromkeys(names, 1), "num_speakers": count, "judged": "development"}, tmp_path)
        few = "utterances (too few speakers to tell much: 4, fewer than 5)"
        assert told.splitlines()[1].endswith(few if count < 5 else "utterances")
    counts = {"num_trials": 9, "num_target_trials": 3, "num_trials_left_out": 0, "num_runs": 1, "compared_by": "none"}
    own = {"development_threshold": 0.25, "false_acceptance_rate": 0.125, "false_rejection_rate": 0.5}
    assert [*evaluate._in_words(counts | own)] == [
        "at the run's own threshold 0.250: false acceptance 12.50%, false rejection 50.00%",
        "9 trials, 0 left out",
    ]


def test_the_pages_stand_alone_and_name_what_is_left_out(
    run: Path, data: Path, trials: Path, call: Any, tmp_path: Path
) -> None:
    for words in (("evaluate", run, "--trials", trials), ("cluster", run)):
        status, out, err = call(*words, "--data", data, "--out", tmp_path / words[0], "--quiet")
        assert status == 0, err
        assert "left out" in out
        page = (tmp_path / words[0] / "report.html").read_text()
        assert page.count("<svg") >= 2
        assert "<script" not in page
        assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
            'xmlns:xlink="http://www.w3.org/1999/xlink"', ""
        )
        assert "s1/day0/broken.wav" in page


def test_trials_of_missing_files_stop_before_work_begins(
    run: Path, data: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*_: Any) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr(runs, "load_speech", no_work)
    (tmp_path / "trials.txt").write_text(
        "1 s0/day0/00.wav s0/nowhere.wav\n0 s0/day0/00.wav s9/away.wav\n0 s0/day0/00.wav s1/day0/00.wav\n"
    )
    words = ("--trials", tmp_path / "trials.txt", "--out", tmp_path / "out")
    status, out, err = call("evaluate", run, "--data", data, *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "2 of the 4 files" in err
    assert "s0/nowhere.wav, s9/away.wav" in err
    assert not (tmp_path / "out").exists()


def test_folders_that_tell_no_speakers_are_drawn_by_trial(run: Path, cohort: Path, call: Any, tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text("1 0.wav 1.wav\n0 2.wav 3.wav\n1 4.wav 5.wav\n0 0.wav 5.wav\n")
    words = ("--trials", tmp_path / "trials.txt", "--out", tmp_path / "out", "--json", "--quiet", "--draws", "20")
    status, out, err = call("evaluate", run, "--data", cohort, *words)
    assert status == 0, err
    assert json.loads(out)["bootstrap_over"] == "trials"
    assert "num_speakers" not in json.loads(out)
    assert err == ""


def test_embed_writes_rows_that_are_the_run_s(run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.npz"
    status, out, err = call("embed", run, "--data", data, "--out", file, "--json")
    assert status == 0, err
    assert "1 file left out, 16 recordings used" in err
    figures, index = json.loads(out), recordings(data)
    assert (figures["num_recordings"], figures["num_left_out"], figures["num_speakers"]) == (16, 1, 4)
    with np.load(file) as found:
        np.testing.assert_array_equal(found["paths"], index.paths)
        np.testing.assert_array_equal(found["labels"], index.labels)
        assert tuple(found["speakers"]) == index.speakers
        np.testing.assert_allclose(found["embeddings"], runs.load_speech(run).embed_recordings(index), atol=1e-6)
    assert [path.name for path in file.parent.iterdir()] == ["rows.npz"]


def test_embed_overwrites_nothing_unasked(run: Path, cohort: Path, call: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    file.write_text("mine")
    words = ("embed", run, "--data", cohort, "--out", file, "--unlabelled", "--quiet")
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert "--overwrite" in err
    assert file.read_text() == "mine"
    assert call(*words, "--overwrite")[0] == 0
    with np.load(file) as found:
        assert set(found) == {"embeddings", "paths"}
        assert found["embeddings"].shape == (6, 8)


def test_an_interrupted_embed_goes_on_where_it_stopped(
    run: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = corpus(tmp_path / "data", speakers=2, utterances=1)
    write(root / "s0" / "day0" / "long.wav", voice(1.1))  # of another shape, so in another batch
    whole, rows = embedding.embed_batches, []

    def watched(model: Any, index: Any, *, stop: bool, **options: Any) -> Iterator[Any]:
        for done, batch in enumerate(whole(model, index, **options)):
            if stop and done:
                raise KeyboardInterrupt
            rows.extend(index.paths[batch[0]].tolist())
            yield batch

    monkeypatch.setattr(embedding, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(embedding, "embed_batches", functools.partial(watched, stop=True))
    file, partial = tmp_path / "rows.npz", tmp_path / "rows.npz.partial"
    words = ("embed", run, "--data", root, "--out", file, "--quiet", "--json")
    status, out, err = call(*words)
    typed = shlex.join(["jaxtriplet", *map(str, words)])
    assert (status, out, err) == (130, "", f"jaxtriplet: stopped; to go on: {typed}\n")
    assert not file.exists()
    assert len(rows) == 4

    other = tmp_path / "other"
    other.mkdir()
    save(other, speech_run(seed=1))
    status, _, err = call("embed", other, *words[2:])
    assert status == 2
    assert "begun with another encoder" in err

    write(root / "s1" / "day1" / "00.wav", voice(0.7, pitch=300))  # changed meanwhile
    monkeypatch.setattr(embedding, "embed_batches", functools.partial(watched, stop=False))
    rows.clear()
    status, out, err = call(*words)
    assert status == 0, err
    assert "goes on after 3 of 5 recordings" in err
    assert json.loads(out)["num_resumed"] == 3
    assert sorted(rows) == ["s0/day0/long.wav", "s1/day1/00.wav"]
    assert not partial.exists()
    with np.load(file) as found:
        expected = runs.load_speech(run).embed_recordings(recordings(root))
        np.testing.assert_allclose(found["embeddings"], expected, atol=1e-5)  # other batches round otherwise


def test_cluster_names_a_speaker_for_each_recording(run: Path, data: Path, call: Any, tmp_path: Path) -> None:
    words = ("--num-speakers", "3", "--out", tmp_path / "out", "--json", "--quiet")
    status, out, err = call("cluster", run, "--data", data, *words)
    assert status == 0, err
    figures, index = json.loads(out), recordings(data)
    lines = [line.split() for line in (tmp_path / "out" / "speakers.rttm").read_text().splitlines()]
    assert {len(line) for line in lines} == {10}
    assert [line[1] for line in lines] == index.paths.tolist()
    np.testing.assert_allclose([float(line[4]) for line in lines], index.seconds, atol=1e-3)
    named = [line[7] for line in lines]
    assert set(named) == {"speaker1", "speaker2", "speaker3"}
    assert named.count("speaker1") >= named.count("speaker2") >= named.count("speaker3")
    assert figures["purity"] == pytest.approx(metrics.purity(index.labels, named))
    assert figures["nmi"] == pytest.approx(metrics.normalized_mutual_information(index.labels, named))
    rate = metrics.misclassification_rate(index.labels, named)
    assert figures["misclassification_rate"] == pytest.approx(rate)
    assert (figures["num_clusters"], figures["num_speakers"], figures["estimated_by"]) == (3, 4, "given")


def test_cluster_without_truth_is_not_judged(run: Path, cohort: Path, call: Any, tmp_path: Path) -> None:
    words = ("cluster", run, "--data", cohort, "--unlabelled", "--overwrite", "--out", tmp_path, "--json", "--quiet")
    rows = runs.load_speech(run).embed_recordings(recordings(cohort, labelled=False))
    for options, threshold in (((), THRESHOLD), (("--threshold", "0.8"), 0.8), (("--estimate", "silhouette"), None)):
        status, out, err = call(*words, *options)
        assert status == 0, err
        figures = json.loads(out)
        expected = group(rows, num_speakers=None, threshold=threshold, max_speakers=100)
        assert figures["num_clusters"] == expected.clusters.max()
        assert figures.get("threshold") == threshold
        assert figures["estimated_by"] == ("threshold" if threshold else "silhouette")
        assert not {"purity", "nmi", "misclassification_rate", "num_speakers"} & set(figures)


def test_a_run_that_was_never_judged_has_no_threshold(run: Path, cohort: Path, call: Any, tmp_path: Path) -> None:
    save(tmp_path, runs.load_speech(run))
    status, out, err = call("cluster", tmp_path, "--data", cohort, "--unlabelled", "--quiet")
    assert (status, out) == (2, "")
    assert "has no threshold of its own; give --num-speakers, --threshold or --estimate" in err


@pytest.mark.parametrize("speakers", [1, 2, 6])
def test_the_number_of_speakers_is_estimated(speakers: int) -> None:
    rng = np.random.default_rng(speakers)
    labels = np.repeat(np.arange(speakers), rng.integers(5, 15, speakers))
    rows = rng.normal(size=(speakers, 24))[labels] + rng.normal(scale=0.5, size=(len(labels), 24))
    by_threshold = group(rows, num_speakers=None, threshold=0.4, max_speakers=20)
    assert metrics.misclassification_rate(labels, by_threshold.clusters) == 0
    if speakers > 1:
        found = group(rows, num_speakers=None, threshold=None, max_speakers=20)
        assert (found.clusters.min(), found.clusters.max()) == (1, speakers)
        assert metrics.misclassification_rate(labels, found.clusters) == 0
        sizes = np.bincount(found.clusters)[1:]
        assert sizes.tolist() == sorted(sizes, reverse=True)


ALONE = """
import sys
from importlib.metadata import packages_distributions
OF_JAX = {"jax", "jaxlib", "ml_dtypes", "numpy", "opt_einsum", "scipy"}
for name in {"jaxtriplet", *packages_distributions()} - OF_JAX - {"flatbuffers"}:
    sys.modules[name] = None
import jax, numpy as np, pathlib
file, given, wanted = sys.argv[1:]
encoder = jax.export.deserialize(pathlib.Path(file).read_bytes())
with np.load(given) as arrays:
    np.save(wanted, encoder.call(arrays["waveforms"], arrays["lengths"]))
"""


def batch(rows: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    waveforms = np.stack([voice(seconds, pitch=100 + 30 * row, seed=row) for row in range(rows)])
    return waveforms, np.linspace(2000, waveforms.shape[1], rows).astype(np.int32)


def test_an_exported_encoder_needs_jax_and_flatbuffers_alone(run: Path, call: Any, tmp_path: Path) -> None:
    file = tmp_path / "encoder.jax"
    status, out, _ = call("export", run, "--out", file, "--json")
    assert status == 0
    figures = json.loads(out)
    assert figures["platforms"] == ["cpu", "cuda", "tpu"]
    assert (figures["bytes"], figures["embedding_dim"], figures["sample_rate"]) == (file.stat().st_size, 8, 16_000)
    assert figures["shortest"] == 1600
    waveforms, lengths = batch(3, 0.8)
    np.savez(tmp_path / "given.npz", waveforms=waveforms, lengths=lengths)
    words = [sys.executable, "-c", ALONE, str(file), str(tmp_path / "given.npz"), str(tmp_path / "wanted.npy")]
    subprocess.run(words, check=True, cwd=tmp_path)
    expected = runs.load_speech(run).embed(waveforms, lengths)
    np.testing.assert_allclose(np.load(tmp_path / "wanted.npy"), expected, atol=1e-5)

    assert (tmp_path / "encoder.jax.sha256").read_text() == f"{figures['sha256']}  encoder.jax\n"
    np.testing.assert_allclose(jobs.load_exported(file).call(waveforms, lengths), expected, atol=1e-5)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"encoder\.jax is not what was written"):
        jobs.load_exported(file)

    status, _, err = call("export", run, "--out", file)
    assert status == 2
    assert "--overwrite" in err
    status, out, _ = call("export", run, "--out", file, "--overwrite")
    assert status == 0
    assert f"(cd {tmp_path} && sha256sum --check encoder.jax.sha256)" in out
    assert "pip install jax flatbuffers" in out
    example = {"jax": jax, "np": np, "pathlib": pathlib}
    exec("\n".join(line.strip() for line in out.splitlines() if line.startswith(4 * " ")), example)
    assert example["embeddings"].shape == (2, 8)


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "lstm"])  # that one is above
def test_the_other_encoders_are_exported_too(encoder: str) -> None:
    made = speech_run(encoder=encoder)
    exported = jax_export.deserialize(bytearray(exporting.serialized(made.forward, made.sample_rate)))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    waveforms, lengths = batch(2, 0.4)
    np.testing.assert_allclose(exported.call(waveforms, lengths), made.embed(waveforms, lengths), atol=1e-5)
    refuses_what_is_no_recording(exported, rows=waveforms[:, :2000])


def refuses_what_is_no_recording(exported: jax_export.Exported, rows: np.ndarray) -> None:
    """A shape or a type is refused in words; a row among others has no embedding, and the others have theirs."""
    lengths = np.full(len(rows), rows.shape[1], np.int32)
    good = np.asarray(exported.call(rows, lengths))
    assert np.isfinite(exported.call(rows[:, :1600], np.minimum(lengths, 1600))).all()
    for waveforms, complaint in [
        (rows[:, :1599], r"Expected value >= 1 for dimension variable 'samples_over_1599'"),
        (rows[:, :0], r"Expected value >= 1 for dimension variable 'samples_over_1599'"),
        (rows[:1], r"inconsistency between dimension size args\[1\]"),
        (rows[0], r"Rank mismatch for args\[0\]: expected \(batch, "),
        ((1e4 * rows).astype(np.int16), r"Dtype mismatch for args\[0\]: expected float32 .* int16"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            exported.call(waveforms, lengths)
    for length in (-1, 0, 1599, rows.shape[1] + 1):
        found = np.asarray(exported.call(rows, np.array([*lengths[:-1], length], np.int32)))
        assert np.isnan(found[-1]).all(), length
        np.testing.assert_allclose(found[:-1], good[:-1], atol=1e-6)
    for sample in (np.nan, np.inf, -np.inf):
        broken = rows.copy()
        broken[-1, 1000] = sample
        found = np.asarray(exported.call(broken, lengths))
        assert np.isnan(found[-1]).all(), sample
        np.testing.assert_allclose(found[:-1], good[:-1], atol=1e-6)


def test_throughput_measures_every_stage(data: Path, call: Any) -> None:
    status, out, err = call("throughput", "--data", data, "--rounds", "2", "--quiet", "--json")
    assert status == 0, err
    assert "broken.wav" in err
    stages = {stage["name"]: stage for stage in json.loads(out)}
    assert len(stages) == 6
    assert all(stage["milliseconds"] > 0 for stage in stages.values())
    sound = {name: stage["sound"] * stage["milliseconds"] / 1000 for name, stage in stages.items()}
    whole = sound.pop("decode as many whole recordings")
    # Four speakers, four recordings each, all shorter than a crop.
    assert list(sound.values()) == pytest.approx([whole] * 5, rel=1e-3)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_and_how(command: str, call: Any) -> None:
    status, out, _ = call(command, "--help")
    assert status == 0
    for words in ("RUN", "--json", "--overwrite", "--out") + (("--data", "--quiet") if command != "export" else ()):
        assert words in out
    assert command in call("--help")[1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("evaluate", "RUN", "--data", "DATA", "--trials", "TRIALS", "--as-norm"),
            "holds none of the recordings it was trained on; name a --cohort of others",
        ),
        (("evaluate", "RUN", "--data", "DATA", "--trials", "TRIALS", "--cohort", "DATA"), "in both"),
        (("evaluate", "RUN", "--data", "DATA", "--trials", "TRIALS", "--out", "DATA"), "is not empty"),
        (("evaluate", "RUN", "--data", "COHORT"), "a list of --trials can be judged"),
        (("evaluate", "RUN", "--data", "DATA", "--trials", "nowhere.txt"), "nowhere.txt"),
        (("evaluate", "DATA", "--data", "DATA", "--trials", "TRIALS"), "holds no weights of a finished run"),
        (("embed", "RUN", "--data", "DATA", "--out", "rows.txt"), "must end in .npz"),
        (("embed", "RUN", "--data", "nowhere", "--out", "rows.npz"), "nowhere: no such folder"),
        (("embed", "RUN", "--data", "COHORT", "--out", "rows.npz"), "with --unlabelled, any tree"),
        (("cluster", "RUN", "--data", "DATA", "--num-speakers", "2", "--threshold", "0.5"), "give one"),
        (("cluster", "RUN", "--data", "DATA", "--estimate", "guess"), "--estimate"),
        (("cluster", "RUN", "--data", "FEW", "--estimate", "silhouette"), "give --num-speakers or --threshold"),
        (("cluster", "RUN", "--data", "DATA", "--num-speakers", "17"), "1 to 16, the number of utterances"),
        (("throughput", "--data", "COHORT"), "no recording"),
        (("throughput", "--data", "DATA", "--recipe", "fast"), "--recipe"),
        (("export", "nowhere", "--out", "x"), "holds no weights of a finished run"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value[0],
)
def test_bad_input_is_one_line_and_status_2(
    words: tuple[str, ...],
    complaint: str,
    run: Path,
    data: Path,
    trials: Path,
    cohort: Path,
    few: Path,
    call: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RUN": run, "DATA": data, "TRIALS": trials, "COHORT": cohort, "FEW": few}
    status, out, err = call(*(places.get(word, word) for word in words))
    assert (status, out) == (2, "")
    complaints = [line for line in err.splitlines() if complaint in line]
    assert len(complaints) == 1
    assert complaints[0].startswith("jaxtriplet: ")
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_two_recordings_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="give `num_speakers`"):
        group(np.eye(2), num_speakers=None, threshold=None, max_speakers=9)


# --- the same from Python ---------------------------------------------------------------------------------------------


def test_python_gets_what_the_command_writes(run: Path, data: Path, trials: Path, call: Any, tmp_path: Path) -> None:
    judged = jobs.evaluate(run, str(data), trials, draws=20, out=tmp_path / "python", quiet=True)
    words = ("--trials", trials, "--draws", 20, "--out", tmp_path / "command", "--json", "--quiet")
    assert judged.figures == json.loads(call("evaluate", run, "--data", data, *words).out)
    assert judged.folder == tmp_path / "python"
    for name in ("metrics.json", "scores.txt"):
        assert (judged.folder / name).read_text() == (tmp_path / "command" / name).read_text()
    assert judged.figures["equal_error_rate"] == metrics.equal_error_rate(judged.scores[""], judged.trials.same)

    grouped = jobs.cluster(run, data, num_speakers=3, out=tmp_path / "clusters", quiet=True)
    assert grouped.figures["purity"] == metrics.purity(grouped.recordings.labels, grouped.clusters)
    assert grouped.figures == json.loads((tmp_path / "clusters" / "metrics.json").read_text())

    embedded = jobs.embed(run, data, tmp_path / "rows.npz", quiet=True)
    np.testing.assert_allclose(embedded.embeddings, grouped.embeddings, atol=1e-6)
    with np.load(embedded.file) as rows:
        np.testing.assert_array_equal(rows["embeddings"], embedded.embeddings)

    exported = jobs.export(run, tmp_path / "encoder.jax")
    assert exported.file.stat().st_size == exported.figures["bytes"]


def test_jobs_print_nothing(run: Path, cohort: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    jobs.embed(run, cohort, tmp_path / "rows.npz", labelled=False, quiet=True)
    jobs.cluster(run, cohort, labelled=False, num_speakers=2, out=tmp_path / "out", quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("job", "arguments", "argument", "option"),
    [
        ("cluster", {"num_speakers": 17}, "`num_speakers` must be 1 to 16", "--num-speakers must be 1 to 16"),
        ("cluster", {"num_speakers": 2, "threshold": 0.5}, "as `num_speakers` and", "as --num-speakers and --estimate"),
        ("cluster", {"data": "COHORT", "labelled": True}, "with `labelled=False`", "with --unlabelled"),
        ("cluster", {"out": "DATA"}, "is not empty", "add --overwrite"),
        ("embed", {"out": "rows.txt"}, "`out` must end in .npz", "--out must end in .npz"),
        ("embed", {"out": "RUN/metrics.npz"}, "add `overwrite=True`", "add --overwrite"),
        ("export", {"out": "RUN/metrics.npz"}, "add `overwrite=True`", "add --overwrite"),
    ],
)
def test_the_library_speaks_of_arguments_and_the_command_of_options(
    job: str,
    arguments: dict[str, Any],
    argument: str,
    option: str,
    run: Path,
    data: Path,
    cohort: Path,
    call: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (run / "metrics.npz").touch()
    given = {**({"data": "DATA"} if job != "export" else {}), **arguments}
    places = {"DATA": str(data), "COHORT": str(cohort), "RUN/metrics.npz": str(run / "metrics.npz")}
    given = {name: places.get(value, value) for name, value in given.items()}
    with pytest.raises(ValueError, match=re.escape(argument)):
        getattr(jobs, job)(run, **given)
    words = [f"--{name.replace('_', '-')}" + (f"={value}" * (value is not True)) for name, value in given.items()]
    status, out, err = call(job, run, *words)
    assert (status, out) == (2, "")
    assert option in err.splitlines()[-1]
    assert "`" not in err


def test_a_checksum_is_somebodys_file_and_never_an_old_one(
    run: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, sums = tmp_path / "encoder.jax", tmp_path / "encoder.jax.sha256"
    sums.write_text("mine")
    monkeypatch.setattr(exporting, "serialized", lambda *_: b"new")
    status, _, err = call("export", run, "--out", file)
    assert (status, err.count("\n")) == (2, 1)
    assert "encoder.jax.sha256 is there already" in err
    assert sums.read_text() == "mine"

    def dies(_: Path) -> None:
        raise KeyboardInterrupt

    file.write_bytes(b"old")
    monkeypatch.setattr(exporting._files, "seal_file", dies)
    assert call("export", run, "--out", file, "--overwrite").status == 130
    assert file.read_bytes() == b"new"
    assert not sums.exists()
