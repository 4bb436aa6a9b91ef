"""Tiles, orders and sorts change no loss: any tile size, any size of class, thousands of rows."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtriplet import engine
from jaxtriplet.distances import squared_euclidean
from jaxtriplet.engine import tuning
from jaxtriplet.engine.rows import Rows, of_class, place_of_class
from jaxtriplet.engine.statistics import One
from jaxtriplet.losses import registry

from .cases import DISTANCES, LOSSES, MINED, OF_EACH_WAY, ROWS, Case, named
from .modes import trials
from .reference.differences import central_differences
from .reference.distances import softmax
from .reference.toys import soft_sums
from .toys import pulled_and_pushed

# One of each way through the engine, and a distance without symmetry; test_tuning has every loss in tiny tiles.
TILED = [
    case
    for case in (*OF_EACH_WAY, named("semi_hard"), named("semi_hard-kl"))
    if "block_size" in case.declared.signature.parameters and not case.declared.class_weights  # cut otherwise
]
# A rule of its own each: the nearest beyond, all pairs, the ends, a formula; and a distance without symmetry.
ALWAYS_TILED = {"semi_hard", "batch_all", "batch_hard", "toy", "semi_hard-kl"}
SORTED = [case for case in LOSSES if ROWS[case.declared.name].sorts]


def ragged(rows: int, dim: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of classes of many sizes, rows off centre and of different scales, and a mask."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, np.maximum(1, rng.integers(1, rows // 2, rows))).astype(np.int32)
    values = (
        rng.normal(0.3, rng.uniform(0.3, 1, (1, dim)), (rows, dim)) + 0.3 * rng.normal(size=(rows // 2, dim))[labels]
    )
    return labels, values, rng.random(rows) > 0.15


def everything(case: Case, **options: Any) -> Any:
    """A compiled function: loss, statistics, each anchor's sum, and the gradients of both by rows and numbers."""

    def scalar(rows: Any, numbers: Any, labels: Any, where: Any) -> Any:
        return case.loss(labels, rows, *numbers, where=where, has_aux=True, **options)

    def weighted_terms(rows: Any, numbers: Any, labels: Any, where: Any) -> Any:
        terms = case.loss(labels, rows, *numbers, where=where, reduce_fn=None, **options)
        return jnp.sum(terms * jnp.cos(jnp.arange(len(terms), dtype=terms.dtype))), terms

    return jax.jit(
        lambda *args: [jax.value_and_grad(each, (0, 1), has_aux=True)(*args) for each in (scalar, weighted_terms)]
    )


@trials("case", TILED, always=lambda case: case.name in ALWAYS_TILED, ids=lambda case: case.name)
def test_tiles_that_do_not_divide_the_batch_give_the_same(case: Case, x64: None) -> None:
    labels, rows, where = ragged(23)
    if len(case.shape) > 1:  # two views
        rows = np.stack([rows, *(ragged(23, seed=seed)[1] for seed in range(1, case.shape[0]))], axis=1)
    rows = np.apply_along_axis(softmax, -1, rows) if case.probabilities else rows
    whole, tiled = (everything(case, block_size=size)(rows, case.numbers, labels, where) for size in (None, 7))
    for ours, theirs in zip(jax.tree.leaves(tiled), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-11, atol=1e-12)


