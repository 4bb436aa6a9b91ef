"""`precision`: every product of a loss and of its gradient is asked for as it says, wherever the loss is traced."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec as P

import jaxtriplet as jt
from jaxtriplet import losses
from jaxtriplet.losses import registry

from .modes import trials
from .toys import TOYS

KNOWN = {name: one for name, one in (registry.LOSSES | TOYS).items() if "precision" in one.signature.parameters}
# One that mines, one of row statistics, one of class weights, one in plain autodiff, one of two views.
QUICK = ("semi_hard", "supervised_contrastive", "aam_softmax", "kl_hinge", "info_nce", "toy")
LABELS, ROWS, CLASSES = ((16,), jnp.int32), ((16, 8), jnp.float32), ((6, 8), jnp.float32)

# --- where it is asked for --------------------------------------------------------------------------------------------


def asked(function: Callable[..., Any], *shapes: Any, platforms: tuple[str, ...] = ("cuda",)) -> set[str]:
    """How the products of a function are asked for, of an accelerator that need not be there."""
    given = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    text = jax.jit(function).trace(*given).lower(lowering_platforms=platforms).as_text()
    found = re.findall(r"stablehlo\.dot_general .*", text)
    assert found
    three = "algorithm = <lhs_precision_type = bf16, rhs_precision_type = bf16, accumulation_type = f32"
    words = {"fast": f"{three}, lhs_component_count = 1, rhs_component_count = 1, num_primitive_operations = 3"}
    words["exact"] = "precision = [HIGHEST, HIGHEST] :"
    return {next((word for word, text in words.items() if text in one), one) for one in found}


def shapes_of(one: registry.Loss, dtype: Any = jnp.float32) -> list[Any]:
    """The shapes of labels or another view, rows, and class weights."""
    rows = (ROWS[0], dtype)
    return [LABELS if one.rows == "batch" else rows, rows, *([(CLASSES[0], dtype)] if one.class_weights else [])]


def both_ways(loss: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The gradient of a loss as it comes, made beside it, and of each anchor's, made when it is traced back."""

    def summed(*given: Any) -> Any:
        return loss(*given, **options) + jnp.sum(jnp.square(loss(*given, reduce_fn=None, **options)))

    return jax.grad(summed, 1)


@trials("name", KNOWN, always=lambda name: name in QUICK, ids=str)
def test_all_products_of_a_loss_and_its_gradient_are_as_asked_for(name: str) -> None:
    one = KNOWN[name]
    assert asked(both_ways(one.function), *shapes_of(one)) == {"exact"}
    assert asked(both_ways(one.function, precision="fast"), *shapes_of(one)) == {"fast"}


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_one_program_for_all_platforms_asks_for_it(precision: Any) -> None:
    gradient = jax.grad(partial(jt.semi_hard, precision=precision), 1)
    assert asked(gradient, LABELS, ROWS, platforms=("cpu", "cuda", "rocm", "tpu")) == {precision}


def test_every_loss_that_compares_all_rows_has_the_choice() -> None:
    for one in registry.LOSSES.values():
        names = list(one.signature.parameters)
        assert ("precision" in names) == ("block_size" in names)
        assert "precision" not in names or names[names.index("block_size") + 1] == "precision"
        assert "precision" not in one.options


@trials(
    "name", ["batch_all", "supervised_contrastive", "lifted_structure"], always=lambda name: name[0] == "s", ids=str
)
def test_float64_stays_exact_and_half_precision_is_widened_first(name: str, x64: None) -> None:
    gradient, one = both_ways(KNOWN[name].function, precision="fast"), KNOWN[name]
    assert asked(gradient, *shapes_of(one, jnp.float64)) == {"exact"}
    assert asked(gradient, *shapes_of(one, jnp.bfloat16)) == {"fast"}


