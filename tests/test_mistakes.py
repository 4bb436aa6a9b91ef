"""The usual mistakes in calls from Python: each ends in one sentence that says what to give instead."""

import operator
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn, nnx
from scipy import sparse

import jaxtriplet as jt
from jaxtriplet import data, metrics, models, parallel, speech, training
from jaxtriplet._checks import ELSEWHERE, callables
from jaxtriplet.training import metrics as in_step

LABELS, ROWS = np.array([0, 1, 0, 1, 2, 2]), np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
CLASSES, NAMES = np.ones((3, 3), np.float32), ["a", "b", "a", "b", "c", "c"]
SCORES, SAME = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])


class Tensor:
    """A tensor of PyTorch that waits for its gradient, as far as NumPy sees one."""

    requires_grad, dtype, shape = True, "torch.float32", (6, 3)

    def detach(self) -> "Tensor":
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


class OnGpu(Tensor):
    requires_grad, is_cuda = False, True

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")


NoArray = type("NoArray", (), {"detach": lambda self: self})


TENSOR = r"`\.detach\(\)\.cpu\(\)\.numpy\(\)` of a tensor"
Mistake = tuple[Callable[[], Any], str]


def refused(mistake: Mistake, kind: type[Exception] = ValueError) -> None:
    call, words = mistake
    with pytest.raises(kind) as caught:
        call()
    (said,) = caught.value.args  # without what JAX notes below it
    assert re.search(words, said), said
    assert "\n" not in said
    assert len(said) < 450  # a sentence, which names what there is to choose from


# --- losses -----------------------------------------------------------------------------------------------------------