@pytest.fixture
def sorting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes classes of three rows many, so that their distances are sorted."""
    jax.clear_caches()
    monkeypatch.setitem(tuning.TUNING, "cpu", tuning.TUNING["cpu"]._replace(many=2))
    yield
    jax.clear_caches()


@pytest.mark.parametrize("case", SORTED, ids=lambda case: case.name)
def test_sorting_gives_what_the_loop_over_positives_gives(case: Case, x64: None, request: Any) -> None:
    trials = [(ragged(24, seed=seed), margin) for seed in range(4) for margin in (0.4, 0.0, -0.1)]
    for (labels, rows, _), _ in trials[6:]:  # ties: rows on a grid, and copies of rows
        rows[:] = np.round(rows)
        rows[::3] = rows[labels[::3] % 5]
    run = everything(case)
    looped = [run(rows, (margin,), labels, where) for (labels, rows, where), margin in trials]
    request.getfixturevalue("sorting")
    run = everything(case)
    for ((labels, rows, where), margin), expected in zip(trials, looped, strict=True):
        found = run(rows, (margin,), labels, where)
        # Of tied rows either may have the gradient: then only values can be compared.
        tied = len(np.unique(rows, axis=0)) < len(rows)
        pick = (lambda tree: [tree[0][0], tree[1][0]]) if tied else (lambda tree: tree)
        for ours, theirs in zip(jax.tree.leaves(pick(found)), jax.tree.leaves(pick(expected)), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-11, atol=1e-12)


def by_anchor(name: str, labels: np.ndarray, rows: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """The loss and its gradient in float64 NumPy, an anchor at a time."""
    rooted = name != "semi_hard"
    total, terms, gradient = 0.0, 0, np.zeros_like(rows)
    squares = np.sum(rows**2, axis=1)
    for a, label in enumerate(labels):
        d = np.maximum(squares + squares[a] - 2 * rows @ rows[a], 0)
        d = np.sqrt(d) if rooted else d
        positive, negative = np.flatnonzero(labels == label), np.flatnonzero(labels != label)
        positive = positive[positive != a]
        weights = np.zeros(len(rows))
        if len(positive) == 0 or len(negative) == 0:
            continue
        order = negative[np.argsort(d[negative])]
        near = d[order]
        if name == "batch_all":
            count = np.searchsorted(near, d[positive] + margin, "left")
            total += np.sum(count * (d[positive] + margin)) - np.sum(np.concatenate([[0], np.cumsum(near)])[count])
            terms += np.sum(count)
            weights[positive] = count
            weights[negative] = -np.sum(d[positive][:, None] + margin > d[negative][None, :], axis=0)
        else:
            first = np.searchsorted(near, d[positive], "right")
            chosen = order[np.minimum(first, len(order) - 1)]
            if name == "batch_hard":
                positive, chosen = positive[[np.argmax(d[positive])]], order[:1]
            violation = d[positive] - d[chosen] + margin
            total += np.sum(np.maximum(violation, 0))
            terms += len(positive)
            np.add.at(weights, positive[violation > 0], 1)
            np.add.at(weights, chosen[violation > 0], -1)
        slope = weights * (0.5 / np.where(d > 0, d, 1) if rooted else 1)
        gradient[a] += 2 * (np.sum(slope) * rows[a] - slope @ rows)
        gradient += 2 * slope[:, None] * (rows - rows[a])
    return total / terms, gradient / terms


BY_ANCHOR = [(name, largest) for name in ("semi_hard", "batch_all", "batch_hard") for largest in (12, 700)]


# Always: many tiles of small classes, and the sorts of the loss that has most of them.
@trials(("name", "largest"), BY_ANCHOR, always=lambda *one: one in (("batch_hard", 12), ("semi_hard", 700)))
def test_thousands_of_rows_are_exact(name: str, largest: int) -> None:
    # Classes of 1 to 12 rows, and classes so large that their distances are sorted.
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, largest + 1, 4096 if largest < 100 else 8)
    labels = rng.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[: 4096 if largest < 100 else 1500])
    rows = rng.normal(size=(len(labels), 16)) + 0.5 * rng.normal(size=(len(sizes), 16))[labels]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    expected, expected_gradient = by_anchor(name, labels, rows.astype(np.float64), 0.3)
    loss = jax.value_and_grad(partial(registry.find(name), labels))
    value, gradient = loss(rows, margin=0.3)
    np.testing.assert_allclose(value, expected, 1e-5)
    if name == "semi_hard":
        # Of thousands of negatives some lie within float32's rounding of a positive: on the other side of it, another
        # negative gets the gradient, though the loss is the same. So the gradient is judged in float64.
        with jax.enable_x64(True):
            value, gradient = loss(rows.astype(np.float64), margin=0.3)
        np.testing.assert_allclose(value, expected, 1e-10)
    assert np.linalg.norm(np.asarray(gradient) - expected_gradient) < 1e-5 * np.linalg.norm(expected_gradient)


@pytest.mark.parametrize("case", [case for case in MINED if case.plain], ids=lambda case: case.name)
def test_forward_mode_and_second_derivatives_say_that_they_are_not_there(case: Case) -> None:
    labels, rows, _ = ragged(8)
    loss = partial(case.loss, labels)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (rows.astype(np.float32),), (rows.astype(np.float32),))
    with pytest.raises(TypeError, match="no second derivatives"):
        jax.jacrev(jax.jacrev(loss))(rows.astype(np.float32))
    with pytest.raises(TypeError, match="no second derivatives"):
        jax.grad(lambda rows: jnp.sum(jax.grad(loss)(rows) ** 2))(rows.astype(np.float32))


# --- anchors that are no candidates -----------------------------------------------------------------------------------


# Batch-all's rule once more: a loop over positives, or a sort where classes are large.
each_triplet = engine.triplets(lambda tile, active: tile.num_positives * tile.num_negatives + 0 * active)


def each_triplet_in_numpy(d: Any, positive: Any, negative: Any, margin: Any) -> tuple[np.ndarray, np.ndarray]:
    """Each anchor's sum of terms, and how many it has, of distances [anchor, candidate]."""
    total, valid = np.zeros(len(d)), np.zeros(len(d))
    for a, p in np.argwhere(positive):
        for n in np.flatnonzero(negative[a]):
            total[a] += max(d[a, p] - d[a, n] + margin, 0)
            valid[a] += 1
    return total, valid


