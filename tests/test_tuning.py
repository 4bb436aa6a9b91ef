"""Numbers tuned for a platform change no loss: the tiles, the ways through a class and the orders of any of them."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import distances, engine
from jaxtriplet.engine import tuning
from jaxtriplet.engine.tuning import Cut, Tuning

from .cases import MEETING, OF_EACH_WAY, PLAIN, Case, named, random_rows
from .modes import trials
from .platforms import PLATFORMS
from .test_engine import everything

ROWS = 24
CUDA, ANY = PLATFORMS["cuda"], 2**31
# Several tiles of everything; classes of up to 3 rows are met side by side, of up to 6 in a loop, larger ones sorted.
TINY = CUDA._replace(mined=Cut(3000, 4, 4, ANY), measured=Cut(1500, 4, 4, ANY), together=0, at_hand=3, many=6)
TUNINGS = {
    "a GPU's": CUDA,
    "a TPU's": PLATFORMS["tpu"],
    "picks, in tiny tiles": TINY._replace(picked=0.1, fewest=4, classes=2, block=2),
    "weights in straight code": TINY._replace(picked=1e9, ordered=0, compared=0, classes=2, block=1),
    "weights in a loop, down the columns": TINY._replace(picked=1e9, straight=0, by_anchor=False, ordered=0),
}


def batch_of(case: Case, largest: int, seed: int = 0) -> tuple[Any, ...]:
    """Rows, labels of classes of one row to so many, in any order, and a mask."""
    rng = np.random.default_rng(seed)
    sizes = [largest, *rng.integers(1, largest + 1, ROWS)]
    labels = rng.permutation(np.repeat(rng.permutation(len(sizes)), sizes)[:ROWS]).astype(np.int32)
    rows, where = random_rows(case, ROWS, seed), rng.random(ROWS) > 0.1
    rows[~where] = np.nan
    return rows, labels, where


def batches(case: Case) -> list[tuple[Any, ...]]:
    return [batch_of(case, largest, seed) for seed, largest in enumerate((3, 6, 14, ROWS))]


def figures(case: Case, dtype: Any, tuned: Tuning | None, given: list[tuple[Any, ...]]) -> list[Any]:
    """Loss, statistics, each anchor's sum, and the gradients of both, of each batch; None: tuned as it comes."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(dtype is np.float64):
        jax.clear_caches()  # what is traced was tuned before
        for platform in tuning.TUNING if tuned is not None else ():
            patch.setitem(tuning.TUNING, platform, tuned)
        run, numbers = everything(case), tuple(jnp.asarray(number, dtype) for number in case.numbers)
        found = [jax.device_get(run(rows.astype(dtype), numbers, *rest)) for rows, *rest in given]
    jax.clear_caches()
    return found


@cache
def untuned(case: Case, dtype: Any) -> list[Any]:
    return figures(case, dtype, None, batches(case))


def compare(found: Any, expected: Any, tolerance: float) -> None:
    """Compares numbers relative to the largest of an array, or to 1."""
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, 0, tolerance * np.abs(theirs).max(initial=1))


# What goes by the size of classes by every tuning, and every other loss by the tiniest tiles. A tile meets its
# distances, whichever they are, before a rule or a statistic sees them: one without symmetry, and one that is no
# product, with a loss of either kind.
BY_SIZE, TINIEST = ("semi_hard", "batch_all"), "picks, in tiny tiles"
CUT = [
    case
    for case in [*PLAIN, *(named(name) for name in ("semi_hard_all", "batch_all-kl", "contrastive-manhattan"))]
    if "block_size" in case.declared.signature.parameters
]
LINES = [(case, word) for case in CUT for word in (TUNINGS if case.name in BY_SIZE else [TINIEST])]
ALWAYS = {("semi_hard", TINIEST), ("aam_softmax", TINIEST)}


def name_of(case: Case, word: str) -> str:
    return f"{case.name}-{word}"


@trials(("case", "word"), LINES, always=lambda case, word: (case.name, word) in ALWAYS, ids=name_of)
def test_a_platforms_numbers_change_nothing(case: Case, word: str) -> None:
    found = figures(case, np.float64, TUNINGS[word], batches(case))
    compare(found, untuned(case, np.float64), 1e-10)


# Sums in another order: a distance is an eps of the squared norms off, 10 at most, which logits multiply by a scale of
# 5 or divide by a temperature of 0.3; the largest difference was 72 eps, of a gradient. In float64 every tuning is seen
# to change nothing: here is the one that sums in the most pieces.


