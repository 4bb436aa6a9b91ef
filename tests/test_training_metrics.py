"""Metrics of a batch: against loops, merged, and over devices in each of JAX's ways equal to one device."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

from jaxtriplet import distances, metrics as judged, parallel
from jaxtriplet.engine import ranks, tiles, tuning
from jaxtriplet.training import metrics

from .modes import trials
from .platforms import PLATFORMS
from .reference import retrieval as reference

ROWS, DIM, DEVICES, K = 16, 3, 8, 3
LABELS = np.array([3, 0, 3, 1, 9, 9, 3, 0, 7, 9, 3, 0, 9, 9, 3, 5], np.int32)
# One device (rows 4 and 5) holds nothing but padding.
WHERE = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)


def grid(seed: int) -> np.ndarray:
    """Rows of few whole numbers, whose squared distances are exact and often tied."""
    return np.random.default_rng(seed).integers(-2, 3, (ROWS, DIM)).astype(np.float32)


def expected(labels: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Recall and R-precision by their definitions, over every order of ties."""
    apart = ((rows[:, None].astype(np.float64) - rows) ** 2).sum(2)
    alike = reference.without_themselves(labels[:, None] == labels)
    found = reference.figures(reference.without_themselves(apart), alike, [K], 1)
    return found[f"recall_at_{K}"], found["r_precision"]


def by_hand(x: jax.Array, y: jax.Array) -> jax.Array:
    """Squared distances that are exact of whole numbers, since no mean is taken off."""
    return jnp.sum((x[:, None] - y[None, :]) ** 2, axis=2)


def all_of(labels: Any, rows: Any, where: Any, axis_name: Any = None) -> Any:
    """The three metrics of a batch."""
    given: dict[str, Any] = {"where": where, "axis_name": axis_name}
    return (
        metrics.RecallAtK.from_model_output(labels, rows, k=K, distance_fn=by_hand, **given),
        metrics.RPrecision.from_model_output(labels, rows, distance_fn=by_hand, **given),
        metrics.EqualErrorRate.from_model_output(labels, rows, **given),
    )


one_device = jax.jit(all_of)


def values_of(found: Any) -> list[float]:
    return [float(one.compute()) for one in found]


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_loops_over_every_order_of_ties(seed: int) -> None:
    rows = grid(seed)
    where = WHERE if seed % 2 else np.ones(ROWS, bool)
    padded = np.where(where[:, None], rows, np.nan).astype(np.float32)
    recall, precision, rate = one_device(LABELS, padded, where)
    truth = expected(LABELS[where], rows[where])
    np.testing.assert_allclose([recall.compute(), precision.compute()], truth, 1e-6)
    exact = judged.equal_error_rate(*judged.pair_scores(rows[where].astype(np.float64), LABELS[where]))
    estimate = rate.estimate()
    assert abs(exact - estimate.rate) <= estimate.error + 1e-6


@pytest.mark.usefixtures("x64")
def test_doubles_are_told_apart_with_x64() -> None:
    rows = np.concatenate([[1], 1 + 1e-12 * np.array([1, 3, 7])])[:, None]
    labels = np.array([0, 0, 1, 1])
    assert metrics.r_precision(labels, rows, distance_fn=by_hand) == 0.75
    assert metrics.recall_at_k(labels, rows, distance_fn=by_hand) == 0.75


def test_a_collapsed_encoder_finds_what_chance_finds() -> None:
    labels = np.repeat(np.arange(8), 3).astype(np.int32)
    rows = np.tile(np.random.default_rng(0).normal(size=DIM).astype(np.float32), (24, 1))
    assert float(metrics.recall_at_k(labels, rows, k=2)) == pytest.approx(1 - 21 / 23 * 20 / 22, abs=1e-6)
    assert float(metrics.r_precision(labels, rows)) == pytest.approx(2 / 23, abs=1e-6)
    found = metrics.equal_error_rate(labels, rows)
    assert (float(found.rate), float(found.error)) == pytest.approx((0.5, 0.5))


