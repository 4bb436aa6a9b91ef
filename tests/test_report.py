"""The pages: each one file that stands alone, holds what it should, and escapes what it is given."""

import dataclasses
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import FrameType

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from markupsafe import escape
from matplotlib.figure import Figure
from scipy.stats import norm

from jaxtriplet import metrics
from jaxtriplet.metrics import judge, judge_unseen
from jaxtriplet.pages import clustering_page, evaluation_page, pictures, run_page, save_det_curve
from jaxtriplet.pages.figures import AS_NORM, CLUSTERING, EVALUATION, FIGURES
from jaxtriplet.pages.page import VARIABLES, Section, picture

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("report")

VOID = {"meta"}
NASTY = "<script>alert('$x_1$')</script>"
NAMES = ["Ada & Co", NASTY, "$cost", "Émile"]
LEFT_OUT = [{"path": NASTY, "reason": NASTY}]
KINDS = ("run", "evaluation", "clustering")


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
    judgement = judge(embeddings(labels, 0), labels, embeddings(labels, 1), labels)
    config = {"loss": "semi-hard", "margin": 0.3, "optimizer": {"name": NASTY}}
    return {"config": config, "history": history, "judgement": judgement}


@pytest.fixture(scope="module")
def page(run: dict, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(run_page(tmp_path_factory.mktemp("run") / "new", **run, label_names=NAMES))


@pytest.fixture(scope="module")
def trials() -> dict:
    """What an evaluation hands to its page."""
    same = np.arange(200) % 4 == 0
    cosine = np.clip(np.random.default_rng(3).normal(0.3 * same, 0.2), -1, 1)
    rates = {"equal_error_rate": 0.21, "equal_error_rate_interval": [0.1234, 0.3], "min_dcf": 0.9, "min_dcf_0.05": 0.8}
    figures = {prefix + name: value for prefix in ("", AS_NORM) for name, value in {**rates, "threshold": 0.1}.items()}
    figures |= {"development_threshold": 0.2, "false_acceptance_rate": 0.1, "false_rejection_rate": 0.4}
    figures |= {"bootstrap_over": "speakers", "num_trials": 1200, "num_left_out": 1, "left_out": LEFT_OUT}
    return {"figures": figures, "same": same, "scores": {"": cosine, AS_NORM: 9 * cosine}, "settings": {NASTY: NASTY}}


@pytest.fixture(scope="module")
def groups() -> dict:
    """What a clustering hands to its page."""
    labels = np.repeat(np.arange(4), 8)
    figures = {"num_recordings": 32, "num_clusters": 2, "estimated_by": "silhouette", "left_out": LEFT_OUT}
    return {
        "figures": figures,
        "embeddings": embeddings(labels, 1),
        "clusters": labels // 2,
        "speakers": [NAMES[label] for label in labels],
        "tried": {2: 0.5, 3: 0.25, 4: 0.3},
        "settings": {"data": NASTY},
    }


@pytest.fixture(scope="module")
def pages(page: Page, trials: dict, groups: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """A page of each kind."""
    root = tmp_path_factory.mktemp("pages")
    evaluation, clustering = evaluation_page(root / "a", **trials), clustering_page(root / "b", **groups)
    return {"run": page, "evaluation": Page(evaluation), "clustering": Page(clustering)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_stands_alone(pages: dict[str, Page], kind: str) -> None:
    page = pages[kind]
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
    assert f"{run['judgement'].figures['equal_error_rate']:.2%}" in page.text
    for name in run["judgement"].figures:
        title, _, meaning = FIGURES[name]
        assert title in page.text
        assert meaning in page.text
    for words in ("false rejection rate (%)", "cosine score", "t-SNE, first axis", "training step", "margin"):
        assert words in page.text


def test_the_page_of_an_evaluation_holds_every_part(pages: dict[str, Page], trials: dict) -> None:
    page = pages["evaluation"]
    assert page.tags.count("figure") == page.tags.count("svg") == page.tags.count("figcaption") == 4
    for words in ("Cosine scores", "After AS-norm", "in 1,200 trials", "drawing speakers anew", "12.34% to 30.00%"):
        assert words in page.text
    for name in set(trials["figures"]) - {"left_out"}:
        assert EVALUATION[name].title in page.text
        assert EVALUATION[name].meaning in page.text
    assert "from development speakers" in page.text  # where the first threshold is from; the second:
    assert "where both errors are equal on these very trials" in page.text


@pytest.mark.parametrize(("how", "words"), [("given", "as asked"), ("threshold", "by the threshold")])
def test_clusters_have_a_page_without_a_truth(groups: dict, how: str, words: str, tmp_path: Path) -> None:
    given = {**groups, "figures": {**groups["figures"], "estimated_by": how}, "speakers": None, "tried": {}}
    page = Page(clustering_page(tmp_path, **given))
    assert page.tags.count("figure") == 1
    assert f"32 recordings in 2 clusters,\n{words}." in page.text
    assert "by speaker" not in page.text


def test_the_page_of_clusters_holds_every_part(pages: dict[str, Page]) -> None:
    page = pages["clustering"]
    assert page.tags.count("figure") == page.tags.count("svg") == page.tags.count("figcaption") == 4
    for words in ("by cluster.", "by speaker.", "Recordings of every speaker", "mean silhouette", "by the silhouettes"):
        assert words in page.text
    assert CLUSTERING["threshold"].meaning != FIGURES["threshold"].meaning


def test_text_is_escaped(page: Page) -> None:
    assert "<script" not in page.source
    assert page.text.count("alert('$x_1$')") >= 3  # the map, the table of clusters, the settings
    for name in ("Ada & Co", "$cost", "Émile"):
        assert name in page.text


@pytest.mark.parametrize(("kind", "least"), [("run", 3), ("evaluation", 4), ("clustering", 5)])
def test_nothing_that_a_user_wrote_is_markup(pages: dict[str, Page], kind: str, least: int) -> None:
    """Names of speakers, in the map and beside the table of clusters; paths, reasons, settings and their names."""
    page = pages[kind]
    assert "<script" not in page.source
    assert page.text.count(NASTY) >= least
    for one in page.source.split("<svg")[1:]:
        assert "<script" not in one


def test_no_word_of_the_caller_s_is_markup(run: dict, trials: dict, groups: dict, tmp_path: Path) -> None:
    """Extra figures on each page, and on that of a run the loss, what was judged, and sections of the caller's own."""
    given = {
        **run,
        "config": {"loss": {"name": NASTY}},
        "judgement": dataclasses.replace(run["judgement"], judged=NASTY),
    }
    more = [Section(NASTY, [NASTY])]  # type: ignore[list-item]
    extra = {NASTY: NASTY}
    page = Page(run_page(tmp_path / "a", **given, figures=extra, more=more))
    assert "<script" not in page.source
    # Title twice, heading and section, lead, course, pairs, map, figure's name and value, setting
    assert page.text.count(NASTY) == 11
    for write, values in ((evaluation_page, trials), (clustering_page, groups)):
        page = Page(write(tmp_path / "b", **{**values, "figures": {**values["figures"], **extra, "judged": NASTY}}))
        assert "<script" not in page.source
        assert f'<tr><th scope="row">{escape(NASTY)}</th><td>{escape(NASTY)}</td></tr>' in page.source
        assert FIGURES["judged"].meaning + NASTY in page.text


def test_every_colour_has_one_for_dark_pages() -> None:
    named = (pictures.PAPER, pictures.INK, pictures.GRID, pictures.NEUTRAL, pictures.SAME, pictures.DIFFERENT)
    light, dark = (
        (Path(pictures.__file__).parent / "style.css")
        .read_text()
        .split("@media screen and (prefers-color-scheme: dark)")
    )
    for colour in (*named, *pictures.PALETTE):
        assert f"{VARIABLES[colour]}: {colour};" in light
        assert f"{VARIABLES[colour]}: #" in dark
    assert len(set(VARIABLES.values())) == len(VARIABLES)
    assert {value for name, value in pictures.THEME.items() if "color" in name} <= VARIABLES.keys() | {"none"}


@pytest.mark.parametrize("name", ["山田", "a\tb\x07\x1b", "علي"])
def test_a_name_without_glyphs_is_nothing_to_warn_of(name: str) -> None:
    assert name[0] in picture(lambda ax: ax.set_title(name), "A title.")


def test_a_colour_in_a_name_stays_a_word() -> None:
    drawn = picture(lambda ax: ax.set_title(f"mine: {pictures.INK}"), "A <b>title</b> & more.")
    assert f">mine: {pictures.INK}<" in drawn
    assert "var(--ink)" in drawn
    assert "A &lt;b&gt;title&lt;/b&gt; &amp; more." in drawn


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_whole_and_follow_the_theme(pages: dict[str, Page], kind: str) -> None:
    page = pages[kind]
    ids: list[str] = []
    for one in page.source.split("<svg")[1:]:
        tree = ET.fromstring("<svg" + one[: one.index("</svg>")] + "</svg>")
        assert tree.get("aria-label")
        ids += [element.get("id", "") for element in tree.iter() if element.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    body = page.source.split("<body>")[1]
    assert pictures.INK not in body
    assert "var(--ink)" in body


def test_the_same_run_gives_the_same_page(run: dict, tmp_path: Path) -> None:
    assert run_page(tmp_path / "a", **run).read_text() == run_page(tmp_path / "b", **run).read_text()


def test_settings_of_matplotlib_stay_as_they_are(run: dict, trials: dict, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    run_page(tmp_path, **run)
    save_det_curve(tmp_path / "det.png", trials["scores"][""], trials["same"], equal_error_rate=0.2)
    assert dict(matplotlib.rcParams) == before
    assert plt.imread(tmp_path / "det.png").shape == (810, 810, 4)


def test_without_history_and_with_figures_of_one_s_own(run: dict, tmp_path: Path) -> None:
    page = Page(run_page(tmp_path, **{**run, "history": []}, figures={"training <seconds>": 12.5}))
    assert page.tags.count("figure") == 4
    assert "training <seconds>" in page.text
    assert "12.5" in page.text


def test_settings_inside_settings_have_a_line_each(run: dict, tmp_path: Path) -> None:
    config = {"loss": {"name": "ge2e", "margin": None}, "optimizer": {"rates": {"first": 0.01}, "betas": (0.9, 1)}}
    page = Page(run_page(tmp_path, **{**run, "config": config, "history": []}))
    assert "trained with ge2e" in page.text
    assert ["<caption>loss</caption>" in page.source, "<caption>optimizer</caption>" in page.source] == [True, True]
    for name, value in (("margin", "not set"), ("rates, first", "0.01"), ("betas", "0.9, 1")):
        assert f'<th scope="row">{name}</th><td>{value}</td>' in page.source


@pytest.mark.parametrize("rows", [np.ones((32, 5)), np.zeros((32, 5)), np.eye(4)[np.arange(32) // 8]])
def test_collapsed_and_perfect_embeddings_have_a_page(run: dict, rows: np.ndarray, tmp_path: Path) -> None:
    labels = run["judgement"].labels
    page = Page(run_page(tmp_path, **{**run, "judgement": judge(rows, labels, rows, labels)}))
    assert "no curve" in page.text


def test_speakers_who_were_not_trained_on_are_not_identified(run: dict, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(4), 8)
    unseen = judge_unseen(embeddings(labels, 1), labels)
    page = Page(run_page(tmp_path, **{**run, "judgement": unseen}, untrained=embeddings(labels, 2)))
    assert page.tags.count("figure") == 9
    for words in ("Two development utterances", "pairs of development utterances", "from these pairs themselves"):
        assert words in page.text
    assert "nearest training speaker" not in page.text
    assert FIGURES["accuracy"].title not in page.text


def test_bad_input_is_named(run: dict, trials: dict, groups: dict, tmp_path: Path) -> None:
    lacking = dataclasses.replace(run["judgement"], figures={"purity": 1.0})
    with pytest.raises(ValueError, match=r"figures lack equal_error_rate, .*; pass those of metrics\.judge"):
        run_page(tmp_path, **{**run, "judgement": lacking})
    for names in (["only one"], {0: "a", 7: "b"}):
        with pytest.raises(ValueError, match=r"label_names has no name for one of the labels \[0, 1, 2, 3\]"):
            run_page(tmp_path, **run, label_names=names)
    without = {name: value for name, value in trials["figures"].items() if name != "as_norm_threshold"}
    with pytest.raises(ValueError, match=r"figures lack as_norm_threshold; pass those of jobs\.evaluate"):
        evaluation_page(tmp_path, **{**trials, "figures": without})
    with pytest.raises(ValueError, match=r"figures lack calibrated_on, as_norm_cllr, .*; pass those of jobs\.evaluate"):
        evaluation_page(tmp_path, **trials, ratios={AS_NORM: trials["scores"][AS_NORM]})
    with pytest.raises(ValueError, match=r"figures lack num_clusters, estimated_by; pass those of jobs\.cluster"):
        clustering_page(tmp_path, **{**groups, "figures": {"num_recordings": 3}})
    with pytest.raises(ValueError, match="32 embeddings are marked with as many names; got 31"):
        clustering_page(tmp_path, **{**groups, "clusters": groups["clusters"][1:]})
    assert list(tmp_path.iterdir()) == []


def calls(action: Callable[[], object], *functions: Callable[..., object]) -> list[int]:
    """How often functions of ours are called, by whatever name."""
    counts = dict.fromkeys((function.__code__ for function in functions), 0)

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in counts:
            counts[frame.f_code] += 1

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return list(counts.values())


def test_nothing_is_computed_twice(run: dict, trials: dict, groups: dict, tmp_path: Path) -> None:
    found = run["judgement"]
    work = (metrics.pair_scores, metrics.agglomerative, metrics.equal_error_rate, metrics.det_curve, pictures.project)
    # A score for every pair of training and of test utterances; each rate or threshold of these has its own curve.
    judged = calls(lambda: judge(found.embeddings, found.labels, found.embeddings, found.labels), *work[:3])
    assert judged == [2, 1, 1]
    assert calls(lambda: judge_unseen(found.embeddings, found.labels), *work[:3]) == [1, 1, 1]
    # What a page draws, a curve for each kind of score and a map of each embedding, and nothing else.
    assert calls(lambda: run_page(tmp_path, **run), *work) == [0, 0, 0, 1, 1]
    assert calls(lambda: run_page(tmp_path, **run, untrained=1 - found.embeddings), *work) == [0, 0, 0, 1, 2]
    assert calls(lambda: evaluation_page(tmp_path, **trials), *work) == [0, 0, 0, 2, 0]
    assert calls(lambda: clustering_page(tmp_path, **groups), *work) == [0, 0, 0, 0, 1]


def test_every_figure_of_a_judgement_has_a_meaning(run: dict) -> None:
    labels = run["judgement"].labels
    figures = {**run["judgement"].figures, **judge_unseen(run["judgement"].embeddings, labels).figures}
    for table in (FIGURES, EVALUATION, CLUSTERING):
        assert figures.keys() <= table.keys()
        for name, value in figures.items():
            assert table[name].style(value)
            assert table[name].meaning.endswith(".")


def test_the_history_leaves_out_what_is_not_finite() -> None:
    ax = Figure().subplots()
    rows = [{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": np.nan}, {"step": 4, "loss": 1.0}]
    pictures.draw_history(ax, rows, "loss", "loss (%)", scale=100)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 200], [4, 100]])
    assert ax.get_ylabel() == "loss (%)"


def test_a_history_of_zeros_has_a_scale() -> None:
    ax = Figure().subplots()
    pictures.draw_history(ax, [{"step": i, "loss": 0.0} for i in range(3)], "loss", "loss")
    assert ax.get_ylim() == (-0.03, 1.0)


def test_each_kind_of_score_adds_up_to_all_of_it() -> None:
    ax = Figure().subplots()
    pictures.draw_score_histogram(ax, [0.1, 0.2, 0.3, 0.9], [False, False, False, True], threshold=0.5)
    assert [patch.get_data().values.sum() for patch in ax.patches] == pytest.approx([100] * 4)
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.5]


def test_the_highest_silhouette_is_marked() -> None:
    ax = Figure().subplots()
    pictures.draw_silhouettes(ax, {2: 0.1, 3: 0.4, 4: 0.2})
    assert ax.lines[1].get_xydata().tolist() == [[3, 0.4]]
    assert ax.lines[1].get_label() == "3 clusters"


def test_the_det_curve_is_a_straight_line_for_normal_scores() -> None:
    ax, thresholds = Figure().subplots(), np.linspace(-2, 4, 50)
    pictures.draw_det_curve(ax, norm.sf(thresholds), norm.cdf(thresholds - 2), equal_error_rate=float(norm.sf(1.0)))
    _, curve, equal_error = ax.lines
    x, y = curve.get_data()
    np.testing.assert_allclose(x + y, -2.0, atol=1e-9)
    np.testing.assert_allclose(equal_error.get_data(), [[-1.0], [-1.0]], atol=1e-12)


@pytest.mark.parametrize(("shape", "method"), [((2, 1), "PCA"), ((19, 4), "PCA"), ((20, 4), "t-SNE")])
def test_embeddings_are_laid_out(shape: tuple[int, int], method: str) -> None:
    points, name = pictures.project(np.random.default_rng(0).normal(size=shape))
    assert name == method
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_the_map_keeps_neighbours_together() -> None:
    labels = np.repeat(np.arange(4), 10)
    points, _ = pictures.project(np.eye(4)[labels] + 0.05 * np.random.default_rng(0).normal(size=(40, 4)))
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag(np.full(40, np.inf))
    assert (labels[apart.argmin(axis=1)] == labels).all()
