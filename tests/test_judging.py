"""Evaluation: which trials it scores, what it says of them, and what it leaves behind; vectors stand for encoders."""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxtriplet import _files, jobs, metrics
from jaxtriplet.data import Recordings, recordings
from jaxtriplet.jobs import hearing, results, runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.metrics import backends
from jaxtriplet.pages.figures import EVALUATION
from tests.audio_files import corpus, voice, write
from tests.faults.disk import full_at
from tests.saved import save

pytestmark = [pytest.mark.xdist_group("judging"), pytest.mark.usefixtures("cache_of_module", "vectors")]

WIDTH = 64  # of what the encoder pools


def drawn(name: str, scale: float) -> np.ndarray:
    return scale * np.random.default_rng(zlib.crc32(name.encode())).normal(size=WIDTH)


def rows_of(run: Any, index: Recordings, *_: Any, **__: Any) -> np.ndarray:
    """A vector for each speaker, session and recording, added: those of a run lie apart from those of another."""
    seed = run.config.flat()["seed"]

    def vector(name: str) -> np.ndarray:
        speaker, session, take = [*name.split("/"), "", ""][:3]
        places = {speaker: 0.7, f"{speaker}/{session}": 0.6, f"{speaker}/{session}/{take}": 1.0}
        return np.sum([drawn(f"{seed} {place}", scale) for place, scale in places.items()], axis=0)

    rows = np.array([vector(name) for name in index.names.tolist()], np.float32)
    return rows if run.backend else rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def vectors() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hearing.Hearing, "rows", lambda _, *given: rows_of(*given))
        yield


@pytest.fixture
def pageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no pictures, which take most of the time of a small evaluation."""
    monkeypatch.setattr(results.pages, "evaluation_page", lambda folder, **_: (folder / "report.html").touch())
    monkeypatch.setattr(results.pages, "save_det_curve", lambda path, *_, **__: path.touch())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs: two without a back-end and one with a PLDA, fitted on vectors of other speakers."""
    root, made = tmp_path_factory.mktemp("runs"), {}
    for name, numbers in {"plain": {}, "other": {"seed": 1}, "plda": {"backend": "plda"}}.items():
        config = Config().replace(**{"encoder": "lstm", "embedding_dim": 8, "bands": 40, **numbers})  # type: ignore[arg-type]
        run = runs.SpeechRun(config, build_speech_encoder(config))
        if name == "plda":
            rows = np.stack([drawn(f"k{i}", 1.0) + drawn(f"k{i}/{j}", 0.5) for i in range(40) for j in range(4)])
            fitted = backends.fit("plda", rows, np.repeat(np.arange(40), 4))
            run = run._replace(layer="pooled", backend=fitted, cohort=rows.astype(np.float32))
        made[name] = root / name
        made[name].mkdir()
        save(made[name], run)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers, two sessions each and two recordings in each."""
    return corpus(tmp_path_factory.mktemp("data") / "calls", speakers=6, seconds=0.2)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve speakers called o0, ..., and the list of all their pairs."""
    root = tmp_path_factory.mktemp("others")
    corpus(root / "of", speakers=12, seconds=0.2)
    for speaker in range(12):
        (root / "of" / f"s{speaker}").rename(root / "of" / f"o{speaker}")
    index = recordings(root / "of")
    pairs = np.triu_indices(len(index), 1)
    lines = [f"{int(index.labels[a] == index.labels[b])} {index.paths[a]} {index.paths[b]}" for a, b in zip(*pairs)]  # noqa: B905
    (root / "of.txt").write_text("\n".join(lines))
    return root


def evaluated(run: Any, data: Path, trials: Path | None = None, **options: Any) -> Any:
    return jobs.evaluate(run, data, trials, **{"draws": 20, "quiet": True, **options})


def page_of(folder: Path) -> str:
    return " ".join((folder / "report.html").read_text().split())


