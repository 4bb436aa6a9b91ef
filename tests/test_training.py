"""The compiled update: one trace, donated, sums of losses, and the same run on one device and on eight."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtriplet import losses
from jaxtriplet.models import BLSTM, embed
from jaxtriplet.speech.features import augment
from jaxtriplet.training import Batch, TrainState, create_state, make_optimizer, make_update, trained_model

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("training")

ROWS, FRAMES, FEATURES, DEVICES = 16, 6, 3, 8


def encoder(num_outputs: int | None = None) -> BLSTM:
    return BLSTM(FEATURES, hidden=4, layers=1, dense=(5,), embedding_dim=4, num_outputs=num_outputs, rngs=nnx.Rngs(0))


def batch(step: int) -> Batch:
    rng = np.random.default_rng(step)
    speakers = np.repeat(np.arange(4, dtype=np.int32), 4)
    features = rng.normal(speakers[:, None, None], 1, (ROWS, FRAMES, FEATURES)).astype(np.float32)
    # Ragged in time, and the last row is padding.
    return Batch(features, speakers, rng.integers(2, FRAMES + 1, ROWS, np.int32), np.arange(ROWS) < ROWS - 1)


def both() -> losses.Weighted:
    # Contrast: the gradient of the bias is rounding alone in the softmax loss, and Adam would make steps of it.
    return losses.weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.5}, ge2e={"method": "contrast"})


def fresh(loss_fn: Any, *, rate: float = 1e-2, seed: int = 0, **model: Any) -> TrainState:
    return create_state(encoder(**model), loss_fn, make_optimizer(rate), seed=seed)


def vector(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.fixture(scope="module")
def run() -> tuple[list[Any], TrainState]:
    """Eight steps of a sum of losses, with dropout and augmentation, on one device."""
    update = make_update(both(), augment_fn=augment)
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(update.__wrapped__, 1), donate_argnums=0)
    state, seen = fresh(both()), []
    for step in range(8):
        state, metrics = update(state, batch(step))
        seen.append(jax.device_get(metrics))
    return seen, state


def test_one_trace_serves_all_steps_and_reports_loss_gradient_norm_and_stats(run: Any) -> None:
    seen, state = run
    assert int(state.step) == 8
    assert all(np.isfinite(metrics.loss) and metrics.gradient_norm > 0 for metrics in seen)
    assert seen[0].stats["semi_hard"].num_valid == 3 * 12 + 3 * 2  # three full speakers, one with a row of padding
    assert seen[0].stats["ge2e"].num_valid == ROWS - 1


def test_ge2es_scale_and_bias_are_trained_along(run: Any) -> None:
    _, state = run
    numbers = jax.device_get(state.params["loss"]["ge2e"])
    assert abs(numbers["scale"] - 10) > 1e-3
    assert abs(numbers["bias"] + 5) > 1e-3


def test_the_state_is_donated() -> None:
    update, state = make_update(both()), fresh(both())
    update(state, batch(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params["encoder"]))


def test_eight_devices_train_as_one_dropout_and_augmentation_included(run: Any) -> None:
    seen, alone = run
    update = make_update(both(), augment_fn=augment, axis_name="batch")
    mapped = jax.pmap(update, axis_name="batch", donate_argnums=0)
    state = _replicated(fresh(both()))
    for step, expected in enumerate(seen):
        shares = jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), batch(step))
        state, metrics = mapped(state, shares)
        np.testing.assert_allclose(metrics.loss, np.full(DEVICES, expected.loss), rtol=1e-5)
        np.testing.assert_allclose(metrics.gradient_norm[0], expected.gradient_norm, rtol=1e-4)
    one = jax.tree.map(lambda leaf: leaf[0], (state.params, state.average))
    # Adam divides by the root of a mean square: where a gradient is near nothing, rounding shows in its direction.
    np.testing.assert_allclose(vector(one), vector((alone.params, alone.average)), atol=2e-4)


def _replicated(state: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * DEVICES), state)


def test_the_same_seed_gives_the_same_run_and_another_a_different_one(run: Any) -> None:
    seen, _ = run
    update = make_update(both(), augment_fn=augment)
    again, other = fresh(both()), fresh(both(), seed=1)
    assert update(again, batch(0))[1].loss == seen[0].loss
    assert update(other, batch(0))[1].loss != seen[0].loss


def test_training_lowers_the_loss_and_the_average_follows() -> None:
    loss_fn = losses.weighted({"batch_hard": 1.0}, batch_hard={"margin": 0.5})
    update, state = make_update(loss_fn, average_decay=0.5), fresh(loss_fn, rate=2e-2)
    losses_seen = []
    for step in range(60):
        state, metrics = update(state, batch(step))
        losses_seen.append(float(metrics.loss))
    assert np.mean(losses_seen[-5:]) < 0.7 * np.mean(losses_seen[:5])
    scored = embed(trained_model(state), batch(0).inputs, batch(0).lengths, batch_size=ROWS)
    np.testing.assert_allclose(np.linalg.norm(scored, axis=1), 1, rtol=1e-5)
    apart = vector(state.average) - vector(state.params["encoder"])
    assert 0 < np.abs(apart).max() < 0.1


def test_a_model_of_logits_trains_with_the_divergence() -> None:
    loss_fn = losses.weighted({"kl_hinge": 1.0})
    update, state = make_update(loss_fn), fresh(loss_fn, num_outputs=6)
    first = float(update(fresh(loss_fn, num_outputs=6), batch(0))[1].loss)
    for _ in range(30):
        state, metrics = update(state, batch(0))
    assert float(metrics.loss) < first


def test_a_large_gradient_is_clipped_but_reported_whole() -> None:
    loss_fn = losses.weighted({"ge2e": 1e4})
    update, state = make_update(loss_fn), create_state(encoder(), loss_fn, make_optimizer(1e-3, clip_norm=1.0), seed=0)
    state, metrics = update(state, batch(0))
    assert metrics.gradient_norm > 1e3
    # Adam's first mean is a tenth of the gradient that reached it.
    means = [mean for _, mean in optax.tree.get_all_with_path(state.opt_state, "mu")]
    np.testing.assert_allclose(np.linalg.norm(vector(means)), 0.1, rtol=1e-4)


def test_any_function_of_the_form_is_a_loss() -> None:
    class Spread:
        def init(self, key: Any, width: Any = None, num_classes: Any = None) -> dict[str, jax.Array]:
            return {}

        def __call__(
            self, params: Any, labels: Any, embeddings: Any, *, where: Any = None, axis_name: Any = None
        ) -> Any:
            del params, labels, where, axis_name
            return jnp.mean(jnp.square(embeddings - jnp.mean(embeddings, axis=0, keepdims=True))), {}

    update, state = make_update(Spread()), fresh(Spread())
    _, metrics = update(state, batch(0))
    assert metrics.stats == {}
    assert np.isfinite(metrics.loss)


def test_the_update_knows_no_speech(run: Any) -> None:
    del run

    class Linear(nnx.Module):
        def __init__(self) -> None:
            self.layer = nnx.Linear(FEATURES, 4, rngs=nnx.Rngs(0))

        def __call__(self, features: jax.Array, lengths: jax.Array, *, keys: jax.Array | None = None) -> jax.Array:
            del lengths, keys
            return jnp.mean(self.layer(features), axis=1)

    loss_fn = losses.weighted({"batch_all": 1.0})
    state = create_state(Linear(), loss_fn, make_optimizer(1e-2), seed=0)
    _, metrics = make_update(loss_fn)(state, batch(0))
    assert np.isfinite(metrics.loss)


def test_partial_options_reach_the_augmentation() -> None:
    loss_fn = losses.weighted({"batch_all": 1.0})
    still = partial(augment, noise=0.0, offset=0.0, crop=0.0, warp=0.0)
    outcomes = [
        make_update(loss_fn, augment_fn=fn)(fresh(loss_fn, rate=1e-2), batch(0))[1].loss
        for fn in (still, None, augment)
    ]
    np.testing.assert_allclose(outcomes[0], outcomes[1], rtol=1e-5)
    assert abs(outcomes[2] - outcomes[1]) > 1e-4
