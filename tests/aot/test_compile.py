"""Every loss and the whole update, compiled for accelerators that are not there, once `fits --install` was run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from jaxtriplet.models import ENCODERS
from jaxtriplet.tools import losses
from jaxtriplet.tools.fits import compilers
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.targets import TARGETS

from .compiling import ON_GPU, Compile

SLICES = [
    pytest.param("tpu-v5e", 4, id="tpu-v5e-4"),
    pytest.param("tpu-v5e", 16, id="tpu-v5e-16"),
    pytest.param("h100", 4, marks=ON_GPU, id="h100-4"),
]
KNOWN = {name: loss for name, loss in losses.known().items() if loss.rows != "thirds"}
# The symmetric loss of two views gathers both; rows that meet class weights need not meet each other.
ONE_WAY = [name for name, loss in KNOWN.items() if "symmetric" not in loss.fixed and not loss.class_weights]
WITH_WEIGHTS = [name for name, loss in KNOWN.items() if loss.class_weights]
# One statistic and several, terms of two kinds, two views both ways: each ring is made of these.
RINGS = [
    ("supervised-contrastive", "tpu-v5e"),
    *(
        pytest.param(name, "h100", marks=ON_GPU)
        for name in ("supervised-contrastive", "circle", "contrastive", "info-nce-symmetric")
    ),
]


def spread(names: Iterable[str], for_all: tuple[str, ...]) -> list[Any]:
    """Each name for one of the slices in turn, and some for all of these."""
    return [
        pytest.param(name, *one.values, marks=one.marks, id=f"{name}-{one.id}")
        for place, name in enumerate(names)
        for turn, one in enumerate(SLICES)
        if name in for_all or place % len(SLICES) == turn
    ]


# The TPU compiler takes longer, and longer for more rows.
SHAPES = {"tpu-v5e": (1024, 64), "h100": (65536, 32)}
UPDATE: Any = {"batch_size": 512, "dim": 32, "frames": 20, "features": 12}


# Terms, speakers and logits in all places.
@pytest.mark.parametrize(("loss", "target", "devices"), spread(ONE_WAY, ("batch-hard", "ge2e", "kl-hinge")))
def test_a_loss_gathers_the_rows_once_and_scatters_their_gradient_once(
    loss: str, target: str, devices: int, compile_for: Compile
) -> None:
    rows, dim = SHAPES[target]
    found = compile_for(Program(target, devices, loss, rows, dim))
    assert found.fits
    large = [one for one in found.collectives if one.bytes >= rows * dim * 4]
    assert [one.times for one in large] == [1, 1]
    forward, backward = sorted(one.kind for one in large)
    if (forward, backward) != ("all-gather", "reduce-scatter"):
        # On 16 chips the TPU compiler prefers an all-reduce, which takes scalars along, and of which each keeps a part.
        assert (target, devices, forward, backward) == ("tpu-v5e", 16, "all-gather", "all-reduce")
    small = [one for one in found.collectives if one not in large]
    per_row = [one for one in small if one.bytes >= 4 * rows]  # the labels, and the rows' places
    # Of lifted structure not the places, but each row's sum and its gradient, which takes a scalar along; of what is
    # differentiated by running it again, the labels, for each run.
    numbers, scalar = {"lifted-structure": (3, 4), "kl-hinge": (3, 0)}.get(loss, (2, 0))
    assert sum(one.bytes for one in per_row) <= numbers * 4 * rows + scalar
    scalars = [one for one in small if one not in per_row]
    assert {one.kind for one in scalars} <= {"all-reduce"}
    assert sum(one.bytes for one in scalars) <= 16


@pytest.mark.parametrize(
    ("target", "loss"),
    [*(pytest.param("h100", loss, marks=ON_GPU) for loss in KNOWN), ("tpu-v5e", "batch-hard")],
)
def test_the_distances_of_all_pairs_never_exist(target: str, loss: str, compile_for: Compile) -> None:
    rows, dim = SHAPES["h100"]
    found = compile_for(Program(target, 4, loss, rows, dim))
    # Half of what a device would need for the distances of its own anchors, 4 GiB.
    assert found.peak_bytes < rows * (rows // 4) * 4 / 2


@pytest.mark.parametrize(("loss", "target"), RINGS)
def test_no_device_of_a_ring_holds_all_rows(loss: str, target: str, compile_for: Compile) -> None:
    rows, dim = SHAPES[target]
    dim = 512 if target == "h100" else dim  # rows of 128 MiB in all: or the tile would be all that there is to see
    gather, ring = (
        compile_for(Program(target, 4, loss, rows, dim, exchange=exchange)) for exchange in ("gather", "ring")
    )
    assert ring.fits
    assert ring.peak_bytes < gather.peak_bytes
    own = rows // 4 * dim * 4
    moved = {one.kind for one in ring.collectives if one.bytes >= own}
    assert moved == {"collective-permute"}
    # Three turns of the rows, three more of rows and gradient, and the gradient's last, home; labels and masks beside.
    turns = 10 * (1 + ("symmetric" in losses.find(loss).fixed)) * own
    assert turns <= ring.sent_bytes < 1.1 * turns


@ON_GPU
@pytest.mark.parametrize("loss", [name for name in WITH_WEIGHTS if name != "proxy-anchor"])
def test_rows_stay_where_they_are_and_the_gradient_of_class_weights_is_added_up_once(
    loss: str, compile_for: Compile
) -> None:
    rows, dim = SHAPES["h100"]
    program = Program("h100", 4, loss, rows, dim)
    found = compile_for(program)
    assert {one.kind for one in found.collectives} == {"all-reduce"}
    assert program.weights_bytes <= sum(one.bytes for one in found.collectives) <= program.weights_bytes + 64


APART: Any = {"batch_size": 2048, "dim": 128, "class_weights": "apart"}


def beside_weights(loss: str, target: str, classes: int, compile_for: Compile) -> tuple[int, int]:
    """The peak of one of 8 devices, without class weights and their gradient, and what all its cosines would take."""
    program = Program(target, 8, loss, classes=classes, **APART).checked()
    peak = compile_for(program).peak_bytes - 2 * program.weights_bytes
    return peak, program.batch_size * program.weights_bytes // program.dim


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        ("aam-softmax", "tpu-v5e"),
        *(pytest.param(name, "h100", marks=ON_GPU) for name in WITH_WEIGHTS if not KNOWN[name].fixed),
    ],
)
def test_the_cosines_of_rows_to_classes_apart_never_exist(loss: str, target: str, compile_for: Compile) -> None:
    peak, of_pairs = beside_weights(loss, target, 2**20, compile_for)
    assert peak < of_pairs / 4


@ON_GPU
def test_four_times_the_classes_need_no_more_than_their_weights(compile_for: Compile) -> None:
    few, many = (beside_weights("aam-softmax", "h100", classes, compile_for)[0] for classes in (2**18, 2**20))
    assert many - few < 16 * (2**20 - 2**18) // 8  # of a class its number, and whether it is one


@pytest.mark.parametrize(("encoder", "target", "devices"), spread(ENCODERS, ("blstm",)))
def test_the_whole_update_moves_rows_gradients_and_scalars(
    encoder: str, target: str, devices: int, compile_for: Compile
) -> None:
    program = Program(target, devices, "batch-hard", encoder=encoder, **UPDATE)
    found = compile_for(program)
    assert found.fits
    rows, dim = program.batch_size, program.dim
    gathers = [one for one in found.collectives if one.kind == "all-gather" and f"f32[{rows},{dim}]" in one.arrays]
    assert [one.times for one in gathers] == [1]
    # Of what is as large as the rows there is little more: their gradient, and once that of the parameters.
    large = [one for one in found.collectives if one.bytes >= rows * dim * 4]
    assert all(one.times == 1 for one in large)
    assert len(large) <= 3


@ON_GPU
def test_micro_batches_need_less_memory(compile_for: Compile) -> None:
    whole, parts = (
        compile_for(Program("h100", 4, "batch-hard", encoder="blstm", **UPDATE, micro_batch=size))
        for size in (None, 64)
    )
    assert parts.peak_bytes < whole.peak_bytes / 2


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_compiles(target: str, compile_for: Compile) -> None:
    found = compile_for(Program(target, 1, "deep-speaker", 3 * 2**10, 64))
    assert found.fits
    assert 2 * 3 * 2**10 * 64 * 4 <= found.peak_bytes < 2**25


@pytest.mark.parametrize("target", ["tpu-v5e", "h100"])
def test_the_command_finds_where_the_memory_ends(target: str, call: Any) -> None:
    words = ["--loss", "deep-speaker", "--batch-size", "67108863", "--dim", "512", "--target", target, "--json"]
    status, out, _ = call("fits", *words)
    assert status == 0
    found = json.loads(out)
    (answer,) = found["answers"]
    assert not answer["fits"]  # 128 GiB of embeddings alone
    assert 0.95 <= answer["largest_peak_bytes"] / found["memory_bytes"] <= 1
    assert answer["largest_batch"] * 512 * 4 * 2 <= answer["largest_peak_bytes"]  # the embeddings and their gradient


def test_jax_itself_starts_without_a_word(tmp_path: Path) -> None:
    assert all(compilers.installed(one) for target in TARGETS.values() for one in target.needs)
    given = {name: value for name, value in os.environ.items() if name not in ("JAX_PLATFORMS", "XLA_FLAGS")}
    words = [sys.executable, "-c", "import jax; print(jax.devices())"]
    plain = subprocess.run(words, capture_output=True, text=True, env=given, cwd=tmp_path, check=True)
    assert (plain.stdout, plain.stderr) == ("[CpuDevice(id=0)]\n", "")