@trials(
    ("case", "word"),
    [
        (case, word)
        for case, word in LINES
        if word == TINIEST and case.name in ("semi_hard", "ge2e", "normalized_softmax")
    ],
    always=lambda case, word: name_of(case, word) == "semi_hard-picks, in tiny tiles",
    ids=name_of,
)
def test_in_float32_a_platforms_numbers_change_no_more_than_rounding_does(case: Case, word: str) -> None:
    found = figures(case, np.float32, TUNINGS[word], batches(case))
    compare(found, untuned(case, np.float32), 128 * np.finfo(np.float32).eps)


TIED = [
    ("semi_hard", "weights in straight code"),
    *((name, TINIEST) for name in ("semi_hard", "batch_all", "batch_hard", "contrastive")),
]


@trials(
    ("case", "word"),
    [(case, word) for case, word in LINES if (case.name, word) in TIED],
    always=lambda case, word: name_of(case, word) == "batch_hard-picks, in tiny tiles",
    ids=name_of,
)
def test_where_distances_tie_the_value_is_the_same(case: Case, word: str) -> None:
    """Rows on a grid, and copies of rows: of tied rows either may have the gradient."""
    given = [(np.round(2 * rows), *rest) for rows, *rest in batches(case)]
    for rows, _, where in given:
        rows[::3] = rows[where][0]
    both = [figures(case, np.float64, tuned, given) for tuned in (None, TUNINGS[word])]
    compare(*([(scalar[0], terms[0]) for scalar, terms in one] for one in both), 1e-12)


# --- rules that look at one anchor at a time --------------------------------------------------------------------------


def by_hand(tile: engine.Tile, numbers: dict[str, Any]) -> engine.Mined:
    """A rule with its derivatives: s (d_ap - d_an + m)^2 of the farthest positive and the nearest negative."""
    (far, last), (near, first) = (
        engine.largest(tile.distances, tile.positive),
        engine.smallest(tile.distances, tile.negative),
    )
    margin, (scale, _) = numbers["margin"], numbers["others"]
    mask = (tile.num_positives > 0) & (tile.num_negatives > 0)
    gap = jnp.where(mask, far - near + margin, 0)
    sign = (tile.row == last[None, :]).astype(gap.dtype) - (tile.row == first[None, :]).astype(gap.dtype)
    slopes = {"margin": 2 * scale * gap, "others": (gap**2, jnp.zeros_like(gap))}
    return engine.Mined(engine.count(scale * gap**2, mask), slopes, sign * (2 * scale * gap)[None, :])


@pytest.mark.parametrize("tuned", [CUDA, TINY], ids=["one tile", "tiny tiles"])
@pytest.mark.parametrize("strangers", [False, True])
def test_a_rule_with_a_tree_of_numbers_looks_at_one_anchor_at_a_time(
    tuned: Tuning, strangers: bool, x64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, ROWS).astype(np.int32)
    rows, others = rng.random((ROWS, 4)), rng.random((ROWS, 4))
    numbers = {"margin": 0.3, "others": (1.7, 2.0)}

    def step(rows: Any, others: Any, numbers: Any) -> Any:
        def loss(rows: Any, others: Any, numbers: Any) -> Any:
            anchors, candidates = engine.meet(labels, rows)
            if strangers:
                candidates, _ = engine.meet(np.roll(labels, 5), others)
            found = engine.mine(by_hand, anchors, candidates, numbers, distances.kl, strangers=strangers)
            return found.terms.total

        return jax.value_and_grad(loss, (0, 1, 2))(rows, others, numbers)

    given = rows, others, jax.tree.map(jnp.float64, numbers)
    expected = jax.jit(step)(*given)
    jax.clear_caches()
    for platform in tuning.TUNING:
        monkeypatch.setitem(tuning.TUNING, platform, tuned)
    compare(jax.jit(lambda *given: step(*given))(*given), expected, 1e-12)
    jax.clear_caches()


# --- which platform it is for -----------------------------------------------------------------------------------------

COUNT, EACH = 240, {"cpu": 16, "cuda": 24, "tpu": 40, "rocm": 24}
# Of each way through the engine, which is what decides, one.
LOWERED = [
    case
    for case in MEETING
    if case.name == "semi_hard" or (case in OF_EACH_WAY and case.name not in ("kl_hinge", "toy", "nt_xent"))
    if "block_size" in case.declared.signature.parameters
]