OF_LOSSES: dict[str, Mistake] = {
    "reduction by a word": (
        lambda: jt.batch_hard(LABELS, ROWS, reduce_fn="mean"),
        r"jaxtriplet\.reductions\.mean, mean_active or sum, or None; got 'mean'; give reduce_fn=.*\.mean$",
    ),
    "no reduction by a word": (lambda: jt.batch_hard(LABELS, ROWS, reduce_fn="none"), "reduce_fn=None, without quotes"),
    "reduction of JAX": (
        lambda: jt.batch_hard(LABELS, ROWS, reduce_fn=jnp.mean),
        r"\(total, valid, active\) -> scalar.*of three scalars it .*; give reduce_fn=jaxtriplet\.reductions\.mean$",
    ),
    "reduction of NumPy": (
        lambda: jt.batch_hard(LABELS, ROWS, reduce_fn=np.sum),
        r"asks for numbers, and not for arrays to be traced.*; give reduce_fn=jaxtriplet\.reductions\.sum$",
    ),
    "reduction that is a module": (
        lambda: jt.batch_hard(LABELS, ROWS, reduce_fn=jt.reductions),
        r"one of its functions, reduce_fn=jaxtriplet\.reductions\.mean, say$",
    ),
    "another library's distance": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn="sqeuclidean"),
        r"give distance_fn=jaxtriplet\.distances\.squared_euclidean$",
    ),
    "unknown distance": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn="hamming"),
        "known by name: euclidean, squared_euclidean, cosine, inner_product, kl, symmetric_kl, probability_kl",
    ),
    "distance that is a module": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn=jt.distances),
        r"one of its functions, distance_fn=jaxtriplet\.distances\.euclidean, say$",
    ),
    "distances and not the distance": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn=np.eye(6)),
        "the function itself, .* and not what it returns$",
    ),
    "distance of two vectors": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn=lambda x, y: jnp.linalg.norm(x - y)),
        r"floats \[M, N\].*of \[2, 3\] and \[3, 3\] it makes none \(sub got incompatible shapes",
    ),
    "distance of NumPy": (
        lambda: jt.batch_hard(LABELS, ROWS, distance_fn=lambda x, y: np.asarray(x) @ np.asarray(y).T),
        "asks for numbers, and not for arrays to be traced",
    ),
    "hinge by a word": (
        lambda: jt.batch_hard(LABELS, ROWS, hinge_fn="relu"),
        r"got 'relu'; give hinge_fn=jax\.nn\.relu$",
    ),
    "soft hinge by a word": (
        lambda: jt.batch_hard(LABELS, ROWS, hinge_fn="soft"),
        r"give hinge_fn=jax\.nn\.softplus$",
    ),
    "no hinge": (lambda: jt.batch_hard(LABELS, ROWS, hinge_fn=None), "left out, it has a default$"),
    "number in quotes": (lambda: jt.batch_hard(LABELS, ROWS, margin="0.3"), "got '0.3'; 0.3, without quotes$"),
    "no number": (lambda: jt.batch_hard(LABELS, ROWS, margin=None), "got None; left out, it has a default$"),
    "schedule": (lambda: jt.batch_hard(LABELS, ROWS, margin=lambda step: 0.1), "weighted` takes schedules of the step"),
    "margins of a loss of pairs": (
        lambda: jt.batch_hard(LABELS, ROWS, margin=[0.1, 0.2]),
        "one for each class is for losses of class weights$",
    ),
    "too few margins": (
        lambda: jt.aam_softmax(LABELS, ROWS, CLASSES, margin=[0.1, 0.2]),
        "or one for each of 3 classes; got float32",
    ),
    "mask of integers": (
        lambda: jt.batch_hard(LABELS, ROWS, where=LABELS),
        r"`where\.astype\(bool\)`, if 1 is to keep$",
    ),
    "places for a mask": (
        lambda: jt.batch_hard(LABELS, ROWS, where=[0, 1, 2]),
        "a flag for each row, not places of some$",
    ),
    "axis that nobody maps": (
        lambda: jax.jit(lambda *rows: jt.batch_hard(*rows, axis_name="data"))(LABELS, ROWS),
        r"axis_name='data': no such axis is mapped here.*`jaxtriplet\.parallel\.sharded\(loss, mesh\)`$",
    ),
    "axis of classes that nobody maps": (
        lambda: jt.aam_softmax(LABELS, ROWS, CLASSES, class_axis_name="data"),
        "class_axis_name='data': no such axis is mapped here",
    ),
    "memory by its size": (
        lambda: jt.batch_hard(LABELS, ROWS, memory=128),
        r"memory must be one of `jaxtriplet\.memory\.create\(size, dim\)`; got 128$",
    ),
    "precision of another library": (
        lambda: jt.batch_hard(LABELS, ROWS, precision="high"),
        "precision must be one of exact, fast; got 'high'",
    ),
    "negatives of another name": (
        lambda: jt.semi_hard(LABELS, ROWS, negatives="semi"),
        "negatives must be one of hardest, all; got 'semi'",
    ),
    "names for labels": (
        lambda: jt.batch_hard(NAMES, ROWS),
        r"number names by `np\.unique\(labels, return_inverse=True\)\[1\]`$",
    ),
    "objects for labels": (lambda: jt.batch_hard(np.array(NAMES, object), ROWS), "number names by"),
    "names for ids": (
        lambda: jt.info_nce(ROWS, ROWS, ids=NAMES),
        r"number names by `np\.unique\(ids, return_inverse=True\)",
    ),
    "a tensor that requires its gradient": (lambda: jt.batch_hard(LABELS, Tensor()), TENSOR),
    "a tensor on a GPU": (lambda: jt.batch_hard(LABELS, OnGpu()), TENSOR),
    "a tensor that NumPy does not know": (lambda: jt.batch_hard(LABELS, NoArray()), TENSOR),
    "tensors": (lambda: jt.batch_hard(LABELS, [Tensor()] * 6), TENSOR),
    "degrees": (
        lambda: jt.aam_softmax(LABELS, ROWS, CLASSES, margin=28.6),
        r"margin of aam_softmax is in radians, at most pi; got 28\.6; 28\.6 degrees are 0\.499$",
    ),
    "degrees of a tuplet": (lambda: jt.tuplet_margin(LABELS, ROWS, 5.73), "5.73 degrees are 0.1$"),
    "degrees of a kind": (
        lambda: jt.sphereface2(LABELS, ROWS, CLASSES, margin=11.5, margin_type="angle"),
        "margin of sphereface2 is in radians",
    ),
    "degrees in a sum": (
        lambda: jt.losses.weighted({"sphereface2_angle": 1.0}, sphereface2_angle={"margin": 11.5}),
        "margin of sphereface2_angle is in radians",
    ),
    "a temperature of nothing": (
        lambda: jt.nt_xent(LABELS, ROWS, temperature=0),
        "temperature of nt_xent must be above 0; got 0$",
    ),
    "a temperature below nothing, in a sum": (
        lambda: jt.losses.weighted({"nt_xent": 1.0}, nt_xent={"temperature": -0.1}),
        r"temperature of nt_xent must be above 0; got -0\.1$",
    ),
    "transposed classes": (
        lambda: jt.aam_softmax(LABELS, ROWS, np.ones((3, 7), np.float32)),
        r"weights must be as long as embeddings.*transposed\? `weights\.T`$",
    ),
    "a margin for classes": (
        lambda: jt.aam_softmax(LABELS, ROWS, 0.2),
        "weights come third, numbers such as the margin after them$",
    ),
    "a sparse matrix": (lambda: jt.batch_hard(LABELS, sparse.csr_array(ROWS)), r"`\.toarray\(\)` of a sparse matrix$"),
    "one row": (lambda: jt.batch_hard(LABELS, ROWS[0]), r"one row by `embeddings\[None\]`"),
    "frames": (lambda: jt.batch_hard(LABELS, ROWS[:, None]), r"`embeddings\.mean\(1\)` is one row of each"),
    "whole numbers": (lambda: jt.batch_hard(LABELS, ROWS.astype(int)), r"`embeddings\.astype\(float\)`$"),
    "unit rows of whole numbers": (lambda: jt.l2_normalize(np.eye(3, dtype=int)), "embeddings must be floats of shape"),
    "unit rows of a word": (
        lambda: jt.l2_normalize("x"),
        r"embeddings must be floats of shape \[\.\.\., D\]; got str:",
    ),
    "mined by labels": (
        lambda: jt.masks.nearest(ROWS, LABELS),
        r"mask must be bool of the shape of distances, \[6, 3\]",
    ),
    "mined along no axis": (lambda: jt.masks.nearest(ROWS, ROWS > 0, axis=2), "axis must be 0 for"),
}


