"""Bad input is refused at trace time, in the user's words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt
from jaxtriplet.losses import registry

from .toys import TOYS

NAMED = registry.named() | TOYS
CLASSES = jnp.ones((3, 3), jnp.float32)


def with_weights(one: registry.Loss) -> Any:
    """The loss as a function of labels and rows, its class weights given if it has any."""
    return (
        (lambda labels, rows, *numbers, **more: one(labels, rows, CLASSES, *numbers, **more))
        if one.class_weights
        else one
    )


BATCH_LOSSES = {name: with_weights(one) for name, one in NAMED.items() if one.rows == "batch"}
BATCH_LOSSES["ge2e_similarity"] = jt.ge2e_similarity
every_loss = pytest.mark.parametrize("loss", BATCH_LOSSES.values(), ids=BATCH_LOSSES)
LABELS = jnp.asarray([0, 1, 0, 1, 2, 2], jnp.int32)
ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)


@every_loss
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (jax.nn.one_hot(LABELS, 3), r"float32.*\[6, 3\]|\(6, 3\)"),
        (jnp.asarray(jax.nn.one_hot(LABELS, 3), jnp.int32), r"int32.*6, 3"),
        (LABELS[:, None], r"int32.*6, 1"),
        (LABELS.astype(jnp.float32), "float32"),
        (np.array(["a", "b", "a", "b", "c", "c"]), ""),
        (jnp.int32(3), "int32"),
    ],
    ids=["one-hot", "one-hot integers", "a column", "floats", "words", "a scalar"],
)
def test_labels_must_be_integers(loss: Any, labels: Any, got: str) -> None:
    with pytest.raises(ValueError, match=rf"labels must be integers of shape \[B\]; got .*({got})"):
        loss(labels, ROWS)


@every_loss
def test_labels_and_embeddings_must_agree(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"labels.*6.*5|labels.*5.*6"):
        loss(LABELS[:5], ROWS)


@every_loss
@pytest.mark.parametrize(
    "rows", [ROWS[0], ROWS[None], ROWS.astype(jnp.int32), ROWS > 0, ROWS.astype(jnp.complex64)],
    ids=["one row", "three dimensions", "integers", "booleans", "complex numbers"],
)  # fmt: skip
def test_embeddings_must_be_a_float_matrix(loss: Any, rows: Any) -> None:
    with pytest.raises(ValueError, match=r"(embeddings|logits|x) must be"):
        loss(LABELS, rows)


@every_loss
@pytest.mark.parametrize(
    "where", [jnp.ones(6, jnp.int32), jnp.ones(6), jnp.ones(5, bool), jnp.ones((6, 1), bool), jnp.ones((6, 6), bool)],
    ids=["integers", "floats", "too short", "a column", "pairs"],
)  # fmt: skip
def test_where_must_be_a_mask_of_rows(loss: Any, where: Any) -> None:
    with pytest.raises(ValueError, match=r"where must be bool"):
        loss(LABELS, ROWS, where=where)


def given_rows(one: registry.Loss, **more: Any) -> Any:
    """Calls a loss with rows that it takes."""
    same = [LABELS % 2 == 0] if "same" in one.function.row_arguments else []
    rows = [LABELS, ROWS] if one.rows == "batch" else [*same, *[ROWS] * (len(one.function.row_arguments) - len(same))]
    return one.function(*rows, *([CLASSES] if one.class_weights else []), **more)


NUMBERS = [(name, number) for name, one in NAMED.items() if not one.fixed for number in one.numbers]


@pytest.mark.parametrize("wrong", [jnp.ones(6), jnp.ones((1,)), None], ids=["a row", "one entry", "none"])
@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_numbers_must_be_scalars(name: str, number: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{number} must be"):
        given_rows(NAMED[name], **{number: wrong})


@pytest.mark.parametrize("name", ["scale", "bias"])
def test_the_similaritys_scale_and_bias_must_be_scalars(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        jt.ge2e_similarity(LABELS, ROWS, **{name: jnp.ones(6)})


WORDS = [(one, option, words) for one in NAMED.values() for option, words in one.words.items()]


@pytest.mark.parametrize(("one", "option", "words"), WORDS, ids=[f"{one.name}-{option}" for one, option, _ in WORDS])
def test_unknown_words_are_refused_and_the_known_ones_named(one: registry.Loss, option: str, words: Any) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be .*{'.*'.join(words)}.*got 'none of them'"):
        given_rows(one, **{option: "none of them"})


def test_unknown_words() -> None:
    with pytest.raises(ValueError, match=r"negatives must be .*hardest.*all.*got 'hard'"):
        jt.semi_hard(LABELS, ROWS, negatives="hard")
    with pytest.raises(ValueError, match=r"method must be .*softmax.*contrast.*got 'sofmax'.*did you mean softmax"):
        jt.ge2e(LABELS, ROWS, method="sofmax")


@pytest.mark.parametrize("num_speakers", [0, -1, 2.5, "three"])
def test_the_bound_on_speakers_must_be_a_count(num_speakers: Any) -> None:
    for function in (jt.ge2e, jt.ge2e_similarity):
        with pytest.raises(ValueError, match="num_speakers must be"):
            function(LABELS, ROWS, num_speakers=num_speakers)


@pytest.mark.parametrize("rows", [4, 5, 7])
def test_deep_speaker_needs_thirds(rows: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 3.*{rows}"):
        jt.deep_speaker(jnp.zeros((rows, 2)))


def test_deep_speakers_mask_is_of_rows() -> None:
    for where in (jnp.ones(2, bool), jnp.ones(6)):
        with pytest.raises(ValueError, match="where must be bool"):
            jt.deep_speaker(ROWS, where=where)


def test_a_triplets_sides_must_agree() -> None:
    for sides in ((ROWS, ROWS[:5], ROWS), (ROWS, ROWS, ROWS[:, :2]), (ROWS, ROWS, ROWS[0])):
        with pytest.raises(ValueError, match=r"(anchors|positives|negatives).*"):
            jt.triplet(*sides)
    with pytest.raises(ValueError, match="where must be bool"):
        jt.triplet(ROWS, ROWS, ROWS, where=jnp.ones(6))


def test_siamese_input() -> None:
    same = jnp.asarray([1, 0, 1, 0, 1, 0], bool)
    with pytest.raises(ValueError, match=r"same must be"):
        jt.siamese_kl_hinge(same[:, None], ROWS, ROWS)
    with pytest.raises(ValueError, match=r"same"):
        jt.siamese_kl_hinge(same[:5], ROWS, ROWS)
    with pytest.raises(ValueError, match=r"\bx\b.*\by\b|\by\b"):
        jt.siamese_kl_hinge(same, ROWS, ROWS[:, :2])
    with pytest.raises(ValueError, match="where must be bool"):
        jt.siamese_kl_hinge(same, ROWS, ROWS, where=jnp.ones(6))
    with pytest.raises(ValueError, match="margin must be"):
        jt.siamese_kl_hinge(same, ROWS, ROWS, jnp.ones(6))


@every_loss
def test_labels_that_do_not_fit_are_refused(loss: Any) -> None:
    """JAX would wrap them silently: 0 and 2**32 would become one class."""
    with pytest.raises(ValueError, match=r"labels.*int32"):
        loss(np.array([0, 2**32, 0, 1, 2**32, 1]), ROWS)


def test_wide_labels_are_taken_where_they_fit() -> None:
    wide, narrow = np.array([0, 2**32, 0, 1, 2**32, 1]), jnp.asarray([0, 2, 0, 1, 2, 1], jnp.int32)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(jt.batch_hard(wide, ROWS), jt.batch_hard(narrow, ROWS))


def test_wide_labels_that_fit_are_taken() -> None:
    np.testing.assert_array_equal(
        jt.batch_hard(np.array([0, 1, 0, 1, 2, 2], np.int64), ROWS), jt.batch_hard(LABELS, ROWS)
    )


def test_bad_input_is_refused_under_jit_and_vmap() -> None:
    with pytest.raises(ValueError, match="labels must be integers"):
        jax.jit(jt.batch_all)(LABELS[:, None], ROWS)
    with pytest.raises(ValueError, match="labels must be integers"):
        jax.vmap(jt.batch_all)(jax.nn.one_hot(LABELS, 3)[None], ROWS[None])


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError):
        jt.batch_all(LABELS, ROWS, 0.2, None)


def test_unknown_options_are_refused() -> None:
    """A typo must not silently disable anything."""
    with pytest.raises(TypeError):
        jt.batch_all(LABELS, ROWS, negative="all")


# --- what is no array, no number, no function -------------------------------------------------------------------------


class Tensor:
    """An array of another library, as far as NumPy sees one."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


