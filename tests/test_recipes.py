"""Recipes: each makes an update, and the optimizer does what its paper says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import objective_of, optimizer_of
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.schedules import rate_of
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.models import Projection
from jaxtriplet.training import Batch, create_state, make_update


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "japanese-vowels"])
def test_every_recipe_makes_an_update(recipe: str) -> None:
    """Traced, not compiled: shapes and names fit from the waveform to the optimizer."""
    config = Config.of_recipe(recipe, steps=10)
    loss_fn, optimizer = objective_of(config), optimizer_of(config)
    sizes = {"width": config.encoder.embedding_dim, "num_classes": 9}
    state = jax.eval_shape(lambda: create_state(build_speech_encoder(config), loss_fn, optimizer, seed=0, **sizes))
    batch = Batch(jnp.zeros((6, 16000)), jnp.array([0, 0, 1, 1, 2, 2]), jnp.full(6, 16000))
    after, metrics = jax.eval_shape(make_update(loss_fn), state, batch)
    assert metrics.loss.shape == ()
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)


def test_ge2e_scales_gradients_as_its_paper_does() -> None:
    config = Config.of_recipe("ge2e", halve_every=2)
    optimizer = optimizer_of(config)
    params = {
        "encoder": {"recurrent": {0: {"projection": Projection(jnp.ones(1)), "input": nnx.Param(jnp.ones(1))}}},
        "loss": {"ge2e": {"scale": jnp.ones(())}},
    }
    state = optimizer.init(params)
    small = jax.tree.map(lambda one: jnp.full_like(one, 0.1), params)  # not clipped
    steps = []
    for _ in range(3):
        changes, state = optimizer.update(small, state, params)
        steps.append([float(jnp.squeeze(one)) for one in jax.tree.leaves(changes)])
    plain = -0.01 * 0.1
    np.testing.assert_allclose(steps[0], [plain, 0.5 * plain, 0.01 * plain], rtol=1e-6)
    np.testing.assert_allclose(steps[2], 0.5 * np.array(steps[0]), rtol=1e-6)
    large = jax.tree.map(lambda one: jnp.full_like(one, 100.0), params)
    changes, _ = optimizer.update(large, optimizer.init(params), params)
    np.testing.assert_allclose(
        jnp.squeeze(changes["encoder"]["recurrent"][0]["input"]), -0.01 * 3 / np.sqrt(3), rtol=1e-6
    )
    assert optax.tree.norm(changes) < 0.01 * 3


def test_class_weights_have_a_rate_and_a_decay_of_their_own_under_sgd_too() -> None:
    params = {"encoder": {"kernel": jnp.ones(2)}, "loss": {"softmax": {"weights": jnp.ones((2, 2))}}}
    small = jax.tree.map(lambda one: jnp.full_like(one, 0.1), params)  # not clipped
    config = Config.of_recipe("ge2e", loss="aam-softmax", learning_rate=0.5, class_rate=3.0, class_decay=0.2)
    optimizer = optimizer_of(config)
    changes, _ = optimizer.update(small, optimizer.init(params), params)
    np.testing.assert_allclose(changes["encoder"]["kernel"], np.full(2, -0.5 * 0.1), 1e-6)
    np.testing.assert_allclose(changes["loss"]["softmax"]["weights"], np.full((2, 2), -0.5 * 3 * (0.1 + 0.2)), 1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_updates_that_fine_tune_have_a_rate_of_their_own(optimizer: str) -> None:
    numbers: dict[str, Any] = {"optimizer": optimizer, "learning_rate": 0.1, "warmup": 2, "halve_every": 6}
    plain = rate_of(Config.of_recipe("best", steps=20, **numbers))
    rate = jax.jit(rate_of(Config.of_recipe("best", steps=28, fine_tune=8, fine_tune_rate=0.03, **numbers)))
    np.testing.assert_allclose([rate(step) for step in range(20)], [plain(step) for step in range(20)], 1e-6)
    falling = [0.03 * (1 + np.cos(np.pi * step / 8)) / 2 for step in range(8)]
    np.testing.assert_allclose(
        [rate(step) for step in range(20, 28)], falling, 1e-6, 1e-8
    )  # of float32, 1 + cos is near 0
    assert float(rate_of(Config.of_recipe("best", steps=28, fine_tune=8, **numbers))(20)) == pytest.approx(0.001)