def cosines(data: Path, seed: int = 0) -> tuple[np.ndarray, Recordings]:
    index = recordings(data)
    config = Config().replace(seed=seed)
    rows = rows_of(runs.SpeechRun(config, None), index).astype(float)  # type: ignore[arg-type]
    return rows @ rows.T, index


def test_all_pairs_of_a_folder_are_judged(folders: dict[str, Path], data: Path, tmp_path: Path) -> None:
    judged = evaluated(folders["plain"], data, out=tmp_path / "out")
    matrix, index = cosines(data)
    first, second = np.triu_indices(len(index), 1)
    same = index.labels[first] == index.labels[second]
    np.testing.assert_allclose(judged.scores[""], matrix[first, second], atol=1e-6)
    np.testing.assert_array_equal(judged.trials.same, same)
    figures, scores = judged.figures, judged.scores[""]
    sides = np.stack([index.labels[first], index.labels[second]], axis=1)
    expected = {
        "equal_error_rate": metrics.equal_error_rate(scores, same),
        "equal_error_rate_interval": list(metrics.bootstrap_interval(scores, same, sides, draws=20)),
        "min_dcf_0.05": metrics.min_dcf(scores, same, p_target=0.05),
        "min_cllr": metrics.min_cllr(scores, same),
        "bootstrap_over": "speakers",
        "num_speakers": 6,
        "num_trials": 276,
        "num_target_trials": 36,
        "num_same_session_pairs": 12,
        "same_session": "keep",
        "trials_from": "all pairs",
    }
    assert {name: figures[name] for name in expected} == expected
    assert not {"cllr", "calibrated_on", "map_at_r", "seed", "no_interval"} & figures.keys()
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == figures
    assert "12 of the 36 same-speaker trials are of one session each" in page_of(tmp_path / "out")


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize("same_session", ["keep", "leave-out", "apart"])
@pytest.mark.parametrize("pairs", [None, 60])
def test_the_trials_that_are_written_give_the_same_figures(
    same_session: str, pairs: int | None, folders: dict[str, Path], data: Path, call: Any, tmp_path: Path
) -> None:
    words = ["evaluate", folders["plain"], "--data", data, "--draws", 20, "--quiet", "--json"]
    more = ["--same-session", same_session, *(["--pairs", pairs, "--seed", 4] if pairs else [])]
    made = call(*words, *more, "--write-trials", tmp_path / "new" / "list.txt", "--out", tmp_path / "pairs")
    assert made.status == 0, made.err
    again = call(*words, "--trials", tmp_path / "new" / "list.txt", "--out", tmp_path / "listed")
    scored = call(*words, "--trials", tmp_path / "pairs" / "scores.txt", "--out", tmp_path / "scored")
    found, listed = json.loads(made.out), json.loads(again.out)
    assert json.loads(scored.out) == listed
    alike = found.keys() & listed.keys() - {"trials_from", "num_recordings"}
    assert len(alike) > 10
    assert {name: found[name] for name in alike} == {name: listed[name] for name in alike}
    scores, rescored = (tmp_path / folder / "scores.txt" for folder in ("pairs", "listed"))
    assert scores.read_text() == rescored.read_text()
    expected = {("keep", None): (36, 12), ("leave-out", None): (24, 12), ("apart", None): (24, 12)}
    # Of five pairs that a speaker gives, some are of one session; left out, there are but four.
    if (counts := expected.get((same_session, pairs))) is not None:
        assert (found["num_target_trials"], found["num_same_session_pairs"]) == counts
    assert ("same_session_equal_error_rate" in found) == (same_session == "apart")
    assert (tmp_path / "pairs" / "scores_same_session.txt").exists() == (same_session == "apart")


