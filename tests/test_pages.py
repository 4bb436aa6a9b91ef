"""What every page keeps to: landmarks and tables for screen readers, words, one number for a cluster, and paper."""

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxtriplet.jobs.clustering import _rttm, group
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import fields_of
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.told import asked_words, flat_words, section_words
from jaxtriplet.metrics import judge_unseen
from jaxtriplet.pages import clustering_page, comparison_page, evaluation_page, panels, pictures, run_page, stages
from jaxtriplet.pages.overlays import draw_courses
from jaxtriplet.pages.wording import sections
from jaxtriplet.speech import FeatureAugmentation, WaveformAugmentation

pytestmark = pytest.mark.xdist_group("report")

KINDS = ("run", "evaluation", "clustering", "comparison")
RAW = re.compile(r"\b(None|null|nan|NaN|True|False|inf|[a-z0-9]+_[a-z0-9_]+)\b|[{}\[\]]")
LABELS = np.repeat(np.arange(3), [2, 4, 6])
ROWS = np.eye(4)[LABELS] + np.random.default_rng(0).normal(scale=0.1, size=(12, 4))
HISTORY = [{"step": step, "loss": 1 / step, "equal_error_rate": abs(step - 3) / 9} for step in (1, 2, 3, 5)]


class Outline(HTMLParser):
    """The tags of a page with their attributes, but for those in pictures, and its text without the style sheet's."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._within = "", ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._within:
            self.tags.append((tag, dict(attrs)))
        if tag in ("svg", "style"):
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = "" if tag == self._within else self._within

    def handle_data(self, data: str) -> None:
        self.text += "" if self._within else f" {' '.join(data.split())}"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for found, attrs in self.tags if found == tag]


@pytest.fixture(scope="module")
def outlines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outline]:
    """A page of each kind."""
    root = tmp_path_factory.mktemp("pages")
    judgement = judge_unseen(ROWS, LABELS)
    config = section_words(Config.of_recipe("best", embedding_dim=None))
    figures = {"step": 3, "training_seconds": 1.25, "min_cllr": float("nan")}
    run = run_page(root / "run", config=config, history=HISTORY, judgement=judgement, figures=figures, chosen=3)
    same, scores = judgement.same, {"": judgement.scores}
    rates = {"equal_error_rate": 0.1, "threshold": 0.5, "num_trials": len(same), "no_interval": "too few"}
    asked = asked_words({"run": "r", "as_norm": True, "backend": None, "crop_seconds": 4.0})
    told = {**rates, "same_session": "leave-out", "compared_by": "none"}
    evaluation = evaluation_page(root / "evaluation", figures=told, same=same, scores=scores, settings=asked)
    found = group(ROWS, num_speakers=3)
    figures = {"num_recordings": 12, "num_clusters": 3, "estimated_by": "given"}
    clustering = clustering_page(
        root / "clustering",
        figures=figures,
        embeddings=ROWS,
        clusters=found.clusters,
        speakers=["abc"[i] for i in LABELS],
        settings=asked,
    )
    runs = {
        name: {"equal_error_rate": rate, "judged": "development", "step": 3} for name, rate in (("a", 0.1), ("b", 0.2))
    }
    comparison = comparison_page(
        root / "comparison",
        runs=runs,
        same=same,
        scores={"": dict.fromkeys(runs, judgement.scores)},
        histories=dict.fromkeys(runs, HISTORY),
        differing={"embedding_dim": ["8", None], "fine_tune": [0, 3]},
        figures={
            "baseline": "a",
            "differences": [{"words": "b: worse"}],
            "num_trials": len(same),
            "bootstrap_over": "speakers",
        },
        settings=asked,
    )
    written = {"run": run, "evaluation": evaluation, "clustering": clustering, "comparison": comparison}
    return {kind: Outline(path) for kind, path in written.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_who_cannot_see_the_page_finds_the_way(outlines: dict[str, Outline], kind: str) -> None:
    page = outlines[kind]
    assert page.of("html") == [{"lang": "en"}]
    assert [len(page.of(tag)) for tag in ("main", "h1", "title")] == [1, 1, 1]
    names = [tag for tag, _ in page.tags]
    assert names.index("main") < names.index("h1") < names.index("section")
    assert page.of("th")
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.of("th"))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert all(attrs["aria-labelledby"] in ids for _, attrs in page.tags if "aria-labelledby" in attrs)
    captions = page.source.count("<caption>")
    assert sum("aria-labelledby" in attrs for attrs in page.of("table")) + captions == len(page.of("table"))
    described = [attrs["aria-label"] for attrs in page.of("svg")]
    assert described
    assert len({*described}) == len(described)  # by these, pictures keep their ids apart
    assert all(attrs["role"] == "img" for attrs in page.of("svg"))


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_in_words(outlines: dict[str, Outline], kind: str) -> None:
    assert RAW.findall(outlines[kind].text.replace("jaxtriplet", "")) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_settings_are_in_words(recipe: str) -> None:
    for extra in ({}, {"optimizer": "sgd"}, {"fine_tune": 3}):
        config = Config.of_recipe(recipe, **extra)
        for heading, rows in sections(section_words(config)):
            for name, told in rows:
                assert not RAW.search(f"{heading} {name} {told.value}")
                assert told.value
        words = flat_words(config)
        assert ("fine_tune_rate" in words) == bool(config.fine_tuning.fine_tune)
        assert ("warmup" in words) == (config.optimizer.name == "adamw")
        assert ("lowest_snr" in words) == (config.augmentation.noise_share > 0 and config.data.source == "recordings")


def test_what_is_not_set_is_said_in_the_words_of_its_field() -> None:
    for field in fields_of(Config).values():
        if field.of(Config()) is None:
            assert "else " in field.meta.description
    words = flat_words(Config.of_recipe("best"))
    assert words["micro_batch"].value == "all"
    assert words["embedding_dim"].value == "the preset's"
    assert words["memory"].value == words["fine_tune"].value == "none"


def test_a_cluster_has_one_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By size, not in the order of the speakers whom they match: those have 2, 4 and 6 recordings."""
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(pictures, "draw_confusion", lambda _, **data: drawn.update(data))
    monkeypatch.setattr(pictures, "draw_embedding_map", lambda _, names, **__: drawn.setdefault("map", names))
    found, size = group(ROWS, num_speakers=3), len(LABELS)
    clustering_page(
        tmp_path,
        figures={"num_recordings": size, "num_clusters": 3, "estimated_by": "given"},
        embeddings=ROWS,
        clusters=found.clusters,
        speakers=[f"s{label}" for label in LABELS],
        settings={},
    )
    assert drawn["names"] == ["s0", "s1", "s2"]
    assert drawn["clusters"] == ["3", "2", "1"]
    assert drawn["counts"].tolist() == np.diag([2, 4, 6]).tolist()
    assert drawn["map"] == [str(3 - label) for label in LABELS] == found.clusters.astype(str).tolist()
    index: Any = SimpleNamespace(
        paths=np.array([f"{i}.wav" for i in range(size)]),
        starts=np.zeros(size),
        sample_rates=np.ones(size),
        seconds=np.ones(size),
    )
    assert [line.split()[7] for line in _rttm(index, found.clusters)] == [f"speaker{name}" for name in drawn["map"]]


