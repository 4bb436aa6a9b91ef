"""Each encoder's own: its parts against plain loops, its published size, its projections; bad sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxtriplet.models import BLSTM, ECAPATDNN, Projection, build, kinds
from jaxtriplet.models.pooling import AttentiveStatistics

from .encoders import FEATURES, LENGTHS, REAL, ROWS, WIDTH, WITHIN, arrays, small
from .reference import speech

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
    model = small("tdnn", num_outputs=4, seed=1)
    model.logits.kernel[...] = jnp.eye(4)  # to see the vectors before they are scaled
    found = np.asarray(nnx.jit(lambda model: model(FEATURES, LENGTHS))(model))
    kernel, bias = arrays(model.embedding)
    for row, frames, length in zip(found[REAL], FEATURES[REAL], LENGTHS[REAL], strict=True):
        x = np.asarray(frames[:length], np.float64)
        for layer, dilation, stride in zip(model.convolutions, ROWS["tdnn"].sizes["dilations"], (2, 1), strict=True):
            x = speech.convolution(x, *arrays(layer.conv), dilation=dilation, stride=stride)
        pooled = np.concatenate([x.mean(axis=0), np.sqrt(np.maximum(1e-4, x.var(axis=0)))])
        np.testing.assert_allclose(row, speech.normalized(pooled) @ kernel + bias, atol=1e-4)


def test_lstm_equals_the_loops():
    model = small("lstm", embedding_dim=2, num_outputs=2, seed=1)
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
    model = ECAPATDNN(1, **ROWS["ecapa-tdnn"].sizes | {"channels": 48, "scale": 3, "stride": 1}, rngs=nnx.Rngs(0))
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


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_blstm_has_the_layers_asked_for():
    sizes = {"hidden": 7, "layers": 3, "dense": (6, 5), "embedding_dim": 4, "num_outputs": 2}
    model = nnx.eval_shape(lambda: BLSTM(WIDTH, **sizes, rngs=nnx.Rngs(0)))
    both_ways = [(layer.forward_rnn, layer.backward_rnn) for layer in model.recurrent]
    assert [[way.cell.dense_i.kernel.shape for way in ways] for ways in both_ways] == [
        [(n, 28)] * 2 for n in (3, 14, 14)
    ]
    after = [*(block.layers[0] for block in model.dense), model.embedding, model.logits]
    assert [layer.kernel.shape for layer in after] == [(14, 6), (6, 5), (5, 4), (4, 2)]


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
    ("name", "sizes", "message"),
    [
        ("blstm", {"layers": 0}, "layers"),
        ("lstm", {"layers": 0}, "layers"),
        ("tdnn", {"channels": (4,)}, "as many channels as sizes"),
        ("tdnn", {"channels": (), "sizes": (), "dilations": ()}, "as many channels as sizes"),
        ("tdnn", {"sizes": (5, 4)}, "odd ones"),
        ("tdnn", {"stride": 0}, "stride"),
        ("ecapa-tdnn", {"channels": 9}, "channels must be a multiple of scale"),
        ("ecapa-tdnn", {"dilations": ()}, "there must be a dilation"),
        ("ecapa-tdnn", {"stride": 0}, "stride"),
    ],
)
def test_bad_sizes(name, sizes, message):
    with pytest.raises(ValueError, match=message):
        small(name, **sizes)


# --- kinds of parameters ----------------------------------------------------------------------------------------------


def test_projections_are_known_by_their_type():
    weights, rest = nnx.split(small("lstm"), nnx.Param, ...)[1:]
    assert not rest
    for path, variable in nnx.to_flat_state(weights):
        assert type(variable) is (Projection if path[-2:] == ("projection", "kernel") else nnx.Param)


def test_arrays_are_of_the_usual_kind():
    assert kinds({"weights": [np.ones(2), jnp.ones(3)]}) == {"weights": ["encoder", "encoder"]}


def test_an_optimizer_tells_projections_apart():
    _, weights = nnx.split(small("lstm"))
    scaled = optax.multi_transform({"encoder": optax.scale(1.0), "projection": optax.scale(0.5)}, kinds)
    changes, _ = scaled.update(jax.tree.map(jnp.ones_like, weights), scaled.init(weights))
    for path, change in nnx.to_flat_state(changes):
        np.testing.assert_array_equal(change[...], 0.5 if "projection" in path else 1.0)
