"""The LSTM, TDNN and ECAPA-TDNN encoders: padding, keys, empty rows, devices; their parts against loops; presets."""

from functools import cache
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxtriplet.models import ECAPATDNN, ENCODERS, LSTM, PRESETS, TDNN, build, embed_sliding
from jaxtriplet.models.pooling import AttentiveStatistics

from .reference import speech

# One worker takes them all: they share what takes long to make.
pytestmark = pytest.mark.xdist_group("encoders")

FRAMES, WIDTH = 13, 3
LENGTHS = jnp.array([13, 4, 0, 1, 6, 2, 8, 12])
FEATURES = jax.random.normal(jax.random.key(1), (len(LENGTHS), FRAMES, WIDTH))
KEYS = jax.random.split(jax.random.key(2), len(LENGTHS))
REAL = np.asarray(LENGTHS) > 0
WITHIN = np.arange(FRAMES) < np.asarray(LENGTHS)[:, None]

SMALL_TDNN: dict[str, Any] = {"channels": (6, 5), "sizes": (5, 3), "dilations": (1, 2), "embedding_dim": 4}
SMALL_ECAPA = {"channels": 6, "dilations": (2, 3), "scale": 2, "bottleneck": 5, "aggregated": 6, "embedding_dim": 4}
MODELS: dict[str, Any] = {
    "lstm": lambda **options: LSTM(WIDTH, hidden=5, projection=4, layers=2, embedding_dim=4, **options),
    "tdnn": lambda **options: TDNN(WIDTH, **SMALL_TDNN, stride=2, **options),
    "ecapa": lambda **options: ECAPATDNN(WIDTH, **SMALL_ECAPA, stride=2, **options),
}


class Compiled(NamedTuple):
    """A model with dropout, its outputs, and outputs with gradients, the last two compiled."""

    state: Any
    apply: Any
    outputs: Any
    outputs_and_gradients: Any

    def __call__(self, features=FEATURES, lengths=LENGTHS, keys=None):
        """The embeddings."""
        return np.asarray(self.outputs(self.state, features, lengths, keys))


@cache
def compiled(name: str) -> Compiled:
    graph, state = nnx.split(MODELS[name](dropout=0.3, rngs=nnx.Rngs(0)))

    def apply(state, features, lengths, keys=None):
        return nnx.merge(graph, state)(features, lengths, keys=keys)

    @jax.jit
    def outputs_and_gradients(state, features, lengths, keys):
        def loss(state, features):
            outputs = apply(state, features, lengths, keys)
            return jnp.sum(outputs[:, 0]), outputs

        gradients, outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(state, features)
        return outputs, *gradients

    return Compiled(state, apply, jax.jit(apply), outputs_and_gradients)


def arrays(layer):
    """Kernel and, if there is one, bias."""
    return tuple(np.asarray(array[...], np.float64) for array in (layer.kernel, layer.bias) if array is not None)


@pytest.fixture(params=MODELS)
def model(request) -> Compiled:
    return compiled(request.param)


def test_state_is_parameters_alone(model):
    assert {type(variable) for _, variable in nnx.to_flat_state(model.state)} == {nnx.Param}


def test_rows_have_unit_length(model):
    np.testing.assert_allclose(np.linalg.norm(model(), axis=-1)[REAL], 1, rtol=1e-5)


def test_padding_changes_neither_value_nor_gradient(model):
    padded = np.where(WITHIN[:, :, None], FEATURES, np.nan)
    padded = np.pad(padded, ((0, 0), (0, 20), (0, 0)), constant_values=np.nan)
    outputs, parameters, features = model.outputs_and_gradients(model.state, FEATURES, LENGTHS, KEYS)
    found = model.outputs_and_gradients(model.state, padded, LENGTHS, KEYS)
    expected = outputs, parameters, jnp.pad(features, ((0, 0), (0, 20), (0, 0)))
    # A sum over more frames, and a product of more rows, group their terms otherwise; gradients here are up to 1.
    chex.assert_trees_all_close(found, expected, atol=2e-5, rtol=1e-4)


