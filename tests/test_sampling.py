"""Sampled classes: those of the batch are always among them, the others are drawn evenly, on one device and on many."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import losses

from .modes import trials
from .test_apart import LAYOUTS


def test_the_classes_of_the_batch_are_among_those_drawn_and_the_others_drawn_evenly() -> None:
    labels, where = jnp.array([3, 9, 3, 5]), jnp.array([True, True, True, False])
    draw = jax.jit(jax.vmap(lambda key: losses.sample_classes(key, labels, 12, 5, where=where)))
    classes, own = draw(jax.random.split(jax.random.key(0), 2000))
    assert (np.diff(classes, axis=1) > 0).all()
    np.testing.assert_array_equal(np.take_along_axis(classes, own, 1)[:, :3], np.broadcast_to(labels[:3], (2000, 3)))
    share = np.bincount(np.ravel(classes), minlength=12) / 2000
    assert share[3] == share[9] == 1
    others = np.delete(share, [3, 9])
    np.testing.assert_allclose(others, 3 / 10, atol=0.05)  # five times the standard deviation


def test_all_classes_are_the_loss_itself_and_too_few_are_nan() -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = np.array([3, 0, 5]), rng.normal(size=(3, 4)), rng.normal(size=(6, 4))
    classes, own = losses.sample_classes(jax.random.key(0), labels, 6, 6)
    np.testing.assert_allclose(jt.aam_softmax(own, rows, weights[classes]), jt.aam_softmax(labels, rows, weights))
    classes, own = losses.sample_classes(jax.random.key(0), labels, 6, 2)
    assert np.isnan(jt.aam_softmax(own, rows, weights[classes]))
    classes, own = losses.sample_classes(jax.random.key(0), np.array([3, 6, -1]), 6, 4)
    assert own.tolist()[1:] == [-1, -1]
    with pytest.raises(ValueError, match="size must be at most the number of classes, 6; got 7"):
        losses.sample_classes(jax.random.key(0), labels, 6, 7)


@trials("layout", [name for name, both in LAYOUTS.items() if both[1]], always=lambda name: "of" in name, ids=str)
def test_devices_that_share_the_classes_draw_of_their_own(layout: str, x64: None) -> None:
    rows_over, over = LAYOUTS[layout]
    mesh, rng = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("x", "y")), np.random.default_rng(0)
    labels, rows, weights = rng.integers(0, 64, 16).astype(np.int32), rng.normal(size=(16, 4)), rng.normal(size=(64, 4))
    shares = int(np.prod([mesh.shape[axis] for axis in ((over,) if isinstance(over, str) else over)]))
    size = 48 // shares
    axes: Any = {"axis_name": rows_over, "class_axis_name": over}

    def loss(labels: Any, rows: Any, weights: Any) -> Any:
        classes, own = losses.sample_classes(jax.random.key(3), labels, len(weights), size, **axes)
        first = jax.lax.axis_index(over) * len(weights)
        return jt.aam_softmax(own, rows, weights[classes], **axes), classes + first

    specs = (P(rows_over), P(rows_over), P(over))
    mapped = jax.jit(jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=(P(), P(over)), check_vma=False))
    found, classes = mapped(labels, rows, weights)
    assert set(labels) <= set(np.array(classes).tolist())
    assert len(set(np.array(classes).tolist())) == 48
    alone = jt.aam_softmax(np.searchsorted(classes, labels), rows, weights[np.array(classes)])
    np.testing.assert_allclose(found, alone, 1e-12)


def test_a_sum_compares_with_the_classes_that_its_step_draws(x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = rng.integers(0, 40, 6), rng.normal(size=(6, 4)), rng.normal(size=(40, 4))
    loss_fn = losses.weighted({"aam_softmax": 1.0, "am_softmax": 0.5}, aam_softmax={"sample": 10})
    params = {"aam_softmax": {"weights": weights}, "am_softmax": {"weights": weights}}
    found = [float(loss_fn(params, labels, rows, step=jnp.int32(step))[0]) for step in (0, 1)]
    rest = 0.5 * jt.am_softmax(labels, rows, weights)
    for step, loss in enumerate(found):
        key = jax.random.fold_in(jax.random.key(0), step)
        classes, own = losses.sample_classes(key, labels, 40, 10)
        assert loss == pytest.approx(float(jt.aam_softmax(own, rows, weights[classes]) + rest), rel=1e-12)
    assert found[0] != found[1]
    gradient = jax.grad(lambda params: loss_fn(params, labels, rows, step=jnp.int32(0))[0])(params)
    assert np.sum(np.any(np.asarray(gradient["aam_softmax"]["weights"]) != 0, axis=1)) == 10
    few = losses.weighted({"aam_softmax": 1.0}, aam_softmax={"sample": 1})
    assert np.isfinite(few(params, labels, rows, step=jnp.int32(0))[0])  # never fewer than rows
    unfit = losses.weighted({"aam_softmax": 1.0}, aam_softmax={"sample": 10, "margin": np.ones(7)})
    with pytest.raises(ValueError, match="one for each of 40 classes"):
        unfit(params, labels, rows, step=jnp.int32(0))
    with pytest.raises(ValueError, match="draws the classes of a step: give `step`"):
        loss_fn(params, labels, rows)
    with pytest.raises(ValueError, match="proxy_anchor has no option 'sample'"):
        losses.weighted({"proxy_anchor": 1.0}, proxy_anchor={"sample": 10})


def test_a_sum_draws_on_many_devices_of_the_classes_of_each(x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = rng.integers(0, 64, 8).astype(np.int32), rng.normal(size=(8, 4)), rng.normal(size=(64, 4))
    loss_fn = losses.weighted({"aam_softmax": 1.0}, aam_softmax={"sample": 64})
    params, mesh = {"aam_softmax": {"weights": weights}}, Mesh(np.array(jax.devices()[:8]), "x")
    mapped = jax.shard_map(
        lambda params, *batch: loss_fn(params, *batch, step=jnp.int32(0), axis_name="x", class_axis_name="x")[0],
        mesh=mesh,
        in_specs=({"aam_softmax": {"weights": P("x")}}, P("x"), P("x")),
        out_specs=P(),
    )
    np.testing.assert_allclose(jax.jit(mapped)(params, labels, rows), jt.aam_softmax(labels, rows, weights), 1e-12)


@pytest.mark.parametrize("label", [2**32 + 1, -(2**32) + 1])
def test_a_label_that_is_no_class_does_not_become_one(label: int, x64: None) -> None:
    classes, own = losses.sample_classes(jax.random.key(0), np.array([label, 2]), 8, 3)
    assert (classes[own[1]], own[0]) == (2, -1)


@pytest.mark.parametrize("devices", [1, 4])
def test_a_margin_for_each_class_is_drawn_along(devices: int, x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = rng.integers(0, 64, 8).astype(np.int32), rng.normal(size=(8, 4)), rng.normal(size=(64, 4))
    margins, mesh = np.linspace(0.1, 0.9, 64), Mesh(np.array(jax.devices()[:devices]), "x")
    loss_fn = losses.weighted({"aam_softmax": 1.0}, aam_softmax={"sample": 48, "margin": margins})
    axes: Any = {"axis_name": "x", "class_axis_name": "x"}

    def loss(params: Any, *batch: Any) -> Any:
        key, own = jax.random.fold_in(jax.random.key(0), 0), params["aam_softmax"]["weights"]
        classes, _ = losses.sample_classes(key, batch[0], len(own), 48 // devices, **axes)
        return loss_fn(params, *batch, step=jnp.int32(0), **axes)[0], classes + len(own) * jax.lax.axis_index("x")

    specs = ({"aam_softmax": {"weights": P("x")}}, P("x"), P("x"))
    mapped = jax.jit(jax.shard_map(loss, mesh=mesh, in_specs=specs, out_specs=(P(), P("x"))))
    found, drawn = jax.device_get(mapped({"aam_softmax": {"weights": weights}}, labels, rows))
    theirs = jt.aam_softmax(np.searchsorted(drawn, labels), rows, weights[drawn], margins[drawn])
    np.testing.assert_allclose(found, theirs, 1e-12)
