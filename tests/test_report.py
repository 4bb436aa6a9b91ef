"""The report: one file that stands alone, holds what it should, and escapes what it is given."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import norm

from jaxtriplet.metrics.judgement import judge
from jaxtriplet.pages import pictures as plots
from jaxtriplet.pages.report import MEANINGS, write_report

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("report")

VOID = {"meta"}
NASTY = "<script>alert('$x_1$')</script>"


class Page(HTMLParser):
    """What a page holds: tags, what it would fetch, its text and its pictures; and whether its tags are balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "data"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def embeddings(labels: np.ndarray, seed: int) -> np.ndarray:
    centres = np.random.default_rng(9).normal(size=(labels.max() + 1, 5))
    return centres[labels] + 0.5 * np.random.default_rng(seed).normal(size=(len(labels), 5))


@pytest.fixture(scope="module")
def run() -> dict:
    """What a training run hands to the report."""
    labels = np.repeat(np.arange(4), 8)
    history = [{"step": i, "loss": 1 / (i + 1), "fraction_active": 0.5, "gradient_norm": 2.0} for i in range(100)]
    history[50]["equal_error_rate"] = 0.1
    figures = judge(embeddings(labels, 0), labels, embeddings(labels, 1), labels)
    config = {"loss": "semi-hard", "margin": 0.3, "optimizer": {"name": NASTY}}
    rows = embeddings(labels, 1)
    return {"config": config, "history": history, "metrics": figures, "embeddings": rows, "labels": labels}


@pytest.fixture(scope="module")
def page(run: dict, tmp_path_factory: pytest.TempPathFactory) -> Page:
    names = ["Ada & Co", NASTY, "$cost", "Émile"]
    return Page(write_report(tmp_path_factory.mktemp("run") / "new", **run, label_names=names))


def test_the_page_stands_alone(page: Page) -> None:
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.links  # the pictures' own markers
    assert all(link.startswith("#") for link in page.links)
    assert "@import" not in page.source
    assert "url(h" not in page.source
    assert len(page.source.encode()) < 2_000_000


def test_the_page_holds_every_part(page: Page, run: dict) -> None:
    assert page.tags.count("figure") == page.tags.count("svg") == page.tags.count("figcaption") == 8
    assert "trained with semi-hard" in page.text
    assert f"{run['metrics']['equal_error_rate']:.2%}" in page.text
    for title, _, meaning in MEANINGS.values():
        assert title in page.text
        assert meaning in page.text
    for words in ("false rejection rate (%)", "cosine score", "t-SNE, first axis", "training step", "margin"):
        assert words in page.text


def test_text_is_escaped(page: Page) -> None:
    assert "<script" not in page.source
    assert page.text.count("alert('$x_1$')") >= 3  # the map, the table of clusters, the settings
    for name in ("Ada & Co", "$cost", "Émile"):
        assert name in page.text


def test_pictures_are_whole_and_follow_the_theme(page: Page) -> None:
    ids: list[str] = []
    for picture in page.source.split("<svg")[1:]:
        tree = ET.fromstring("<svg" + picture[: picture.index("</svg>")] + "</svg>")
        assert tree.get("aria-label")
        ids += [element.get("id", "") for element in tree.iter() if element.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    body = page.source.split("<body>")[1]
    assert plots.INK not in body
    assert "var(--ink)" in body


def test_the_same_run_gives_the_same_page(run: dict, tmp_path: Path) -> None:
    assert write_report(tmp_path / "a", **run).read_text() == write_report(tmp_path / "b", **run).read_text()


def test_settings_of_matplotlib_stay_as_they_are(run: dict, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    write_report(tmp_path, **run)
    assert dict(matplotlib.rcParams) == before


def test_without_history_and_with_figures_of_one_s_own(run: dict, tmp_path: Path) -> None:
    metrics = {**run["metrics"], "training <seconds>": 12.5}
    page = Page(write_report(tmp_path, **{**run, "history": [], "metrics": metrics}))
    assert page.tags.count("figure") == 4
    assert "training <seconds>" in page.text
    assert "12.5" in page.text


@pytest.mark.parametrize("rows", [np.ones((32, 5)), np.zeros((32, 5)), np.eye(4)[np.arange(32) // 8]])
def test_collapsed_and_perfect_embeddings_have_a_page(run: dict, rows: np.ndarray, tmp_path: Path) -> None:
    labels = run["labels"]
    figures = judge(rows, labels, rows, labels)
    page = Page(write_report(tmp_path, **{**run, "metrics": figures, "embeddings": rows}))
    assert "no curve" in page.text


def test_bad_input_is_named(run: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics lack equal_error_rate, .*; pass what evaluation\.judge returned"):
        write_report(tmp_path, **{**run, "metrics": {"purity": 1.0}})
    for names in (["only one"], {0: "a", 7: "b"}):
        with pytest.raises(ValueError, match=r"label_names has no name for one of the labels \[0, 1, 2, 3\]"):
            write_report(tmp_path, **run, label_names=names)
    assert list(tmp_path.iterdir()) == []


def test_the_history_leaves_out_what_is_not_finite() -> None:
    ax = Figure().subplots()
    rows = [{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": np.nan}, {"step": 4, "loss": 1.0}]
    plots.draw_history(ax, rows, "loss", "loss (%)", scale=100)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 200], [4, 100]])
    assert ax.get_ylabel() == "loss (%)"


def test_a_history_of_zeros_has_a_scale() -> None:
    ax = Figure().subplots()
    plots.draw_history(ax, [{"step": i, "loss": 0.0} for i in range(3)], "loss", "loss")
    assert ax.get_ylim() == (-0.03, 1.0)


def test_each_kind_of_score_adds_up_to_all_of_it() -> None:
    ax = Figure().subplots()
    plots.draw_score_histogram(ax, [0.1, 0.2, 0.3, 0.9], [False, False, False, True], threshold=0.5)
    assert [patch.get_data().values.sum() for patch in ax.patches] == pytest.approx([100] * 4)
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.5]


def test_the_det_curve_is_a_straight_line_for_normal_scores() -> None:
    ax, thresholds = Figure().subplots(), np.linspace(-2, 4, 50)
    plots.draw_det_curve(ax, norm.sf(thresholds), norm.cdf(thresholds - 2), equal_error_rate=float(norm.sf(1.0)))
    _, curve, equal_error = ax.lines
    x, y = curve.get_data()
    np.testing.assert_allclose(x + y, -2.0, atol=1e-9)
    np.testing.assert_allclose(equal_error.get_data(), [[-1.0], [-1.0]], atol=1e-12)


@pytest.mark.parametrize(("shape", "method"), [((2, 1), "PCA"), ((19, 4), "PCA"), ((20, 4), "t-SNE")])
def test_embeddings_are_laid_out(shape: tuple[int, int], method: str) -> None:
    points, name = plots.project(np.random.default_rng(0).normal(size=shape))
    assert name == method
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_the_map_keeps_neighbours_together() -> None:
    labels = np.repeat(np.arange(4), 10)
    points, _ = plots.project(np.eye(4)[labels] + 0.05 * np.random.default_rng(0).normal(size=(40, 4)))
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(np.full(40, np.inf))
    assert (labels[apart.argmin(axis=1)] == labels).all()
