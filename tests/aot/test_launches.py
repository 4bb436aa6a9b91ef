"""What the losses ask of a GPU's host: kernels to launch and decisions to wait for; and the memory that it costs."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxtriplet import engine
from jaxtriplet.tools import losses
from jaxtriplet.tools.fits.programs import Program

from ..modes import trials
from .compiling import ON_GPU, Compile

# What is measured row by row and never mined.
SEPARABLE = [
    "supervised-contrastive",
    "info-nce",
    "info-nce-symmetric",
    "sigmoid-contrastive",
    "multi-similarity",
    "circle",
    "contrastive",
    "nca",
    "lifted-structure",
    "ge2e",
    "ge2e-contrast",
    "prototypical",
    "angular-prototypical",
]
MINED = ["semi-hard", "batch-all"]
# Of a batch with eight rows of a class: launches and decisions of a call, value and gradient.
SMALL = {
    "semi-hard": (120, 10),
    "batch-all": (95, 10),
    "batch-hard": (25, 0),
    **dict.fromkeys(SEPARABLE, (40, 0)),
}
# Three of those that are measured stand for all: one statistic, two directions at once, a term for each pair.
LARGE = {
    **dict.fromkeys(["supervised-contrastive", "info-nce", "sigmoid-contrastive"], 8_000),
    "batch-hard": 6_000,
    **dict.fromkeys(MINED, 55_000),
}


def test_what_is_measured_is_known() -> None:
    measured = set[str]()
    with pytest.MonkeyPatch.context() as patch:
        for name, loss in losses.known().items():

            def measure(*args: Any, _name: str = name, **options: Any) -> Any:
                measured.add(_name)
                return engine.measuring.measure(*args, **options)

            patch.setattr(engine, "measure", measure)
            rows, classes = jax.ShapeDtypeStruct((39, 5), jnp.float32), jax.ShapeDtypeStruct((39,), jnp.int32)
            weights = [jax.ShapeDtypeStruct(Program(loss=name, dim=5).shape_of_weights, jnp.float32)]
            given = [rows if losses.of_two_views(loss) else classes, rows, *(weights if loss.class_weights else [])]
            jax.eval_shape(loss, *given)
    assert measured == {*SEPARABLE}


def asked(program: Program, compile_for: Compile) -> tuple[int, int]:
    """The launches and decisions of a call."""
    found = compile_for(program)
    assert found.launches is not None
    assert found.decisions is not None
    return found.launches, found.decisions


@ON_GPU
@pytest.mark.parametrize("loss", SMALL)
def test_a_batch_is_few_launches(loss: str, compile_for: Compile) -> None:
    launches, decisions = asked(Program("h100", 1, loss, 2048, 256, rows_per_class=8), compile_for)
    most = SMALL[loss]
    assert launches <= most[0]
    assert decisions <= most[1]


@ON_GPU
@pytest.mark.parametrize("loss", MINED)
def test_with_a_bound_on_the_classes_nothing_is_left_to_decide(loss: str, compile_for: Compile) -> None:
    bounded = Program("h100", 1, loss, 2048, 256, rows_per_class=8, max_class_size=8).checked()
    launches, decisions = asked(bounded, compile_for)
    assert launches <= 60
    assert decisions == 0


@ON_GPU
@pytest.mark.parametrize("loss", LARGE)
def test_a_large_batch_takes_as_few_launches_as_its_memory_allows(loss: str, compile_for: Compile) -> None:
    program = Program("h100", 1, loss, 65_536, 256, rows_per_class=8)
    launches, _ = asked(program, compile_for)
    assert launches <= LARGE[loss]
    assert compile_for(program).peak_bytes <= (640 if loss in MINED else 512) * 2**20


# The TPU compiler takes half a minute or more for each of these.
@pytest.mark.exhaustive
@pytest.mark.parametrize("loss", LARGE)
def test_a_large_batch_takes_little_of_a_chip(loss: str, compile_for: Compile) -> None:
    found = compile_for(Program("tpu-v5e", 1, loss, 65_536, 256))
    assert found.peak_bytes <= 512 * 2**20


@trials("loss", ["supervised-contrastive", "semi-hard"], always=lambda loss: loss == "supervised-contrastive")
def test_four_times_the_rows_fit_one_chip(loss: str, compile_for: Compile) -> None:
    assert compile_for(Program("tpu-v5e", 1, loss, 262_144, 256)).fits
