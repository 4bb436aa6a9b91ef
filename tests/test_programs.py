"""The older programs: the figures that they print, and the five departures from them on purpose."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtriplet as jt

from .reference import batch_hard, kl, programs, semi_hard
from .reference.distances import cosine, euclidean, squared_euclidean


def asymmetric(seed: int, num_rows: int, dim: int) -> np.ndarray:
    """Rows that are not centred and differ in scale."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num_rows, dim)) + rng.normal(size=dim)) * rng.uniform(0.5, 1.5, (num_rows, 1))


# --- what they print --------------------------------------------------------------------------------------------------

GE2E_ROWS = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]], np.float32)
GE2E_SIMILARITY = [
    [0, 0.9999995, 0],
    [0, 0, 0],
    [0.70710605, 0.9999995, 0],
    [0.70710605, 0.9999995, 0],
    [0, 0, 0.9999995],
    [0, 0, 0.9999995],
]


@pytest.mark.parametrize(("method", "printed"), [("softmax", 5.250094), ("contrast", 5.646347)])
@pytest.mark.parametrize("num_speakers", [None, 3, 5])
def test_ge2e_prints(method: str, printed: float, num_speakers: int | None) -> None:
    labels = jnp.asarray([0, 0, 1, 1, 2, 2], jnp.int32)
    loss = jt.ge2e(labels, jnp.asarray(GE2E_ROWS), 1.0, 0.0, method=method, num_speakers=num_speakers)
    np.testing.assert_allclose(loss, printed, atol=1.5e-6)  # it prints six decimals
    program = programs.ge2e_loss(programs.ge2e_similarity(GE2E_ROWS.astype(float), 1, 0, 3, 2), method, 3, 2)
    np.testing.assert_allclose(loss, program, 1e-6)


def test_ge2e_prints_its_similarity_matrix() -> None:
    labels = jnp.asarray([0, 0, 1, 1, 2, 2], jnp.int32)
    similarity, columns = jt.ge2e_similarity(labels, jnp.asarray(GE2E_ROWS), 1.0, 0.0, num_speakers=3)
    np.testing.assert_allclose(similarity, GE2E_SIMILARITY, atol=1e-7)
    np.testing.assert_array_equal(columns, labels)


@pytest.mark.parametrize("method", ["softmax", "contrast"])
@pytest.mark.parametrize(("speakers", "utterances"), [(2, 2), (4, 5), (7, 3)])
def test_ge2e_is_the_program(method: str, speakers: int, utterances: int, x64: None) -> None:
    rows = asymmetric(speakers, speakers * utterances, 6)
    for scale, bias in ((10.0, -5.0), (-2.0, 1.0)):
        matrix = programs.ge2e_similarity(rows, scale, bias, speakers, utterances)
        labels = np.repeat(np.arange(speakers, dtype=np.int32), utterances)
        loss = jt.ge2e(labels, rows, scale, bias, method=method)
        np.testing.assert_allclose(loss, programs.ge2e_loss(matrix, method, speakers, utterances), 1e-10)
        ours, _ = jt.ge2e_similarity(labels, rows, scale, bias, num_speakers=speakers)
        np.testing.assert_allclose(ours, matrix, 1e-10)


DEEP_SPEAKER_CALLS = [
    # (alpha, anchor, positive, negative, relu(a n - a p + alpha)), in the order in which they are printed
    (0.1, 0.9, 1.0, -1.0, 0.0),
    (1.0, 0.9, 1.0, -1.0, 0.0),
    (2.0, 0.9, 1.0, -1.0, 0.2),
    (2.0, 0.6, 1.0, 0.0, 1.4),
    (1.0, 0.6, 1.0, 0.0, 0.4),
    (0.1, 0.6, 1.0, 0.0, 0.0),
    (0.2, 0.6, 1.0, 0.0, 0.0),
    (2.0, 0.9, 1.0, -1.0, 0.2),
    (1.0, 0.9, 1.0, -1.0, 0.0),
    (0.1, 0.9, 1.0, -1.0, 0.0),
    (0.2, 0.9, 1.0, -1.0, 0.0),
]


