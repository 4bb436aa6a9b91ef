"""The losses, and the loops that judge them, are those of pytorch-metric-learning 2.9 in value and gradient."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet.losses import registry

from .peers import BATCHES, LOOPS, PEERS, Peer, recorded
from .reference.distances import unit

RECORDED = recorded()

every_batch = pytest.mark.parametrize("batch", BATCHES)


def prepared(peer: Peer, x: np.ndarray) -> np.ndarray:
    return np.apply_along_axis(unit, 1, x) if peer.unit else x


@every_batch
@pytest.mark.parametrize("name", PEERS | LOOPS)
def test_the_loop_is_the_peers_loss(name: str, batch: str) -> None:
    peer, labels, x = (PEERS | LOOPS)[name], RECORDED[f"{batch}/labels"], RECORDED[f"{batch}/x"]
    held = peer.held(prepared(peer, x), *peer.numbers)

    def loss(x: np.ndarray) -> float:
        return peer.loop(labels, prepared(peer, x), *peer.numbers, **held).reduced(peer.reduction)

    np.testing.assert_allclose(loss(x), RECORDED[f"{batch}/{name}/value"], 1e-10)
    gradient, step = RECORDED[f"{batch}/{name}/grad"], 1e-5
    for way in np.random.default_rng(1).normal(size=(3, *x.shape)):
        way = way / np.linalg.norm(way)
        near, far = (loss(x + h * way) - loss(x - h * way) for h in (step, 2 * step))
        slope = (8 * near - far) / (12 * step)  # an error of the step's fourth power
        np.testing.assert_allclose(slope, np.sum(gradient * way), 0, 1e-6 * np.linalg.norm(gradient))


@cache
def differentiated(peer: Peer) -> Any:
    def loss(x: Any, labels: Any, numbers: Any) -> Any:
        rows = x / jnp.linalg.norm(x, axis=1, keepdims=True) if peer.unit else x
        return registry.find(peer.loss)(labels, rows, *numbers, **peer.options)

    return jax.jit(jax.value_and_grad(loss))


@pytest.mark.usefixtures("x64")
@every_batch
@pytest.mark.parametrize("name", PEERS)
def test_the_loss_is_the_peers(name: str, batch: str) -> None:
    peer = PEERS[name]
    labels, x = jnp.asarray(RECORDED[f"{batch}/labels"]), jnp.asarray(RECORDED[f"{batch}/x"])
    numbers = tuple(jnp.asarray(number) for number in peer.numbers)
    loss, gradient = differentiated(peer)(x, labels, numbers)
    np.testing.assert_allclose(loss, RECORDED[f"{batch}/{name}/value"], 1e-8)
    expected = RECORDED[f"{batch}/{name}/grad"]
    np.testing.assert_allclose(gradient, expected, 0, 1e-8 * np.linalg.norm(expected))


def test_nothing_is_recorded_that_no_test_looks_at() -> None:
    of_losses = {f"{name}/{what}" for name in PEERS | LOOPS for what in ("value", "grad")}
    assert set(RECORDED) == {f"{batch}/{key}" for batch in BATCHES for key in {"labels", "x"} | of_losses}