# --- the error of the histogram ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 2, 7, 100])
def test_the_exact_rate_is_within_the_bound(bins: int) -> None:
    estimate = jax.jit(lambda scores, same: of_scores(scores, same, bins=bins).estimate())
    for seed in range(10):
        rng = np.random.default_rng(seed)
        same = rng.random(80) < 0.3
        scores = (rng.normal(size=80) * 0.3 + 0.4 * same).astype(np.float32).round(seed % 3 + 1)
        exact = judged.equal_error_rate(scores, same)
        rate, error = estimate(scores, same)
        assert abs(exact - rate) <= error + 1e-6
        assert error <= 0.5 + 1e-6 if bins == 1 else error < 0.5


of_scores = metrics.EqualErrorRate.from_scores


def test_scores_that_fall_on_bins_have_their_exact_rate() -> None:
    rng = np.random.default_rng(1)
    same = rng.random(400) < 0.3
    scores = np.clip((rng.normal(size=400) * 3 + 4 * same).round() + 10, 0, 19)
    within = rng.random(400) < 0.8
    found = of_scores(scores.astype(np.float32) + 0.5, same, low=0, high=20, bins=20, where=within).estimate()
    exact = judged.equal_error_rate(scores[within], same[within])
    assert float(found.rate) == pytest.approx(exact, abs=1e-6)
    apart = of_scores(jnp.array([0.9, 0.8, 0.1]), jnp.array([True, True, False])).estimate()
    assert [float(one) for one in apart] == [0, 0]


def test_counts_lose_no_unit() -> None:
    most = jnp.array([2**31 - 1, 5, 2**20], jnp.int32)
    one = ranks.Wide.of(most)
    many = one.plus(one).plus(one)
    assert (np.asarray(many.high, np.int64) * 2**20 + np.asarray(many.low)).tolist() == [3 * (2**31 - 1), 15, 3 * 2**20]
    stacked = jax.tree.map(lambda part: jnp.broadcast_to(part, (2000, 3)), one).total()
    exact = [2000 * (2**31 - 1), 10000, 2000 * 2**20]
    assert (np.asarray(stacked.high, np.int64) * 2**20 + np.asarray(stacked.low)).tolist() == exact


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_nth_smallest_is_that_of_a_sort(dtype: Any) -> None:
    x = np.random.default_rng(4).normal(size=(9, 4)).round(1).astype(dtype)
    x[:4, 0], x[:2, 1], x[:, 2] = [0.0, -0.0, np.inf, -np.inf], np.finfo(dtype).tiny, -1.5
    for number in (1, 4, 9):
        keys = ranks._ordered(jnp.asarray(x))
        found = ranks._smallest(keys, jnp.full(4, number, jnp.int32))
        assert (found == ranks._ordered(jnp.asarray(np.sort(x, axis=0)[number - 1]))).all()
        np.testing.assert_array_equal(keys < found[None], x < np.sort(x, axis=0)[number - 1])


def test_all_pairs_are_counted_tile_by_tile() -> None:
    rng, rows = np.random.default_rng(3), 300  # 3 tiles, the last of them not full
    labels, x = rng.integers(0, 9, rows).astype(np.int32), rng.normal(size=(rows, 8)).astype(np.float32)
    same = labels[:, None] == labels
    found = metrics.EqualErrorRate.from_model_output(labels, x, bins=50)
    pairs = [int(np.sum(~same)), int(np.sum(same)) - rows]
    assert np.asarray(found.counts.low).sum(1).tolist() == pairs
    exact = judged.equal_error_rate(*judged.pair_scores(x, labels))
    assert abs(exact - found.estimate().rate) <= found.estimate().error + 1e-6
    given = judged.retrieval(x, labels, k=1, ndcg_at=1)
    assert float(metrics.recall_at_k(labels, x)) == pytest.approx(given.recall_at[1], abs=1e-6)
    assert float(metrics.r_precision(labels, x)) == pytest.approx(given.r_precision, abs=1e-6)


# --- devices ----------------------------------------------------------------------------------------------------------


def per_device(mapped: Callable[[Any], Any]) -> Callable[..., Any]:
    def joined(*batch: Any) -> Any:
        found = mapped(partial(all_of, axis_name="data"))(*(x.reshape(DEVICES, -1, *x.shape[1:]) for x in batch))
        for leaf in jax.tree.leaves(found):
            for copy in np.asarray(leaf)[1:]:
                np.testing.assert_array_equal(copy, np.asarray(leaf)[0], "devices disagree")
        return jax.tree.map(lambda leaf: leaf[0], found)

    return joined