@pytest.mark.parametrize("mistake", OF_LOSSES.values(), ids=OF_LOSSES)
def test_losses_say_what_to_give(mistake: Mistake) -> None:
    refused(mistake)


SWAPPED: dict[str, Mistake] = {
    **{
        name: (
            lambda loss=loss: loss.function(ROWS, LABELS, *[CLASSES] * bool(loss.class_weights)),
            rf"{loss.function.__name__}\(labels, embeddings.*\): labels \[B\] come first.*are they swapped\?$",
        )
        for name, loss in jt.losses.registry.LOSSES.items()
        if loss.rows == "batch"
    },
    "labels last": (lambda: jt.aam_softmax(ROWS, CLASSES, LABELS), r"labels \[B\] come first.*swapped\?$"),
    "classes before rows": (lambda: jt.aam_softmax(LABELS, CLASSES, ROWS), "rows of labels, then rows of classes"),
    "lists": (lambda: jt.batch_hard(ROWS.tolist(), LABELS.tolist()), r"labels a list of 6, embeddings a list.*swapped"),
    "truth last": (lambda: jt.siamese_kl_hinge(ROWS, ROWS, SAME), r"same \[B\] come first.*swapped"),
    "a sum": (lambda: jt.losses.weighted({"semi_hard": 1.0})({}, ROWS, LABELS), "semi_hard.*labels.*swapped"),
    "prefixes": (lambda: jt.losses.matryoshka(jt.semi_hard, [1, 2])(ROWS, LABELS), r"labels \[B\] come first.*swapped"),
    "a memory": (lambda: jt.memory.push(jt.memory.create(4, 3), ROWS, LABELS), r"labels \[B\] come first.*swapped"),
    "metrics in a step": (lambda: in_step.recall_at_k(ROWS, LABELS), r"labels \[B\] come first.*swapped"),
    "metrics": (lambda: metrics.retrieval(LABELS, ROWS), "embeddings come first here and labels second.*swapped"),
    "pairs": (lambda: metrics.pair_scores(LABELS, ROWS), "embeddings come first here and labels second.*swapped"),
    "references": (
        lambda: metrics.recall_at_k(ROWS, LABELS, LABELS, ROWS),
        "references come first here and reference_labels second.*swapped",
    ),
    "scores": (
        lambda: metrics.equal_error_rate(SAME, SCORES),
        "scores come first, and same, the truth, second.*swapped",
    ),
    "triplets of labels": (
        lambda: jt.triplet(LABELS, ROWS, ROWS),
        r"triplet\(anchors, positives, negatives\) takes no labels, and anchors int64 of shape \[6\] looks like some",
    ),
    "thirds of labels": (lambda: jt.deep_speaker(LABELS), "deep_speaker.* takes no labels, and embeddings"),
    "views of labels": (lambda: jt.info_nce(ROWS, LABELS), "info_nce.* takes no labels, and documents"),
}


