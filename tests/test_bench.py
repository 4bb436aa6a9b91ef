"""`jaxtriplet bench`: tables from made-up figures, workers that do as they should or fail, and refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from jaxtriplet.jobs import progress
from jaxtriplet.tools import losses
from jaxtriplet.tools.bench import picture, race, report, with_jax, worker
from jaxtriplet.tools.bench.contenders import CONTENDERS, RACED, USUAL, Contender
from jaxtriplet.tools.bench.plan import Line, Plan, Setting, numbers_of
from jaxtriplet.tools.bench.race import Limits, Outcome
from jaxtriplet.tools.bench.textbook import TEXTBOOK

from .modes import trials

SMALL = Setting("batch-hard", 16, 4, 8)
LIMITS = Limits(memory=2**30, seconds=60.0)
PLAIN = "import numpy, os, time\ndef prepare(*job):\n    return lambda limit: {'': call}\ndef call():\n    "
FINE = PLAIN + "print('noise'); return 0.5, numpy.array([3.0, 4.0])"


@pytest.fixture
def imagined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes contenders of the source of a module, known by their names."""

    def make(name: str, source: str, *distributions: str) -> Contender:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        contender = Contender(name, path, distributions, {"": "imagined"})
        monkeypatch.setitem(CONTENDERS, name, contender)
        return contender

    return make


# --- tables -----------------------------------------------------------------------------------------------------------


def outcome(name: str, wall: list[float], value: float = 0.5, choice: str = "") -> Outcome:
    """An outcome whose CPU time is twice its wall time, and whose peak grows by a MiB a round from 100."""
    turns = [{"wall": w, "cpu": 2 * w, "peak": (100 + i) * 2**20} for i, w in enumerate(wall)]
    ready = {"value": value, "gradient_norm": 2.0, "first_call": 1.25, "choice": choice, "calls": 1}
    return Outcome(name, ready=ready, turns=turns)


