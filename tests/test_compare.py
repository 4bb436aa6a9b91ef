"""The command `compare`: runs and evaluations beside each other, and what cannot be compared."""

import csv
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from jaxtriplet import _files, jobs, metrics
from jaxtriplet.data import Trials
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.comparing import names_of
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.contestants import read_scores
from jaxtriplet.jobs.history import read_history
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.pages import overlays
from jaxtriplet.pages.comparison import COMPARED, NOTHING, columns
from jaxtriplet.pages.figures import EVALUATION
from tests.audio_files import corpus
from tests.faults.disk import full_at
from tests.saved import save
from tests.test_report import Page

pytestmark = [pytest.mark.xdist_group("compare"), pytest.mark.usefixtures("cache_of_module")]

ODD = "a <b> & 1"
LABELS = np.repeat(np.arange(6), 5)
PATHS = np.array([f"s{label}/{place}.wav" for place, label in enumerate(LABELS)])


def config_of(**numbers: Any) -> Config:
    return Config().replace(**{"encoder": "lstm", "embedding_dim": 8, "bands": 40, **numbers})


def trained(folder: Path, *, noise: float = 1.0, labels: np.ndarray = LABELS, sha: str = "ab", **numbers: Any) -> Path:
    """A folder as training leaves it, but for weights; the more noise, the worse it is."""
    rng = np.random.default_rng(1)
    rows = np.eye(8)[labels] + noise * np.random.default_rng(int(100 * noise)).normal(scale=0.3, size=(len(labels), 8))
    rows += 0.3 * rng.normal(size=(6, 8))[labels]  # some speakers are hard for all
    judgement = metrics.judge_unseen(rows, labels, judged="development")
    folder.mkdir(parents=True)
    _files.write_json(folder / "config.json", config_of(**numbers).nested())
    _files.write_json(folder / "metrics.json", {"judged": "development", **judgement.figures, "step": 80})
    _files.write_arrays(folder / "embeddings.npz", embeddings=rows, labels=labels, paths=PATHS[: len(labels)])
    content = {"speakers": ["x", "y"], "recordings": 9, "hours": 0.5, "sha256": f"0123456789{sha}"}
    _files.write_json(folder / "data.json", {"training": content, "development": content, "left_out": []})
    history = [{"step": step, "loss": noise / step} for step in range(1, 81)]
    history[39]["equal_error_rate"], history[79]["equal_error_rate"] = 0.3, judgement.figures["equal_error_rate"]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in history))
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return trained(tmp_path / "plain"), trained(tmp_path / ODD, noise=2.0, seed=3, embedding_dim=16)


def evaluated(folder: Path, scores: np.ndarray, lines: list[str], separator: str = " ") -> Path:
    """A folder as `evaluate` leaves it, but for its page."""
    folder.mkdir(parents=True)
    rows = [f"{line}{separator}{score:.6f}\n" for line, score in zip(lines, scores, strict=True)]
    (folder / "scores.txt").write_text("".join(rows))
    same = np.array([line[0] == "1" for line in lines])
    figures = {"equal_error_rate": metrics.equal_error_rate(scores, same), "min_dcf": metrics.min_dcf(scores, same)}
    _files.write_json(folder / "metrics.json", {**figures, "num_trials": len(lines)})
    return folder


def lists(speakers: int, pattern: str = "s{}/{}.wav", separator: str = " ") -> list[str]:
    names = [(speaker, pattern.format(speaker, take)) for speaker in range(speakers) for take in range(4)]
    pairs = itertools.combinations(names, 2)
    return [separator.join([f"{int(a[0] == b[0])}", a[1], b[1]]) for a, b in pairs]