class Unconvertible:
    """A tensor that waits for its gradient, and refuses to be an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("call detach() first")


@pytest.mark.parametrize("as_given", [np.ndarray.tolist, Tensor, tuple], ids=["lists", "tensors", "tuples"])
def test_what_numpy_makes_an_array_of_is_taken(as_given: Any) -> None:
    expected = jt.batch_hard(LABELS, ROWS, where=LABELS != 1)
    labels, rows, where = (as_given(np.asarray(one)) for one in (LABELS, ROWS, LABELS != 1))
    np.testing.assert_array_equal(jt.batch_hard(labels, rows, where=where), expected)
    np.testing.assert_array_equal(jt.triplet(rows, rows, rows), jt.triplet(ROWS, ROWS, ROWS))


def test_parameters_of_a_module_are_taken_as_rows_and_numbers() -> None:
    from flax import nnx

    def loss(rows: Any, scale: Any) -> jax.Array:
        return jt.ge2e(LABELS, rows, scale)

    by_rows, by_scale = nnx.grad(loss, argnums=(0, 1))(nnx.Param(ROWS), nnx.Param(jnp.float32(3)))
    expected = jax.grad(loss, (0, 1))(ROWS, jnp.float32(3))
    np.testing.assert_array_equal(by_rows[...], expected[0])
    np.testing.assert_array_equal(by_scale[...], expected[1])


NO_ARRAYS: dict[str, Any] = {
    "ragged": [[0], [1, 2]],
    "none": None,
    "a word": "speaker",
    "bytes": b"speaker",
    "words": ["a", "b", "c", "d", "e", "f"],
    "objects": np.array([object()] * 6),
    "a tensor that refuses": Unconvertible(),
    "a dictionary": {"a": 1},
    "dates": np.zeros(6, "datetime64[s]"),
}


@every_loss
@pytest.mark.parametrize("wrong", NO_ARRAYS.values(), ids=NO_ARRAYS)
def test_what_is_no_array_is_refused_as_labels_rows_and_mask(loss: Any, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"labels must be integers of shape \[B\]; got"):
        loss(wrong, ROWS)
    with pytest.raises(ValueError, match=r"embeddings must be floats of shape \[B, D\]; got"):
        loss(LABELS, wrong)
    if wrong is not None:
        with pytest.raises(ValueError, match=r"where must be bool of shape"):
            loss(LABELS, ROWS, where=wrong)


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (np.array([True, False] * 3), r"got bool of shape \[6\].*labels\.astype\(int\)"),
        (LABELS > 0, r"got bool of shape \[6\].*labels\.astype\(int\)"),
        ([0.0, 1.0, 0.0, 1.0, 2.0, 2.0], r"got float64 of shape \[6\].*labels\.astype\(int\)"),
        (np.eye(6, dtype=int), r"got int\d+ of shape \[6, 6\].*argmax\(1\)"),
        (np.zeros((6, 1), int), r"got int\d+ of shape \[6, 1\].*labels\[:, 0\]"),
        ([[0], [1, 2]], "got rows of different lengths"),
    ],
    ids=["booleans", "traced booleans", "whole floats", "one-hot", "a column", "ragged"],
)
def test_what_is_nearly_labels_is_told_how_to_become_some(labels: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=rf"labels must be integers of shape \[B\]; {advice}"):
        jt.batch_all(labels, ROWS)


@pytest.mark.parametrize(("name", "number"), NUMBERS)
@pytest.mark.parametrize(
    "wrong", [1j, "big", b"1", True, [1.0, 2.0], 10**400, object()], ids=lambda wrong: type(wrong).__name__
)
def test_what_is_no_number_is_refused(name: str, number: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{number} must be a single number(, or one for each.*)?; got"):
        given_rows(NAMED[name], **{number: wrong})


def test_a_soft_margin_is_told_its_name() -> None:
    with pytest.raises(ValueError, match=r"the soft margin is `hinge_fn=jax\.nn\.softplus`"):
        jt.batch_hard(LABELS, ROWS, "soft")


STATIC: list[tuple[str, Any, str]] = [
    ("reduce_fn", "mean", r"reduce_fn must be a function .*got 'mean'; give reduce_fn=jaxtriplet\.reductions\.mean$"),
    ("reduce_fn", lambda total, valid: total, r"\(total, valid, active\) -> scalar.*takes 2 positional arguments"),
    ("reduce_fn", lambda total, valid, active: (total, valid), r"\(total, valid, active\) -> scalar.*it makes \("),
    ("distance_fn", "cosine", r"got 'cosine'; give distance_fn=jaxtriplet\.distances\.cosine$"),
    ("distance_fn", lambda x, y: jnp.sum((x - y) ** 2, -1), r"\(x \[M, D\], y \[N, D\]\) -> floats \[M, N\]"),
    ("distance_fn", lambda x, y: (x @ y.T).astype(jnp.int32), "distance_fn must be .* it makes int32"),
    ("hinge_fn", 0.5, r"such as jax\.nn\.relu or softplus; got 0\.5"),
    ("hinge_fn", jnp.sum, "hinge_fn must be a function from floats to floats of the same shape"),
    ("axis_name", 3, "axis_name must be the name of a mapped axis, or a tuple of names; got 3"),
    ("axis_name", ["data"], "axis_name must be the name of a mapped axis"),
    ("axis_name", ("data", 1), "axis_name must be the name of a mapped axis"),
    ("has_aux", "yes", "has_aux must be True or False; got 'yes'"),
    ("block_size", 0, "block_size must be a whole number above 0; got 0"),
    ("block_size", -4, "block_size must be a whole number above 0; got -4"),
    ("block_size", True, "block_size must be a whole number above 0; got True"),
    ("block_size", 8.0, r"block_size must be a whole number above 0; got 8\.0"),
    ("block_size", jnp.int32(8), "block_size must be a whole number above 0"),
]


@pytest.mark.parametrize(
    ("option", "wrong", "says"), STATIC, ids=[f"{name}-{place}" for place, (name, *_) in enumerate(STATIC)]
)
def test_static_options_of_another_kind_are_refused(option: str, wrong: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        jt.batch_hard(LABELS, ROWS, **{option: wrong})


def test_options_that_cannot_be_compiled_for_are_refused_in_words() -> None:
    class Unhashable(list):
        def __call__(self, x: Any, y: Any) -> Any:
            return x @ y.T

    with pytest.raises(ValueError, match="negatives must be one of hardest, all"):
        jt.semi_hard(LABELS, ROWS, negatives=["all"])
    with pytest.raises(ValueError, match="distance_fn must be hashable"):
        jt.batch_hard(LABELS, ROWS, distance_fn=Unhashable())
    with pytest.raises(ValueError, match="from_logits must be True or False"):
        jt.kl_hinge(LABELS, ROWS, from_logits=[True])


def test_a_distance_of_another_form_is_refused_for_given_triplets() -> None:
    with pytest.raises(ValueError, match=r"distance_fn must be .* \(x \[M, D\], y \[N, D\]\) -> floats \[M, N\]"):
        jt.triplet(ROWS, ROWS, ROWS, distance_fn=lambda x, y: jnp.sum((x - y) ** 2, -1))


def test_sizes_beyond_the_batch_change_nothing() -> None:
    np.testing.assert_array_equal(jt.batch_hard(LABELS, ROWS, block_size=2**40), jt.batch_hard(LABELS, ROWS))
    np.testing.assert_array_equal(jt.ge2e(LABELS, ROWS, num_speakers=2**40), jt.ge2e(LABELS, ROWS))


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1.0, "1", None, True], ids=repr)
def test_weights_of_a_sum_are_finite_and_not_below_0(weight: Any) -> None:
    with pytest.raises(ValueError, match="the weight of semi_hard must be a finite number, at least 0; got"):
        jt.losses.weighted({"semi_hard": weight})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "big", None], ids=repr)
def test_numbers_that_are_fixed_in_a_sum_are_finite(wrong: Any) -> None:
    with pytest.raises(ValueError, match="margin of semi_hard must be a finite number; got"):
        jt.losses.weighted({"semi_hard": 1.0}, semi_hard={"margin": wrong})
    with pytest.raises(ValueError, match="block_size must be a whole number above 0"):
        jt.losses.weighted({"semi_hard": 1.0}, semi_hard={"block_size": 0})


@pytest.mark.parametrize(
    "name", ["learning_rate", "weight_decay", "clip_norm", "loss_rate", "class_rate", "class_decay"]
)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1e-3, "fast"], ids=repr)
def test_an_optimizers_numbers_are_finite_and_not_below_0(name: str, wrong: Any) -> None:
    from jaxtriplet.training import make_optimizer

    with pytest.raises(ValueError, match=f"{name} must be a finite number, at least 0; got"):
        make_optimizer(**{"learning_rate": 1e-3, name: wrong})


@pytest.mark.parametrize("wrong", [float("nan"), 1.0, -0.1, "0.9"], ids=repr)
def test_how_much_of_the_average_a_step_keeps_is_below_1(wrong: Any) -> None:
    from jaxtriplet.training import make_update

    with pytest.raises(ValueError, match="average_decay must be"):
        make_update(jt.losses.weighted({"semi_hard": 1.0}), average_decay=wrong)
