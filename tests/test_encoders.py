"""What every encoder promises: padding, keys, empty rows, logits, devices, kinds of parameters, presets, bad input."""

from functools import cache
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, PartitionSpec as P

from jaxtriplet.models import ENCODERS, PRESETS, build

from .encoders import FEATURES, FRAMES, KEYS, LENGTHS, REAL, ROWS, WITHIN, Row, arrays, small

DROPOUT = 0.2
# One worker takes all tests of an encoder: they share what takes long to make.
NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ENCODERS]


class Compiled(NamedTuple):
    """An encoder with dropout and logits, and what training and scoring make of a batch, each with its gradient."""

    row: Row
    graph: nnx.GraphDef[Any]
    weights: Any
    training: Any
    """Outputs without logits, under dropout, and the gradient by weights and features."""
    scoring: Any
    """(Outputs without logits, logits, embeddings), no dropout, and the gradient of logits by weights and features."""

    def merged(self) -> Any:
        return nnx.merge(self.graph, self.weights)

    def plain(self, weights, features, lengths, keys=None):
        """Outputs without logits."""
        model = nnx.merge(self.graph, weights)
        model.logits = None
        return model(features, lengths, keys=keys)

    def train(self, features=FEATURES, lengths=LENGTHS, keys=KEYS):
        return self.training(self.weights, features, lengths, keys)

    def score(self, features=FEATURES, lengths=LENGTHS):
        return self.scoring(self.weights, features, lengths)


@cache
def compiled(name: str) -> Compiled:
    graph, weights = nnx.split(small(name, num_outputs=3, dropout=DROPOUT))

    @jax.jit
    def training(weights, features, lengths, keys):
        def loss(weights, features):
            outputs = model.plain(weights, features, lengths, keys)
            return jnp.sum(outputs[:, 0]), outputs

        gradients, outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(weights, features)
        return outputs, *gradients

    @jax.jit
    def scoring(weights, features, lengths):
        def loss(weights, features):
            logits = nnx.merge(graph, weights)(features, lengths)
            return jnp.sum(logits[:, 0]), logits

        gradients, logits = jax.grad(loss, argnums=(0, 1), has_aux=True)(weights, features)
        outputs = model.plain(weights, features, lengths)
        return (outputs, logits, nnx.merge(graph, weights).embed(features, lengths)), *gradients

    model = Compiled(ROWS[name], graph, weights, training, scoring)
    return model


@pytest.fixture(params=NAMES)
def model(request) -> Compiled:
    return compiled(request.param)


def test_state_is_parameters_alone(model):
    assert {type(variable) for _, variable in nnx.to_flat_state(model.weights)} == model.row.kinds
    assert all(issubclass(kind, nnx.Param) for kind in model.row.kinds)


def test_weights_come_back_from_plain_arrays(model):
    """As a folder of weights holds them: words in the place of types and of places in a list."""
    words = lambda tree: {str(k): words(v) for k, v in tree.items()} if isinstance(tree, dict) else tree  # noqa: E731
    stored = words(nnx.to_pure_dict(model.weights))
    found = jax.tree.map(jnp.zeros_like, model.weights)
    nnx.replace_by_pure_dict(found, nnx.restore_int_paths(stored))
    chex.assert_trees_all_equal(found, model.weights)


def test_rows_have_unit_length(model):
    (outputs, *_), *_ = model.score()
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=-1)[REAL], 1, rtol=model.row.tolerance)


@pytest.mark.parametrize("run", [Compiled.score, Compiled.train], ids=["deterministic", "dropout"])
def test_padding_changes_neither_value_nor_gradient(model, run):
    more = ((0, 0), (0, 40 - FRAMES), (0, 0))  # from 32 on, XLA on CPU regroups the terms of a plain sum over time
    padded = np.pad(np.where(WITHIN[:, :, None], FEATURES, np.nan), more, constant_values=np.nan)
    values, of_weights, of_features = run(model)
    found, expected = run(model, padded), (values, of_weights, jnp.pad(of_features, more))
    if model.row.exact_padding:
        chex.assert_trees_all_equal(found, expected)
    else:
        chex.assert_trees_all_close(found, expected, atol=2e-5, rtol=1e-4)  # gradients here are up to 1


def test_every_valid_frame_counts_and_no_other(model):
    *_, of_features = model.train()
    np.testing.assert_array_equal(jnp.any(of_features != 0, axis=-1), WITHIN)


@pytest.mark.parametrize("fill", [0.0, jnp.nan], ids=["silence", "empty rows"])
@pytest.mark.parametrize("run", [Compiled.score, Compiled.train], ids=["logits", "embeddings"])
def test_value_and_gradient_are_finite(model, run, fill):
    lengths = jnp.zeros_like(LENGTHS) if jnp.isnan(fill) else LENGTHS
    chex.assert_tree_all_finite(run(model, jnp.full_like(FEATURES, fill), lengths))


