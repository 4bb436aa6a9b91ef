"""How recordings are compared: back-ends that a run has or is given, crops, cohorts, several runs."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxtriplet import jobs, metrics
from jaxtriplet.data import recordings
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of
from jaxtriplet.jobs.scoring import Comparison
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.metrics import backends
from jaxtriplet.speech import Excerpts, embed_recordings, recordings as speech_recordings
from tests.audio_files import RATE, corpus, voice, write
from tests.saved import save

pytestmark = [pytest.mark.xdist_group("scoring"), pytest.mark.usefixtures("cache_of_module")]


def config_of(**numbers: Any) -> Config:
    return Config().replace(**{"encoder": "lstm", "embedding_dim": 8, "bands": 40, **numbers})


def fitted_run(index: Any, **numbers: Any) -> runs.SpeechRun:
    """A run whose encoder nobody has trained, with a back-end fitted on some recordings."""
    config = config_of(**numbers)
    bare = runs.SpeechRun(config, build_speech_encoder(config), config.backend.backend_layer)
    rows = bare.rows(index)
    backend = backends.fit(config.backend.name, rows, index.labels, within=config.backend.backend_within)
    return bare._replace(backend=backend, cohort=rows)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five speakers to fit back-ends on."""
    return corpus(tmp_path_factory.mktemp("known") / "calls", speakers=5, utterances=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three others, between whose pitches theirs lie."""
    root = tmp_path_factory.mktemp("data") / "calls"
    for speaker in range(3):
        for take in range(3):
            samples = voice(0.6 + 0.1 * take, pitch=105 + 42 * speaker, seed=90 + 3 * speaker + take)
            write(root / f"t{speaker}" / "day" / f"{take}.wav", samples)
    return root


@pytest.fixture(scope="module")
def trials(data: Path) -> Path:
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.wav"))
    lines = [f"{int(a[:2] == b[:2])} {a} {b}" for i, a in enumerate(paths) for b in paths[i + 1 :]]
    (data.parent / "trials.txt").write_text("\n".join(lines))
    return data.parent / "trials.txt"


@pytest.fixture(scope="module")
def folders(known: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs: without a back-end, with each kind of one, and with another seed."""
    index, root = recordings(known), tmp_path_factory.mktemp("runs")
    made = {"none": runs.SpeechRun(config_of(), build_speech_encoder(config_of()))}
    for kind in backends.KINDS:
        made[kind] = fitted_run(index, backend=kind)
    made["on embeddings"] = fitted_run(index, backend="wccn", backend_layer="embedding")
    made["another"] = fitted_run(index, backend="plda", seed=1)
    for name, run in made.items():
        (root / name).mkdir()
        save(root / name, run)
    return {name: root / name for name in made}


@pytest.mark.parametrize("kind", [*backends.KINDS, "on embeddings"])
def test_a_run_is_read_with_its_back_end(kind: str, folders: dict[str, Path], known: Path, data: Path) -> None:
    run, index = runs.load_speech(folders[kind]), recordings(data)
    assert run.backend is not None
    assert run.compared_by == ("wccn on embedding" if kind == "on embeddings" else f"{kind} on pooled")
    rows = run.rows(index)
    expected = fitted_run(recordings(known), **{k: v for k, v in run.config.flat().items() if k.startswith("backend")})
    for ours, theirs in zip(run.backend[1:], expected.backend[1:], strict=True):  # type: ignore[index]
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(run.embed_recordings(index), run.backend.embed(rows), atol=1e-6)
    assert run.cohort is not None
    assert run.cohort.shape == (30, rows.shape[1])


@pytest.mark.parametrize("kind", [*backends.KINDS, "on embeddings"])
def test_what_is_exported_embeds_as_the_run_does(kind: str, folders: dict[str, Path], data: Path) -> None:
    run, index = runs.load_speech(folders[kind]), recordings(data)
    waveforms = np.zeros((len(index), 2 * RATE), np.float32)
    lengths = np.zeros(len(index), np.int32)
    for row in range(len(index)):
        sound = index.sound(row).read(RATE)
        waveforms[row, : len(sound)], lengths[row] = sound, len(sound)
    found = jax.jit(run.forward)(waveforms, lengths)
    np.testing.assert_allclose(found, run.embed(waveforms, lengths), atol=2e-5)  # float32 against float64
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_exported_file_holds_the_back_end(folders: dict[str, Path], call: Any, tmp_path: Path) -> None:
    words = ("export", folders["plda"], "--out", tmp_path / "encoder.jax", "--json")
    status, out, err = call(*words)
    assert status == 0, err
    run, figures = runs.load_speech(folders["plda"]), json.loads(out)
    assert figures["compared_by"] == "plda on pooled"
    sound = np.stack([voice(0.8, pitch=140), voice(0.8, pitch=210)])
    lengths = np.array([len(sound[0]), 9000], np.int32)
    found = jobs.load_exported(tmp_path / "encoder.jax").call(sound, lengths)
    assert found.shape == (2, figures["embedding_dim"])
    np.testing.assert_allclose(found, run.embed(sound, lengths), atol=2e-5)


def test_scores_are_the_back_ends(folders: dict[str, Path], data: Path, trials: Path, tmp_path: Path) -> None:
    index = recordings(data)
    for kind in ("plda", "lda"):
        judged = jobs.evaluate(folders[kind], data, trials, draws=5, out=tmp_path / kind, quiet=True)
        run = runs.load_speech(folders[kind])
        assert run.backend is not None
        matrix = run.backend.matrix(*[run.rows(index)] * 2)
        first, second = np.triu_indices(len(index), 1)
        np.testing.assert_allclose(judged.scores[""], matrix[first, second], atol=1e-4)
        assert judged.figures["compared_by"] == f"{kind} on pooled"
        words = "log-likelihood ratio" if kind == "plda" else "cosine of their"
        assert words in (tmp_path / kind / "report.html").read_text()


def test_without_its_back_end_a_run_compares_embeddings(
    folders: dict[str, Path], data: Path, trials: Path, call: Any, tmp_path: Path
) -> None:
    words = ("--data", data, "--trials", trials, "--draws", 5, "--json", "--quiet", "--out")
    plain = json.loads(call("evaluate", folders["none"], *words, tmp_path / "a").out)
    switched = json.loads(call("evaluate", folders["plda"], *words, tmp_path / "b", "--backend", "none").out)
    assert switched == plain
    assert plain["compared_by"] == "none"


@pytest.mark.parametrize("layer", ["pooled", "embedding"])
def test_a_back_end_can_be_fitted_on_other_speakers(
    layer: str, folders: dict[str, Path], known: Path, data: Path, trials: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"backend": "wccn", "backend_layer": layer, "fit_on": known}
    judged = jobs.evaluate(
        folders["none"], data, trials, **asked, as_norm=True, draws=5, out=tmp_path / "o", quiet=True
    )
    run = runs.load_speech(folders["none"])._replace(layer=layer)  # type: ignore[arg-type]
    index, others = recordings(data), recordings(known)
    rows, cohort = run.rows(index), run.rows(others)
    backend = backends.fit("wccn", cohort, others.labels)
    pairs = np.triu_indices(len(index), 1)
    np.testing.assert_allclose(judged.scores[""], backend.matrix(rows, rows)[pairs], atol=1e-5)
    expected = metrics.adaptive_s_norm(rows, *pairs, cohort, backend=backend)
    np.testing.assert_allclose(judged.scores["as_norm_"], expected, atol=1e-3)


def test_several_runs_are_the_mean_of_their_scores(
    folders: dict[str, Path], data: Path, trials: Path, call: Any, tmp_path: Path
) -> None:
    both = [folders["plda"], folders["another"]]
    asked: dict[str, Any] = {"as_norm": True, "draws": 5, "quiet": True}
    alone = [jobs.evaluate(one, data, trials, **asked, out=tmp_path / one.name) for one in both]
    words = ("--as-norm", "--draws", 5, "--out", tmp_path / "both", "--json", "--quiet")
    figures = json.loads(call("evaluate", *both, "--data", data, "--trials", trials, *words).out)
    together = jobs.evaluate(both, data, trials, **asked, out=tmp_path / "python")
    assert together.figures == figures
    assert figures["num_runs"] == 2
    for prefix, scores in together.scores.items():
        np.testing.assert_allclose(scores, (alone[0].scores[prefix] + alone[1].scores[prefix]) / 2)
        assert not np.allclose(alone[0].scores[prefix], alone[1].scores[prefix])
    assert set(together.scores) == {"", "as_norm_"}


def test_back_ends_of_several_runs_are_all_named(
    folders: dict[str, Path], data: Path, trials: Path, tmp_path: Path
) -> None:
    several = [folders["none"], folders["lda"], folders["wccn"]]
    judged = jobs.evaluate(several, data, trials, draws=5, out=tmp_path / "out", quiet=True)
    assert judged.figures["compared_by"] == "none, lda on pooled, wccn on pooled"


def test_whose_voices_a_back_end_is_fitted_on_must_be_told(
    folders: dict[str, Path], data: Path, trials: Path, call: Any, tmp_path: Path
) -> None:
    """There is no doing without, whatever may be done with the recordings to embed."""
    write(tmp_path / "flat" / "a.wav", voice(0.6))
    words = ("embed", folders["none"], "--data", data, "--out", tmp_path / "rows.npz", "--fit-on", tmp_path / "flat")
    status, out, err = call(*words, "--quiet")
    assert (status, out) == (2, "")
    assert "lies in no speaker's folder" in err
    assert "abelled" not in err


def test_the_training_cohort_is_the_usual_one(
    folders: dict[str, Path], known: Path, data: Path, trials: Path, tmp_path: Path
) -> None:
    named, usual = (
        jobs.evaluate(folders["plda"], data, trials, **more, draws=5, out=tmp_path / str(place), quiet=True)
        for place, more in enumerate(({"cohort": known}, {"as_norm": True}))
    )
    np.testing.assert_allclose(named.scores["as_norm_"], usual.scores["as_norm_"], atol=1e-4)


def test_crops_are_spread_over_a_recording(tmp_path: Path, folders: dict[str, Path]) -> None:
    model = runs.load_speech(folders["none"]).model
    for name, seconds in (("long", 3.0), ("short", 0.4)):
        write(tmp_path / "calls" / f"{name}.wav", voice(seconds))
    index = recordings(tmp_path / "calls", labelled=False)
    samples = {path: index.sound(row).read(RATE) for row, path in enumerate(index.paths.tolist())}
    found = dict(zip(index.paths.tolist(), embed_recordings(model, index, excerpts=Excerpts(3, 0.5)), strict=True))
    size, sound = RATE // 2, samples["long.wav"]
    starts = np.linspace(0, len(sound) - size, 3).round().astype(int)
    parts = np.stack([model.embed(sound[None, at : at + size], np.array([size]))[0] for at in starts])
    np.testing.assert_allclose(found["long.wav"], parts.sum(axis=0) / np.linalg.norm(parts.sum(axis=0)), atol=1e-5)
    short = samples["short.wav"]
    np.testing.assert_allclose(found["short.wav"], model.embed(short[None], np.array([len(short)]))[0], atol=1e-5)
    pooled = embed_recordings(model, index, layer="pooled", excerpts=Excerpts(3, 0.5))
    whole = np.stack([model.pooled(sound[None, at : at + size], np.array([size]))[0] for at in starts])
    np.testing.assert_allclose(pooled[index.paths.tolist().index("long.wav")], whole.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(("total", "number"), [(100, 2), (100, 3), (61, 5), (1000, 4), (43, 3), (42, 9), (40, 2)])
@pytest.mark.parametrize("block", [1, 7, 2000])
def test_crops_do_not_depend_on_blocks(total: int, number: int, block: int) -> None:
    sound, size = np.arange(total, dtype=np.float32), 40
    step = Excerpts(number).step(total, size)
    blocks = (sound[at : at + block] for at in range(0, total, block))
    found = [int(window[0]) for window in speech_recordings.windows(blocks, size, step)]
    expected = dict.fromkeys(round(k * (total - size) / (number - 1)) for k in range(number))
    assert found == [*expected]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"excerpts": Excerpts(1)}, "excerpts must be at least 2, or 0"),
        ({"excerpts": Excerpts(-2)}, "number of excerpts must be a whole number"),
        ({"excerpts": Excerpts(2, 0.0)}, "longer than 0 seconds"),
        ({"speed": 0.0}, "speed must be above 0; got 0.0"),
        ({"layer": "last"}, "layer must be one of embedding, pooled; got 'last'"),
    ],
)
def test_there_is_no_such_excerpt(asked: Any, complaint: str, folders: dict[str, Path], data: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        embed_recordings(runs.load_speech(folders["none"]).model, recordings(data), **asked)


def test_a_faster_recording_is_what_is_heard(tmp_path: Path, folders: dict[str, Path]) -> None:
    """Twice as fast, a recording is its samples at half the rate, said to be at the whole one."""
    model = runs.load_speech(folders["none"]).model
    write(tmp_path / "calls" / "a.wav", voice(1.4))
    index = recordings(tmp_path / "calls", labelled=False)
    sound, size = index.sound(0).read(RATE // 2), RATE // 4
    whole = model.embed(sound[None], np.array([len(sound)]))
    np.testing.assert_allclose(embed_recordings(model, index, speed=2.0), whole, atol=1e-5)
    parts = [model.embed(part[None], np.array([size])) for part in (sound[:size], sound[-size:])]
    found = embed_recordings(model, index, excerpts=Excerpts(2, 0.5), speed=2.0)
    np.testing.assert_allclose(found, sum(parts) / np.linalg.norm(sum(parts)), atol=1e-5)


def test_training_fits_what_its_config_says(known: Path, data: Path, trials: Path, tmp_path: Path) -> None:
    numbers = {"backend": "plda", "backend_speeds": "1,1.2", "backend_each": 4, "steps": 2, "evaluate_every": 2}
    config = config_of(speakers=3, utterances=2, seconds="0.4", **numbers)
    trained = jobs.train(config, data=known, dev=data, out=tmp_path / "run", quiet=True)
    assert trained.figures is not None
    run, index = runs.load_speech(tmp_path / "run"), recordings(known)
    chosen = index.take(np.concatenate([np.flatnonzero(index.labels == one)[[0, 1, 3, 5]] for one in range(5)]))
    rows = np.concatenate([run.rows(chosen, speed=speed) for speed in (1.0, 1.2)])
    backend = backends.fit("plda", rows, np.concatenate([chosen.labels, chosen.labels + 5]))
    assert run.backend is not None
    pairs = backend.pair_scores(run.rows(recordings(data)), recordings(data).labels)
    ours = run.backend.pair_scores(run.rows(recordings(data)), recordings(data).labels)
    np.testing.assert_allclose(ours[0], pairs[0], rtol=1e-4, atol=1e-3)
    figures = trained.figures
    assert figures["backend_threshold"] == pytest.approx(metrics.equal_error_threshold(*ours))
    assert figures["backend_equal_error_rate"] == metrics.equal_error_rate(*ours)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= history[-1]["equal_error_rate"] <= 1
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"it was\n{figures['untrained_equal_error_rate']:.2%}" in page

    judged = jobs.evaluate(tmp_path / "run", data, trials, draws=5, out=tmp_path / "judged", quiet=True)
    assert judged.figures["development_threshold"] == figures["backend_threshold"]
    named = jobs.evaluate(tmp_path / "run", data, trials, backend="plda", draws=5, out=tmp_path / "n", quiet=True)
    assert named.figures == judged.figures
    anew = jobs.evaluate(tmp_path / "run", data, trials, crops=2, draws=5, out=tmp_path / "anew", quiet=True)
    assert "development_threshold" not in anew.figures


def test_speakers_are_left_out_to_find_a_threshold(known: Path, tmp_path: Path) -> None:
    numbers = {"backend": "plda", "backend_speeds": "1,1.2", "steps": 1, "evaluate_every": 9}
    config = config_of(speakers=3, utterances=2, seconds="0.4", **numbers)
    figures = jobs.train(config, data=known, out=tmp_path / "run", quiet=True).figures
    assert figures is not None
    run, index = runs.load_speech(tmp_path / "run"), recordings(known)
    rows, fast = (run.rows(index, speed=speed) for speed in (1.0, 1.2))
    cosines, scores, same = [], [], []
    for fold in range(2):
        held = index.labels % 2 == fold
        others = np.concatenate([index.labels[~held], index.labels[~held] + 5])
        backend = backends.fit("plda", np.concatenate([rows[~held], fast[~held]]), others)
        pairs = backend.pair_scores(rows[held], index.labels[held])
        scores.append(pairs[0])
        same.append(pairs[1])
        cosines.append(metrics.pair_scores(backend.embed(rows[held]), index.labels[held])[0])
    truth = np.concatenate(same)
    assert figures["threshold"] == pytest.approx(
        metrics.equal_error_threshold(np.concatenate(cosines), truth), abs=1e-5
    )
    expected = metrics.equal_error_threshold(np.concatenate(scores), truth)
    assert figures["backend_threshold"] == pytest.approx(expected, rel=1e-3)
    assert figures["judged"] == "training"
    assert "from speakers whom a back-end was not fitted on" in (tmp_path / "run" / "report.html").read_text()
    # It is the threshold that `cluster` takes.
    grouped = jobs.cluster(tmp_path / "run", known, out=tmp_path / "who", quiet=True)
    assert grouped.figures["threshold"] == figures["threshold"]


def test_an_encoder_for_which_no_back_end_can_be_fitted_is_not_lost(call: Any, tmp_path: Path) -> None:
    for speaker in range(2):
        for take in range(2):  # twice the same
            write(tmp_path / "calls" / f"s{speaker}" / f"{take}.wav", voice(0.5, pitch=100 + 80 * speaker))
    words = "--encoder lstm --embedding-dim 8 --bands 40 --utterances 2 --seconds 0.4 --evaluate-every 9 --quiet"
    asked = ("train", "--data", tmp_path / "calls", "--out", tmp_path / "run", *words.split(), "--steps")
    status, out, err = call(*asked, 2)
    assert (status, out) == (2, "")
    assert "the recordings of each speaker are equal" in err
    assert "to keep it, go on with --resume and another --backend" in err
    assert len([line for line in err.splitlines() if "back-end" in line]) == 1
    assert "resume it with --steps 2" in call(*asked, 3, "--resume", "--backend", "none").err
    assert call(*asked, 2, "--resume", "--backend", "none").status == 0
    run = runs.load_speech(tmp_path / "run")
    assert run.backend is None
    assert run.config.training.steps == 2
    # What is finished stays what it is.
    assert "resume it with --backend none" in call(*asked, 2, "--resume", "--backend", "centered").err


@pytest.mark.parametrize("speakers", [2, 3])
def test_of_few_speakers_none_can_be_left_out(speakers: int, tmp_path: Path) -> None:
    root = corpus(tmp_path / "calls", speakers=speakers)
    config = config_of(speakers=2, utterances=2, seconds="0.4", backend="plda", steps=1, evaluate_every=9)
    figures = jobs.train(config, data=root, out=tmp_path / "run", quiet=True).figures
    assert figures is not None
    run, index = runs.load_speech(tmp_path / "run"), recordings(root)
    scores = metrics.pair_scores(run.embed_recordings(index), index.labels)
    assert figures["threshold"] == pytest.approx(metrics.equal_error_threshold(*scores), abs=1e-6)
    # Nor is anything known of how the back-end scores strangers, and the page says whose the threshold is.
    assert "backend_threshold" not in figures
    assert "from these pairs themselves" in (tmp_path / "run" / "report.html").read_text()


def test_embed_and_cluster_take_the_same_options(
    folders: dict[str, Path], known: Path, data: Path, call: Any, tmp_path: Path
) -> None:
    asked = ("--backend", "lda", "--fit-on", known, "--crops", 2, "--crop-seconds", 0.5, "--quiet", "--json")
    status, _, err = call("embed", folders["none"], "--data", data, "--out", tmp_path / "rows.npz", *asked)
    assert status == 0, err
    comparison = Comparison("lda", None, known, 2, 0.5)
    expected = comparison.settled(folders["none"], allow_outside=False, quiet=True).embed_recordings(recordings(data))
    with np.load(tmp_path / "rows.npz") as found:
        np.testing.assert_allclose(found["embeddings"], expected, atol=1e-5)
    words = ("--num-speakers", 3, "--out", tmp_path / "who")
    status, out, err = call("cluster", folders["none"], "--data", data, *words, *asked)
    assert status == 0, err
    assert json.loads(out)["num_clusters"] == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            "evaluate none --backend plda",
            "has no back-end; to fit plda, name recordings of known speakers with --fit-on",
        ),
        ("evaluate lda --backend plda", "has the back-end lda on pooled; to fit plda"),
        ("evaluate none lda plda", "none has none, lda has lda, plda has plda"),
        ("evaluate plda plda", "must be one or several different folders"),
        ("evaluate plda --fit-on DATA", "what to fit on must be of other speakers than what is judged; 9 in both"),
        ("cluster plda --fit-on DATA --num-speakers 3", "what to fit on must be of other speakers than what is judged"),
        ("evaluate plda --backend-layer pooled", "--backend-layer: of no use without --fit-on"),
        ("evaluate plda --backend none --fit-on KNOWN", "--fit-on: of no use with --backend none"),
        ("evaluate plda --crops 1", "--crops must be at least 2, or 0 for whole recordings; got 1"),
        ("evaluate plda --crop-seconds 0", "--crop-seconds"),
        ("cluster plda --crop-seconds 3", "--crop-seconds: of no use without --crops"),
        ("evaluate plda --backend pdla", "plda"),
        ("cluster plda", "has no threshold of its own; give --num-speakers, --threshold or --estimate silhouette"),
        ("cluster plda --crops 2", "has no threshold of its own for such a comparison"),
    ],
)
def test_what_does_not_fit_is_one_line(
    words: str,
    complaint: str,
    folders: dict[str, Path],
    known: Path,
    data: Path,
    trials: Path,
    call: Any,
    tmp_path: Path,
) -> None:
    command, *rest = words.split()
    places: dict[str, Any] = {**folders, "KNOWN": known, "DATA": data}
    more = ("--trials", trials) if command == "evaluate" else ()
    # After `--backend`, "none" and "plda" are words, and not runs.
    pairs = zip(["", *rest], rest, strict=False)
    given = [word if before == "--backend" else places.get(word, word) for before, word in pairs]
    status, out, err = call(command, *given, "--data", data, *more, "--out", tmp_path / "out", "--quiet")
    assert (status, out) == (2, "")
    shown = err.replace(f"{folders['none'].parent}/", "")
    assert complaint in shown
    assert len(err.strip().splitlines()) <= 3  # click's own have the usage before them
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "layer", "complaint"),
    [
        ({}, "embedding", "the back-end does not fit the config: center is of shape [64], and would be [8]"),
        ({"whiten": np.ones((64, 3))}, "pooled", "scales is of shape [64], and would be [3]"),
        ({"offset": np.inf}, "pooled", "the back-end holds NaN or infinity in its offset"),
    ],
)
def test_a_back_end_that_does_not_fit_is_refused(
    changed: dict[str, Any], layer: str, complaint: str, folders: dict[str, Path], call: Any, tmp_path: Path
) -> None:
    run = runs.load_speech(folders["plda"])
    assert run.backend is not None
    other = run._replace(backend=run.backend._replace(**changed), config=run.config.replace(backend_layer=layer))
    (tmp_path / "run").mkdir()
    save(tmp_path / "run", other)
    status, out, err = call("export", tmp_path / "run", "--out", tmp_path / "encoder.jax")
    assert (status, out) == (2, "")
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_the_kinds_are_those_of_the_config() -> None:
    assert set(fields_of(Config)["backend"].words("choices")) == {"none", *backends.KINDS}
