"""Losses over class weights, and the loops that judge them, are those of other programs in value and gradients."""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet.losses import registry

from .modes import trials
from .peers_of_classes import BATCHES, BATCHES_OF_HEADS, HEADS, PEERS, Peer, batches, said
from .reference import heads

BATCH = batches()
RECORDED = said("pytorch_metric_learning_2.9_of_classes.npz") | said("heads.npz")

every_peer = pytest.mark.parametrize("name", PEERS)
every_head = pytest.mark.parametrize("name", HEADS)
on_every_batch = pytest.mark.parametrize("batch", BATCHES)
on_batches_of_heads = pytest.mark.parametrize("batch", BATCHES_OF_HEADS)
# The cosine of a row exactly at its weight comes out below 1, at 1, and above it.
on_random_batches = trials("seed", [0, 1, 7], always=lambda seed: seed == 0, ids=str)

Loop = Callable[[np.ndarray, np.ndarray], float]


def ways(x: np.ndarray, weights: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A few ways to move rows alone, weights alone, and both."""
    rng = np.random.default_rng(1)
    for by_rows, by_weights in ((1, 0), (0, 1), (1, 1), (1, 1)):
        way = by_rows * rng.normal(size=x.shape), by_weights * rng.normal(size=weights.shape)
        length = math.hypot(*(np.linalg.norm(part) for part in way))
        yield way[0] / length, way[1] / length


def check_slopes(loop: Loop, x: np.ndarray, weights: np.ndarray, grad: Any, grad_weight: Any) -> None:
    """Asserts that a gradient is the slope of a loop, by central differences."""
    step = 2e-6

    def risen(h: float, by_rows: np.ndarray, by_weights: np.ndarray) -> float:
        return loop(x + h * by_rows, weights + h * by_weights) - loop(x - h * by_rows, weights - h * by_weights)

    for way in ways(x, weights):
        slope = (8 * risen(step, *way) - risen(2 * step, *way)) / (12 * step)
        expected = np.sum(grad * way[0]) + np.sum(grad_weight * way[1])
        np.testing.assert_allclose(slope, expected, 0, 1e-6 * np.linalg.norm(grad))


@cache
def differentiated(loss: str, options: tuple[tuple[str, Any], ...]) -> Any:
    def value(x: Any, weights: Any, labels: Any, numbers: Any, where: Any) -> Any:
        return registry.find(loss)(labels, x, weights, *numbers, where=where, **dict(options))

    return jax.jit(jax.value_and_grad(value, argnums=(0, 1)))


def found(peer: Peer, labels: np.ndarray, x: np.ndarray, weights: np.ndarray, where: np.ndarray | None = None) -> Any:
    """Value and gradients of our loss."""
    where = np.ones(len(x), bool) if where is None else where
    arrays = (jnp.asarray(x), jnp.asarray(weights), jnp.asarray(labels, jnp.int32))
    numbers = tuple(jnp.asarray(number) for number in peer.numbers)
    return jax.device_get(differentiated(peer.loss, tuple(peer.options.items()))(*arrays, numbers, jnp.asarray(where)))


def check_equal(peer: Peer, batch: str, name: str) -> None:
    """Asserts that our loss is what was recorded; straight-through gradients are not ours."""
    given, theirs = BATCH[batch], RECORDED[batch, name]
    loss, (grad, grad_weight) = found(peer, given.labels, given.x, given.weights[peer.weights])
    np.testing.assert_allclose(loss, theirs.value, 1e-8)
    if peer.slope:
        np.testing.assert_allclose(grad, theirs.grad, 0, 1e-8 * np.linalg.norm(theirs.grad))
        np.testing.assert_allclose(grad_weight, theirs.grad_weight, 0, 1e-8 * np.linalg.norm(theirs.grad_weight))


# --- the loops --------------------------------------------------------------------------------------------------------


@trials(
    ("name", "batch"),
    [(name, batch) for name in PEERS for batch in BATCHES],
    always=lambda name, batch: batch in ("b0", "c1"),  # those of unit length; loops are slow
    ids=lambda name, batch: f"{name}-{batch}",
)
def test_the_loop_is_the_peers_loss(name: str, batch: str) -> None:
    peer, given, theirs = PEERS[name], BATCH[batch], RECORDED[batch, name]
    weights = given.weights[peer.weights]

    def loop(x: np.ndarray, weights: np.ndarray) -> float:
        return peer.ours(given.labels, x, weights).reduced("mean")

    np.testing.assert_allclose(loop(given.x, weights), theirs.value, 1e-10)
    check_slopes(loop, given.x, weights, theirs.grad, theirs.grad_weight)


@on_batches_of_heads
@every_head
def test_the_loop_of_a_head_is_its_program(name: str, batch: str) -> None:
    peer, given, theirs = HEADS[name], BATCH[batch], RECORDED[batch, name]
    weights = given.weights[peer.weights]

    def loop(x: np.ndarray, weights: np.ndarray) -> float:
        return peer.theirs(given.labels, x, weights, *peer.numbers)

    np.testing.assert_allclose(loop(given.x, weights), theirs.value, 1e-10)
    np.testing.assert_allclose(peer.ours(given.labels, given.x, weights).reduced("mean"), theirs.value, 1e-10)
    if peer.slope:
        check_slopes(loop, given.x, weights, theirs.grad, theirs.grad_weight)
    else:
        grad, grad_weight = heads.insightface_arc_face_gradient(given.labels, given.x, weights, *peer.numbers)
        np.testing.assert_allclose(theirs.grad, grad, 0, 1e-10 * np.linalg.norm(grad))
        np.testing.assert_allclose(theirs.grad_weight, grad_weight, 0, 1e-10 * np.linalg.norm(grad_weight))


@pytest.mark.parametrize("batch", ["c0", "c1", "c2"])
def test_a_batch_of_ours_has_what_was_asked_of_it(batch: str) -> None:
    given = BATCH[batch]
    angles = [heads.cosines(row, given.weights["w"])[label] for label, row in zip(given.labels, given.x, strict=True)]
    assert math.acos(angles[0]) + 0.2 > math.pi
    assert math.acos(angles[1]) + 0.2 < math.pi < math.acos(angles[1]) + 0.5
    assert math.acos(angles[2]) < 0.011
    counts = np.bincount(given.labels, minlength=len(given.weights["w"]))
    assert counts.min() == 0
    assert 1 in counts
    assert counts.max() > 2


# --- the losses -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@on_every_batch
@every_peer
def test_the_loss_is_the_peers(name: str, batch: str) -> None:
    check_equal(PEERS[name], batch, name)


@pytest.mark.usefixtures("x64")
@on_batches_of_heads
@every_head
def test_the_loss_is_the_head_of_the_program(name: str, batch: str) -> None:
    check_equal(HEADS[name], batch, name)


def random_batch(seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Ragged labels, lone classes, rows that are all but opposite to their weight; the last is exactly at its own."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.choice(7, size=13, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.0]), 5)
    centres = rng.normal(size=(7, 3, 6)) * rng.uniform(0.3, 2.0, (7, 3, 1))
    centres[labels[0]] = centres[labels[0], 0] + 0.01 * rng.normal(size=(3, 6))
    weights = {"w": centres[:, 0].copy(), "w3": centres}
    x = weights["w"][labels] * rng.uniform(0.0, 1.5, (14, 1)) + rng.normal(size=(14, 6))
    x[0] = -1.3 * weights["w"][labels[0]] + 0.01 * rng.normal(size=6)
    x[1] = -0.8 * weights["w"][labels[1]] + 0.2 * rng.normal(size=6)
    x[-1] = 2.0 * weights["w"][labels[-1]]
    return labels, x, weights


@pytest.mark.usefixtures("x64")
@on_random_batches
@every_head
def test_the_loss_is_the_head_on_random_batches(name: str, seed: int) -> None:
    peer, (labels, x, of_all) = HEADS[name], random_batch(seed)
    weights, where = of_all[peer.weights], np.arange(len(x)) < len(x) - 1

    def loop(x: np.ndarray, weights: np.ndarray) -> float:
        return peer.theirs(labels[where], x[where], weights, *peer.numbers)

    loss, gradients = found(peer, labels, x, weights, where)
    np.testing.assert_allclose(loss, loop(x, weights), 1e-8)
    check_slopes(loop, x, weights, *gradients)


@pytest.mark.usefixtures("x64")
@on_random_batches
@every_head
def test_a_row_exactly_at_its_weight_has_a_value_and_a_gradient(name: str, seed: int) -> None:
    # There the angle has a kink, as a length has at 0: no slope of its own, and the originals' gradient is NaN.
    peer, (labels, x, of_all) = HEADS[name], random_batch(seed)
    weights = of_all[peer.weights]

    def loop(x: np.ndarray, weights: np.ndarray) -> float:
        return peer.ours(labels, x, weights).reduced("mean")

    loss, gradients = found(peer, labels, x, weights)
    # speechbrain stops 1e-7 short of a cosine of 1.
    clipped = 30 * math.sqrt(2e-7) / len(x) if name.startswith("speechbrain_aam") else 0.0
    np.testing.assert_allclose(loss, peer.theirs(labels, x, weights, *peer.numbers), 1e-8, clipped)
    np.testing.assert_allclose(loss, loop(x, weights), 1e-8)
    check_slopes(loop, x, weights, *gradients)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_the_straight_through_gradient_is_that_of_a_margin_on_the_cosine(margin: float) -> None:
    # insightface's, of one row of each class: as of `am_softmax` with what the margin takes off each cosine.
    given = BATCH["c0"]
    weights = given.weights["w"]
    rows = [int(np.flatnonzero(given.labels == label)[0]) for label in np.unique(given.labels)]
    labels, x = given.labels[rows], given.x[rows]
    off = np.zeros(len(weights))
    for label, row in zip(labels, x, strict=True):
        cosine = heads.cosines(row, weights)[label]
        off[label] = cosine - math.cos(math.acos(cosine) + margin)
    loss, (grad, grad_weight) = found(
        Peer("am_softmax", (off, 30.0)), given.labels, given.x, weights, np.isin(np.arange(len(given.x)), rows)
    )
    np.testing.assert_allclose(loss, heads.insightface_arc_face(labels, x, weights, margin, 30.0), 1e-10)
    by_rows, by_weights = heads.insightface_arc_face_gradient(labels, x, weights, margin, 30.0)
    np.testing.assert_allclose(grad[rows], by_rows, 0, 1e-10 * np.linalg.norm(by_rows))
    np.testing.assert_allclose(grad_weight, by_weights, 0, 1e-10 * np.linalg.norm(by_weights))


def test_nothing_is_recorded_that_no_test_looks_at() -> None:
    of_peers = {(batch, name) for batch in BATCHES for name in PEERS}
    assert set(RECORDED) == of_peers | {(batch, name) for batch in BATCHES_OF_HEADS for name in HEADS}