@pytest.mark.parametrize("mistake", SWAPPED.values(), ids=SWAPPED)
def test_what_is_in_another_order_is_recognised(mistake: Mistake) -> None:
    refused(mistake)


def test_rows_that_may_stand_there_are_not_taken_for_another_order() -> None:
    """Classes as many as rows, labels as many as both."""
    assert jax.eval_shape(jt.proxy_nca, np.arange(3), CLASSES, CLASSES + 1).shape == ()


KEYWORDS: dict[str, Mistake] = {
    "misspelt": (lambda: jt.semi_hard(LABELS, ROWS, margn=0.1), "has no argument 'margn'; did you mean margin"),
    "another loss's": (
        lambda: jt.semi_hard(LABELS, ROWS, temperature=0.1),
        r"semi_hard\(labels, embeddings, \.\.\.\) has no argument 'temperature'; .*supervised_contrastive.* have it$",
    ),
    "nobody's": (
        lambda: jt.prototypical(LABELS, ROWS, colour=1),
        "has no argument 'colour'; it has labels, embeddings",
    ),
    "reduction": (lambda: jt.semi_hard(LABELS, ROWS, reduction="mean"), "it is reduce_fn here"),
    "mask": (lambda: jt.semi_hard(LABELS, ROWS, mask=SAME), "it is where here"),
    "metric": (lambda: jt.semi_hard(LABELS, ROWS, distance_metric="cosine"), "it is distance_fn here"),
    "truth": (lambda: jt.semi_hard(y_true=LABELS, y_pred=ROWS), "it is labels here"),
    "unit rows": (lambda: jt.semi_hard(LABELS, ROWS, normalize=True), r"`jaxtriplet\.l2_normalize\(embeddings\)`"),
    "by position": (
        lambda: jt.batch_hard(LABELS, ROWS, 0.2, SAME),
        "labels, embeddings, margin by position; .* by name",
    ),
    "rows alone": (lambda: jt.batch_hard(ROWS), r"lacks embeddings; got float32 of shape \[6, 3\]$"),
    "no classes": (lambda: jt.aam_softmax(LABELS, ROWS), "lacks weights; got int64"),
    "twice": (lambda: jt.batch_hard(LABELS, ROWS, labels=LABELS), "multiple values for argument 'labels'"),
}


@pytest.mark.parametrize("mistake", KEYWORDS.values(), ids=KEYWORDS)
def test_arguments_of_other_names_are_told_which_there_are(mistake: Mistake) -> None:
    refused(mistake, TypeError)