def test_runs_are_compared_by_what_training_judged(pair: tuple[Path, Path], tmp_path: Path, call: Any) -> None:
    out = tmp_path / "out"
    status, said, err = call("compare", *pair, "--out", out, "--json")
    assert (status, err) == (0, "")
    figures = json.loads(said)
    assert figures == json.loads((out / "metrics.json").read_text())
    own = [json.loads((folder / "metrics.json").read_text()) for folder in pair]
    assert figures["runs"] == {
        folder.name: {"folder": str(folder), **one} for folder, one in zip(pair, own, strict=True)
    }
    scored = [
        metrics.pair_scores(file["embeddings"], LABELS) for file in (np.load(one / "embeddings.npz") for one in pair)
    ]
    sides = np.stack(np.triu_indices(len(LABELS), k=1), axis=1)
    found = metrics.bootstrap_difference(scored[1][0], scored[0][0], scored[0][1], LABELS[sides])
    (difference,) = figures["differences"]
    assert (difference["run"], difference["figure"]) == (ODD, "equal_error_rate")
    assert [difference[name] for name in ("low", "high", "share_lower")] == list(found[1:])
    assert difference["estimate"] == pytest.approx(found.estimate, abs=1e-12)
    assert found.low > 0
    assert f"{100 * found.low:+.2f} to {100 * found.high:+.2f}" in difference["words"]
    assert "holds 0" not in difference["words"]
    assert (figures["bootstrap_over"], figures["num_speakers"], figures["baseline"]) == ("speakers", 6, "plain")
    with (out / "comparison.csv").open() as file:
        plain, odd = csv.DictReader(file)
    assert (plain["run"], odd["run"]) == ("plain", ODD)
    assert [float(row["equal_error_rate"]) for row in (plain, odd)] == [one["equal_error_rate"] for one in own]
    assert plain["equal_error_rate_difference_low"] == ""
    assert float(odd["equal_error_rate_difference_low"]) == found.low