@pytest.fixture
def anchors_in_a_tile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of another size on each platform."""
    jax.clear_caches()
    for platform in tuning.TUNING:
        cut = Cut(0, EACH[platform], EACH[platform], EACH[platform])
        tuned = PLATFORMS[platform]._replace(mined=cut, measured=cut, together=0)
        monkeypatch.setitem(tuning.TUNING, platform, tuned)
    yield
    jax.clear_caches()


def tiles_of(text: str) -> set[int]:
    """How many anchors the tiles of a program have, beside all rows or, of prototypes, as many as there may be."""
    of_all = rf"({COUNT}|{COUNT // 2})"
    return {each for each in (8, *EACH.values()) if re.search(rf"[<x]({of_all}x{each}|{each}x{of_all})xf32", text)}


def lowered(function: Any, *shapes: Any) -> dict[str, set[int]]:
    """The tiles of a function's program for each platform, none of which need be there but the CPU."""
    traced = jax.jit(function).trace(*shapes)
    return {one: tiles_of(traced.lower(lowering_platforms=(one,)).as_text()) for one in EACH}


def shapes_of(case: Case, *leading: int) -> tuple[Any, ...]:
    return (
        jax.ShapeDtypeStruct((*leading, *case.shape), jnp.float32),
        jax.ShapeDtypeStruct(leading, jnp.int32),
    )


def loss_of(case: Case, **options: Any) -> Callable[..., Any]:
    numbers = tuple(map(np.float32, case.numbers))
    return lambda rows, labels: case.loss(labels, rows, *numbers, **options)


@trials("case", LOWERED, always=lambda case: case.name == "batch_all", ids=lambda case: case.name)
def test_the_platform_that_a_program_is_for_decides(case: Case, anchors_in_a_tile: None) -> None:
    own, eight = {one: {each} for one, each in EACH.items()}, {one: {8} for one in EACH}
    gradient = jax.value_and_grad(loss_of(case))
    assert lowered(loss_of(case), *shapes_of(case, COUNT)) == own
    assert lowered(gradient, *shapes_of(case, COUNT)) == own
    assert lowered(jax.vmap(gradient), *shapes_of(case, 3, COUNT)) == own
    of_terms = jax.grad(lambda *given: jnp.sum(loss_of(case, reduce_fn=None)(*given) ** 2))
    assert lowered(of_terms, *shapes_of(case, COUNT)) == own
    assert lowered(jax.value_and_grad(loss_of(case, block_size=8)), *shapes_of(case, COUNT)) == eight


@trials("case", LOWERED, always=lambda case: case.name == "batch_hard", ids=lambda case: case.name)
def test_it_decides_over_devices_too(case: Case, anchors_in_a_tile: None) -> None:
    own, step = {one: {each} for one, each in EACH.items()}, jax.value_and_grad(loss_of(case, axis_name="data"))
    mesh, rows = Mesh(np.array(jax.devices()[:2]), "data"), P("data")
    for check_vma in (True, False):
        mapped = jax.shard_map(step, mesh=mesh, in_specs=(rows, rows), out_specs=(P(), rows), check_vma=check_vma)
        assert lowered(mapped, *shapes_of(case, COUNT)) == own
    assert lowered(jax.pmap(step, axis_name="data"), *shapes_of(case, 2, COUNT // 2)) == own


@trials("case", LOWERED, always=lambda case: case.name == "semi_hard", ids=lambda case: case.name)
def test_one_program_for_all_platforms_has_the_tiles_of_each(case: Case, anchors_in_a_tile: None) -> None:
    step = jax.jit(jax.value_and_grad(loss_of(case)))
    exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(*shapes_of(case, COUNT))
    assert tiles_of(exported.mlir_module()) == set(EACH.values())
    rows, labels = random_rows(case, COUNT, 0).astype(np.float32), (np.arange(COUNT, dtype=np.int32) * 7) % 60
    compare(jax.export.deserialize(exported.serialize()).call(rows, labels), step(rows, labels), 1e-6)


def test_a_gpu_has_a_batch_in_one_tile_and_a_cpu_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tables as they are."""
    jax.clear_caches()
    for platform, tuned in PLATFORMS.items():
        monkeypatch.setitem(tuning.TUNING, platform, tuned)
    shapes = jax.ShapeDtypeStruct((2048,), jnp.int32), jax.ShapeDtypeStruct((2048, 8), jnp.float32)
    for loss in (jt.semi_hard, jt.batch_hard):
        traced = jax.jit(jax.grad(loss, 1)).trace(*shapes)
        texts = {one: traced.lower(lowering_platforms=(one,)).as_text() for one in ("cpu", "cuda", "tpu")}
        whole = {one for one, text in texts.items() if "2048x2048xf32" in text}
        assert whole == {"cuda", "tpu"}
        assert "2048x128xf32" in texts["cpu"]
    jax.clear_caches()