@pytest.mark.parametrize(("name", "room"), [("reduce_fn", jt.reductions), ("distance_fn", jt.distances)])
def test_the_functions_that_errors_name_are_those_there_are(name: str, room: Any) -> None:
    public = {key for key, one in vars(room).items() if getattr(one, "__module__", "").startswith(room.__name__)}
    _, place, known = callables._FORMS[name]
    assert place == room.__name__
    assert set(known) == {key for key in public if not key.startswith("_") and key[0].islower()} - {"form_of"}


# --- around the losses ------------------------------------------------------------------------------------------------


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layer = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.layer(inputs)


LOSS_FN, OPTIMIZER, SUM = (
    jt.losses.weighted({"semi_hard": 1.0}),
    training.make_optimizer(1e-3),
    "jaxtriplet.losses.weighted",
)


def state(model: Any = None, loss_fn: Any = LOSS_FN, optimizer: Any = OPTIMIZER, **more: Any) -> Any:
    return training.create_state(model or Net(nnx.Rngs(0)), loss_fn, optimizer, **{"seed": 0, **more})


def step(*batch: Any, **more: Any) -> Any:
    """A step that is traced, and not compiled."""
    update = training.make_update(LOSS_FN, **more)
    return jax.eval_shape(update, state(), *batch)


Linear = type("Linear", (nn.Module,), {})
SIGNED = training.Batch(ROWS, LABELS)