def test_the_page_of_runs(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = Page(jobs.compare(pair, out=tmp_path / "out").folder / "report.html")
    assert not page.open
    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("svg") == 3  # rates and losses by update, and trade-offs
    best = json.loads((pair[0] / "metrics.json").read_text())["equal_error_rate"]
    assert f"The lowest equal error rate,\n{best:.2%}, is that of plain." in page.text
    assert f"<strong>{best:.2%}</strong></td>" in page.source
    assert "Against plain" in page.text
    differing = page.text.partition("What differs in their settings")[2].partition("All figures")[0]
    assert "seed03" in differing
    assert "embedding dimension" in differing
    assert "bands" not in differing
    assert "trained on" not in differing
    assert ODD in page.text


def test_the_words_of_the_command(pair: tuple[Path, Path], tmp_path: Path, call: Any) -> None:
    status, out, err = call("compare", *pair, "--out", tmp_path / "out", "--draws", 50)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split("  ")[-1].strip() == ODD
    assert re.match(r"equal error rate +\d+\.\d\d%\* +\d+\.\d\d%$", lines[1])
    assert any(line.startswith(f"{ODD}: equal error rate") and "of the draws" in line for line in lines)
    assert lines[-1] == f"pictures: {tmp_path / 'out' / 'report.html'}"


def test_trained_on_other_recordings_is_a_difference(tmp_path: Path) -> None:
    folders = [trained(tmp_path / name) for name in ("a", "b")]
    content = json.loads((folders[1] / "data.json").read_text())
    content["training"] = {"speakers": ["z"], "recordings": 1234, "hours": 1.5, "sha256": "ffffffffff"}
    _files.write_json(folders[1] / "data.json", content)
    text = (jobs.compare(folders, out=tmp_path / "out").folder / "report.html").read_text()
    assert "1 speakers, 1,234 recordings, 1.5 h (ffffffff)" in text


@pytest.mark.parametrize(
    ("pattern", "separator", "over"),
    [("s{}/{}.wav", " ", "speakers"), ("s {}/take {}.wav", "\t", "speakers"), ("{}-{}.wav", " ", "trials")],
)
def test_evaluations_are_compared_by_their_scores(pattern: str, separator: str, over: str, tmp_path: Path) -> None:
    lines = lists(6, pattern, separator)
    same = np.array([line[0] == "1" for line in lines])
    rng = np.random.default_rng(0)
    first, second = ((rng.normal(size=len(lines)) + 2 * same).round(6) for _ in range(2))
    folders = [evaluated(tmp_path / name, scores, lines, separator) for name, scores in (("a", first), ("b", second))]
    figures = jobs.compare(folders, out=tmp_path / "out", draws=200).figures
    sides = np.array([[name.split("/")[0] for name in line.split(separator)[1:]] for line in lines])
    asked = sides if over == "speakers" else None
    found = metrics.bootstrap_difference(second, first, same, asked, draws=200)
    (difference,) = figures["differences"]
    assert [difference[name] for name in ("low", "high", "share_lower")] == pytest.approx(list(found[1:]), abs=1e-12)
    assert ("the interval holds 0" in difference["words"]) == (found.low <= 0 <= found.high)
    assert figures["bootstrap_over"] == over
    page = Page(tmp_path / "out" / "report.html")
    assert page.tags.count("svg") == 1  # an evaluation has no course
    assert ("Nobody says who speaks" in page.text) == (over == "trials")


def test_too_few_speakers_are_said(tmp_path: Path, call: Any) -> None:
    lines, rng = lists(4), np.random.default_rng(0)
    folders = [evaluated(tmp_path / name, rng.normal(size=len(lines)), lines) for name in "abc"]
    status, out, _ = call("compare", *folders, "--out", tmp_path / "out", "--json")
    figures = json.loads(out)
    assert status == 0
    assert figures["no_interval"] == "too few speakers for an interval: 4, and at least 5 needed"
    assert "bootstrap_over" not in figures
    for name, difference in zip("bc", figures["differences"], strict=True):
        assert difference["run"] == name
        assert difference["words"].endswith(figures["no_interval"])
        assert "low" not in difference
    assert figures["no_interval"] in (tmp_path / "out" / "report.html").read_text()


def test_runs_are_evaluated_on_the_same_trials(tmp_path: Path, call: Any) -> None:
    """Each into a folder of its own, as `evaluate` does it, and what it leaves there can be compared again."""
    data, folders = corpus(tmp_path / "calls", speakers=5, sessions=1), [tmp_path / name / "run" for name in "ab"]
    for seed, folder in enumerate(folders):
        config = config_of(seed=seed)
        folder.mkdir(parents=True)
        save(folder, runs.SpeechRun(config, build_speech_encoder(config)))
    words = ("--data", data, "--pairs", 20, "--draws", 60, "--quiet", "--json", "--write-trials", tmp_path / "list.txt")
    status, said, err = call("compare", *folders, *words, "--out", tmp_path / "out")
    assert status == 0, err
    scored = (tmp_path / "out" / "b-run" / "scores.txt").read_text().splitlines()
    assert (tmp_path / "list.txt").read_text().splitlines() == [line.rpartition(" ")[0] for line in scored]
    figures = json.loads(said)
    assert list(figures["runs"]) == ["a-run", "b-run"]
    for name, folder in zip(figures["runs"], folders, strict=True):
        alone = jobs.evaluate(folder, data, pairs=20, draws=60, out=tmp_path / name, quiet=True)
        assert figures["runs"][name] == {"folder": str(tmp_path / "out" / name), **alone.figures}
        assert figures["num_trials"] == len(alone.trials.same)
    again = jobs.compare([tmp_path / "out" / "a-run", tmp_path / "out" / "b-run"], draws=60, out=tmp_path / "again")
    (one,), (other,) = figures["differences"], again.figures["differences"]
    for name in ("estimate", "low", "high"):
        assert one[name] == pytest.approx(other[name], abs=1e-12)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What differs in their settings" in page
    assert '<th scope="row">pairs</th><td>20</td>' in page


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/r/a", "/r/b"], ["a", "b"]),
        (["/r/1/run", "/r/2/run", "/r/3/other"], ["1-run", "2-run", "3-other"]),
        (["/r/report.html", "/r/b"], ["r-report.html", "r-b"]),
        (["/x-y/z", "/x/y-z", "/w/z"], ["1-x-y-z", "2-x-y-z", "3-w-z"]),
        (["/", "/a"], ["root", "a"]),
    ],
)
def test_names_are_distinct(folders: list[str], names: list[str]) -> None:
    assert names_of([Path(folder) for folder in folders]) == names