@pytest.mark.parametrize(("alpha", "anchor", "positive", "negative", "printed"), DEEP_SPEAKER_CALLS)
def test_deep_speaker_prints(
    alpha: float, anchor: float, positive: float, negative: float, printed: float, x64: None
) -> None:
    thirds = np.array([[anchor], [positive], [negative]])
    np.testing.assert_allclose(programs.deep_speaker(thirds, alpha), printed, atol=1e-12)
    np.testing.assert_allclose(jt.deep_speaker(thirds, alpha), printed, atol=1e-12)


def test_deep_speaker_is_the_program(x64: None) -> None:
    for seed in range(5):
        rows = asymmetric(seed, 12, 5)
        np.testing.assert_allclose(jt.deep_speaker(rows, 0.1), programs.deep_speaker(rows, 0.1), 1e-12)


def test_deep_speakers_default_margin_is_its_alpha() -> None:
    rows = jnp.asarray([[0.9], [1.0], [0.9]], jnp.float32)
    np.testing.assert_allclose(jt.deep_speaker(rows), 0.01, 1e-5)


# Every size is compiled once: few sizes, many batches of each.
SIZES = [(20, 11, 7), (13, 3, 4), (31, 8, 2), (9, 5, 5), (16, 1, 3)]


@pytest.mark.parametrize(("batch_size", "features", "subjects"), SIZES)
def test_semi_hard_is_the_loop_that_explains_tensorflow_addons(batch_size: int, features: int, subjects: int) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = rng.random((batch_size, features)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        labels = rng.integers(0, subjects, batch_size).astype(np.int32)
        if len(set(labels)) < 2:
            continue  # departure 1
        with jax.enable_x64(True):
            for alpha in (1.0, 0.2):
                exact = programs.semi_hard(labels, rows.astype(float), alpha, np.float64)
                ours = jt.semi_hard(labels, rows.astype(float), alpha)
                # The loop looks for the farthest negative from 1e-10 upwards, and counts that where all are at 0.
                np.testing.assert_allclose(ours, exact, 1e-9)
        np.testing.assert_allclose(jt.semi_hard(labels, rows), programs.semi_hard(labels, rows), 3e-6)


@pytest.mark.parametrize("squared", [True, False])
def test_batch_all_is_the_tensorflow_program(squared: bool, x64: None) -> None:
    distance = jt.distances.squared_euclidean if squared else jt.distances.euclidean
    for seed in range(6):
        labels = np.random.default_rng(seed).integers(0, 4, 10).astype(np.int32)
        rows = asymmetric(seed, 10, 5)
        loss, stats = jt.batch_all(labels, rows, 0.5, distance_fn=distance, has_aux=True)
        program, fraction = programs.batch_all(labels, rows, 0.5, squared)
        np.testing.assert_allclose(loss, program, 1e-10)
        np.testing.assert_allclose(stats.fraction_active, fraction, 1e-6)


@pytest.mark.parametrize("squared", [True, False])
def test_batch_hard_is_the_tensorflow_program(squared: bool, x64: None) -> None:
    distance = jt.distances.squared_euclidean if squared else jt.distances.euclidean
    for seed in range(6):
        labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(4, dtype=np.int32), 3))
        rows = asymmetric(seed, 12, 5)
        program = np.mean(programs.batch_hard_terms(labels, rows, 0.5, squared))
        np.testing.assert_allclose(jt.batch_hard(labels, rows, 0.5, distance_fn=distance), program, 1e-10)


# --- where we depart --------------------------------------------------------------------------------------------------


def test_departure_1_anchors_without_a_positive_have_no_term(x64: None) -> None:
    labels = np.array([0, 0, 1, 1, 2, 3], np.int32)  # 2 and 3 stand alone
    rows = asymmetric(0, 6, 3)
    terms = programs.batch_hard_terms(labels, rows, 0.5, squared=False)
    ours = jt.batch_hard(labels, rows, 0.5)
    np.testing.assert_allclose(ours, np.mean(terms[:4]), 1e-10)
    assert abs(ours - np.mean(terms)) > 1e-3


