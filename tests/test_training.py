"""The compiled update: one trace, donated, sums of losses, and the same run on one device and on eight."""

import math
from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtriplet import batch_all, losses, parallel
from jaxtriplet.models import BLSTM, embed
from jaxtriplet.speech.features import augment
from jaxtriplet.training import (
    Batch,
    TrainState,
    create_state,
    kinds,
    make_optimizer,
    make_update,
    margin_schedule,
    trained_model,
)

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


def _shares(examples: Batch) -> Batch:
    return jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), examples)


def both() -> losses.Weighted:
    # Contrast: the gradient of the bias is rounding alone in the softmax loss, and Adam would make steps of it.
    return losses.weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.5}, ge2e={"method": "contrast"})


# States are of one kind, and share what is compiled, if their optimizers are one and the same.
one_optimizer = cache(make_optimizer)


def fresh(loss_fn: Any, *, rate: float = 1e-2, seed: int = 0, **model: Any) -> TrainState:
    return create_state(encoder(**model), loss_fn, one_optimizer(rate), seed=seed)


@cache
def of_one_trace() -> Any:
    """The update with dropout and augmentation, for which one trace must do."""
    update = make_update(both(), augment_fn=augment)
    return jax.jit(chex.assert_max_traces(update.__wrapped__, 1), donate_argnums=0)


def vector(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.fixture(scope="module")
def run() -> tuple[list[Any], TrainState]:
    """Eight steps of a sum of losses, with dropout and augmentation, on one device."""
    chex.clear_trace_counter()  # another test may have cleared what was compiled since the last time
    state, seen = fresh(both()), []
    for step in range(8):
        state, metrics = of_one_trace()(state, batch(step))
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
        state, metrics = mapped(state, _shares(batch(step)))
        np.testing.assert_allclose(metrics.loss, np.full(DEVICES, expected.loss), rtol=1e-5)
        np.testing.assert_allclose(metrics.gradient_norm[0], expected.gradient_norm, rtol=1e-4)
    one = jax.tree.map(lambda leaf: leaf[0], (state.params, state.average))
    # Adam divides by the root of a mean square: where a gradient is near nothing, rounding shows in its direction.
    np.testing.assert_allclose(vector(one), vector((alone.params, alone.average)), atol=2e-4)


def _replicated(state: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * DEVICES), state)


def test_the_same_seed_gives_the_same_run_and_another_a_different_one(run: Any) -> None:
    seen, _ = run
    update, again, other = of_one_trace(), fresh(both()), fresh(both(), seed=1)
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


@pytest.mark.exhaustive  # three encoders to compile
def test_partial_options_reach_the_augmentation() -> None:
    loss_fn = losses.weighted({"batch_all": 1.0})
    still = partial(augment, noise=0.0, offset=0.0, crop=0.0, warp=0.0)
    outcomes = [
        make_update(loss_fn, augment_fn=fn)(fresh(loss_fn, rate=1e-2), batch(0))[1].loss
        for fn in (still, None, augment)
    ]
    np.testing.assert_allclose(outcomes[0], outcomes[1], rtol=1e-5)
    assert abs(outcomes[2] - outcomes[1]) > 1e-4


# --- any model --------------------------------------------------------------------------------------------------------

PIXELS, WORDS = 5, 11