def test_pairs_of_one_session_are_judged_apart(folders: dict[str, Path], data: Path, call: Any, tmp_path: Path) -> None:
    judged = evaluated(folders["plda"], data, same_session="apart", as_norm=True, top=20, out=tmp_path / "out")
    lines = [line.split() for line in (tmp_path / "out" / "scores_same_session.txt").read_text().splitlines()]
    assert len(lines) == 12
    assert all(truth == "1" and a.rpartition("/")[0] == b.rpartition("/")[0] for truth, a, b, _ in lines)
    kept = evaluated(folders["plda"], data, as_norm=True, top=20, out=tmp_path / "kept")
    day = np.array([path.rpartition("/")[0] for path in kept.trials.paths])
    within = day[kept.trials.first] == day[kept.trials.second]
    for prefix, end in (("", ""), ("as_norm_", "_as_norm")):
        scores, same = kept.scores[prefix], kept.trials.same
        np.testing.assert_allclose(judged.scores[prefix], scores[~within])
        apart = within | ~same
        for name, measure in (("equal_error_rate", metrics.equal_error_rate), ("min_dcf", metrics.min_dcf)):
            assert judged.figures[f"{prefix}{name}"] == measure(scores[~within], same[~within])
            assert judged.figures[f"{prefix}same_session_{name}"] == measure(scores[apart], same[apart])
        low, high = judged.figures[f"{prefix}equal_error_rate_interval"]
        assert 0 <= low < high <= 1
        written = np.loadtxt(tmp_path / "out" / f"scores{end}_same_session.txt", usecols=3)
        np.testing.assert_allclose(written, scores[within], atol=1e-6)
    words = call("evaluate", folders["plain"], "--data", data, "--draws", 5, "--quiet", "--out", tmp_path / "c")
    assert "12 of the 36 trials of one speaker are of one session, the easy ones; see --same-session" in words.out
    assert "Beside these, 12 same-speaker trials are of one session each" in page_of(tmp_path / "out")


@pytest.mark.usefixtures("pageless")
def test_fewer_pairs_than_asked_for_are_told(folders: dict[str, Path], data: Path, call: Any, tmp_path: Path) -> None:
    words = ("evaluate", folders["plain"], "--data", data, "--draws", 5, "--quiet", "--pairs")
    asked = {
        100: "86 trials, 36 of one speaker, drawn by seed 0, 0 left out\n"
        "fewer than the 100 pairs asked for: there are no more of one speaker\n",
        1000: "there are no more of one speaker and of two speakers\n",
        20: "20 trials, 10 of one speaker, drawn by seed 0, 0 left out\n",
    }
    for number, told in asked.items():
        status, out, err = call(*words, number, "--out", tmp_path / str(number))
        assert (status, err) == (0, "")
        assert told in out
        assert ("asked for" in out) == (number > 20)


@pytest.mark.usefixtures("pageless")
def test_names_with_spaces_are_scored_and_read_again(folders: dict[str, Path], tmp_path: Path, call: Any) -> None:
    for speaker in range(2):
        for take in range(2):
            write(
                tmp_path / "calls" / f"my speaker{speaker}" / f"a call {take}.wav", voice(0.2, seed=2 * speaker + take)
            )
    words = ["evaluate", folders["plain"], "--data", tmp_path / "calls", "--quiet", "--out"]
    status, _, err = call(*words, tmp_path / "a")
    assert (status, err) == (0, "")
    lines = (tmp_path / "a" / "scores.txt").read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["1", "my speaker0/a call 0.wav", "my speaker0/a call 1.wav"]
    assert call(*words, tmp_path / "b", "--trials", tmp_path / "a" / "scores.txt").status == 0
    assert (tmp_path / "b" / "scores.txt").read_text().splitlines() == lines