def soft_sums_in_numpy(d: Any, positive: Any, negative: Any, *numbers: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same of the toy's formula."""
    valid = positive.any(axis=1) & negative.any(axis=1)
    sides = [(list(d[a][positive[a]]), list(d[a][negative[a]])) for a in range(len(d))]
    terms = [soft_sums(*both, *numbers) if one else 0.0 for both, one in zip(sides, valid, strict=True)]
    return np.array(terms), valid


RULES: dict[str, Any] = {
    "a hinge by hand": (each_triplet, each_triplet_in_numpy, (0.4,)),
    "a formula": (engine.formula(pulled_and_pushed), soft_sums_in_numpy, (2.0, 3.0, 0.8)),
}


class Towers(NamedTuple):
    """Anchors and candidates of their own, on both sides with padding, and with labels that the other side lacks."""

    anchors: np.ndarray
    candidates: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray]

    @classmethod
    def drawn(cls, kind: str) -> Self:
        rng = np.random.default_rng(5)
        of_anchors = np.array([3, 0, 7, 0, 2**31 - 1, 3, 0], np.int32)
        of_candidates = np.array([0, 3, 3, 5, 0, 3, 3, -(2**31), 0, 2**31 - 1], np.int32)
        valid = [np.arange(len(labels)) % 6 != 5 for labels in (of_anchors, of_candidates)]
        if kind == "no class in common":
            of_anchors = of_anchors // 2 * 2
            of_candidates = of_candidates // 2 * 2 + 1
        if kind == "one class":
            of_anchors[:], of_candidates[:] = 3, 3
        if kind == "no candidate":
            valid[1][:] = False
        rows = (rng.normal(size=(len(labels), 3)) * 0.7 for labels in (of_anchors, of_candidates))
        return cls(*rows, (of_anchors, of_candidates), (valid[0], valid[1]))

    def mined(self, name: str, rows: Any, numbers: Any, distance: Any, **options: Any) -> engine.Found:
        anchors, candidates = (
            engine.meet(labels, jnp.where(valid[:, None], values, jnp.nan), jnp.asarray(valid))[0]
            for labels, values, valid in zip(self.labels, rows, self.valid, strict=True)
        )
        rule = RULES[name][0]
        own = numbers[0] if len(numbers) == 1 else numbers
        return engine.mine(rule, anchors, candidates, own, distance, strangers=True, **options)

    def expected(self, name: str, rows: Any, numbers: Any, distance: Any) -> tuple[np.ndarray, np.ndarray]:
        both = self.valid[0][:, None] & self.valid[1][None, :]
        alike = self.labels[0][:, None] == self.labels[1][None, :]
        d = np.array([[distance(anchor, candidate) for candidate in rows[1]] for anchor in rows[0]])
        return RULES[name][1](d, both & alike, both & ~alike, *numbers)


@trials(
    ("name", "distance", "kind"),
    itertools.product(
        RULES, ["squared_euclidean", "kl"], ["ragged", "no class in common", "one class", "no candidate"]
    ),
    always=lambda name, distance, kind: kind == "ragged" or (distance == "squared_euclidean" and name != "a formula"),
    ids=lambda name, distance, kind: f"{name}-{distance}-{kind}",
)
def test_anchors_may_be_strangers_to_the_candidates(name: str, distance: str, kind: str, x64: None) -> None:
    towers, numbers, (ours, theirs) = Towers.drawn(kind), RULES[name][2], DISTANCES[distance]
    rows = (towers.anchors, towers.candidates)
    total, valid = towers.expected(name, rows, numbers, theirs)
    assert (kind == "ragged") == (0 < np.count_nonzero(valid) < len(valid))
    scale = np.cos(np.arange(len(total)))
    gradients = [
        central_differences(
            lambda x, side=side: float(
                scale @ towers.expected(name, (x, rows[1]) if side == 0 else (rows[0], x), numbers, theirs)[0]
            ),
            rows[side],
        )
        for side in (0, 1)
    ]
    by_numbers = central_differences(
        lambda x: float(scale @ towers.expected(name, rows, x, theirs)[0]), np.array(numbers)
    )
    for block_size in (None, 3):

        @jax.jit
        def terms_and_gradients(rows: Any, numbers: Any, scale: Any, size: int | None = block_size) -> Any:
            def weighted(rows: Any, numbers: Any) -> Any:
                found = towers.mined(name, rows, numbers, ours, each=True, block_size=size).terms
                return jnp.sum(found.total * scale), found

            return jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True)(rows, numbers)

        (_, found), (by_rows, own) = terms_and_gradients(rows, numbers, scale)
        np.testing.assert_allclose(found.total, total, 1e-10, atol=1e-12)
        np.testing.assert_array_equal(found.valid, valid)
        for one, other in zip(by_rows, gradients, strict=True):
            np.testing.assert_allclose(one, other, 1e-6, atol=1e-7)
        np.testing.assert_allclose(own, by_numbers, 1e-6, atol=1e-7)