def test_every_valid_frame_counts_and_no_other(model):
    *_, features = model.outputs_and_gradients(model.state, FEATURES, LENGTHS, KEYS)
    np.testing.assert_array_equal(jnp.any(features != 0, axis=-1), WITHIN)


@pytest.mark.parametrize("fill", [0.0, jnp.nan], ids=["silence", "empty rows"])
def test_value_and_gradient_are_finite(model, fill):
    lengths = jnp.zeros_like(LENGTHS) if jnp.isnan(fill) else LENGTHS
    outputs, parameters, features = model.outputs_and_gradients(
        model.state, jnp.full_like(FEATURES, fill), lengths, None
    )
    chex.assert_tree_all_finite((outputs, parameters, features))


def test_dropout_belongs_to_the_row(model):
    dropped = model(keys=KEYS)
    np.testing.assert_array_equal(model(keys=KEYS), dropped)
    assert not np.allclose(dropped[REAL], model()[REAL], atol=1e-3)
    moved = model(FEATURES[::-1], LENGTHS[::-1], KEYS[::-1])
    np.testing.assert_allclose(moved[::-1], dropped, atol=1e-5)
    assert not np.allclose(model(keys=KEYS[::-1])[REAL], dropped[REAL], atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_equals_one_device(name, check_vma):
    model, rows = compiled(name), P("batch")
    mesh = Mesh(np.array(jax.devices()[:4]), ("batch",))
    sharded = jax.shard_map(
        model.apply, mesh=mesh, in_specs=(P(), rows, rows, rows), out_specs=rows, check_vma=check_vma
    )
    found = jax.jit(sharded)(model.state, FEATURES, LENGTHS, KEYS)
    np.testing.assert_allclose(found, model(keys=KEYS), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_a_layer_on_the_embedding(name):
    model = MODELS[name](num_outputs=3, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)

    @jax.jit
    def both(state):
        model = nnx.merge(graph, state)
        return model(FEATURES, LENGTHS), model.embed(FEATURES, LENGTHS)

    logits, embeddings = both(state)
    assert logits.shape == (len(LENGTHS), 3)
    logits, embeddings = np.asarray(logits)[REAL], np.asarray(embeddings)[REAL]
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    kernel, bias = arrays(model.logits)
    # The logits see the vector before it is scaled to unit length.
    lengths = np.linalg.norm(logits - bias, axis=1) / np.linalg.norm(embeddings @ kernel, axis=1)
    np.testing.assert_allclose(logits, lengths[:, None] * (embeddings @ kernel) + bias, atol=1e-5)


# --- parts against plain loops ----------------------------------------------------------------------------------------


def test_attentive_statistics_equal_the_loops():
    pool = AttentiveStatistics(WIDTH, 4, rngs=nnx.Rngs(1))
    pool.frame.bias[...] += 0.3
    found = np.asarray(
        nnx.jit(lambda pool, *batch: pool(*batch))(pool, jnp.where(WITHIN[:, :, None], FEATURES, 1e6), LENGTHS)
    )
    for row, frames, length in zip(found[REAL], FEATURES[REAL], LENGTHS[REAL], strict=True):
        frames = np.asarray(frames[:length], np.float64)
        expected = speech.attentive_statistics(frames, arrays(pool.frame), *arrays(pool.context), *arrays(pool.score))
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_tdnn_equals_the_loops():
    model = TDNN(WIDTH, **SMALL_TDNN, stride=2, num_outputs=4, rngs=nnx.Rngs(1))
    model.logits.kernel[...] = jnp.eye(4)  # to see the vectors before they are scaled
    found = np.asarray(nnx.jit(lambda model: model(FEATURES, LENGTHS))(model))
    kernel, bias = arrays(model.embedding)
    for row, frames, length in zip(found[REAL], FEATURES[REAL], LENGTHS[REAL], strict=True):
        x = np.asarray(frames[:length], np.float64)
        for layer, dilation, stride in zip(model.convolutions, SMALL_TDNN["dilations"], (2, 1), strict=True):
            x = speech.convolution(x, *arrays(layer.conv), dilation=dilation, stride=stride)
        pooled = np.concatenate([x.mean(axis=0), np.sqrt(np.maximum(1e-4, x.var(axis=0)))])
        np.testing.assert_allclose(row, speech.normalized(pooled) @ kernel + bias, atol=1e-4)


def test_lstm_equals_the_loops():
    model = LSTM(WIDTH, hidden=5, projection=4, layers=2, embedding_dim=2, num_outputs=2, rngs=nnx.Rngs(1))
    model.logits.kernel[...] = jnp.eye(2)  # to see the vectors before they are scaled
    found = np.asarray(nnx.jit(lambda model: model(FEATURES, LENGTHS))(model))
    kernel, bias = arrays(model.embedding)
    for row, frames, length in zip(found[REAL], FEATURES[REAL], LENGTHS[REAL], strict=True):
        x = np.asarray(frames[:length], np.float64)
        for layer in model.recurrent:
            weights = arrays(layer.input), *arrays(layer.recurrent), *arrays(layer.projection)
            x = speech.projected_lstm(x, *weights, forget_bias=1.0)
        np.testing.assert_allclose(row, x[-1] @ kernel + bias, atol=1e-5)


def test_ecapa_hears_the_published_context():
    """A convolution of 5, then in each of scale - 1 groups one of 3 with its dilation: that far and no farther."""
    model = ECAPATDNN(1, **SMALL_ECAPA | {"channels": 48, "scale": 3}, rngs=nnx.Rngs(0))
    frames, middle = 31, 15
    lengths = jnp.array([frames])

    def at_middle(features):
        x = model.first(features, lengths)
        first, *rest = jnp.split(model.blocks[0].before(x, lengths), 3, axis=-1)
        for part, group in zip(rest, model.blocks[0].groups, strict=True):
            first = group(part + (first if part is not rest[0] else 0), lengths)
        return jnp.sum(jnp.square(first[0, middle]))

    features = jax.random.normal(jax.random.key(0), (1, frames, 1))
    reached = np.flatnonzero(jax.jit(jax.grad(at_middle))(features)[0, :, 0])
    assert (reached.min(), reached.max()) == (middle - 6, middle + 6)  # 2, and 2 for each of two groups


# --- sliding windows --------------------------------------------------------------------------------------------------


def test_sliding_is_the_mean_of_the_windows():
    model = compiled("lstm")
    graph, _ = nnx.split(MODELS["lstm"](rngs=nnx.Rngs(0)))
    utterances = [np.asarray(jax.random.normal(jax.random.key(n), (n, WIDTH))) for n in (25, 10, 4, 20)]
    found = embed_sliding(nnx.merge(graph, model.state), utterances, window=10, overlap=0.5, batch_size=8)
    starts = [(0, 5, 10, 15), (0,), (0,), (0, 5, 10)]
    for row, frames, places in zip(found, utterances, starts, strict=True):
        windows = np.stack([np.pad(frames[s : s + 10], ((0, max(0, 10 - len(frames))), (0, 0))) for s in places])
        windows = np.pad(windows, ((0, 8 - len(windows)), (0, FRAMES - 10), (0, 0)))
        mean = model(windows, jnp.full(8, min(10, len(frames))))[: len(places)].mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_sliding_hears_the_end():
    model = MODELS["lstm"](rngs=nnx.Rngs(0))
    frames = np.asarray(jax.random.normal(jax.random.key(0), (23, WIDTH)))
    other = np.concatenate([frames[:-1], frames[-1:] + 1])
    found = embed_sliding(model, [frames, other], window=10, batch_size=8)
    assert not np.allclose(*found, atol=1e-4)


@pytest.mark.parametrize(
    ("utterances", "options", "message"),
    [
        ([], {}, "there must be utterances"),
        ([np.ones((4, WIDTH)), np.ones((0, WIDTH))], {}, "frames in each of them"),
        ([np.ones((4, WIDTH))], {"window": 0}, "window must be a whole number"),
        ([np.ones((4, WIDTH))], {"overlap": 1.0}, "overlap must be in"),
    ],
)
def test_bad_utterances(utterances, options, message):
    with pytest.raises(ValueError, match=message):
        embed_sliding(MODELS["lstm"](rngs=nnx.Rngs(0)), utterances, **options)


# --- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in PRESETS for preset in PRESETS[name]])
def test_presets_are_of_the_size_asked_for(name, preset):
    model = nnx.eval_shape(lambda: build(name, preset, 40, embedding_dim=7, num_outputs=5, rngs=nnx.Rngs(0)))
    assert isinstance(model, ENCODERS[name])
    assert (model.in_features, model.embedding.out_features, model.logits.out_features) == (40, 7, 5)
    own = nnx.eval_shape(lambda: build(name, preset, 40, rngs=nnx.Rngs(0)))
    assert own.embedding.out_features == PRESETS[name][preset]["embedding_dim"]
    assert own.logits is None


def test_tdnn_has_the_layers_of_its_paper():
    """Of its 24 features: the affine layers up to the embedding, and their biases."""
    model = nnx.eval_shape(lambda: build("tdnn", "paper", 24, rngs=nnx.Rngs(0)))
    layers = [5 * 24 * 512, 3 * 512 * 512, 3 * 512 * 512, 512 * 512, 512 * 1500, 3000 * 512]
    biases = 4 * 512 + 1500 + 512
    assert sum(x.size for x in jax.tree.leaves(nnx.state(model))) == sum(layers) + biases


def test_ecapa_has_as_many_parameters_as_its_paper_says():
    model = nnx.eval_shape(lambda: build("ecapa-tdnn", "paper", 80, rngs=nnx.Rngs(0)))
    assert sum(x.size for x in jax.tree.leaves(nnx.state(model))) == pytest.approx(6.2e6, rel=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda **rngs: build("resnet", "small", 80, **rngs),
            "encoder must be one of blstm, lstm, tdnn, ecapa-tdnn",
        ),
        (lambda **rngs: build("lstm", "huge", 80, **rngs), "preset must be one of small, paper; got 'huge'"),
        (lambda **rngs: LSTM(3, layers=0, **rngs), "layers"),
        (lambda **rngs: LSTM(3, dropout=1.0, **rngs), "dropout must be in"),
        (lambda **rngs: TDNN(3, channels=(4,), **rngs), "as many channels as sizes"),
        (lambda **rngs: TDNN(3, channels=(), sizes=(), dilations=(), **rngs), "as many channels as sizes"),
        (lambda **rngs: TDNN(3, **SMALL_TDNN | {"sizes": (5, 4)}, **rngs), "odd ones"),
        (lambda **rngs: ECAPATDNN(3, channels=9, **rngs), "channels must be a multiple of scale"),
        (lambda **rngs: ECAPATDNN(3, dilations=(), **rngs), "there must be a dilation"),
        (lambda **rngs: ECAPATDNN(3, stride=0, **rngs), "stride"),
    ],
)
def test_bad_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make(rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("features", "lengths", "keys", "message"),
    [
        (jnp.ones((2, 4, 5)), jnp.ones(2, int), None, r"features must be floats of shape \[B, T, 3\]"),
        (jnp.ones((2, 4, 3), int), jnp.ones(2, int), None, r"features must be floats of shape \[B, T, 3\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(3, int), None, r"lengths must be integers of shape \[2\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(2, int), jax.random.key(0), r"one key per row, \[2\]"),
    ],
)
def test_bad_batch(features, lengths, keys, message):
    model = compiled("lstm")
    with pytest.raises(ValueError, match=message):
        model.apply(model.state, features, lengths, keys)
