"""Recipes: each makes an update, and the optimizer does what its paper says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import objective_of, optimizer_of
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources.recordings import build_speech_encoder
from jaxtriplet.models import Projection
from jaxtriplet.training import Batch, create_state, make_update


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "japanese-vowels"])
def test_every_recipe_makes_an_update(recipe: str) -> None:
    """Traced, not compiled: shapes and names fit from the waveform to the optimizer."""
    config = Config.of_recipe(recipe, steps=10)
    loss_fn = objective_of(config)
    state = jax.eval_shape(lambda: create_state(build_speech_encoder(config), loss_fn, optimizer_of(config), seed=0))
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
