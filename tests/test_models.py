"""The BLSTM encoder: padding, dropout, empty rows, logits, devices, bad input."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxtriplet.models import BLSTM

FRAMES, WIDTH = 9, 3
LENGTHS = jnp.array([9, 4, 0, 1, 6, 2, 8, 5])
FEATURES = jax.random.normal(jax.random.key(1), (len(LENGTHS), FRAMES, WIDTH))
KEYS = jax.random.split(jax.random.key(2), len(LENGTHS))
REAL = np.asarray(LENGTHS) > 0


def build(**options):
    return nnx.split(BLSTM(WIDTH, hidden=5, dense=(6,), embedding_dim=4, rngs=nnx.Rngs(0), **options))


GRAPH, STATE = build()


def apply(state, features, lengths, keys=None):
    return nnx.merge(GRAPH, state)(features, lengths, keys=keys)


@jax.jit
def outputs_and_gradients(state, features, lengths, keys):
    def loss(state, features):
        outputs = apply(state, features, lengths, keys)
        return jnp.sum(outputs[:, 0]), outputs

    gradients, outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(state, features)
    return outputs, *gradients


def run(features=FEATURES, lengths=LENGTHS, keys=None):
    return np.asarray(outputs_and_gradients(STATE, features, lengths, keys)[0])


def test_state_is_parameters_alone():
    assert {type(variable) for _, variable in nnx.to_flat_state(STATE)} == {nnx.Param}


def test_rows_have_unit_length():
    norms = np.linalg.norm(run(), axis=-1)
    np.testing.assert_allclose(norms[REAL], 1, rtol=1e-6)


@pytest.mark.parametrize("keys", [None, KEYS], ids=["deterministic", "dropout"])
def test_padding_changes_nothing_bit_for_bit(keys):
    frames = 40  # from 32 on, XLA on CPU regroups the terms of a plain sum over time
    within = (np.arange(FRAMES) < np.asarray(LENGTHS)[:, None])[:, :, None]
    padding = ((0, 0), (0, frames - FRAMES), (0, 0))
    padded = np.pad(np.where(within, FEATURES, np.nan), padding, constant_values=np.nan)
    outputs, parameters, features = outputs_and_gradients(STATE, FEATURES, LENGTHS, keys)
    found = outputs_and_gradients(STATE, padded, LENGTHS, keys)
    chex.assert_trees_all_equal(found, (outputs, parameters, jnp.pad(features, padding)))


def test_every_valid_frame_counts_and_no_other():
    *_, features = outputs_and_gradients(STATE, FEATURES, LENGTHS, KEYS)
    np.testing.assert_array_equal(jnp.any(features != 0, axis=-1), np.arange(FRAMES) < np.asarray(LENGTHS)[:, None])


@pytest.mark.parametrize("options", [{}, {"num_outputs": 3}], ids=["embeddings", "logits"])
def test_empty_rows_are_finite(options):
    graph, state = build(**options)
    lengths = jnp.zeros(2, jnp.int32)

    @jax.jit
    @jax.value_and_grad
    def loss(state):
        return jnp.sum(jnp.square(nnx.merge(graph, state)(jnp.full((2, 4, WIDTH), jnp.nan), lengths)))

    chex.assert_tree_all_finite(loss(state))


def test_dropout_belongs_to_the_row():
    dropped = run(keys=KEYS)
    assert not np.allclose(dropped[REAL], run()[REAL], atol=1e-3)
    shuffled = run(FEATURES[::-1], LENGTHS[::-1], KEYS[::-1])
    np.testing.assert_allclose(shuffled[::-1], dropped, atol=1e-6)
    assert not np.allclose(run(keys=KEYS[::-1])[REAL], dropped[REAL], atol=1e-3)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    dropped = nnx.merge(GRAPH, STATE)._drop(jnp.ones((len(KEYS), 5000)), KEYS, 0)
    # Five standard deviations of the mean of 5,000 draws that are 0 with probability 0.2: 5 * sqrt(0.2 * 0.8 / 5000).
    np.testing.assert_allclose(jnp.mean(dropped == 0, axis=1), 0.2, atol=0.029)
    np.testing.assert_allclose(dropped[dropped != 0], 1.25, rtol=1e-6)


def test_logits_stand_on_the_layer_that_is_scored():
    graph, state = build(num_outputs=3)

    @jax.jit
    def both(state):
        model = nnx.merge(graph, state)
        return model(FEATURES, LENGTHS), model.embed(FEATURES, LENGTHS)

    logits, embeddings = (np.asarray(x)[REAL] for x in both(state))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1, rtol=1e-6)
    output = nnx.merge(graph, state).logits
    from_units = embeddings @ output.kernel[...]
    from_vectors = logits - output.bias[...][None]  # the vectors have the directions of the embeddings
    scale = np.linalg.norm(from_vectors, axis=-1, keepdims=True) / np.linalg.norm(from_units, axis=-1, keepdims=True)
    np.testing.assert_allclose(from_vectors, scale * from_units, atol=1e-6)


def test_embed_is_the_deterministic_output():
    embed = jax.jit(lambda state: nnx.merge(GRAPH, state).embed(FEATURES, LENGTHS))
    np.testing.assert_allclose(embed(STATE), run(), atol=1e-6)


def test_sizes_are_the_ones_asked_for():
    sizes = {"hidden": 7, "layers": 3, "dense": (6, 5), "embedding_dim": 4, "num_outputs": 2}
    model = nnx.eval_shape(lambda: BLSTM(WIDTH, **sizes, rngs=nnx.Rngs(0)))
    both_ways = [(layer.forward_rnn, layer.backward_rnn) for layer in model.recurrent]
    assert [[way.cell.dense_i.kernel.shape for way in ways] for ways in both_ways] == [
        [(n, 28)] * 2 for n in (3, 14, 14)
    ]
    after = [*(block.layers[0] for block in model.dense), model.embedding, model.logits]
    assert [layer.kernel.shape for layer in after] == [(14, 6), (6, 5), (5, 4), (4, 2)]


def test_pmap_equals_one_device():
    devices = jax.devices()[:4]
    split = lambda x: x.reshape(len(devices), -1, *x.shape[1:])  # noqa: E731
    found = jax.pmap(apply, in_axes=(None, 0, 0, 0), devices=devices)(STATE, *map(split, (FEATURES, LENGTHS, KEYS)))
    np.testing.assert_allclose(found.reshape(len(LENGTHS), -1), run(keys=KEYS), atol=1e-6)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_equals_one_device(check_vma):
    mesh = Mesh(np.array(jax.devices()[:4]), ("batch",))
    rows = P("batch")
    sharded = jax.shard_map(apply, mesh=mesh, in_specs=(P(), rows, rows, rows), out_specs=rows, check_vma=check_vma)
    found = jax.jit(sharded)(STATE, FEATURES, LENGTHS, KEYS)
    np.testing.assert_allclose(found, run(keys=KEYS), atol=1e-6)


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
def test_bad_batch(features, lengths, keys, message):
    with pytest.raises(ValueError, match=message):
        apply(STATE, features, lengths, keys)


@pytest.mark.parametrize(("options", "message"), [({"layers": 0}, "layers"), ({"dropout": 1.0}, "dropout must be in")])
def test_bad_sizes(options, message):
    with pytest.raises(ValueError, match=message):
        BLSTM(WIDTH, **options, rngs=nnx.Rngs(0))
