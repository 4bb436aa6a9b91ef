"""A loss over devices that is another than on one: found, and the mistake named."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet import parallel
from jaxtriplet.parallel.checking import Report

DEVICES, ROWS = 8, 16
LABELS = np.array([3, 0, 3, 1, 9, 9, 3, 0, 7, 9, 3, 0, 9, 9, 3, 5])
EMBEDDINGS = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
WHERE = np.arange(ROWS) % 5 != 1
MARGIN = 12.0
MESH = parallel.data_mesh()


@jax.custom_vjp
def summed_twice(x: Any) -> Any:
    """What it is given, with a gradient that is summed over devices."""
    return x


summed_twice.defvjp(lambda x: (x, None), lambda _, g: (jax.lax.psum(g, "data"),))


def pairs(labels: Any, rows: Any, margin: Any, *, where: Any = None, axis_name: Any = None, mistake: str = "") -> Any:
    """Pulls rows of a class together, and pushes those of others apart to a margin: the mean over all rows.

    A mistake is one that is made over devices.
    """
    where = jnp.ones(len(labels), bool) if where is None else where
    candidates, theirs, valid, place, devices = rows, labels, where, jnp.arange(len(labels)), 1
    if axis_name is not None:
        devices = jax.lax.axis_size(axis_name)
        gather = partial(jax.lax.all_gather, axis_name=axis_name, tiled=True)
        if mistake == "padding counted":
            where = jnp.ones_like(where)
        if not mistake.startswith("within devices"):
            candidates, theirs, valid = gather(rows), gather(labels), gather(where)
            if mistake != "place":
                place = place + jax.lax.axis_index(axis_name) * len(labels)
        if mistake == "labels not gathered":
            theirs = jnp.tile(labels, devices)
        if mistake == "masks not gathered":
            valid = jnp.tile(where, devices)
        if mistake == "cut off":
            candidates = jax.lax.stop_gradient(candidates)
        if mistake == "margin cut off":
            margin = jax.lax.stop_gradient(margin)
        if mistake == "summed twice":
            rows = summed_twice(rows)
        if mistake == "gathered and summed":
            candidates, rows, margin = jax.tree.map(
                lambda x: 8 * x - 7 * jax.lax.stop_gradient(x), (candidates, rows, margin)
            )
    squares = jnp.sum((rows[:, None] - candidates[None]) ** 2, axis=-1)
    alike = labels[:, None] == theirs[None]
    term = jnp.where(alike, squares, jax.nn.relu(margin - squares) ** 2)
    other = place[:, None] != jnp.arange(len(theirs))[None]
    if mistake == "itself" and axis_name is not None:
        other, term = jnp.ones_like(other), term + 1
    loss = jnp.sum(term, where=other & where[:, None] & valid[None]) / (len(labels) * devices)
    if axis_name is None or mistake == "share":
        return loss
    if mistake in ("mean", "within devices"):
        loss = loss * devices
    if mistake == "mean":
        return loss
    reduced = jax.lax.pmean if mistake in ("too small", "within devices") else jax.lax.psum
    times = {"too large": devices, "within devices, a sum": devices, "within devices, times 3": 3}
    return reduced(loss, axis_name) * times.get(mistake, 1)


def by_hand(labels: Any, rows: Any, margin: float, where: Any) -> float:
    total = 0.0
    for i in np.flatnonzero(where):
        for j in np.flatnonzero(where):
            square = np.sum((rows[i].astype(np.float64) - rows[j]) ** 2)
            total += (i != j) * (square if labels[i] == labels[j] else max(margin - square, 0) ** 2)
    return total / len(labels)


def said(loss: Any, *rows: Any, **keywords: Any) -> Report:
    return parallel.check(loss, MESH, *(rows or (LABELS, EMBEDDINGS, MARGIN)), strict=False, **keywords)


@pytest.mark.parametrize("axes", [("data",), ("hosts", "cores")], ids=str)
def test_a_right_loss_agrees_in_every_setting(axes: tuple[str, ...]) -> None:
    mesh = MESH if axes == ("data",) else jax.make_mesh((4, 2), axes)  # of Explicit axes
    with jax.set_mesh(mesh):
        report = parallel.check(pairs, mesh, LABELS, EMBEDDINGS, margin=MARGIN, where=WHERE)
    assert (report.verdict, report.words, report.devices) == ("agrees", (), DEVICES)
    np.testing.assert_allclose(report.value, by_hand(LABELS, EMBEDDINGS, MARGIN, WHERE), 1e-6)
    for setting in report.settings:
        assert setting.failure is None
        assert setting.value_error is not None
        assert setting.value_error < 1e-6
        assert setting.gradient_errors is not None
        assert setting.gradient_errors.keys() == {"rows", "margin"}
        assert 0 <= max(setting.gradient_errors.values()) < 1e-6
    assert all(name in str(report) for name in ("8 devices", "global view", "shard_map", "pmap", "agrees"))


MISTAKES = {
    "too large": "the value is 8 times too large: a `psum` where a `pmean` belongs",
    "too small": "the value is 8 times too small: a `pmean` where a `psum` belongs",
    "share": "each device returns another value: their sum is right, so end with `jax.lax.psum",
    "mean": "each device returns another value: their mean is right, so end with `jax.lax.pmean",
    "within devices": "within devices only: the value is the mean over devices of the loss of each device's own rows",
    "labels not gathered": "labels are not gathered",
    "place": "the value depends on which device holds which rows",
    "itself": "none of the usual mistakes gives it: is every row kept from being compared with itself",
    "cut off": "the value is right, but the gradient by rows is half of it: are gathered rows cut off",
    "margin cut off": "the value is right, but the gradient by margin is 0",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_no_other(mistake: str) -> None:
    report = said(partial(pairs, mistake=mistake))
    assert report.verdict == "differs"
    (words,) = report.words
    assert MISTAKES[mistake] in words


SELDOM_MADE = {
    "within devices, a sum": "the value is the sum over devices of the loss of each device's own rows",
    "within devices, times 3": "rows of different devices are never compared",
    "padding counted": "padding is counted",
    "masks not gathered": "masks are not gathered",
    "summed twice": "the value is right, but the gradient by rows points elsewhere",
    "gathered and summed": "the value is right, but the gradient by rows, margin is 8 times too large",
}


@pytest.mark.parametrize("mistake", SELDOM_MADE)
def test_so_are_those_of_masks_and_of_gradients(mistake: str) -> None:
    report = said(partial(pairs, mistake=mistake), where=WHERE, settings=["pmap"])
    (words,) = report.words
    assert SELDOM_MADE[mistake] in words


def test_a_value_that_is_the_same_everywhere_but_varies_by_its_type() -> None:
    """Each device computes the loss of all rows: right under `pmap`, and summed over its copies in `shard_map`."""

    def everywhere(labels: Any, rows: Any, margin: Any, *, axis_name: Any = None) -> Any:
        if axis_name is not None:
            labels, rows = jax.lax.all_gather((labels, rows), axis_name, tiled=True)
        return pairs(labels, rows, margin)

    report = said(everywhere)
    of_view, of_shard_map, of_pmap = report.settings
    assert "`psum` or `pmean` must end it" in (of_view.failure or "")
    assert of_shard_map.gradient_error == pytest.approx(7, 1e-5)
    assert of_pmap.gradient_error is not None
    assert of_pmap.gradient_error < 1e-6
    (words,) = report.words
    assert words.startswith("shard_map: the value is right, but the gradient by rows, margin is 8 times too large")


def test_several_that_fit_are_all_named() -> None:
    def own(labels: Any, rows: Any, margin: Any, *, axis_name: Any = None) -> Any:
        return pairs(labels, rows, margin)

    another, within = said(own).words
    assert "each device returns another value: neither `psum` nor `pmean` ends the loss" in another
    assert "rows are compared within devices only: the value is the mean" in within


def test_a_loss_of_single_rows_has_none_to_compare_and_agrees() -> None:
    def lengths(rows: Any, *, axis_name: Any = None) -> Any:
        mean = jnp.mean(rows**2)
        return mean if axis_name is None else jax.lax.pmean(mean, axis_name)

    assert said(lengths, EMBEDDINGS).verdict == "agrees"
    with jax.enable_x64(True):
        assert said(lengths, EMBEDDINGS.astype(np.float64)).tolerance == 1e-10


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((LABELS, EMBEDDINGS * 0, 0.0), "the loss is 0 on one device"),
        ((LABELS, EMBEDDINGS + np.nan, MARGIN), "not finite on one device"),
        ((np.repeat(np.arange(8), 2), EMBEDDINGS, 0.0), "within devices only would give the same here"),
    ],
    ids=["zero", "nan", "a class a device"],
)
def test_a_batch_that_cannot_tell_proves_nothing(rows: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)proves nothing.*{why}"):
        parallel.check(pairs, MESH, *rows, settings=["pmap"])


@pytest.mark.parametrize("name", ["batch_hard", "weighted"])
def test_losses_of_the_package_agree(name: str) -> None:
    rows, where = (LABELS, EMBEDDINGS), {"where": WHERE}
    if name == "weighted":
        loss = jt.losses.weighted({"ge2e": 0.1})
        report = parallel.check(loss, MESH, loss.init(jax.random.key(0)), *rows, **where, settings=["shard_map"])
    else:
        report = parallel.check(getattr(jt, name), MESH, *rows, **where)
    by = {name for setting in report.settings for name in setting.gradient_errors or ()}
    assert by == {"embeddings"} | (
        {"params['ge2e']['scale']", "params['ge2e']['bias']"} if name == "weighted" else set()
    )


CLASSES = np.random.default_rng(4).normal(size=(16, 4)).astype(np.float32)


@pytest.mark.parametrize("over", [None, "cores", ("hosts", "cores")], ids=str)
def test_class_weights_are_compared_whole_and_apart(over: Any) -> None:
    grid = jax.make_mesh((4, 2), ("hosts", "cores"))
    settings = ["shard_map", "pmap"] if over else ["global view"]
    report = parallel.check(
        *(jt.am_softmax, grid, LABELS, EMBEDDINGS, CLASSES), where=WHERE, class_axis_name=over, settings=settings
    )
    assert report.devices == 8
    assert {name for one in report.settings for name in one.gradient_errors or ()} == {"embeddings", "weights"}


def test_a_loss_that_takes_a_share_of_the_classes_for_all_of_them_differs() -> None:
    def alone(labels: Any, rows: Any, weights: Any, *, axis_name: Any, class_axis_name: Any = None) -> Any:
        own = jnp.take(weights, labels % len(weights), axis=0)
        found = jnp.sum((rows - own) ** 2)
        return found if axis_name is None else jax.lax.psum(found, axis_name)

    declared: Any = alone
    declared.row_arguments, declared.class_arguments = ["labels", "rows"], ["weights"]
    found = parallel.check(alone, MESH, LABELS, EMBEDDINGS, CLASSES, class_axis_name="data", strict=False)
    assert found.verdict == "differs"
    assert parallel.check(alone, MESH, LABELS, EMBEDDINGS, CLASSES).verdict == "agrees"
    with pytest.raises(ValueError, match="15 classes do not divide among 8 devices"):
        parallel.check(alone, MESH, LABELS, EMBEDDINGS, CLASSES[1:], class_axis_name="data")


def test_what_differs_is_raised_with_the_report() -> None:
    with pytest.raises(ValueError, match=r"(?s)8 devices against one.*pmap .*differs.*- the value is 8 times"):
        parallel.check(partial(pairs, mistake="too large"), MESH, LABELS, EMBEDDINGS, MARGIN, settings=["pmap"])


def test_why_a_loss_does_not_run_is_said() -> None:
    def looped(rows: Any, *, axis_name: Any = None) -> Any:
        total = jax.lax.scan(lambda sum, row: (sum + jnp.sum(row**2), None), 0.0, rows)[0]
        return total if axis_name is None else jax.lax.psum(total, axis_name)

    def elsewhere(rows: Any, *, axis_name: Any = None) -> Any:
        return jnp.sum(rows) if axis_name is None else jax.lax.psum(jnp.sum(rows), "elsewhere")

    report = said(looped, EMBEDDINGS)
    assert report.verdict == "agrees"
    assert ["pcast" in (setting.failure or "") for setting in report.settings] == [True, True, False]
    report = said(elsewhere, EMBEDDINGS)
    assert report.words == ("it runs in none of the settings",)
    assert "names an axis that is not `axis_name`" in str(report)


def test_a_number_that_a_loss_looks_at_is_not_traced() -> None:
    def looks(rows: Any, *, power: float, axis_name: Any = None) -> Any:
        mean = jnp.mean(rows**2 if power > 1 else rows)
        return mean if axis_name is None else jax.lax.pmean(mean, axis_name)

    assert said(looks, EMBEDDINGS, power=2.0).verdict == "agrees"


def no_axis(labels: Any, rows: Any, margin: Any) -> Any:
    return pairs(labels, rows, margin)


BAD: dict[str, tuple[Any, ...]] = {
    "one device": (pairs, {"mesh": parallel.data_mesh(jax.devices()[:1])}, "at least 2 devices"),
    "another axis": (pairs, {"axis_name": "rows"}, r"must name axes of the mesh \(data\); got 'rows'"),
    "another axis of classes": (pairs, {"class_axis_name": "rows"}, "class_axis_name must name axes of the mesh"),
    "no classes": (pairs, {"class_axis_name": "data"}, "loss_fn must take what `check` was given"),
    "another setting": (pairs, {"settings": ["vmap"]}, "settings must be of global view, shard_map, pmap"),
    "a setting alone": (pairs, {"settings": "pmap "}, "settings must be of"),
    "tolerance": (pairs, {"tolerance": -1.0}, "tolerance"),
    "no axis_name": (no_axis, {}, "the keyword `axis_name`"),
    "no keyword": (pairs, {"wher": WHERE}, "wher"),
    "no function": ("pairs", {}, "loss_fn must be a function"),
    "no scalar": (lambda *rows, axis_name: rows[1], {}, r"must return a float, .* \[16, 4\]"),
    "no rows": (lambda *rows, axis_name: 0.0, {"rows": (0.5,)}, "no argument is rows"),
    "15 rows": (pairs, {"rows": (LABELS[1:], EMBEDDINGS[1:], MARGIN)}, "15 rows does not divide among 8 devices"),
    "words": (pairs, {"rows": (LABELS, "rows", MARGIN)}, "rows must be an array or a number"),
    "rows by name": (jt.batch_hard, {"rows": (LABELS,), "embeddings": EMBEDDINGS}, "give embeddings so, not by name"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_it_cannot_take_is_said(bad: str) -> None:
    loss, given, why = BAD[bad]
    given = {"mesh": MESH, "rows": (LABELS, EMBEDDINGS, MARGIN), **given}
    with pytest.raises(ValueError, match=why):
        parallel.check(loss, given.pop("mesh"), *given.pop("rows"), **given)


def test_it_looks_at_numbers() -> None:
    with pytest.raises(ValueError, match=r"outside `jax.jit` \(rows is traced\)"):
        jax.jit(lambda rows: parallel.check(pairs, MESH, LABELS, rows, MARGIN))(EMBEDDINGS)