def sharded(axis_name: Any, *, check_vma: bool) -> Callable[..., Any]:
    shape = (DEVICES,) if isinstance(axis_name, str) else (2, DEVICES // 2)
    mesh = Mesh(np.array(jax.devices()[:DEVICES]).reshape(shape), axis_name)
    step = partial(all_of, axis_name=axis_name)
    return jax.jit(jax.shard_map(step, mesh=mesh, in_specs=P(axis_name), out_specs=P(), check_vma=check_vma))


WAYS = {
    "shard_map": sharded("data", check_vma=True),
    "shard_map-unchecked-2x4": sharded(("hosts", "cores"), check_vma=False),
    "pmap": per_device(lambda step: jax.pmap(step, axis_name="data")),
    "vmap": per_device(lambda step: jax.jit(jax.vmap(step, axis_name="data"))),
}


@trials("way", WAYS, always=lambda way: way != "shard_map-unchecked-2x4")
def test_over_devices_they_are_those_of_one(way: str) -> None:
    for seed, where in ((1, WHERE), (2, np.ones(ROWS, bool))):
        found, alone = WAYS[way](LABELS, grid(seed), where), one_device(LABELS, grid(seed), where)
        np.testing.assert_allclose(values_of(found), values_of(alone), 1e-6)
        assert [int(one.count) for one in found[:2]] == [int(one.count) for one in alone[:2]]
        np.testing.assert_array_equal(found[2].counts.low, alone[2].counts.low)


def test_tiles_are_looped_over_on_each_device() -> None:
    rng, mesh = np.random.default_rng(6), Mesh(np.array(jax.devices()[:2]), "data")
    labels, x = rng.integers(0, 9, 400).astype(np.int32), rng.normal(size=(400, DIM)).astype(np.float32)
    step = jax.shard_map(partial(all_of, axis_name="data"), mesh=mesh, in_specs=P("data"), out_specs=P())
    given = labels, x, x[:, 0] > -1
    np.testing.assert_allclose(values_of(jax.jit(step)(*given)), values_of(one_device(*given)), 1e-6)


def test_a_nan_on_one_device_is_everybodys() -> None:
    spoilt = grid(2)
    spoilt[7, 1] = np.nan
    for way in (one_device, WAYS["shard_map"]):
        assert np.isnan(values_of(way(LABELS, spoilt, np.ones(ROWS, bool)))).all()


def test_in_the_global_view_a_mesh_shares_the_work() -> None:
    found = jax.jit(parallel.sharded(metrics.r_precision, parallel.data_mesh()))(LABELS, grid(4), where=WHERE)
    assert float(found) == pytest.approx(float(metrics.r_precision(LABELS, grid(4), where=WHERE)), abs=1e-6)


# --- merging ----------------------------------------------------------------------------------------------------------


def test_batches_are_merged_in_a_loop_a_scan_and_by_reduce() -> None:
    batches = [(LABELS, grid(seed), np.roll(WHERE, seed)) for seed in range(3)]
    each = [one_device(*batch) for batch in batches]
    empty = metrics.RecallAtK.empty(k=K), metrics.RPrecision.empty(), metrics.EqualErrorRate.empty()
    merged = empty
    for found in each:
        merged = tuple(one.merge(other) for one, other in zip(merged, found, strict=True))
    whole = [(float(one.compute()) * int(one.count)) for found in each for one in found[:2]]
    counts = [int(one.count) for found in each for one in found[:2]]
    means = [sum(whole[at::2]) / sum(counts[at::2]) for at in (0, 1)]
    np.testing.assert_allclose(values_of(merged)[:2], means, 1e-6)

    @jax.jit
    def scanned(batches: Any) -> Any:
        def step(so_far: Any, batch: Any) -> Any:
            return tuple(one.merge(more) for one, more in zip(so_far, all_of(*batch), strict=True)), None

        return jax.lax.scan(step, empty, batches)[0]

    stacked = jax.tree.map(lambda *parts: np.stack(parts), *batches)
    np.testing.assert_allclose(values_of(scanned(stacked)), values_of(merged), 1e-6)
    reduced = [one.reduce() for one in jax.tree.map(lambda *parts: jnp.stack(parts), *each)]
    np.testing.assert_allclose(values_of(reduced), values_of(merged), 1e-6)
    nothing = one_device(LABELS, grid(0), np.zeros(ROWS, bool))
    for one, other, more in zip(merged, nothing, empty, strict=True):
        assert np.isnan(other.compute())
        assert np.isnan(more.compute())
        assert float(one.merge(other).compute()) == float(one.compute())


X = np.eye(4, 3, dtype=np.float32)
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "k of 0": (lambda: metrics.recall_at_k(LABELS[:4], X, k=0), "k must be a whole number above 0; got 0"),
    "k of all": (lambda: metrics.recall_at_k(LABELS[:4], X, k=4), "k=4 of the 3 other rows of a batch"),
    "labels": (lambda: metrics.r_precision(LABELS, X), "labels and embeddings must have as many rows"),
    "where": (lambda: metrics.r_precision(LABELS[:4], X, where=np.ones(4)), "where must be bool of shape [4]"),
    "distance": (lambda: metrics.r_precision(LABELS[:4], X, distance_fn="l2"), "distance_fn must be a function"),
    "bins": (lambda: metrics.equal_error_rate(LABELS[:4], X, bins=0), "bins must be a whole number above 0"),
    "truth": (lambda: of_scores(X[0], np.ones(3)), "same booleans of that shape; got float32 of shape [3] and float"),
    "scores": (lambda: of_scores(X, X > 0), "scores must be floats of shape [T]"),
    "range": (lambda: of_scores(X[0], X[0] > 0, low=1.0), "low must be below high; got 1.0 and 1.0"),
    "two k": (
        lambda: metrics.RecallAtK.empty(k=1).merge(metrics.RecallAtK.empty(k=2)),
        "RecallAtK(k=1, arrays of [[], []])",
    ),
    "two kinds": (
        lambda: metrics.RPrecision.empty().merge(metrics.RecallAtK.empty()),
        "metrics of one kind, with the same settings",
    ),
    "two sizes": (
        lambda: metrics.EqualErrorRate.empty(bins=3).merge(metrics.EqualErrorRate.empty(bins=4)),
        "are merged; got EqualErrorRate(low=-1.0, high=1.0, arrays of [[2, 4], [2, 4]])",
    ),
    "two ranges": (
        lambda: metrics.EqualErrorRate.empty().merge(of_scores(X[0], X[0] > 0, high=2.0)),
        "EqualErrorRate(low=-1.0, high=2.0,",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    call, says = BAD[name]
    with pytest.raises(ValueError, match=re.escape(says)):
        call()


def test_half_precision_is_computed_in_float32() -> None:
    rows = np.random.default_rng(5).normal(size=(ROWS, DIM)).astype(np.float16)
    for distance_fn in (distances.cosine, distances.euclidean):
        ours = metrics.r_precision(LABELS, rows, distance_fn=distance_fn)
        assert ours.dtype == jnp.float32
        assert float(ours) == float(metrics.r_precision(LABELS, rows.astype(np.float32), distance_fn=distance_fn))


# The last, since it forgets what is compiled.
def test_tiles_of_another_platform_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, rows = np.random.default_rng(3), 290
    labels, x = rng.integers(0, 9, rows).astype(np.int32), rng.normal(size=(rows, DIM)).astype(np.float32)
    alone = values_of(all_of(labels, x, None))
    jax.clear_caches()
    monkeypatch.setattr(tuning, "TUNING", PLATFORMS | {"cpu": PLATFORMS["cuda"]})
    assert tiles.cut(rows, None, PLATFORMS["cuda"].mined.anchors(rows, tiles.KEEPS))[0] == 1
    np.testing.assert_allclose(values_of(all_of(labels, x, None)), alone, 1e-6)
    jax.clear_caches()
    monkeypatch.setattr(tuning, "TUNING", PLATFORMS)
    jax.jit(all_of).trace(labels, x, None).lower(lowering_platforms=("cpu", "cuda", "tpu"))
    jax.clear_caches()