@pytest.mark.usefixtures("pageless")
def test_trials_that_are_none_are_told(folders: dict[str, Path], data: Path, call: Any, tmp_path: Path) -> None:
    names = [f"s{speaker}/day0/00.wav" for speaker in range(3)]
    again = "s0/day1/00.wav"
    lines = [f"1 {names[0]} {again}", f"0 {names[0]} {names[1]}"]
    doubtful = [
        f"1 {names[0]} {names[0]}",
        f"0 {names[2]} {names[2]}",
        f"0 {again} {names[0]}",
        f"0 {names[1]} {names[0]}",
    ]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines * 2 + doubtful))
    words = ("evaluate", folders["plain"], "--data", data, "--trials", path, "--quiet", "--json", "--out")
    status, out, err = call(*words, tmp_path / "out")
    assert (status, json.loads(out)["num_trials"]) == (0, 8)
    assert err.splitlines() == [
        f"jaxtriplet: {path}: in 2 of 8 trials a recording meets itself, which tells nothing",
        f"jaxtriplet: {path}: 1 pair is said to be of one speaker and of two: {names[0]} and {again}",
    ]
    path.write_text("\n".join(lines * 2))
    assert call(*words, tmp_path / "again").err == ""


@pytest.mark.usefixtures("pageless")
def test_kaldis_folder_tells_who_speaks(folders: dict[str, Path], tmp_path: Path) -> None:
    root = corpus(tmp_path / "calls", speakers=5, sessions=1, seconds=0.2)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.wav"))
    (root / "wav.scp").write_text("".join(f"u{i} {path}\n" for i, path in enumerate(paths)))
    (root / "utt2spk").write_text("".join(f"u{i} {path.split('/')[0]}\n" for i, path in enumerate(paths)))
    judged = evaluated(folders["plain"], root, out=tmp_path / "out", retrieval=True)
    assert judged.trials.paths == tuple(f"u{i}" for i in range(10))
    assert judged.figures["bootstrap_over"] == "speakers"
    assert (judged.figures["num_speakers"], judged.figures["num_target_trials"]) == (5, 5)
    np.testing.assert_array_equal(judged.sides[:, 0] == judged.sides[:, 1], judged.trials.same)
    text = "".join(f"u{2 * i} u{2 * i + 1} target\nu{2 * i} u{(2 * i + 3) % 10} nontarget\n" for i in range(5))
    (tmp_path / "trials").write_text(text)
    listed = evaluated(folders["plain"], root, tmp_path / "trials", out=tmp_path / "listed")
    assert listed.figures["bootstrap_over"] == "trials"
    assert listed.sides is None
    assert listed.trials.same.tolist() == [True, False] * 5


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["plain", "plda"])
def test_calibration_is_fitted_on_others(
    run: str, folders: dict[str, Path], data: Path, others: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"as_norm": True, "top": 20} if run == "plda" else {}
    lists: dict[str, Any] = {"calibrate": others / "of.txt", "calibrate_data": others / "of"}
    judged = evaluated(folders[run], data, **lists, **asked, retrieval=True, out=tmp_path / "out")
    bare = evaluated(folders[run], data, **asked, out=tmp_path / "bare")
    known = evaluated(folders[run], others / "of", others / "of.txt", **asked, out=tmp_path / "known")
    figures, same = judged.figures, judged.trials.same
    assert judged.calibrations.keys() == judged.scores.keys() == bare.scores.keys()
    for prefix, scores in judged.scores.items():
        expected = metrics.calibrate(known.scores[prefix], known.trials.same)
        assert judged.calibrations[prefix] == pytest.approx(expected)
        ratios = expected.apply(scores)
        end = "_as_norm" if prefix else ""
        written = np.loadtxt(tmp_path / "out" / f"scores{end}_calibrated.txt", usecols=3)
        np.testing.assert_allclose(written, ratios, atol=1e-5)
        assert figures[f"{prefix}cllr"] == pytest.approx(metrics.cllr(ratios, same))
        assert figures[f"{prefix}actual_dcf"] == pytest.approx(metrics.actual_dcf(ratios, same))
        assert figures[f"{prefix}actual_dcf_0.05"] == pytest.approx(metrics.actual_dcf(ratios, same, p_target=0.05))
        assert (figures[f"{prefix}calibration_scale"], figures[f"{prefix}calibration_offset"]) == pytest.approx(
            expected
        )
        assert figures[f"{prefix}min_cllr"] == bare.figures[f"{prefix}min_cllr"] <= figures[f"{prefix}cllr"]
    assert figures["calibrated_on"] == str(others / "of.txt")
    assert (figures["num_calibration_trials"], figures["num_calibration_target_trials"]) == (1128, 72)
    assert figures["num_calibration_speakers_judged"] == 0
    for name in figures.keys() - {"left_out"}:
        title, style, meaning = EVALUATION[name]
        assert style(figures[name])
        assert title
        assert meaning.endswith(".")
    page = page_of(tmp_path / "out")
    assert f"calibrated on {others / 'of.txt'}" in page
    assert page.count("<svg") == (5 if asked else 3)


