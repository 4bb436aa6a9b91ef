"""What only losses over class weights have: blocks of classes, margins by class, labels that are no class, accuracy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet import engine, losses
from jaxtriplet.engine.statistics import LogSumExp
from jaxtriplet.losses import registry

from .modes import trials
from .reference import class_weights as loops
from .reference.differences import central_differences
from .test_apart import FORMS, NUM_CLASSES, batch_of, loss_of

OF_CLASSES = [one for one in registry.LOSSES.values() if one.class_weights]
BY_CLASS = [one.name for one in OF_CLASSES if "margin" in one.numbers]


@trials(
    ("form", "size"),
    [(form, size) for form in FORMS for size in ((1, 7, 23) if form in ("aam_softmax", "proxy_anchor") else (7,))],
    always=lambda form, size: size == 7 and form in ("aam_softmax, centers", "aam_softmax, nearest few", "sphereface2"),
    ids=lambda form, size: f"{form}-{size}",
)
def test_blocks_of_classes_give_what_whole_rows_give(form: str, size: int, x64: None) -> None:
    encoder, weights, number, inputs, labels, where = batch_of(form, np.float64)
    shares = np.random.default_rng(1).normal(size=NUM_CLASSES if form == "proxy_anchor" else len(labels))

    def found(rows: Any, weights: Any, number: Any, size: int) -> Any:
        loss, more = loss_of(form), {"where": where, "block_size": size}
        terms = loss(labels, rows, weights, number, reduce_fn=None, **more)
        return jnp.sum(terms * shares), loss(labels, rows, weights, number, has_aux=True, **more)

    step = jax.value_and_grad(found, argnums=(0, 1, 2), has_aux=True)
    blocks, whole = (step(inputs @ encoder, weights, number, size) for size in (size, NUM_CLASSES))
    for ours, theirs in zip(jax.tree.leaves(blocks), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-11)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("number", [1, 3, 9])
def test_the_largest_few_and_the_rest_merge(number: int, axis: int, x64: None) -> None:
    rng = np.random.default_rng(number)
    x, mask = rng.normal(size=(4, 7)), rng.random((4, 7)) < 0.7
    mask[1] = False

    def few(x: Any, mask: Any) -> Any:
        turned = [part if axis else part.T for part in (x, mask)]
        return engine.Few(*turned, number)

    place = jnp.arange(7, dtype=jnp.int32)
    states = [
        few(x[:, part], mask[:, part]).state(jnp.expand_dims(place[part], 1 - axis), axis)
        for part in (slice(0, 2), slice(2, 3), slice(3, 7))
    ]
    merged = engine.Few.merge(states[0], engine.Few.merge(states[1], states[2]))
    for largest, rest in (engine.Few.value(merged), few(x, mask).of_row(axis)):
        for row in range(4):
            inside = np.sort(x[row][mask[row]])[::-1]
            chosen, others = inside[:number], inside[number:]
            assert largest[row, : len(chosen)].tolist() == chosen.tolist()
            assert (largest[row, len(chosen) :] <= engine.low(x.dtype)).all()
            assert float(rest[row]) == pytest.approx(
                np.logaddexp.reduce(others) if len(others) else engine.low(x.dtype)
            )
    by_value = jax.tree.map(lambda part: jnp.asarray(rng.normal(size=part.shape)), engine.Few.value(merged))

    def scalar(x: Any) -> Any:
        return sum(jnp.vdot(one, by) for one, by in zip(few(x, mask).of_row(axis), by_value, strict=True))

    pulled = few(x, mask).pull(
        *jax.tree.map(
            lambda part: jnp.expand_dims(part, axis) if part.shape[0] == 4 else part,
            (merged, jnp.expand_dims(place, 1 - axis), by_value),
        )
    )
    np.testing.assert_allclose(pulled if axis else pulled.T, jax.grad(scalar)(jnp.asarray(x)), 1e-10, atol=1e-12)


@trials("name", BY_CLASS, always=lambda name: name in ("sphereface2", "proxy_anchor"), ids=str)
def test_a_margin_may_be_one_for_each_class(name: str, x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = np.array([0, 2, 2, 1, 0]), rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    margins, rest = np.array([0.1, 0.3, 0.5]), {n: 3.0 for n in ("scale",) if n in registry.find(name).numbers}
    own = {"bias": 0.0} if name == "sphereface2" else {"gamma": 0.5} if name == "soft_triple" else {}
    loss = getattr(jt, name)
    value, gradient = jax.value_and_grad(lambda m: loss(labels, rows, weights, margin=m, **rest, **own))(margins)

    def expected(margins: np.ndarray) -> float:
        if name == "proxy_anchor":  # the terms of each proxy, with its own margin
            kinds: list[list[float]] = [[], []]
            for c, margin in enumerate(margins):
                terms = loops.proxy_anchor(labels, rows, weights, margin, 3.0)
                for row, value, kind in zip(terms.rows, terms.values, terms.kinds, strict=True):
                    kinds[kind] += [value] if row == c else []
            return float(sum(np.mean(kind) for kind in kinds))
        return getattr(loops, name)(labels, rows, weights, margin=margins, **rest, **own).reduced("mean")

    assert float(value) == pytest.approx(expected(margins), rel=1e-10)
    np.testing.assert_allclose(gradient, central_differences(expected, margins), atol=2e-7)
    with pytest.raises(ValueError, match="margin must be a single number, or one for each of 3 classes"):
        loss(labels, rows, weights, margin=np.ones(2))


@trials(
    ("one", "label"),
    [(one, label) for one in OF_CLASSES for label in (-1, 3)],
    always=lambda one, label: (one.name, label) in (("aam_softmax", -1), ("aam_softmax", 3), ("proxy_anchor", 3)),
    ids=lambda one, label: f"{one.name}-{label}",
)
def test_a_label_that_is_no_class_is_nan_but_of_padding(one: registry.Loss, label: int) -> None:
    rng = np.random.default_rng(0)
    labels, rows = np.array([0, label, 2], np.int32), rng.normal(size=(3, 4)).astype(np.float32)
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    step = jax.value_and_grad(one.function, argnums=(1, 2))
    loss, gradients = step(labels, rows, weights)
    assert np.isnan(loss)
    assert all(np.isnan(gradient).all() for gradient in gradients)
    where = np.array([True, False, True])
    loss, gradients = step(labels, rows, weights, where=where)
    np.testing.assert_allclose(loss, one.function(labels[where], rows[where], weights), 1e-5)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_small_labels_name_many_classes_and_large_ones_none() -> None:
    rows, weights = jnp.eye(2, 4), jnp.asarray(np.random.default_rng(0).normal(size=(300, 4)), jnp.float32)
    assert jt.am_softmax(np.array([7, 9], np.int8), rows, weights) == jt.am_softmax(np.array([7, 9]), rows, weights)
    assert np.isnan(jt.am_softmax(np.array([7, 2**32 - 1], np.uint32), rows, weights))


@pytest.mark.parametrize("one", [one for one in OF_CLASSES if one.name != "proxy_anchor"], ids=lambda one: one.name)
def test_fraction_active_is_the_share_of_rows_that_are_wrong(one: registry.Loss) -> None:
    weights = np.eye(3, dtype=np.float32)
    rows = np.array([[5, 1, 0], [0, 1, 0.9], [0.9, 0, 1], [1, 1, 0]], np.float32)  # right, right, wrong, tied
    _, stats = one.function(np.array([0, 1, 0, 0]), rows, weights, has_aux=True)
    assert (float(stats.num_valid), float(stats.num_active), float(stats.fraction_active)) == (4, 2, 0.5)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (np.ones(4, np.float32), r"weights must be floats of shape \[C, D\], or of shape \[C, K, D\]"),
        (np.ones((3, 4), np.int32), r"weights must be floats of shape \[C, D\]"),
        (np.ones((3, 5), np.float32), "weights must be as long as embeddings, 4 numbers"),
        (np.ones((0, 4), np.float32), "weights must be of one class at least"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        jt.aam_softmax(np.array([0]), np.ones((1, 4), np.float32), weights)


def test_a_proxy_is_one_vector() -> None:
    with pytest.raises(ValueError, match=r"proxies must be of shape \[C, D\] here"):
        jt.proxy_anchor(np.array([0]), np.ones((1, 4), np.float32), np.ones((3, 2, 4), np.float32))


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "two"])
def test_the_number_of_nearest_classes_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(ValueError, match="inter_top_k must be a whole number, at least 0"):
        jt.aam_softmax(np.array([0]), np.ones((1, 4), np.float32), np.ones((3, 4), np.float32), inter_top_k=wrong)


def test_a_sum_draws_as_many_centers_as_it_is_told_and_margins_follow_schedules() -> None:
    options: dict[str, Any] = {"aam_softmax": {"centers": 3, "margin": lambda step: 0.01 * step}, "soft_triple": {}}
    loss_fn = losses.weighted({"aam_softmax": 1.0, "soft_triple": 0.5, "am_softmax": 0.1}, **options)
    params = loss_fn.init(jax.random.key(0), 4, 5)
    shapes = {name: next(iter(own.values())).shape for name, own in params.items()}
    assert shapes == {"aam_softmax": (5, 3, 4), "soft_triple": (5, 10, 4), "am_softmax": (5, 4)}
    labels, rows = np.array([0, 4, 2]), jnp.eye(3, 4)
    step = jnp.asarray(20)
    total, stats = loss_fn(params, labels, rows, step=step)
    parts = {
        "aam_softmax": jt.aam_softmax(labels, rows, params["aam_softmax"]["weights"], 0.2),
        "soft_triple": jt.soft_triple(labels, rows, params["soft_triple"]["centers"]),
        "am_softmax": jt.am_softmax(labels, rows, params["am_softmax"]["weights"]),
    }
    shares = {"aam_softmax": 1.0, "soft_triple": 0.5, "am_softmax": 0.1}
    np.testing.assert_allclose(total, sum(shares[name] * part for name, part in parts.items()), 1e-6)
    assert set(stats) == set(parts)
    with pytest.raises(ValueError, match="centers of am_softmax must be a whole number above 0"):
        losses.weighted({"am_softmax": 1.0}, am_softmax={"centers": 0})
    with pytest.raises(ValueError, match="semi_hard has no option 'centers'"):
        losses.weighted({"semi_hard": 1.0}, semi_hard={"centers": 2})


def test_one_class_alone_has_nothing_to_be_told_from() -> None:
    rows, one = jnp.eye(2, 4), jnp.ones((1, 4))
    for loss in (jt.aam_softmax, jt.am_softmax, jt.normalized_softmax, jt.proxy_nca, jt.soft_triple):
        value, gradient = jax.value_and_grad(lambda rows, loss=loss: loss(np.array([0, 0]), rows, one))(rows)
        assert float(value) == 0
        np.testing.assert_array_equal(gradient, 0)
    few = jt.aam_softmax(np.array([0, 0]), rows, one, inter_top_k=5)
    assert float(few) == 0


def test_rows_of_nothing_have_a_finite_log_sum() -> None:
    nothing = LogSumExp(jnp.zeros((1, 3)), jnp.zeros((1, 3), bool)).of_row(1)
    assert np.isfinite(nothing).all()


def test_many_centers_take_no_more_memory_than_as_many_classes() -> None:
    def needed(*shape: int) -> int:
        given = [jax.ShapeDtypeStruct(one, kind) for one, kind in (((512,), "int32"), ((512, 8), "float32"))]
        step = jax.jit(jax.value_and_grad(jt.aam_softmax, argnums=(1, 2)))
        compiled = step.lower(*given, jax.ShapeDtypeStruct((*shape, 8), jnp.float32)).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    assert needed(4000, 10) < 2 * needed(40_000)  # of which 512 rows have a matrix of 80 MiB
    assert needed(40_000) < 16 * 2**20


@pytest.mark.parametrize("number", [2, 5, 10**6])
def test_more_nearest_classes_than_there_are_are_all_of_them(number: int, x64: None) -> None:
    rng = np.random.default_rng(0)
    labels, rows, weights = np.array([0, 1, 2]), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))

    def loss(scale: Any) -> Any:
        return jt.aam_softmax(
            labels, rows, weights, 0.2, scale, inter_top_k=number, where=np.array([True, False, True])
        )

    def by_hand(scale: Any) -> Any:
        cosine = jnp.clip(jt.l2_normalize(rows) @ jt.l2_normalize(weights).T, -1, 1)
        logits = scale * jnp.cos(jnp.arccos(cosine) + jnp.where(labels[:, None] == labels[None, :], 0.2, -0.06))
        return -jnp.mean(jnp.diag(jax.nn.log_softmax(logits))[np.array([0, 2])])

    with jax.debug_nans(True):
        found = jax.value_and_grad(loss)(1e-10)
    np.testing.assert_allclose(found, jax.value_and_grad(by_hand)(1e-10), 1e-8)


@pytest.mark.parametrize("beyond", ["linear", "monotone", "none"])
@pytest.mark.parametrize("row", [[-1.0, 0.001], [-1.0, 0.0], [1.0, 0.001]])
def test_a_margin_below_0_leads_beyond_no_half_circle(row: list[float], beyond: Any) -> None:
    loss = jt.aam_softmax(np.array([0]), np.array([row], np.float32), jnp.eye(2), -0.2, 1.0, beyond=beyond)
    angle = np.arctan2(row[1], row[0])
    assert float(loss) == pytest.approx(np.log1p(np.exp(np.sin(angle) - np.cos(angle - 0.2))), rel=1e-5)


@pytest.mark.parametrize("sizes", [(4, 0), (4, -1), (0, 4), (4, 2.5)])
def test_class_weights_of_no_size_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match=r"(width|num_classes) must be a whole number above 0"):
        losses.weighted({"aam_softmax": 1.0}).init(jax.random.key(0), *sizes)