def test_departure_1_pairs_without_a_negative_have_no_term(x64: None) -> None:
    labels, rows = np.zeros(5, np.int32), asymmetric(1, 5, 3)
    pairs = [squared_euclidean(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
    np.testing.assert_allclose(programs.semi_hard(labels, rows, 1.0, np.float64), np.mean(pairs) + 1, 1e-6)
    assert jt.semi_hard(labels, rows, 1.0) == 0


def test_departure_2_cosine_distance_grows_with_the_angle(x64: None) -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.1], [0.3, 1.0]])  # the second is near the first, the third is far
    program = programs.pairwise_cosine_distances(rows)[0]
    ours = jt.distances.cosine(rows, rows)[0]
    assert program[1] > program[2]
    assert ours[1] < ours[2]
    np.testing.assert_allclose(ours, [cosine(rows[0], row) for row in rows], 1e-10, atol=1e-12)


def test_departure_3_the_kl_has_its_minimum_at_a_match_and_gradients_everywhere(x64: None) -> None:
    # The program clips the raw outputs of a PReLU: outside [0, 1] nothing moves it, and mismatches can pay.
    outputs, other = np.array([[1.5, -0.5, 0.2]]), np.array([[1.4, -0.7, 0.9]])
    nudged = outputs + np.array([[0.1, 0.1, 0.0]])
    assert programs.kl_distance(nudged, other) == programs.kl_distance(outputs, other)
    assert programs.kl_distance(np.array([[0.2, 0.2]]), np.array([[0.9, 0.9]])) < 0
    same = np.ones(1, bool)
    gradient = jax.grad(lambda x: jt.siamese_kl_hinge(same, x, other))(outputs)
    assert (np.abs(gradient) > 1e-3).all()
    assert jt.siamese_kl_hinge(same, outputs, other) > 0
    np.testing.assert_allclose(jt.siamese_kl_hinge(same, outputs, outputs), 0, atol=1e-12)
    np.testing.assert_allclose(jax.grad(lambda x: jt.siamese_kl_hinge(same, x, outputs))(outputs), 0, atol=1e-12)


def test_departure_3_the_programs_formula_is_there_on_request(x64: None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.dirichlet(np.ones(6), (2, 8))
    same = rng.integers(0, 2, 8).astype(bool)
    program = programs.kl_hinge(same, programs.kl_distance(x, y))
    ours = jt.siamese_kl_hinge(same, x, y, 1.0, symmetric=False, from_logits=False)
    np.testing.assert_allclose(ours, program, 1e-10)
    both = kl.siamese_kl_hinge(same, np.stack([x, y], axis=1), 1.0, from_logits=False).reduced("mean")
    np.testing.assert_allclose(jt.siamese_kl_hinge(same, x, y, from_logits=False), both, 1e-10)
    assert abs(both - program) > 1e-3


def test_departure_4_both_meanings_of_semi_hard_are_here(x64: None) -> None:
    labels, rows = np.repeat(np.arange(4, dtype=np.int32), 3), asymmetric(4, 12, 3)
    values: dict[str, Any] = {
        negatives: jt.semi_hard(labels, rows, 1.0, negatives=negatives) for negatives in ("hardest", "all")
    }
    paper = semi_hard.every(labels, rows, 1.0, distance=squared_euclidean)
    np.testing.assert_allclose(values["hardest"], programs.semi_hard(labels, rows, 1.0, np.float64), 1e-10)
    np.testing.assert_allclose(values["all"], paper.reduced("mean"), 1e-10)
    assert abs(values["hardest"] - values["all"]) > 1e-2


def test_departure_5_the_soft_margin_heeds_the_margin(x64: None) -> None:
    labels, rows = np.repeat(np.arange(4, dtype=np.int32), 3), asymmetric(5, 12, 3)
    program = programs.soft_batch_hard(labels, rows)
    np.testing.assert_allclose(jt.batch_hard(labels, rows, 0.0, hinge_fn=jax.nn.softplus), program, 1e-10)
    ours = jt.batch_hard(labels, rows, 0.7, hinge_fn=jax.nn.softplus)
    soft = batch_hard.batch_hard(labels, rows, 0.7, distance=euclidean, hinge=lambda x: np.log1p(np.exp(x)))
    np.testing.assert_allclose(ours, soft.reduced("mean"), 1e-10)
    assert ours > program