def test_ratios_of_a_back_end_are_judged_as_they_are(
    folders: dict[str, Path], data: Path, call: Any, tmp_path: Path
) -> None:
    words = ("evaluate", folders["plda"], "--data", data, "--as-norm", "--top", 20, "--quiet", "--out")
    status, out, err = call(*words, tmp_path / "out")
    assert (status, err) == (0, "")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    scores = np.loadtxt(tmp_path / "out" / "scores.txt", usecols=(0, 3))
    assert figures["cllr"] == pytest.approx(metrics.cllr(scores[:, 1], scores[:, 0] == 1), abs=1e-5)
    assert figures["calibrated_on"] == "nothing"
    assert not {"as_norm_cllr", "calibration_scale"} & figures.keys()  # after AS-norm they are no ratios
    assert (
        f"as likelihood ratios, as the back-end gives them (scores are not calibrated): Cllr {figures['cllr']:.3f} ("
        in out
    )
    assert not (tmp_path / "out" / "scores_calibrated.txt").exists()
    told = f"Taken at their word, as the back-end gives them, the log-likelihood ratios cost {figures['cllr']:.4f} bits"
    assert told in page_of(tmp_path / "out")


@pytest.mark.usefixtures("pageless")
def test_speakers_in_both_lists_are_told(folders: dict[str, Path], data: Path, call: Any, tmp_path: Path) -> None:
    lines: dict[str, list[str]] = {"judged": [], "known": []}
    _, index = cosines(data)
    for a, b in zip(*np.triu_indices(len(index), 1), strict=True):
        takes = {path.rpartition("/")[2] for path in index.paths[[a, b]]}
        if len(takes) == 1:
            name = "judged" if takes == {"00.wav"} else "known"
            lines[name].append(f"{int(index.labels[a] == index.labels[b])} {index.paths[a]} {index.paths[b]}\n")
    for name, some in lines.items():
        (tmp_path / f"{name}.txt").write_text("".join(some))
    words = ("--trials", tmp_path / "judged.txt", "--calibrate", tmp_path / "known.txt", "--out", tmp_path / "out")
    status, out, err = call("evaluate", folders["plain"], "--data", data, *words, "--json", "--quiet")
    assert status == 0
    assert "6 of the 6 speakers who are judged share a name with those to calibrate on, such as s0" in err
    assert json.loads(out)["num_calibration_speakers_judged"] == 6