def spread(loss: Any, rows_over: str | None = "data", classes_over: str | None = None, **options: Any) -> Any:
    """A loss over devices."""
    mesh = Mesh(np.array(jax.devices()[:4]), "data")
    over = {"axis_name": rows_over} | ({"class_axis_name": classes_over} if classes_over else {})
    specs = (P(rows_over), P(rows_over)) + ((P(classes_over),) if classes_over else ())
    return jax.shard_map(partial(loss, **over, **options), mesh=mesh, in_specs=specs, out_specs=P())


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_devices_ask_for_it_too(precision: Any) -> None:
    ring = spread(jt.supervised_contrastive, exchange="ring", precision=precision)
    assert asked(jax.grad(ring, 1), LABELS, ROWS) == {precision}
    assert asked(jax.grad(spread(jt.semi_hard, precision=precision), 1), LABELS, ROWS) == {precision}
    apart = spread(jt.am_softmax, classes_over="data", precision=precision)
    classes = ((8, 8), jnp.float32)
    assert asked(jax.grad(apart, (1, 2)), LABELS, ROWS, classes) == {precision}
    mapped = jax.vmap(jax.grad(partial(jt.nca, precision=precision, block_size=5), 1))
    assert asked(mapped, ((3, 16), jnp.int32), ((3, 16, 8), jnp.float32)) == {precision}


def test_a_distance_of_ones_own_and_the_distances_themselves_stay_as_they_are() -> None:
    def own(x: Any, y: Any) -> Any:
        return 2 * jt.distances.squared_euclidean(x, y)

    gradient = jax.grad(partial(jt.batch_all, precision="fast", distance_fn=own), 1)
    assert asked(gradient, LABELS, ROWS) == {"exact"}
    assert asked(jt.distances.cosine, ROWS, ROWS) == {"exact"}


def test_on_a_cpu_the_fast_product_is_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    labels, rows = rng.integers(0, 5, 24).astype(np.int32), rng.normal(size=(24, 8)).astype(np.float32)
    found = [jax.grad(partial(jt.nt_xent, precision=precision), 1)(labels, rows) for precision in ("exact", "fast")]
    np.testing.assert_array_equal(*found)


# --- where it is given ------------------------------------------------------------------------------------------------


def test_sums_of_losses_take_it() -> None:
    loss_fn = losses.weighted({"semi_hard": 1.0, "am_softmax": 1.0}, semi_hard={"precision": "fast"})
    params = loss_fn.init(jax.random.key(0), 8, 6)
    gradient = jax.grad(lambda labels, rows: loss_fn(params, labels, rows)[0], 1)
    assert asked(gradient, LABELS, ROWS) == {"exact", "fast"}
    both = {name: {"precision": "fast"} for name in ("semi_hard", "am_softmax")}
    loss_fn = losses.weighted({"semi_hard": 1.0, "am_softmax": 1.0}, **both)
    assert asked(jax.grad(lambda labels, rows: loss_fn(params, labels, rows)[0], 1), LABELS, ROWS) == {"fast"}
    prefixes = losses.matryoshka(jt.batch_all, (4, 8))
    assert asked(jax.grad(partial(prefixes, precision="fast"), 1), LABELS, ROWS) == {"fast"}


def test_another_word_is_refused_with_the_nearest() -> None:
    says = r"precision must be one of exact, fast; got 'fst'; did you mean fast\?"
    for name in ("batch_hard", "kl_hinge", "info_nce", "am_softmax"):
        with pytest.raises(ValueError, match=says):
            registry.find(name).function(*(jnp.zeros(*shape) for shape in shapes_of(KNOWN[name])), precision="fst")
    with pytest.raises(ValueError, match=says):
        losses.weighted({"semi_hard": 1.0}, semi_hard={"precision": "fst"})
    with pytest.raises(ValueError, match="precision must be one of exact, fast; got None"):
        jt.batch_hard(jnp.zeros(4, jnp.int32), jnp.zeros((4, 2)), precision=None)
    with pytest.raises(ValueError, match="deep_speaker has no option 'precision'"):
        losses.weighted({"deep_speaker": 1.0}, deep_speaker={"precision": "fast"})