MADE_UP = [
    outcome("jaxtriplet", [0.020, 0.010, 5.0]),
    outcome("floor", [0.016, 0.016, 0.016], value=7.0),
    outcome("textbook", [2.5, 1.5, 2.0], value=0.5001),
    Outcome("pytorch-metric-learning", failure="needs 64 GiB", turns=[{"wall": 1.0, "cpu": 1.0, "peak": 1.0}]),
    outcome("sentence-transformers", [0.001], choice="2 threads"),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_holds_medians_and_ratios_of_medians() -> None:
    heading, _, *rows = map(cells, report.table(MADE_UP).splitlines())
    assert "|".join(heading) == (
        "contender|wall ms|/ jaxtriplet|/ floor|CPU ms|/ jaxtriplet|/ floor|peak MiB|first call s"
    )
    assert rows == [
        ["jaxtriplet", "20.0", "1.00", "1.25", "40.0", "1.00", "1.25", "102", "1.2"],
        ["floor", "16.0", "0.80", "1.00", "32.0", "0.80", "1.00", "102", "1.2"],
        ["textbook", "2,000", "100", "125", "4,000", "100", "125", "102", "1.2"],
        ["pytorch-metric-learning", "needs 64 GiB", *[""] * 7],
        ["sentence-transformers (2 threads)", "1.00", "0.05", "0.06", "2.00", "0.05", "0.06", "100", "1.2"],
    ]


@pytest.mark.parametrize("reference", [[], [Outcome("floor", failure="over 1 s")]], ids=["absent", "failed"])
def test_without_a_reference_there_is_no_ratio(reference: list[Outcome]) -> None:
    *_, ours = report.table([*reference, MADE_UP[0]]).splitlines()
    assert cells(ours)[3] == cells(ours)[6] == "-"


def test_values_are_compared_where_the_meanings_agree() -> None:
    said = report.agreement(SMALL, MADE_UP)
    assert said is not None
    assert said.startswith("Relative difference from jaxtriplet's loss 0.5 and gradient norm 2:")
    assert "textbook 0.0002" in said
    assert "sentence-transformers 0" in said
    assert "floor" not in said
    assert "pytorch" not in said
    other = [MADE_UP[0], outcome("pytorch-metric-learning", [1.0], value=9.0)]
    assert report.agreement(SMALL._replace(loss="semi-hard"), other) is None
    assert "pytorch-metric-learning 0.9" in str(report.agreement(SMALL, other))


def test_json_holds_every_turn_and_null_for_what_failed() -> None:
    found = json.loads(json.dumps(report.as_json((SMALL, MADE_UP))))
    assert (found["loss"], found["batch_size"], found["rows_per_class"], found["dim"]) == SMALL[:4]
    assert (found["classes"], found["centers"]) == (None, 1)
    assert found["numbers"] == {"margin": 0.2}
    first, *_, failed, _ = found["outcomes"]
    assert (first["wall_seconds"], first["cpu_seconds"], first["peak_bytes"]) == (0.02, 0.04, 102 * 2**20)
    assert len(first["turns"]) == 3
    assert (failed["failure"], failed["wall_seconds"], failed["peak_bytes"]) == ("needs 64 GiB", None, None)


def test_two_views_have_no_panel_of_classes() -> None:
    sizes = [Setting("info-nce", size, None, 4) for size in (256, 512)]
    figure = picture.draw([(one, [outcome("jaxtriplet", [float(one.batch_size)])]) for one in sizes], rows_per_class=8)
    assert [ax.get_visible() for ax in figure.axes] == [True, False, True]
    by_size, _, memory = figure.axes
    for ax in (by_size, memory):
        assert ax.get_lines()[-1].get_xdata().tolist() == [256, 512]


def test_with_class_weights_time_grows_as_the_batch() -> None:
    sizes = [Setting("aam-softmax", size, None, 4, 30) for size in (256, 512)]
    ours = [(one, [outcome("jaxtriplet", [float(one.batch_size)])]) for one in sizes]
    figure = picture.draw(ours, rows_per_class=8)
    assert [ax.get_visible() for ax in figure.axes] == [True, False, True]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(lines) == {"∝ B C", "jaxtriplet"}
    np.testing.assert_allclose(lines["∝ B C"].get_ydata(), [256, 512])


def test_the_picture_shows_who_ran_where_and_the_slopes(tmp_path: Path) -> None:
    sizes = [Setting("batch-all", size, 8, 4) for size in (1024, 256, 512)]
    classes = [Setting("batch-all", 1024, rows, 4) for rows in (2, 512)]
    ours = [(setting, [outcome("jaxtriplet", [float(setting.batch_size)])]) for setting in (*sizes, *classes)]
    ours[1][1].append(outcome("textbook", [3.0]))
    ours[2][1].append(Outcome("textbook", failure="over 60 s"))
    figure = picture.draw(ours, rows_per_class=8)
    by_size, by_class, memory = figure.axes
    lines = {line.get_label(): line for line in by_size.get_lines()}
    np.testing.assert_array_equal(lines["jaxtriplet"].get_xydata(), [[256, 256], [512, 512], [1024, 1024]])
    np.testing.assert_array_equal(lines["textbook"].get_xydata(), [[256, 3]])
    np.testing.assert_allclose(lines["∝ B² K"].get_ydata(), [64, 256, 1024])
    np.testing.assert_allclose(lines["∝ B² log B"].get_ydata(), [64 * 0.8, 256 * 0.9, 1024])
    assert by_class.get_lines()[-1].get_xdata().tolist() == [2, 8, 512]
    assert memory.get_lines()[0].get_ydata().tolist() == [100, 100, 100]
    figure.savefig(tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


# --- contenders -------------------------------------------------------------------------------------------------------


def batch_of(loss: str, centers: int | None = None) -> tuple[np.ndarray, ...]:
    """Twelve small rows, or pairs, whose classes overlap, and the weights of nine classes if the loss has them."""
    found = losses.find(loss)
    if found.class_weights:
        return worker.make_batch(12, None, 5, 9, centers or found.centers)
    return worker.make_batch(12, None if losses.of_two_views(found) else 3, 5)


@trials(
    ("loss", "centers"),
    [*((loss, None) for loss in TEXTBOOK), ("aam-softmax", 3), ("sphereface2", 2)],
    always=lambda loss, centers: (
        loss in ("semi-hard", "ge2e", "info-nce", "multi-similarity", "proxy-anchor") or centers
    ),
)
def test_the_textbook_formulas_mean_what_the_losses_mean(loss: str, centers: int | None) -> None:
    batch = batch_of(loss, centers)
    ours, textbook = (
        with_jax.prepare(name, loss, batch, numbers_of(loss))(2**30)[""]() for name in ("jaxtriplet", "textbook")
    )
    assert [one.shape for one in ours[1]] == [one.shape for one in batch if one.dtype == np.float32]
    assert ours[0] > 0
    np.testing.assert_allclose(ours[0], textbook[0], rtol=1e-5, atol=1e-6)
    for one, other in zip(ours[1], textbook[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_the_floor_is_three_products() -> None:
    labels, rows = worker.make_batch(12, 3, 5)
    build = with_jax.prepare("floor", "batch-all", (labels, rows), {})
    _, (gradient,) = build(2**30)[""]()
    np.testing.assert_allclose(gradient, rows @ rows.T @ rows, rtol=1e-5, atol=1e-6)
    with pytest.raises(MemoryError):
        build(100)


def test_the_floor_of_two_views_is_as_many() -> None:
    x, y = worker.make_batch(12, None, 5)
    value, gradients = with_jax.prepare("floor", "info-nce", (x, y), {})(2**30)[""]()
    np.testing.assert_allclose(value, x[0] @ y[0], rtol=1e-5)
    for one, product in zip(gradients, (x @ y.T @ y, y @ x.T @ x), strict=True):
        np.testing.assert_allclose(one, product / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("centers", [1, 3])
def test_the_floor_of_class_weights_is_as_many(centers: int) -> None:
    batch = worker.make_batch(12, None, 5, 7, centers)
    rows, weights = batch[1], batch[2].reshape(-1, 5)
    _, gradients = with_jax.prepare("floor", "aam-softmax", batch, {})(2**30)[""]()
    for one, product in zip(gradients, (rows @ weights.T @ weights, weights @ rows.T @ rows), strict=True):
        np.testing.assert_allclose(one, product / 2, rtol=1e-5, atol=1e-6)


def test_numbers_are_the_losses_own_or_those_that_make_random_rows_count() -> None:
    assert numbers_of("multi-similarity") == {"alpha": 2.0, "beta": 50.0, "base": 0.5}
    assert numbers_of("info-nce-symmetric") == {"temperature": 0.05}
    assert numbers_of("aam-softmax") == {"margin": 0.2, "scale": 30.0}  # no penalty without `inter_top_k`
    assert numbers_of("semi-hard") == numbers_of("semi-hard-all") == numbers_of("batch-all") == {"margin": 0.2}
    margin = numbers_of("contrastive")["margin"]
    _, rows = worker.make_batch(64, 8, 256)
    distances = np.linalg.norm(rows[:, None] - rows[None, :], axis=2)[~np.eye(64, dtype=bool)]
    assert 0.2 < np.mean(distances < margin) < 0.8


def test_the_batch_is_shuffled_classes_of_unit_rows() -> None:
    labels, rows = worker.make_batch(24, 4, 5)
    assert np.bincount(labels).tolist() == [4] * 6
    assert (np.diff(labels) < 0).any()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert (labels.dtype, rows.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(worker.make_batch(24, 4, 5)[1], rows)


def test_two_views_are_two_batches_of_unit_rows() -> None:
    x, y = worker.make_batch(24, None, 5)
    for rows in (x, y):
        assert (rows.shape, rows.dtype) == ((24, 5), np.float32)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    assert np.abs(x - y).max() > 0.1


def test_class_weights_are_unit_rows_and_labels_are_of_any_class() -> None:
    labels, rows, weights = worker.make_batch(2000, None, 5, 9)
    assert (labels.dtype, labels.shape, rows.shape, weights.shape) == (np.int32, (2000,), (2000, 5), (9, 5))
    assert np.bincount(labels, minlength=9).shape == (9,)
    assert (np.bincount(labels) > 150).all()
    *_, centers = worker.make_batch(4, None, 5, 9, 3)
    assert centers.shape == (9, 3, 5)
    for given in (rows, weights, centers):
        np.testing.assert_allclose(np.linalg.norm(given, axis=-1), 1, rtol=1e-6)


# --- workers ----------------------------------------------------------------------------------------------------------


def test_real_workers_are_measured_in_turn() -> None:
    steps: list[str] = []
    named = [CONTENDERS[name] for name in ("jaxtriplet", "floor", "textbook")]
    found = race.race(SMALL, named, 2, LIMITS, steps.append)
    assert [one.contender for one in found] == ["jaxtriplet", "floor", "textbook"]
    assert [step.partition(": ")[2] for step in steps] == [
        *(f"{one.name} starts" for one in named),
        "round 1 of 2",
        "round 2 of 2",
    ]
    for one in found:
        assert one.failure is None
        assert len(one.turns) == 2
        wall, peak = one.figure("wall"), one.figure("peak")
        assert wall is not None
        assert wall > 0
        assert peak is not None
        assert 2**25 < peak < 2**32
    assert found[0].ready["value"] == pytest.approx(found[2].ready["value"], rel=1e-5)
    assert found[0].ready["gradient_norm"] == pytest.approx(found[2].ready["gradient_norm"], rel=1e-5)


def test_two_views_are_raced_and_compared() -> None:
    views = Setting("info-nce-symmetric", 16, None, 8)
    assert str(views) == "info-nce-symmetric, B = 16, two views, D = 8"
    found = race.race(views, [CONTENDERS[name] for name in ("jaxtriplet", "textbook")], 1, LIMITS)
    assert [one.failure for one in found] == [None, None]
    assert found[0].ready["value"] == pytest.approx(found[1].ready["value"], rel=1e-5)
    assert found[0].ready["gradient_norm"] == pytest.approx(found[1].ready["gradient_norm"], rel=1e-5)
    said = report.agreement(views, found)
    assert said is not None
    assert "textbook" in said


def test_class_weights_are_raced_and_compared() -> None:
    (setting,) = Plan(losses="soft_triple", batch_sizes="16", classes=9, dim=8).resolved().table()
    assert str(setting) == "soft-triple, B = 16, C = 9 of 10 centers, D = 8"
    found = race.race(setting, [CONTENDERS[name] for name in ("jaxtriplet", "textbook")], 1, LIMITS)
    assert [one.failure for one in found] == [None, None]
    assert found[0].ready["value"] == pytest.approx(found[1].ready["value"], rel=1e-5)
    assert found[0].ready["gradient_norm"] == pytest.approx(found[1].ready["gradient_norm"], rel=1e-5)
    assert "textbook" in str(report.agreement(setting, found))


def test_the_fastest_variant_is_measured(imagined: Any) -> None:
    source = FINE.replace("{'': call}", "{'slow': lambda: (time.sleep(0.3), call())[1], 'quick': call}")
    (found,) = race.race(SMALL, [imagined("choosy", source)], 1, LIMITS)
    assert found.failure is None
    assert (found.ready["choice"], found.ready["value"], found.ready["gradient_norm"]) == ("quick", 0.5, 5.0)
    assert found.ready["calls"] > 1


FAILURES = {
    "raises": ("raise RuntimeError('a | b')", "RuntimeError: a | b"),
    "is-out-of-memory": ("numpy.ones(2**28)", "needs more than 1 GiB"),
    "knows-its-need": ("raise MemoryError(64 * 2**30)", "needs 64 GiB"),
    "is-killed": ("os.kill(os.getpid(), 9)", "killed by signal 9"),
    "leaves": ("os.write(2, b'last words'); os._exit(3)", "exit status 3: last words"),
    "is-slow": ("time.sleep(2.1); return 0.5, [0.5]", "over 2 s"),
    "hangs-later": (
        "call.n = getattr(call, 'n', 0) + 1\n    time.sleep(60 * (call.n > 2))\n    return 0.5, [0.5]",
        "over 2 s",
    ),
}


def test_those_who_fail_are_shown_beside_those_who_do_not(imagined: Any) -> None:
    all_of_them = [imagined(name, PLAIN + body) for name, (body, _) in FAILURES.items()]
    found = race.race(SMALL, [*all_of_them, imagined("fine", FINE)], 2, Limits(2**30, 2.0))
    assert {one.contender: one.failure for one in found} == {k: v for k, (_, v) in FAILURES.items()} | {"fine": None}
    assert len(found[-1].turns) == 2
    *_, fine = rows = report.table(found).splitlines()[2:]
    assert len(rows) == len(FAILURES) + 1
    assert "| raises | RuntimeError: a \\| b |" in rows[0]
    assert len(cells(fine)) == 9


def test_a_contender_whose_time_is_up_has_fewer_rounds(imagined: Any) -> None:
    slow = imagined("slow", PLAIN + "time.sleep(0.4); return 0.5, [0.5]")
    (found,) = race.race(SMALL, [slow], 9, Limits(2**30, 1.0))
    assert found.failure is None
    assert 1 <= len(found.turns) <= 2


def test_who_fails_on_the_way_up_is_left_out_of_the_rest_and_nothing_is_measured_twice(imagined: Any) -> None:
    both = [imagined("fine", FINE), imagined("broken", PLAIN + "1 / 0")]
    larger = SMALL._replace(batch_size=32)
    lines = [Line((SMALL,), 2), Line((SMALL, larger), 1), Line((larger,), 1)]
    found = list(race.run(Plan().resolved(), lines, both, lambda step: None))
    named = [(at, [one.contender for one in outcomes]) for at, outcomes in found]
    assert named == [(SMALL, ["fine", "broken"]), (larger, ["fine"])]
    assert len(found[0][1][0].turns) == 2


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_picture_goes_from_small_to_large() -> None:
    plan = Plan(losses="batch-all", rounds=9).resolved()
    table, other, by_size, by_class = plan.lines(plot=True)
    assert [len(line.settings) for line in (table, other)] == [1, 1]
    assert [setting.batch_size for setting in by_size.settings] == [256, 1024, 4096, 16384, 32768]
    assert [setting.rows_per_class for setting in by_class.settings] == [2, 8, 32, 128, 512]
    assert [line.rounds for line in (table, other, by_size, by_class)] == [9, 9, 3, 3]
    assert len(list(plan.lines(plot=False))) == 2


def test_two_views_have_sizes_alone() -> None:
    plan = Plan(losses="info_nce", batch_sizes="12").resolved()  # no classes of 8 need fit
    table, by_size = plan.lines(plot=True)
    assert [setting.rows_per_class for line in (table, by_size) for setting in line.settings] == 6 * [None]
    assert [setting.batch_size for setting in by_size.settings] == [256, 1024, 4096, 16384, 32768]


def test_class_weights_have_sizes_alone() -> None:
    plan = Plan(losses="aam-softmax", batch_sizes="12", classes=30, centers=3).resolved()
    table, by_size = plan.lines(plot=True)
    assert table.settings == (Setting("aam-softmax", 12, None, 256, 30, 3),)
    assert [setting.batch_size for setting in by_size.settings] == [256, 1024, 4096, 16384, 32768]
    assert str(Plan(losses="aam-softmax").resolved().table()[0]) == "aam-softmax, B = 1,024, C = 10,000, D = 256"


def test_defaults_depend_on_being_quick_and_can_be_overruled() -> None:
    assert Plan().resolved().table_sizes == [1024, 2048]
    assert {setting.loss for setting in Plan().resolved().table()} == set(USUAL) <= set(RACED)
    assert Plan(rounds=4).resolved(quick=True).rounds == 4
    assert Plan(memory_limit=2.0).resolved().memory_limit == 2.0
    assert [one.name for one in Plan(only="floor, jaxtriplet").resolved().contenders] == ["jaxtriplet", "floor"]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_its_table_and_names_who_is_not_installed(
    imagined: Any, call: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)  # nobody watches here, so that a step is told only now and then
    imagined("fine", FINE)
    imagined("absent", FINE, "jax", "no-such-distribution")
    out = tmp_path / "out"
    words = ["--only", "fine,absent", "--losses", "batch-all", "--batch-sizes", "16", "--rounds", "1", "--no-plot"]
    status, printed, err = call("bench", *words, "--json", "--out", str(out))
    assert status == 0, err
    assert "fine starts" in err
    found = json.loads((out / "bench.json").read_text())
    assert json.loads(printed) == found
    assert found["left_out"] == ["absent is left out: no-such-distribution not installed"]
    assert {path.name for path in out.iterdir()} == {"bench.json", "bench.md"}
    (setting,) = found["table"]
    assert [one["contender"] for one in setting["outcomes"]] == ["fine"]
    page = (out / "bench.md").read_text()
    assert "## batch-all, B = 16, 8 per class, D = 256\n\n| contender | wall ms |" in page
    assert "\n- **fine**: imagined.\n" in page
    assert "\n- absent is left out: no-such-distribution not installed.\n" in page
    for known in (found["machine"]["processor"], f"jax {found['machine']['versions']['jax']}", "GiB"):
        assert known in page

    status, _, err = call("bench", *words, "--out", str(out))
    assert status == 2
    assert "--overwrite" in err


def test_the_command_draws_its_picture(imagined: Any, monkeypatch: Any, call: Any, tmp_path: Path) -> None:
    monkeypatch.setattr("jaxtriplet.tools.bench.plan.SWEEP_BATCH_SIZES", (16, 32))
    monkeypatch.setattr("jaxtriplet.tools.bench.plan.SWEEP_CLASSES_AT", 16)
    imagined("fine", FINE)
    words = ["--only", "fine", "--losses", "batch-all", "--batch-sizes", "16", "--rounds", "1", "--quiet"]
    status, printed, err = call("bench", *words, "--out", str(tmp_path / "out"))
    assert (status, err) == (0, "")
    assert "| fine |" in printed
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [(one["batch_size"], one["rows_per_class"]) for one in found["sweep"]] == [(32, 8), (16, 2)]
    assert (tmp_path / "out" / "bench.png").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--losses", "batch-al"], "--losses must be one of batch-all, "),
        (["--losses", "info-nce-symetric"], "got 'info-nce-symetric'; did you mean info-nce-symmetric?"),
        (["--losses", "triplet"], "got 'triplet'"),
        (["--losses", "info-nce", "--batch-sizes", "1"], "a batch of 1 rows is not two or more pairs"),
        (["--losses", "aam-softmax", "--batch-sizes", "1"], "a batch of 1 rows is not two or more rows"),
        (["--losses", "aam-softmax", "--classes", "1"], "--classes"),
        (["--losses", ","], "--losses names none; known: "),
        (["--only", "torch"], "--only must be one of jaxtriplet, "),
        (["--batch-sizes", "12"], "a batch of 12 rows is not two or more classes of 8"),
        (["--batch-sizes", "8"], "a batch of 8 rows is not two or more classes of 8"),
        (["--batch-sizes", "1k"], "--batch-sizes must be whole numbers, joined by commas; got '1k'"),
        (["--rows-per-class", "1"], "--rows-per-class"),
        (["--rounds", "0"], "--rounds"),
        (["--only", "absent"], "absent is left out: no-such-distribution not installed"),
        (["--out", __file__], "is a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "--out" not in value else "",
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], complaint: str, imagined: Any, monkeypatch: Any, call: Any, tmp_path: Path
) -> None:
    imagined("absent", FINE, "no-such-distribution")
    monkeypatch.chdir(tmp_path)
    status, out, err = call("bench", "--quick", "--quiet", *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert complaint in err
    assert not (tmp_path / "runs").exists()


def test_help_names_every_number_with_its_reason(call: Any) -> None:
    status, out, _ = call("bench", "--help")
    assert status == 0
    said = "".join(out.split())
    for name, hint in get_type_hints(Plan, include_extras=True).items():
        (meta,) = [word for part in (hint, *get_args(hint)) for word in getattr(part, "__metadata__", ())]
        assert f"--{name.replace('_', '-')}" in said
        assert "".join(meta.description.split()) in said


def test_every_contender_says_what_it_computes() -> None:
    for contender in CONTENDERS.values():
        assert contender.module.exists()
        assert contender.notes[""]
        assert set(contender.notes) <= {"", *(contender.losses or RACED)}
        assert set(contender.losses or ()) <= set(losses.known())
        assert set(contender.same_value or ()) <= set(contender.losses or ())
    assert not replace(CONTENDERS["floor"], distributions=("jax",)).missing