@pytest.mark.usefixtures("pageless")
def test_calibration_on_speakers_of_training_is_told(
    folders: dict[str, Path], data: Path, others: Path, call: Any, tmp_path: Path
) -> None:
    """Measured on 21 speakers trained on and 6 others: a DCF of 1.02 instead of 0.32."""
    known, stranger = tmp_path / "known", tmp_path / "stranger"
    for folder, speakers in ((known, ["a", "o3", "o11"]), (stranger, ["a", "b"])):
        shutil.copytree(folders["plain"], folder)
        _files.write_json(folder / "data.json", {"training": {"speakers": speakers}, "development": None})
    words = ("--data", data, "--calibrate", others / "of.txt", "--calibrate-data", others / "of", "--json", "--quiet")
    for count, run in enumerate([(folders["plain"],), (stranger,), (stranger, known)]):
        status, out, err = call("evaluate", *run, *words, "--out", tmp_path / str(count))
        assert status == 0, err
        figures = json.loads(out)
        assert figures.get("num_calibration_speakers_trained_on") == [None, 0, 2][count]
        assert figures.keys() <= EVALUATION.keys() | {"left_out"}
        assert err.count("\n") == (count == 2)
    told = "2 of the 12 speakers to calibrate on share a name with those whom the encoder was trained on, such as o11"
    assert told in err
    for content in ("[]", "", '{"training": [3]}', '{"training": {"speakers": 3}}', '{"training": {"speakers": [3]}}'):
        (known / "data.json").write_text(content)
        status, _, err = call("evaluate", known, *words, "--out", tmp_path / "out")
        assert (status, err.count("\n")) == (2, 1), err
        assert "data.json is damaged" in err


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pageless")
def test_recordings_are_looked_up_by_the_mean_of_cosines(
    folders: dict[str, Path], data: Path, call: Any, tmp_path: Path
) -> None:
    both = [folders["plain"], folders["other"]]
    words = ("--data", data, "--retrieval", "--draws", 5, "--quiet", "--out", tmp_path / "out", "--json")
    figures = json.loads(call("evaluate", *both, *words).out)
    (first, index), (second, _) = cosines(data), cosines(data, seed=1)
    matrix = (first + second) / 2
    np.fill_diagonal(matrix, -2)
    ranked = np.argsort(-matrix, axis=1)[:, :-1]
    right = index.labels[ranked] == index.labels[:, None]
    for k in (1, 5, 10):
        assert figures[f"recall_at_{k}"] == pytest.approx(right[:, :k].any(axis=1).mean())
    assert figures["r_precision"] == pytest.approx(right[:, :3].mean())
    precision = np.cumsum(right[:, :3], axis=1) / np.arange(1, 4)
    assert figures["map_at_r"] == pytest.approx((precision * right[:, :3]).mean())
    assert figures["mean_reciprocal_rank"] == pytest.approx(np.mean(1 / (1 + right.argmax(axis=1))))
    assert (figures["num_queries"], figures["num_queries_left_out"]) == (24, 0)


@pytest.mark.usefixtures("pageless")
def test_what_cannot_be_looked_up_is_left_out_and_told(
    folders: dict[str, Path], data: Path, call: Any, tmp_path: Path
) -> None:
    paths = [f"s{speaker}/day0/00.wav" for speaker in range(5)] + ["s0/day1/00.wav"]
    lines = [f"{int(a[:2] == b[:2])} {a} {b}" for i, a in enumerate(paths) for b in paths[i + 1 :]]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    words = ("--trials", tmp_path / "trials.txt", "--retrieval", "--out", tmp_path / "out", "--quiet")
    status, out, err = call("evaluate", folders["plain"], "--data", data, *words)
    assert (status, err) == (0, "")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "recall_at_5" in figures
    assert "recall_at_10" not in figures
    assert "no recall at 10: each recording has 5 others\n" in out
    assert (figures["num_queries"], figures["num_queries_left_out"]) == (2, 4)
    assert "2 recordings, 4 without another of their speaker" in out


# --- words ------------------------------------------------------------------------------------------------------------


def test_too_few_speakers_for_an_interval_are_told(
    folders: dict[str, Path], data: Path, call: Any, tmp_path: Path
) -> None:
    paths = [f"s{speaker}/day{day}/00.wav" for speaker in range(4) for day in range(2)]
    lines = [f"{int(a[:2] == b[:2])} {a} {b}" for i, a in enumerate(paths) for b in paths[i + 1 :]]
    (tmp_path / "trials.txt").write_text("\n".join(lines))
    words = ("--trials", tmp_path / "trials.txt", "--out", tmp_path / "out", "--quiet")
    status, out, err = call("evaluate", folders["plain"], "--data", data, *words)
    assert (status, err) == (0, "")
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    told = "too few speakers for an interval: 4, fewer than 5"
    assert figures["no_interval"] == told
    assert "equal_error_rate_interval" not in figures
    assert f"({told}), minDCF" in out
    assert told in (tmp_path / "out" / "report.html").read_text()