class OfImages(nnx.Module):
    """A model as anyone writes it: no keys, no lengths."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.convolution = nnx.Conv(1, 3, (3, 3), rngs=rngs)
        self.layer = nnx.Linear(3, 4, use_bias=False, rngs=rngs)  # a bias moves no distance

    def __call__(self, images: jax.Array) -> jax.Array:
        return self.layer(jnp.mean(jax.nn.relu(self.convolution(images)), axis=(1, 2)))


def images(step: int) -> Batch:
    rng = np.random.default_rng(step)
    labels = np.repeat(np.arange(4, dtype=np.int32), 4)
    pixels = rng.normal(labels[:, None, None, None], 1, (ROWS, PIXELS, PIXELS, 1)).astype(np.float32)
    return Batch(pixels, labels)


def of_words(params: Any, inputs: Any) -> jax.Array:
    """A plain function of a tree of inputs: the mean vector of the words of a sentence."""
    vectors = params["table"][inputs["tokens"]] * inputs["mask"][:, :, None]
    return jnp.sum(vectors, axis=1) / jnp.sum(inputs["mask"], axis=1, keepdims=True)


def sentences(step: int) -> Batch:
    rng = np.random.default_rng(step)
    labels = np.repeat(np.arange(4, dtype=np.int32), 4)
    tokens = rng.integers(0, 6, (ROWS, FRAMES), np.int32) + labels[:, None]
    mask = (np.arange(FRAMES) < rng.integers(1, FRAMES + 1, (ROWS, 1))).astype(np.float32)
    return Batch({"tokens": tokens, "mask": mask}, labels)


def start(model: str, loss_fn: Any, optimizer: Any = None) -> TrainState:
    optimizer = make_optimizer(2e-2) if optimizer is None else optimizer
    if model == "module":
        return create_state(OfImages(nnx.Rngs(0)), loss_fn, optimizer, seed=0, width=4, num_classes=4)
    params = {"table": jax.random.normal(jax.random.key(3), (WORDS, 4))}
    return create_state(of_words, loss_fn, optimizer, seed=0, params=params, width=4, num_classes=4)


BATCHES: dict[str, Any] = {"module": images, "function": sentences}
any_model = pytest.mark.parametrize("model", BATCHES)


def train(update: Any, state: TrainState, make_batch: Any, steps: int = 4) -> tuple[list[Any], TrainState]:
    seen = []
    for step in range(steps):
        state, metrics = update(state, make_batch(step))
        seen.append(jax.device_get((metrics.loss, metrics.gradient_norm)))
    return seen, state


def spread_out(make_batch: Any, mesh: Any) -> Any:
    return lambda step: parallel.spread_rows(make_batch(step), mesh)


@any_model
def test_any_model_learns_and_is_embedded_with_on_memory_of_its_own(model: str) -> None:
    loss_fn = losses.weighted({"batch_hard": 1.0})
    update = make_update(loss_fn, average_decay=0.5)
    seen, state = train(update, start(model, loss_fn), BATCHES[model], 40)
    assert np.mean([loss for loss, _ in seen[-5:]]) < 0.8 * np.mean([loss for loss, _ in seen[:5]])
    trained, average = trained_model(state), vector(state.average)
    before = np.asarray(trained(BATCHES[model](0).inputs))
    assert before.shape == (ROWS, 4)
    if model == "module":
        np.testing.assert_array_equal(vector(nnx.state(trained, nnx.Param)), average)
    else:
        np.testing.assert_array_equal(before, of_words(state.average, BATCHES[model](0).inputs))
    update(state, BATCHES[model](0))  # which takes the memory of the state
    np.testing.assert_array_equal(trained(BATCHES[model](0).inputs), before)


@any_model
def test_any_model_trains_alike_on_eight_devices_and_in_parts(model: str) -> None:
    loss_fn, mesh = losses.weighted({"semi_hard": 1.0}, semi_hard={"margin": 0.5}), parallel.data_mesh()
    alone, state = train(make_update(loss_fn), start(model, loss_fn), BATCHES[model])
    ways: list[Any] = [
        (make_update(loss_fn, micro_batch=4), start(model, loss_fn), BATCHES[model]),
        *(
            (
                make_update(loss_fn, mesh=mesh, micro_batch=size),
                parallel.place(start(model, loss_fn), parallel.replicated(mesh)),
                spread_out(BATCHES[model], mesh),
            )
            for size in (None, 8)
        ),
    ]
    for way in ways:
        seen, other = train(*way)
        np.testing.assert_allclose(seen, alone, rtol=1e-4)
        np.testing.assert_allclose(vector(other.params), vector(state.params), atol=2e-4)


def test_a_model_that_keeps_batch_statistics_is_refused() -> None:
    class Normalised(OfImages):
        def __init__(self, rngs: nnx.Rngs) -> None:
            super().__init__(rngs)
            self.norm = nnx.BatchNorm(3, rngs=rngs)

    with pytest.raises(ValueError, match=r"keeps batch statistics.*layer or group normalisation"):
        create_state(Normalised(nnx.Rngs(0)), both(), make_optimizer(1e-2), seed=0)
    with pytest.raises(ValueError, match="a plain function needs its `params`"):
        create_state(of_words, both(), make_optimizer(1e-2), seed=0)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_modules_own_dropout_is_drawn_anew_at_each_step(rate: float) -> None:
    class Dropping(OfImages):
        def __init__(self, rngs: nnx.Rngs) -> None:
            super().__init__(rngs)
            self.dropout = nnx.Dropout(rate, rngs=rngs)

        def __call__(self, images: jax.Array) -> jax.Array:
            return self.dropout(super().__call__(images))

    loss_fn = losses.weighted({"batch_hard": 1.0})
    runs = []
    for _ in range(2):
        # Nothing is learned, and the batch is the same: what differs is what is dropped.
        state = create_state(Dropping(nnx.Rngs(0)), loss_fn, make_optimizer(0.0), seed=0)
        runs.append([float(loss) for (loss, _) in train(make_update(loss_fn), state, lambda step: images(0))[0]])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == (1 if rate == 0 else 4)


# --- what losses train along, and what follows the step ---------------------------------------------------------------


def test_a_margin_that_follows_a_schedule_is_that_of_the_step() -> None:
    margin = optax.linear_schedule(0.1, 1.3, 3)
    loss_fn = losses.weighted({"batch_all": 1.0}, batch_all={"margin": margin})
    seen, state = train(make_update(loss_fn), start("module", loss_fn, make_optimizer(0.0)), lambda step: images(0))
    embeddings = trained_model(state)(images(0).inputs)
    expected = [batch_all(images(0).labels, embeddings, float(margin(step))) for step in range(4)]
    np.testing.assert_allclose([loss for loss, _ in seen], expected, 1e-5)
    assert len({float(value) for value in expected}) == 4


def of_wespeaker(step: int, margin: float, begin: int, end: int, kind: str) -> float:
    """The loop of its MarginScheduler, from a margin of 0."""
    if step < begin:
        return 0.0
    if step >= end:
        return margin
    way = (step - begin) / (end - begin)
    return margin * (way if kind == "linear" else 1.0 - math.exp(way * math.log(1e-3 / (1.0 + 1e-6))))


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize(("begin", "end"), [(0, 7), (3, 20), (5, 6), (4, 4), (0, 0)])
def test_a_margin_grows_as_wespeakers(kind: Any, begin: int, end: int, x64: None) -> None:
    steps = jnp.arange(24)
    found = jax.jit(jax.vmap(margin_schedule(0.2, begin, end, kind)))(steps)
    np.testing.assert_allclose(found, [of_wespeaker(step, 0.2, begin, end, kind) for step in range(24)], 1e-12)


def test_margins_of_classes_grow_together() -> None:
    margins = np.array([0.1, 0.4], np.float32)
    found = margin_schedule(margins, 2, 10)(jnp.int32(5))
    np.testing.assert_allclose(found, margins * of_wespeaker(5, 1.0, 2, 10, "exponential"), 1e-6)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [((0.2, -1, 3), "begin must be"), ((0.2, 5, 4), "end must be .* at least 5"), ((0.2, 0, 1, "exp"), "kind must be")],
)
def test_other_schedules_are_refused(numbers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        margin_schedule(*numbers)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_the_average_is_that_of_all_steps_whose_weights_decay(decay: float) -> None:
    loss_fn = losses.weighted({"batch_hard": 1.0})
    update, state = make_update(loss_fn, average_decay=decay), start("function", loss_fn)
    known = []
    for step in range(20):
        state, _ = update(state, sentences(step))
        known.append(vector(state.params["encoder"]).astype(np.float64))
        weights = decay ** np.arange(step, -1, -1.0)
        np.testing.assert_allclose(vector(state.average), weights @ np.array(known) / weights.sum(), 2e-5, atol=2e-5)
    assert np.abs(known[-1] - known[0]).max() > 0.05


@pytest.mark.parametrize("decay", [1.0, -0.1, 1.5, float("nan")])
def test_an_average_of_no_steps_or_of_more_than_all_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"average_decay must be in \[0, 1\)"):
        make_update(both(), average_decay=decay)


def with_classes() -> losses.Weighted:
    return losses.weighted({"toy_softmax": 1.0, "ge2e": 0.1}, ge2e={"method": "contrast"})


@pytest.mark.parametrize(
    ("rates", "still"),
    [({}, []), ({"class_rate": 0.0}, ["class_weights"]), ({"loss_rate": 0.0}, ["scalars"])],
    ids=["all", "class weights", "scalars"],
)
def test_the_kinds_of_parameters_have_rates_of_their_own(rates: Any, still: list[str], toys: Any) -> None:
    optimizer = make_optimizer(1e-2, **rates)
    before = start("module", with_classes(), optimizer).params
    _, state = train(make_update(with_classes()), start("module", with_classes(), optimizer), images, 1)
    moved: dict[str, bool] = {}
    for kind, change in zip(
        jax.tree.leaves({**kinds(before), "encoder": jax.tree.map(lambda _: "encoder", before["encoder"])}),
        jax.tree.leaves(jax.tree.map(lambda ours, theirs: np.abs(ours - theirs).max(), state.params, before)),
        strict=True,
    ):
        moved[kind] = moved.get(kind, False) or bool(change > 1e-6)
    assert moved == {kind: kind not in still for kind in ("encoder", "scalars", "class_weights")}


def test_the_decay_of_class_weights_is_their_own(toys: Any) -> None:
    apart = [
        vector(
            train(make_update(with_classes()), start("module", with_classes(), optimizer), images, 1)[1].params["loss"]
        )
        for optimizer in (make_optimizer(1e-2), make_optimizer(1e-2, class_decay=5.0))
    ]
    assert np.abs(apart[0] - apart[1]).max() > 1e-3


@pytest.mark.parametrize("model", ["module", pytest.param("function", marks=pytest.mark.exhaustive)])
def test_class_weights_are_trained_along_and_on_eight_devices_alike(model: str, toys: Any) -> None:
    mesh = parallel.data_mesh()
    alone, state = train(make_update(with_classes()), start(model, with_classes()), BATCHES[model])
    assert state.params["loss"]["toy_softmax"]["weights"].shape == (4, 4)
    replicated = parallel.place(start(model, with_classes()), parallel.replicated(mesh))
    seen, spread = train(make_update(with_classes(), mesh=mesh), replicated, spread_out(BATCHES[model], mesh))
    np.testing.assert_allclose(seen, alone, rtol=1e-4)
    np.testing.assert_allclose(vector(spread.params), vector(state.params), atol=2e-4)
    assert spread.params["loss"]["toy_softmax"]["weights"].sharding.is_fully_replicated
    # And inside `pmap`, where each device has a copy of them.
    mapped = jax.pmap(make_update(with_classes(), axis_name="data"), axis_name="data", donate_argnums=0)
    seen, copies = train(mapped, _replicated(start(model, with_classes())), lambda step: _shares(BATCHES[model](step)))
    np.testing.assert_allclose([(loss[0], norm[0]) for loss, norm in seen], alone, rtol=1e-4)
    np.testing.assert_allclose(
        vector(jax.tree.map(lambda leaf: leaf[0], copies.params)), vector(state.params), atol=2e-4
    )