def broken(path: Path, content: bytes | None) -> None:
    """Damages a file, or takes it away."""
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a, b: [a], "RUN must be two folders or more, each named once"),
        (lambda a, b: [a, a], "each named once"),
        (lambda a, b: [a, b, a / ".." / a.name], "each named once"),
        (lambda a, b: [a, a.parent / "nowhere"], "nowhere is neither the folder of a run of `train` nor one that"),
        (lambda a, b: [a, evaluated(a.parent / "e", np.arange(120.0), lists(4)[:120])], "e an evaluation: evaluate"),
        (
            lambda a, b: [a, trained(a.parent / "c", sha="cd")],
            "judged on different trials, or in another order; name",
        ),
        (lambda a, b: [a, trained(a.parent / "c", labels=LABELS[:-1])], "judged on different trials"),
        (lambda a, b: [a, b, "--trials", a / "metrics.json"], "--trials: of no use without --data"),
        (lambda a, b: [a, b, "--backend", "plda"], "--backend: of no use without --data"),
        (lambda a, b: [a, b, "--data", a], "plain holds no weights of a finished run"),
        (
            lambda a, b: broken(b / "metrics.json", None),
            "is no finished run, and tells nothing of its encoder; name --",
        ),
        (lambda a, b: broken(b / "embeddings.npz", None), "is no finished run"),
        (lambda a, b: broken(b / "metrics.json", b"{"), "metrics.json is damaged (it is no JSON: Expecting property"),
        (lambda a, b: broken(b / "metrics.json", b'{"equal_error_rate": NaN}'), "(its equal error rate is nan)"),
        (lambda a, b: broken(b / "metrics.json", b'{"min_dcf": 1}'), "(its equal error rate is None)"),
        (lambda a, b: broken(b / "embeddings.npz", b"PK"), "embeddings.npz is damaged ("),
        (lambda a, b: broken(b / "data.json", b'{"training": 7}'), "(it does not say what recordings there were)"),
        (lambda a, b: broken(b / "config.json", b"{}"), "config.json is no config of a run that this version reads"),
        (lambda a, b: [a, b, "--out", b], "holds a training run; name another folder"),
        (lambda a, b: [a, b, "--out", b / "config.json"], "is a file, not a folder"),
    ],
)
def test_bad_runs_are_told_in_a_line(
    spoil: Callable[[Path, Path], list[Any] | None], words: str, pair: tuple[Path, Path], tmp_path: Path, call: Any
) -> None:
    asked = spoil(*pair) or [*pair]
    before = sorted(path for path in tmp_path.rglob("*"))
    status, out, err = call("compare", *asked, *(() if "--out" in asked else ("--out", tmp_path / "out")))
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert words in err
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda a, b: broken(b / "scores.txt", b"1 a b"),
            "scores.txt is damaged (line 1: expected 1 or 0, two paths",
        ),
        (lambda a, b: broken(b / "scores.txt", b"1 a b 0.5\n0 a c nan"), "line 2: expected"),
        (lambda a, b: broken(b / "scores.txt", b"1 a b 0.5\n2 a c 0.5"), "line 2: expected"),
        (lambda a, b: broken(b / "scores.txt", b"1 a b 0.5"), "it holds no trials of both kinds"),
        (lambda a, b: broken(b / "scores.txt", b""), "it holds no trials of both kinds"),
        (lambda a, b: broken(b / "scores.txt", b"\xff"), "scores.txt is no text in UTF-8"),
        (
            lambda a, b: broken(b / "scores.txt", b"1 s0/0 s0/1 0.5\n0 s0/0 s1/0 0.1"),
            "judged on different trials, or",
        ),
        (lambda a, b: broken(b / "metrics.json", b"[]"), "metrics.json is damaged (it is no object)"),
        (lambda a, b: broken(b / "metrics.json", None), "is neither the folder of a run"),
        (lambda a, b: [a, b, "--data", a], "--data: of no use with what was evaluated already"),
        (lambda a, b: [a, b, "--out", a, "--overwrite"], "is one of the folders that are compared"),
        (lambda a, b: [a, b, "--out", a.parent], "is not empty; name another folder, or add --overwrite"),
        (lambda a, b: [a, b, "--draws", "0"], "--draws must be a whole number, at least 1; got '0'"),
    ],
)
def test_bad_evaluations_are_told_in_a_line(
    spoil: Callable[[Path, Path], list[Any] | None], words: str, tmp_path: Path, call: Any
) -> None:
    lines, rng = lists(6), np.random.default_rng(0)
    folders = [evaluated(tmp_path / name, rng.normal(size=len(lines)), lines) for name in "ab"]
    asked = spoil(*folders) or folders
    status, out, err = call("compare", *asked, *(() if "--out" in asked else ("--out", tmp_path / "out")))
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert words in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_results_are_replaced_when_asked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = jobs.compare(pair, out=tmp_path / "out", draws=5).folder
    (out / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        jobs.compare(pair[::-1], out=out, draws=5)
    assert json.loads((out / "metrics.json").read_text())["baseline"] == "plain"
    assert jobs.compare(pair[::-1], out=out, draws=5, overwrite=True).figures["baseline"] == ODD
    assert (out / "mine.txt").read_text() == "mine"


def test_a_course_that_is_damaged_has_a_gap(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pair[0] / "metrics.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:10], b"{\n", *whole[11:]])[:-1])
    assert [row["step"] for row in read_history(path)] == [*range(1, 11), *range(12, 80)]
    assert "lines cannot be read, which leaves a gap in its curves" in capsys.readouterr().err
    shutil.rmtree(tmp_path / ODD)
    assert read_history(tmp_path / ODD / "metrics.jsonl") == []


def test_scores_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "scores.txt"
    path.write_text("0\tb c\ta\t-1.500000\n1\ta\td\t2.000000\n")
    trials, scores = read_scores(path)
    assert (trials.same.tolist(), trials.paths, scores.tolist()) == ([False, True], ("b c", "a", "d"), [-1.5, 2.0])
    assert (trials.first.tolist(), trials.second.tolist()) == ([0, 1], [1, 2])


def test_columns_mark_the_best() -> None:
    rows = [{"equal_error_rate": 0.25, "purity": 0.5, "num_trials": 9}, {"equal_error_rate": 0.125, "purity": 0.5}]
    rows[0]["step"] = 1200
    rate, purity, step = columns(rows)
    assert (rate.values, rate.best) == (["25.00%", "12.50%"], [False, True])
    assert (purity.values, purity.best) == (["50.00%", "50.00%"], [False, False])
    assert (step.title, step.values, step.best) == ("update", ["1,200", NOTHING], [False, False])
    assert COMPARED.keys() <= EVALUATION.keys()


def test_runs_are_told_apart_in_grey() -> None:
    """Of a dozen, no two have the same line and mark, nor the same colour and mark."""
    names = [f"run {number}" for number in range(12)]
    ax = Figure().subplots()
    overlays.draw_courses(
        ax, {name: [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}] for name in names}, "loss", ""
    )
    drawn = ax.get_lines()
    assert [line.get_label() for line in drawn] == names
    for styles in (
        [(line.get_linestyle(), line.get_marker()) for line in drawn],
        [(line.get_color(), line.get_marker()) for line in drawn],
    ):
        assert len({*styles}) >= 11


def test_courses_are_smoothed_and_scaled() -> None:
    ax = Figure().subplots()
    many = [{"step": step, "loss": 1.0 + (step % 2)} for step in range(200)]
    overlays.draw_courses(
        ax, {"many": many, "none": [{"step": 1}], "x" * 90: [{"step": 3, "loss": 0.5}]}, "loss", "", scale=2
    )
    wavy, few = ax.get_lines()
    assert np.ptp(wavy.get_ydata()) < 0.5  # of 2.0
    assert few.get_ydata().tolist() == [1.0]
    assert len(few.get_label()) < 60
    assert ax.get_ylim()[0] <= 0


def test_trade_offs_of_many_trials_are_drawn_with_few_points() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(100_000) % 2 == 0
    scores = rng.normal(size=len(same)) + 2 * same
    rate, ax = metrics.equal_error_rate(scores, same), Figure().subplots()
    overlays.draw_det_curves(ax, {"a": scores, "b": -scores}, same, equal_error_rates={"a": rate, "b": 1 - rate})
    curve = next(line for line in ax.get_lines() if len(line.get_xdata()) > 10)
    x, y = curve.get_xdata(), curve.get_ydata()
    assert len(x) < 6000
    middle = np.maximum(np.abs(x), np.abs(y)) < 1.5
    np.testing.assert_allclose((x + y)[middle], -2.0, atol=0.05)  # normal scores a distance of 2 apart
    assert np.all(np.diff(x) <= 0)
    assert np.all(np.diff(y) >= 0)
    mark = next(line for line in ax.get_lines() if line.get_label() == f"a: {rate:.2%}")
    assert mark.get_xdata() == pytest.approx(norm.ppf(rate))


def test_figures_of_another_evaluation_are_noticed(tmp_path: Path, call: Any) -> None:
    lines, rng = lists(6), np.random.default_rng(0)
    one, other = (evaluated(tmp_path / name, rng.normal(size=len(lines)), lines) for name in "ab")
    shutil.copy(one / "metrics.json", other)
    status, out, err = call("compare", one, other, "--out", tmp_path / "out")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert "its metrics.json says an equal error rate of" in err
    assert "they are of two evaluations" in err
    assert not (tmp_path / "out").exists()


def test_scores_that_are_nearly_alike_are_not_tied_in_the_list(tmp_path: Path) -> None:
    """An encoder that has collapsed gives cosines of 1 less a millionth, in which its errors still show."""
    rng, names = np.random.default_rng(0), tuple(f"s{speaker}/{take}" for speaker in range(5) for take in range(4))
    first, second = (side.astype(np.int32) for side in np.triu_indices(len(names), k=1))
    same = first // 4 == second // 4
    scores = 1 - 1e-6 * rng.random(len(same)) - 4e-7 * ~same
    (tmp_path / "scores.txt").write_text("".join(Trials(same, first, second, names).lines(scores)))
    trials, found = read_scores(tmp_path / "scores.txt")
    assert metrics.equal_error_rate(found, trials.same) == metrics.equal_error_rate(scores, same) < 0.4


@pytest.mark.parametrize("bounds", ['["a", 0.5]', "[0.5]", "0.5", '{"low": 0, "high": 1}', "[0, 7]", "[true, false]"])
def test_an_interval_is_two_rates(bounds: str, tmp_path: Path, call: Any) -> None:
    lines, rng = lists(6), np.random.default_rng(0)
    folders = [evaluated(tmp_path / name, rng.normal(size=len(lines)), lines) for name in "ab"]
    figures = json.loads((folders[1] / "metrics.json").read_text())
    _files.write_json(folders[1] / "metrics.json", figures | {"equal_error_rate_interval": json.loads(bounds)})
    status, _, err = call("compare", *folders, "--out", tmp_path / "out")
    assert (status, err.count("\n")) == (2, 1), err
    assert "metrics.json is damaged (its equal error rate interval is" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fails", ["comparison.csv", "report.html"])
def test_a_comparison_that_is_cut_short_does_not_look_whole(
    fails: str, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = jobs.compare(pair, out=tmp_path / "out", draws=5).folder
    with monkeypatch.context() as patch:
        full_at(patch, fails)
        with pytest.raises(OSError, match="No space left"):
            jobs.compare(pair[::-1], out=out, draws=5, overwrite=True)
    assert not (out / "metrics.json").exists()
    jobs.compare(pair[::-1], out=out, draws=5, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"metrics.json", "comparison.csv", "report.html"}


def test_it_shares_nothing_with_other_processes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`distributed`: not in `compare`; let `evaluate` share the work"):
        jobs.compare([tmp_path / "a", tmp_path / "b"], tmp_path, distributed=True)