AROUND: dict[str, Mistake] = {
    "losses in a list": (lambda: jt.losses.weighted(["semi_hard"]), r'by name, such as \{"semi_hard": 1\.0\}; got \['),
    "a function for its name": (lambda: jt.losses.weighted({jt.circle: 1.0}), "named by a word, such as 'circle'"),
    "an option of no loss": (
        lambda: jt.losses.weighted({"semi_hard": 1.0}, margin=0.3),
        r'got \'margin\'; give it as semi_hard=\{"margin": \.\.\.\}$',
    ),
    "options that have no names": (
        lambda: jt.losses.weighted({"semi_hard": 1.0}, semi_hard=0.3),
        "options of semi_hard",
    ),
    "no parameters": (lambda: LOSS_FN(None, LABELS, ROWS), "params must be what `init` returns"),
    "no class weights": (
        lambda: jt.losses.weighted({"proxy_nca": 1.0})({}, LABELS, ROWS),
        r"params must hold proxies of proxy_nca, as `init\(key, width, num_classes\)` makes them; got \{\}$",
    ),
    "a seed for a key": (lambda: jt.losses.weighted({"proxy_nca": 1.0}).init(7, 3, 3), r"`jax\.random\.key\(7\)`, say"),
    "a model's class": (lambda: state(Net), r"a module that is made, `Net\(\.\.\., rngs=nnx\.Rngs\(0\)\)`"),
    "a module of Linen": (lambda: state(Linear()), r"`model\.apply, \.\.\., params=params`"),
    "a loss for a sum": (lambda: state(loss_fn=jt.circle), rf'`{SUM}\(\{{"circle": 1\.0\}}\)`'),
    "a loss's name for a sum": (lambda: training.make_update("semi-hard"), rf'`{SUM}\(\{{"semi_hard": 1\.0\}}\)`'),
    "a rate for an optimizer": (lambda: state(optimizer=1e-3), r"`jaxtriplet\.training\.make_optimizer\(1e-3\)`"),
    "an optimizer that is not made": (
        lambda: state(optimizer=optax.adam),
        "optimizer must be a transformation of Optax",
    ),
    "a key for a seed": (
        lambda: state(seed=jax.random.key(0)),
        "seed must be a whole number of at most 64 bits; got key",
    ),
    "no mesh": (
        lambda: training.make_update(LOSS_FN, mesh=2),
        r"mesh must be a mesh, such as `jaxtriplet\.parallel\.data",
    ),
    "no batch": (lambda: step((ROWS, LABELS)), r"batch must be a `jaxtriplet\.training\.Batch\(inputs, labels\)`"),
    "a batch of labels": (lambda: step(training.Batch(LABELS, ROWS)), "inputs come first here and labels second"),
    "no labels": (lambda: step(training.Batch(ROWS, None)), "labels must be integers"),
    "too few inputs": (lambda: step(training.Batch(ROWS[:4], LABELS)), "inputs must have a row for each of 6 labels"),
    "lengths that no model takes": (
        lambda: step(training.Batch(ROWS, LABELS, LABELS)),
        r"the model must take \(inputs, lengths\), as the batch has them; it takes \(inputs",
    ),
    "a change of other arguments": (
        lambda: step(SIGNED, augment_fn=lambda inputs: inputs),
        r"augment_fn must take \(key, inputs\), as the batch has them; it takes \(inputs\)$",
    ),
    "a step over no axis": (lambda: step(SIGNED, axis_name="data"), "axis_name='data': no such axis is mapped here"),
    "a state of another kind": (lambda: training.trained_model(Net), "state must be one of `create_state`"),
    "devices by their number": (lambda: parallel.data_mesh(2), r"such as `jax\.devices\(\)\[:2\]`; got 2$"),
    "a loss over no mesh": (lambda: parallel.sharded(jt.circle, 2), "mesh must be a mesh"),
    "a loss's name over a mesh": (
        lambda: parallel.sharded("circle", parallel.data_mesh()),
        "loss must be a function of rows",
    ),
    "a number in quotes over a mesh": (
        lambda: parallel.sharded(jt.circle, parallel.data_mesh())(LABELS, ROWS, "0.3"),
        "margin must be an array or a number; got '0.3'",
    ),
    "the axis twice": (
        lambda: parallel.sharded(jt.circle, parallel.data_mesh())(LABELS, ROWS, axis_name="data"),
        r"`parallel\.sharded\(loss, mesh, axis_name=\.\.\.\)`",
    ),
    "a mesh for a sharding": (lambda: parallel.place(ROWS, parallel.data_mesh()), r"jaxtriplet\.parallel\.replicated"),
    "rows for their number": (lambda: parallel.share_of(ROWS), "rows must be a whole number"),
    "names to draw by": (
        lambda: data.SpeakerSampler(NAMES, speakers=2, utterances=2, seed=0),
        r"number names by `np\.unique\(labels, return_inverse=True\)\[1\]`$",
    ),
    "a seed below 0": (
        lambda: data.ShuffledSampler(6, rows=2, seed=-1),
        "seed must be a whole number, at least 0; got -1",
    ),
    "a step below 0": (
        lambda: data.SpeakerSampler(LABELS, speakers=2, utterances=2, seed=0)[-1],
        "step must be a whole number, at least 0; got -1",
    ),
    "some steps": (
        lambda: data.ShuffledSampler(6, rows=2, seed=0)[np.array([3])],
        r"step must be a whole number, at least 0; got int64 of shape \[1\]$",
    ),
    "seeds below 0": (lambda: data.ShuffledSampler(6, rows=2, seed=(1, -2)), "seed must be a whole number.*got -2$"),
    "a seed of too many bits": (lambda: state(seed=2**70), "seed must be a whole number of at most 64 bits"),
    "no shares": (
        lambda: data.TripletSampler(LABELS, triplets=2, seed=0, shares=0),
        "shares must be a whole number above",
    ),
    "no folder": (lambda: data.recordings(None), "folder must be the path of a folder; got None"),
    "a file for files": (lambda: data.recordings_of(".", "a.wav"), r"a list of files; got 'a\.wav'; as a list"),
    "a folder for an index": (lambda: data.require_pairs("calls"), r"what `jaxtriplet\.data\.recordings` returns; got"),
    "a folder to embed": (
        lambda: next(speech.embed_batches(SimpleNamespace(sample_rate=1), "calls")),
        r"what `jaxtriplet\.data\.recordings` returns; got",
    ),
    "a seed for randomness": (lambda: models.build("blstm", "small", 8, rngs=0), r"`nnx\.Rngs\(0\)`, say; got 0"),
    "one key for all rows": (
        lambda: speech.change_gain(0, np.zeros((2, 8), np.float32), np.array([8, 8])),
        r"got 0; `jax\.random\.split\(key, 2\)` makes them$",
    ),
    "longer than there is": (
        lambda: models.embed(SimpleNamespace(embed=print), np.zeros((2, 5, 8)), [5, 9]),
        "lengths must be at most that of features, 5; got 9",
    ),
    "lengths of another kind": (
        lambda: models.embed(SimpleNamespace(embed=print), np.zeros((2, 5, 8)), [5.0, 4.0]),
        r"lengths must be integers.*`np\.asarray\(lengths, int\)`, if they are whole$",
    ),
    "truth for both": (
        lambda: metrics.equal_error_rate(SAME, SAME.astype(int)),
        r"same must be bool.*`\.astype\(bool\)`",
    ),
    "a back-end's name": (
        lambda: metrics.pair_scores(ROWS, LABELS, backend="plda"),
        r"one of `metrics\.backends\.fit`",
    ),
    "truth of no kind": (lambda: metrics.equal_error_rate(SCORES, None), "same must be bool of shape.*got None$"),
    "scores with a gradient": (lambda: metrics.cllr(Tensor(), SAME), f"scores must be numbers; got .*{TENSOR}"),
    "rows with a gradient": (lambda: metrics.pair_scores(Tensor(), LABELS), f"embeddings must be .*{TENSOR}"),
    "ragged truth": (lambda: metrics.cllr(SCORES, [[1], [1, 2]]), "same must be bool.*rows of different lengths"),
    "trials of other numbers": (lambda: metrics.trial_scores(ROWS, [0], [1, 2]), "first and second.*as many of each"),
    "a share of a cluster": (lambda: metrics.agglomerative(ROWS, 2.5), "num_clusters must be a whole number"),
    "a threshold in quotes": (
        lambda: metrics.agglomerative_within(ROWS, "0.5"),
        "threshold must be a number; got '0.5'",
    ),
    "a number for numbers": (lambda: metrics.silhouettes(ROWS, 2), "counts must be numbers of clusters, a list"),
    "whole floats for labels": (lambda: metrics.retrieval(ROWS, LABELS * 1.0), r"`\.astype\(int\)`, if they are whole"),
    "another kind to merge": (lambda: in_step.RecallAtK.empty().merge(None), "other must be a RecallAtK; got None"),
}