@pytest.mark.parametrize("name", RULES)
def test_the_sum_over_strangers_is_that_of_their_terms_and_large_classes_are_sorted(
    name: str, x64: None, request: Any
) -> None:
    towers, numbers = Towers.drawn("ragged"), RULES[name][2]
    rows = (towers.anchors, towers.candidates)

    def graded(**options: Any) -> Any:
        def loss(rows: Any, numbers: Any) -> Any:
            found = towers.mined(name, rows, numbers, squared_euclidean, **options)
            return jnp.sum(found.terms.total), found

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(rows, numbers)

    (value, found), gradients = graded(each=True)
    summed = graded()
    request.getfixturevalue("sorting")
    for (other, seen), others in (summed, graded(block_size=4)):
        np.testing.assert_allclose(other, value, 1e-12)
        for ours, theirs in zip(jax.tree.leaves(others), jax.tree.leaves(gradients), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-10, atol=1e-12)
        for ours, theirs in zip(jax.tree.leaves(seen[1:]), jax.tree.leaves(found[1:]), strict=True):
            np.testing.assert_allclose(ours, theirs, 1e-10)


def test_what_strangers_are_like_reaches_the_statistics_and_nan_the_loss(x64: None) -> None:
    towers = Towers.drawn("ragged")
    rows = (towers.anchors, towers.candidates)
    mined = jax.jit(lambda rows: towers.mined("a hinge by hand", rows, (0.4,), squared_euclidean))
    found = mined(rows)
    anchors, candidates = (values[valid] for values, valid in zip(rows, towers.valid, strict=True))
    of_anchors, of_candidates = (labels[valid] for labels, valid in zip(towers.labels, towers.valid, strict=True))
    d = np.sum((anchors[:, None] - candidates[None]) ** 2, axis=2)
    alike = of_anchors[:, None] == of_candidates[None, :]
    for spread, these in ((found.positives, d[alike]), (found.negatives, d[~alike])):
        np.testing.assert_allclose(spread, [len(these), these.sum(), these.max(), these.min()], 1e-9)
    for side in (0, 1):
        spoiled = tuple(np.array(values) for values in rows)
        spoiled[side][np.flatnonzero(towers.valid[side])[-1], 0] = np.nan
        assert np.isnan(mined(spoiled).terms.total)


def test_importing_starts_no_backend() -> None:
    # Else `jax.distributed.initialize` after `import jaxtriplet` would fail.
    import subprocess
    import sys

    code = "import jaxtriplet; from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_strangers_to_nobody_have_no_terms() -> None:
    def loss(rows: Any) -> Any:
        anchors, _ = engine.meet(jnp.zeros(3, jnp.int32), rows)
        nobody, _ = engine.meet(jnp.zeros(0, jnp.int32), jnp.zeros((0, 2)))
        rule = engine.formula(pulled_and_pushed)
        numbers = tuple(map(jnp.float32, (2.0, 3.0, 0.8)))
        return engine.mine(rule, anchors, nobody, numbers, squared_euclidean, strangers=True).terms.total

    value, gradient = jax.value_and_grad(loss)(jnp.ones((3, 2)))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_the_score_of_the_own_class_is_what_a_sum_over_it_is() -> None:
    labels = jnp.array([2, 5, 1, -1, 3, 3, 2**31 - 1, -(2**31)], jnp.int32)  # of the next block, of none, of padding
    rows = Rows(jnp.zeros((8, 0)), labels, jnp.arange(8) != 5, jnp.full(8, -1))
    classes = Rows(jnp.zeros((4, 0)), jnp.arange(1, 5, dtype=jnp.int32), jnp.arange(4) != 0, jnp.arange(1, 5))
    at, mask = place_of_class(rows, classes), of_class(rows, classes)[0].T
    assert at.tolist() == [1, -1, -1, -1, 2, -1, -1, -1]
    scores = jnp.arange(1.0, 33).reshape(8, 4)

    def both(scores: jax.Array) -> tuple[jax.Array, jax.Array]:
        return One(scores, mask, at).of_row(1), engine.Sum(scores, mask).of_row(1)

    (fetched, summed), pull = jax.vjp(both, scores)
    np.testing.assert_array_equal(fetched, summed)
    assert fetched.tolist() == [2, 0, 0, 0, 19, 0, 0, 0]
    slopes, nothing = jnp.arange(1.0, 9), jnp.zeros(8)
    np.testing.assert_array_equal(*(pull(kind)[0] for kind in ((slopes, nothing), (nothing, slopes))))