def test_where_no_draw_has_an_error_that_is_said(
    folders: dict[str, Path], data: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_speakers(_: Any, index: Recordings, *__: Any, **___: Any) -> np.ndarray:
        return np.stack([drawn(name.split("/")[0], 1.0) for name in index.names.tolist()])

    monkeypatch.setattr(hearing.Hearing, "rows", lambda _, *given: of_speakers(*given))
    words = ("evaluate", folders["plain"], "--data", data, "--draws", 20, "--out", tmp_path / "out", "--quiet")
    status, out, err = call(*words, "--same-session", "leave-out")
    assert (status, err) == (0, "")
    assert "12 pairs of one speaker in one session are left out" in out
    page = page_of(tmp_path / "out")
    assert "12 same-speaker pairs of one session each, which share microphone and room, are left out" in page
    assert "equal error rate 0.00% (no draw of speakers had an error), minDCF 0.000" in out
    assert "drawing speakers anew, no draw had an error" in page
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["equal_error_rate_interval"] == [0, 0]


@pytest.mark.usefixtures("pageless")
def test_what_an_evaluation_replaces_leaves_nothing_of_its_own(
    folders: dict[str, Path], data: Path, others: Path, call: Any, tmp_path: Path
) -> None:
    words = ("evaluate", folders["plda"], "--data", data, "--draws", 5, "--quiet", "--out", tmp_path / "out")
    more = ("--calibrate", others / "of.txt", "--calibrate-data", others / "of", "--as-norm", "--same-session", "apart")
    assert call(*words, *more).status == 0
    (tmp_path / "out" / "notes.txt").touch()
    assert call(*words).status == 2
    assert len([*(tmp_path / "out").iterdir()]) == 11
    assert call(*words, "--overwrite").status == 0
    kept = {"metrics.json", "scores.txt", "det.png", "report.html", "notes.txt"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == kept


@pytest.mark.usefixtures("pageless")
@pytest.mark.parametrize("fails", ["scores.txt", "scores_calibrated.txt", "metrics.json"])
def test_an_evaluation_that_is_cut_short_does_not_look_whole(
    fails: str, folders: dict[str, Path], data: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for itself nor together with what an earlier one has left."""
    options: dict[str, Any] = {"calibrate": others / "of.txt", "calibrate_data": others / "of", "overwrite": True}
    out = evaluated(folders["other"], data, out=tmp_path / "out", **options).folder
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with monkeypatch.context() as patch:
        full_at(patch, fails)
        with pytest.raises(OSError, match="No space left"):
            evaluated(folders["plain"], data, out=out, **options)
    assert not (out / "metrics.json").exists()
    assert all(path.read_bytes() != before[path.name] for path in out.glob("*.txt"))
    with pytest.raises(ValueError, match="is neither the folder of a run"):
        jobs.compare([out, folders["plain"]], out=tmp_path / "compared")
    evaluated(folders["other"], data, out=out, **options)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["new", "new/a", "new/a/det.png", "new/../new/a/metrics.json"])
def test_a_list_has_no_place_of_results(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is where results go; name another file for the trials"):
        results.choose_list(tmp_path / name, tmp_path / "new" / "a", overwrite=True)
    assert results.choose_list(tmp_path / f"{name}.txt", tmp_path / "new" / "a", overwrite=False).suffix == ".txt"


LISTS = {
    "TARGETS": "1 s0/day0/00.wav s0/day0/01.wav\n1 s1/day0/00.wav s1/day0/01.wav\n",
    "IMPOSTORS": "s0/day0/00.wav s1/day0/01.wav nontarget\n",
    "BOTH": "1 s0/day0/00.wav s0/day1/01.wav\n0 s0/day0/00.wav s1/day0/01.wav\n",
    "LIARS": "0 s0/day0/00.wav s0/day1/01.wav\n1 s0/day0/00.wav s1/day0/01.wav\n",
    "ITSELF": "1 s0/day0/00.wav s0/day0/00.wav\n0 s0/day0/00.wav s1/day0/01.wav\n",
    "MIXED": "1 s0/day0/00.wav s0/day1/01.wav\ns0/day0/00.wav s1/day0/01.wav nontarget\n",
    "EMPTY": "\n",
}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--trials TARGETS", "TARGETS holds no trials of two speakers, and 2 of one speaker; both are needed"),
        ("--trials IMPOSTORS", "IMPOSTORS holds no trials of one speaker, and 1 of two speakers"),
        ("--trials MIXED", "MIXED, line 2: expected 1 or 0 and two paths; got"),
        ("--trials EMPTY", "EMPTY holds no trials"),
        ("--trials BOTH --pairs 4", "--pairs: of no use with --trials, which says what to score"),
        ("--trials BOTH --same-session apart", "--same-session: of no use with --trials"),
        ("--trials BOTH --write-trials x.txt", "--write-trials: of no use with --trials"),
        ("--seed 3", "--seed: of no use without --pairs"),
        ("--pairs 1", "--pairs"),
        ("--same-session leave", "did you mean leave-out?"),
        ("--write-trials EMPTY", "EMPTY is there already; name another file, or add --overwrite"),
        ("--write-trials DATA", "is a folder, not a file"),
        ("--write-trials out", "out is where results go; name another file for the trials"),
        ("--write-trials out/metrics.json", "out/metrics.json is where results go"),
        ("--write-trials out/scores_as_norm.txt", "out/scores_as_norm.txt is where results go"),
        ("--calibrate-data DATA", "--calibrate-data: of no use without --calibrate, a list of trials"),
        ("--calibrate BOTH", "what to calibrate on must be of other speakers than what is judged; 3 in both"),
        ("--trials BOTH --calibrate TARGETS", "TARGETS holds no trials of two speakers"),
        ("--trials BOTH --calibrate nowhere.txt", "nowhere.txt"),
        ("--calibrate OTHERS.txt", "files that OTHERS.txt names are not in DATA"),
        ("--calibrate APART.txt --calibrate-data OTHERS", "APART.txt: no target scores below an impostor"),
        ("--trials LIARS --retrieval", "--retrieval needs to know who speaks"),
        ("--trials ITSELF --retrieval", "--retrieval: nobody has two recordings, so there is nothing to find"),
        ("--data FLAT", "<utterance>); whoever speaks, a list of --trials can be judged"),
        ("--data nowhere", "nowhere: no such folder\n"),
        ("--data ALONE", "holds recordings of 1 speaker"),
        ("--data ALONE --pairs 4", "holds recordings of 1 speaker"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    words: str,
    complaint: str,
    folders: dict[str, Path],
    data: Path,
    others: Path,
    call: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"DATA": str(data), "OTHERS": str(others / "of"), "APART": str(others / "apart")}
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
    write(tmp_path / "FLAT" / "a.wav", voice(0.2))
    corpus(tmp_path / "ALONE", speakers=1, seconds=0.2)
    sure = "1 o0/day0/00.wav o0/day0/01.wav\n0 o1/day0/00.wav o2/day0/00.wav\n"
    (others / "apart.txt").write_text(sure)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    given = words if "--data" in words else f"--data DATA {words}"
    for name, place in places.items():
        given = given.replace(name, place)
    status, out, err = call("evaluate", folders["plain"], *given.split(), "--out", "out", "--quiet")
    assert (status, out) == (2, "")
    for name, place in places.items():
        err = err.replace(place, name)
    assert complaint in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 4  # click's own have the usage before them
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
