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


NUMBERS = [(name, number) for name, one in NAMED.items() if not one.fixed for number in one.numbers]


@pytest.mark.parametrize("wrong", [jnp.ones(6), jnp.ones((1,)), None], ids=["a row", "one entry", "none"])
@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_numbers_must_be_scalars(name: str, number: str, wrong: Any) -> None:
    one = NAMED[name]
    same = [LABELS % 2 == 0] if "same" in one.function.row_arguments else []
    rows = [LABELS, ROWS] if one.rows == "batch" else [*same, *[ROWS] * (len(one.function.row_arguments) - len(same))]
    rows += [CLASSES] if one.class_weights else []
    with pytest.raises(ValueError, match=f"{number} must be"):
        one.function(*rows, **{number: wrong})


@pytest.mark.parametrize("name", ["scale", "bias"])
def test_the_similaritys_scale_and_bias_must_be_scalars(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        jt.ge2e_similarity(LABELS, ROWS, **{name: jnp.ones(6)})


WORDS = [(one, option, words) for one in NAMED.values() for option, words in one.words.items()]


@pytest.mark.parametrize(("one", "option", "words"), WORDS, ids=[f"{one.name}-{option}" for one, option, _ in WORDS])
def test_unknown_words_are_refused_and_the_known_ones_named(one: registry.Loss, option: str, words: Any) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be .*{'.*'.join(words)}.*got 'none of them'"):
        one(LABELS, ROWS, **{option: "none of them"})


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