def test_a_speaker_without_a_cluster_has_a_column_without_a_number() -> None:
    counts, rows, columns = panels.table_of_clusters([0, 0, 1, 2, 2], [2, 2, 1, 1, 1], list("aabcc"), numbered=True)
    assert (rows, columns) == (["a", "b", "c"], ["2", "", "1"])
    assert counts.tolist() == [[2, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert panels.table_of_clusters([0, 1], [5, 3], ["a", "b"], numbered=False)[2] == ["1", "2"]


def test_the_chosen_update_is_marked_and_said(outlines: dict[str, Outline]) -> None:
    ax = Figure().subplots()
    pictures.draw_history(ax, HISTORY, "equal_error_rate", "rate (%)", scale=100, chosen=3)
    _, line, point = ax.lines
    assert list(line.get_xdata()) == [3, 3]
    assert point.get_xydata().tolist() == [[3, 0]]
    assert ax.get_legend().get_texts()[0].get_text() == "kept: update 3"
    ax = Figure().subplots()
    pictures.draw_history(ax, HISTORY, "loss", "loss")
    assert len(ax.lines) == 1
    ax = Figure().subplots()
    draw_courses(ax, {"a": HISTORY, "b": HISTORY}, "equal_error_rate", "rate (%)", chosen={"b": 3})
    assert [line.get_xydata().tolist() for line in ax.lines if line.get_markersize() == 11] == [[[3, 0]]]
    page = outlines["run"]
    assert "The weights are those of update 3 , after which the equal error rate of development utterances" in page.text
    assert page.source.count(">kept: update 3<") == 2
    assert "The figures of 1 update are lost" in page.text  # that of update 4
    assert "Where a mark is large, the weights were kept." in outlines["comparison"].text


def test_without_a_choice_none_is_told(tmp_path: Path) -> None:
    given = {
        "config": {"loss": "a+b", "backend": {"name": "lda"}},
        "judgement": judge_unseen(ROWS, LABELS, judged="training"),
    }
    page = Outline(run_page(tmp_path, **given, history=HISTORY[:3], untrained=None))
    for words in ("kept", "update", "are lost", "Before training"):
        assert words not in page.text
    assert "after the back-end, lda" in page.text
    assert "The encoder was trained on these very speakers" in page.text


def speech_model(**strengths: Any) -> Any:
    """Something like an encoder of waveforms, whose features are frames of samples."""
    masks = {name: strengths.pop(name, 0) for name in ("time_masks", "band_masks")}
    return SimpleNamespace(
        waveform_augmentation=WaveformAugmentation(**{"room": 0.0, "channel": 0.0, "noise": 0.0, **strengths}),
        feature_augmentation=FeatureAugmentation(**masks),
        sample_rate=16_000,
        features=lambda waveforms, lengths: (waveforms.reshape(1, -1, 20), lengths // 20),
    )


@pytest.mark.parametrize(
    ("strengths", "heading", "captions"),
    [
        ({}, "What the encoder sees of an utterance", ["As it was recorded: what the encoder sees"]),
        (
            {"gain": 0.5, "noise": 0.25},
            "What training does to an utterance",
            ["As it was recorded.", "With noise, as 25% of the crops are: what the encoder sees."],
        ),
        (
            {"band_masks": 2},
            "What training does to an utterance",
            ["As it was recorded.", "With bands hidden: what the encoder sees."],
        ),
    ],
)
def test_stages_are_told_as_they_are(
    strengths: dict[str, float], heading: str, captions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(_: Any, waveforms: Any, __: Any, strengths: WaveformAugmentation, **___: Any) -> dict[str, Any]:
        names = ["original", *(name for name in ("room", "channel", "noise") if getattr(strengths, name))]
        return dict.fromkeys(names, waveforms)

    monkeypatch.setattr(stages, "stages", heard)  # which takes long to compile
    monkeypatch.setattr(stages, "mask_features", lambda _, features, *__: features)
    section = stages.stage_pictures(speech_model(**strengths), np.linspace(-1, 1, 1600, dtype=np.float32))
    assert section.heading == heading
    assert len(section.pictures) == len(captions)
    for one, caption in zip(section.pictures, captions, strict=True):
        assert f"<figcaption>{caption}" in one
    assert sum("what the encoder sees" in one for one in section.pictures) == 1
    assert "frames" not in "".join(section.pictures)


def test_of_runs_beside_each_other_a_row_is_a_figure(outlines: dict[str, Outline]) -> None:
    page = outlines["comparison"]
    assert [attrs.get("scope") for attrs in page.of("th")].count("col") == 4  # two runs, in two tables
    table = page.source.partition('<table class="runs"')[2].partition("</table>")[0]
    assert '<th scope="row">equal error rate</th>' in table
    assert re.search(r"<strong>10\.00%</strong></td><td>20\.00%</td>", re.sub(r"\s*\n\s*", "", table))
    assert "embedding dimension 8 -" in " ".join(page.text.split())


def test_paper_is_light_and_cuts_nothing() -> None:
    sheet = (Path(pictures.__file__).parent / "style.css").read_text()
    assert re.findall(r"@media ([^{]*?) ?\{", sheet) == ["screen and (prefers-color-scheme: dark)", "print"]
    assert re.search(r"h1, h2, caption \{ break-after: avoid; \}", sheet)
    paper = sheet.partition("@media print")[2]
    assert re.search(r"figure, \.tile, tr, [^{]*\{ break-inside: avoid; \}", paper)
    assert re.search(r"\.grid \{ grid-template-columns: 1fr 1fr;", paper)
    assert "color-scheme: light" in paper