@pytest.mark.parametrize("mistake", AROUND.values(), ids=AROUND)
def test_what_is_around_the_losses_says_what_to_give(mistake: Mistake) -> None:
    refused(mistake)


def test_a_mask_in_a_list_is_spread_as_an_array_is() -> None:
    def kept(labels: jax.Array, *, where: jax.Array, axis_name: Any) -> jax.Array:
        return jax.lax.psum(jnp.sum(jnp.where(where, labels, 0)), axis_name)

    loss = parallel.sharded(kept, parallel.data_mesh(jax.devices()[:1]))
    given = [bool(label == 2) for label in LABELS]
    assert loss(jnp.asarray(LABELS), where=given) == 4
    with pytest.raises(ValueError, match=re.escape("where must be bool, one for each row; got bool of shape [1, 6]")):
        loss(jnp.asarray(LABELS), where=[given])


# --- what looks like a mistake, and is none ---------------------------------------------------------------------------


class Own(NamedTuple):
    """A batch of one's own."""

    inputs: Any
    labels: Any
    lengths: Any = None
    where: Any = None


class OwnLoss:
    """A loss of one's own, whose labels are any numbers."""

    def init(self, key: Any, width: Any = None, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def __call__(self, params: Any, labels: Any, rows: Any, *, where: Any = None, axis_name: Any = None) -> Any:
        return jnp.mean(jnp.square(rows)) * jnp.mean(jnp.asarray(labels, float)), {}


@pytest.mark.parametrize(
    ("batch", "loss_fn"),
    [
        (training.Batch(ROWS, LABELS, where=[True] * 6), LOSS_FN),
        (Own(ROWS, LABELS), LOSS_FN),
        (training.Batch(ROWS, LABELS.astype(np.float32)), OwnLoss()),
        (training.Batch(ROWS, np.stack([LABELS, LABELS], axis=1)), OwnLoss()),
        (training.Batch(np.arange(6), ROWS), OwnLoss()),
    ],
    ids=["mask in a list", "batch of one's own", "labels of floats", "labels in columns", "labels that look like rows"],
)
def test_a_step_takes_what_its_loss_does(batch: Any, loss_fn: Any) -> None:
    model = (lambda params, inputs: params * jnp.ones((6, 3))) if loss_fn is not LOSS_FN else None
    start = state(model, loss_fn, **({"params": jnp.ones(())} if model else {}))
    assert jax.eval_shape(training.make_update(loss_fn), start, batch)[1].loss.shape == ()


def test_numbers_of_clusters_may_come_in_anything() -> None:
    known = metrics.silhouettes(ROWS, [2, 3])
    for counts in (jnp.array([2, 3]), {2, 3}, {2: 0, 3: 0}.keys(), iter([2, 3]), np.array([2, 3], np.uint8)):
        np.testing.assert_array_equal(metrics.silhouettes(ROWS, counts), known)


def test_where_both_are_truth_nothing_is_swapped() -> None:
    assert metrics.equal_error_rate(SCORES > 0.5, list(SAME)) == metrics.equal_error_rate(SCORES > 0.5, SAME)


def test_pairs_are_mined_along_any_axis_and_by_masks_that_fit() -> None:
    allowed = ROWS > 0
    for axis in (0, 1):
        near = jt.masks.nearest(ROWS, allowed, axis=axis)
        mined = jt.masks.multi_similarity(ROWS, allowed, ~allowed, axis=axis)
        np.testing.assert_array_equal(near, jt.masks.nearest(ROWS, allowed.astype(int), axis=axis - 2))
        np.testing.assert_array_equal(mined, jt.masks.multi_similarity(ROWS, allowed, ~allowed, axis=axis - 2))
    wide = jnp.broadcast_to(allowed[:, :1], ROWS.shape)
    np.testing.assert_array_equal(jt.masks.nearest(ROWS, allowed[:, :1]), jt.masks.nearest(ROWS, wide))


def test_seeds_and_steps_of_any_size() -> None:
    samplers = [
        data.SpeakerSampler(LABELS, speakers=2, utterances=2, seed=(1, 2)),
        data.TripletSampler(LABELS, triplets=2, seed=(1, 2)),
        data.ShuffledSampler(6, rows=4, seed=(1, 2)),
        data.EpochSampler(LABELS, speakers=2, utterances=2, seed=(1, 2)),
    ]
    for sampler in samplers:
        for step in (2**64, 10**30):
            rows = sampler[step]
            assert np.all(rows < 6)
            np.testing.assert_array_equal(rows, sampler[step])
    assert state(seed=-1).step == 0


def test_an_angle_has_no_limit_where_it_is_none() -> None:
    """Infinity, arrays, which may be traced, and a margin of cosines are left as they are."""
    for margin in (np.inf, np.float32(4), jnp.full(3, 4.0)):
        assert (
            jax.eval_shape(lambda *rows, m=margin: jt.aam_softmax(*rows, margin=m), LABELS, ROWS, CLASSES).shape == ()
        )
    assert jax.eval_shape(lambda *rows: jt.sphereface2(*rows, margin=4.0), LABELS, ROWS, CLASSES).shape == ()


def test_names_of_other_libraries_are_told_ours() -> None:
    for name, ours in (
        ("SupConLoss", "supervised_contrastive"),
        ("TripletMarginLoss", "batch_all or triplet"),
        ("triplet_semihard_loss", "semi_hard"),
        ("semi_hrd", "semi_hard"),
    ):
        with pytest.raises(
            AttributeError, match=rf"^module 'jaxtriplet' has no attribute '{name}'; did you mean {ours}\?$"
        ):
            getattr(jt, name)
    for ours in ELSEWHERE.values():
        for place in ours.split(" or "):
            assert callable(operator.attrgetter(place)(jt)), place