def test_dropout_belongs_to_the_row(model):
    (whole, *_), *_ = model.score()
    dropped, *_ = model.train()
    np.testing.assert_array_equal(model.train()[0], dropped)
    assert not np.allclose(dropped[REAL], whole[REAL], atol=1e-3)
    moved, *_ = model.train(FEATURES[::-1], LENGTHS[::-1], KEYS[::-1])
    np.testing.assert_allclose(moved[::-1], dropped, atol=model.row.tolerance)
    others, *_ = model.train(keys=KEYS[::-1])
    assert not np.allclose(others[REAL], dropped[REAL], atol=1e-3)


def test_dropout_zeroes_its_share_and_keeps_the_mean(model):
    dropped = model.merged()._drop(jnp.ones((len(KEYS), 5000)), KEYS, 0)
    # Five standard deviations of the mean of 5,000 draws that are 0 with probability 0.2: 5 * sqrt(0.2 * 0.8 / 5000).
    np.testing.assert_allclose(jnp.mean(dropped == 0, axis=1), DROPOUT, atol=0.029)
    np.testing.assert_allclose(dropped[dropped != 0], 1.25, rtol=1e-6)


def test_logits_are_a_layer_on_the_embedding(model):
    (_, logits, embeddings), *_ = model.score()
    assert logits.shape == (len(LENGTHS), 3)
    logits, embeddings = np.asarray(logits)[REAL], np.asarray(embeddings)[REAL]
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=model.row.tolerance)
    kernel, bias = arrays(model.merged().logits)
    # The logits see the vector before it is scaled to unit length.
    lengths = np.linalg.norm(logits - bias, axis=1) / np.linalg.norm(embeddings @ kernel, axis=1)
    np.testing.assert_allclose(logits, lengths[:, None] * (embeddings @ kernel) + bias, atol=model.row.tolerance)


def test_embed_is_the_deterministic_output(model):
    (outputs, _, embeddings), *_ = model.score()
    np.testing.assert_allclose(embeddings, outputs, atol=1e-6)


def test_pmap_equals_one_device(model):
    devices = jax.devices()[:4]
    split = lambda x: x.reshape(len(devices), -1, *x.shape[1:])  # noqa: E731
    mapped = jax.pmap(model.plain, in_axes=(None, 0, 0, 0), devices=devices)
    found = mapped(model.weights, *map(split, (FEATURES, LENGTHS, KEYS)))
    np.testing.assert_allclose(found.reshape(len(LENGTHS), -1), model.train()[0], atol=model.row.tolerance)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_equals_one_device(model, check_vma):
    mesh, rows = Mesh(np.array(jax.devices()[:4]), ("batch",)), P("batch")
    sharded = jax.shard_map(
        model.plain, mesh=mesh, in_specs=(P(), rows, rows, rows), out_specs=rows, check_vma=check_vma
    )
    found = jax.jit(sharded)(model.weights, FEATURES, LENGTHS, KEYS)
    np.testing.assert_allclose(found, model.train()[0], atol=model.row.tolerance)


@pytest.mark.parametrize(
    ("features", "lengths", "keys", "message"),
    [
        (jnp.ones((2, 4, 5)), jnp.ones(2, int), None, r"features must be floats of shape \[B, T, 3\]"),
        (jnp.ones((2, 3)), jnp.ones(2, int), None, r"features must be floats of shape \[B, T, 3\]"),
        (jnp.ones((2, 4, 3), int), jnp.ones(2, int), None, r"features must be floats of shape \[B, T, 3\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(3, int), None, r"lengths must be integers of shape \[2\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(2), None, r"lengths must be integers of shape \[2\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(2, int), jax.random.split(jax.random.key(0), 3), r"one key per row, \[2\]"),
        (jnp.ones((2, 4, 3)), jnp.ones(2, int), jax.random.key(0), r"one key per row, \[2\]"),
    ],
)
def test_bad_batch(model, features, lengths, keys, message):
    with pytest.raises(ValueError, match=message):
        model.plain(model.weights, features, lengths, keys)


@pytest.mark.parametrize("name", NAMES)
def test_bad_dropout(name):
    with pytest.raises(ValueError, match="dropout must be in"):
        nnx.eval_shape(lambda: small(name, dropout=1.0))


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in PRESETS for preset in PRESETS[name]])
def test_presets_are_of_the_size_asked_for(name, preset):
    model = nnx.eval_shape(lambda: build(name, preset, 40, embedding_dim=7, num_outputs=5, rngs=nnx.Rngs(0)))
    assert isinstance(model, ENCODERS[name])
    assert (model.in_features, model.embedding.out_features, model.logits.out_features) == (40, 7, 5)
    own = nnx.eval_shape(lambda: build(name, preset, 40, rngs=nnx.Rngs(0)))
    assert own.embedding.out_features == PRESETS[name][preset]["embedding_dim"]
    assert own.logits is None


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("resnet", "small", f"encoder must be one of {', '.join(ENCODERS)}; got 'resnet'"),
        ("lstm", "huge", "preset must be one of small, paper; got 'huge'"),
    ],
)
def test_unknown_names(name, preset, message):
    with pytest.raises(ValueError, match=message):
        build(name, preset, 80, rngs=nnx.Rngs(0))
