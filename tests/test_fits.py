"""`jaxtriplet fits` without its compilers: the search, the table, refusals; simulated devices."""

import dataclasses
import itertools
import json
import math
import os
import re
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import pytest

from jaxtriplet.cli.fits import fits
from jaxtriplet.losses import registry
from jaxtriplet.models import ENCODERS
from jaxtriplet.tools import losses
from jaxtriplet.tools.fits import compilers, lowering, report, search, targets, worker
from jaxtriplet.tools.fits.compiler import Compiled, Compiler
from jaxtriplet.tools.fits.hlo import Collective
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.report import Answer
from jaxtriplet.tools.words import whole_numbers
from jaxtriplet.tools.workers import Worker, WorkerError

from .modes import trials

# --- programs on simulated devices ------------------------------------------------------------------------------------


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's devices in place of an accelerator's."""
    monkeypatch.setattr(targets, "devices_of", lambda name, devices: jax.devices()[:devices])


def said(program: Program) -> Any:
    """What the worker says of a program."""
    return next(worker.serve([program]))


@pytest.mark.usefixtures("simulated")
def test_the_worker_tells_what_it_compiled() -> None:
    found = said(Program("h100", 4, "kl-hinge", 1024, 16))
    assert isinstance(found, Compiled)
    assert found.fits
    assert found.peak_bytes > 0
    assert found.trips == 2  # 256 anchors of a device, in tiles of 128
    assert found.flops is not None
    assert found.all_flops == 2 * found.flops
    kinds = {one.kind for one in found.collectives if one.bytes >= 1024 * 16 * 4}
    assert "all-gather" in kinds
    assert len(kinds) == 2
    assert found.launches is not None
    assert found.launches > 2
    assert found.decisions == 0


def test_rows_of_a_class_are_the_trips_of_loops_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(rows: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda x: jnp.max(x) > 1, lambda x: jnp.sort(x) / 2, rows)

    monkeypatch.setattr(lowering, "lower", lambda program: jax.jit(halved).lower(jnp.ones(program.batch_size)))
    program = Program("h100", 1, "semi-hard", 256)
    few, eight, many = (said(dataclasses.replace(program, rows_per_class=rows)) for rows in (1, 8, 16))
    assert (few.decisions, eight.decisions, many.decisions) == (1, 8, 16)
    assert said(program).launches == eight.launches
    assert said(dataclasses.replace(program, batch_size=2)).decisions == 2
    assert said(dataclasses.replace(program, max_class_size=1)).launches == few.launches
    assert 0 < (many.launches - eight.launches) * 7 == (eight.launches - few.launches) * 8
    chip = said(dataclasses.replace(program, target="tpu-v5e"))  # it is given the program as a whole
    assert (chip.launches, chip.decisions) == (None, None)


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("loss", losses.known())
def test_every_loss_is_known(loss: str) -> None:
    lowered = lowering.lower(Program("h100", 2, loss, 12, 4))
    value, gradients = lowered.out_info
    found = losses.find(loss)
    shapes = (1 + losses.of_two_views(found)) * [(12, 4)]
    if found.class_weights:
        shapes.append((1000, 4) if found.centers == 1 else (1000, found.centers, 4))
    assert (value.shape, [one.shape for one in gradients]) == ((), shapes)


def test_the_tools_know_every_loss_but_those_of_given_pairs() -> None:
    assert set(registry.trainable()) < set(losses.known())
    views = {name for name, one in losses.known().items() if losses.of_two_views(one)}
    assert (
        views
        == {"info-nce", "info-nce-symmetric", "sigmoid-contrastive"}
        == {*losses.known()}
        - {
            *registry.trainable(),
            "nt-xent-decoupled",
        }
    )
    assert losses.find("nt_xent_decoupled").fixed == {"decoupled": True}


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("loss", ["supervised-contrastive", "info-nce-symmetric"])
def test_a_ring_needs_no_gathered_rows(loss: str) -> None:
    gather, ring = (said(Program("h100", 4, loss, 256, 16, exchange=exchange)) for exchange in ("gather", "ring"))
    gathered, sent = ({one.kind for one in found.collectives if one.bytes >= 64 * 16 * 4} for found in (gather, ring))
    assert "all-gather" in gathered
    assert sent == {"collective-permute"}


@pytest.mark.usefixtures("simulated")
def test_an_update_exchanges_as_it_is_told() -> None:
    program = Program("h100", 2, "supervised-contrastive", 8, 4, "blstm", frames=5, features=3, exchange="ring")
    assert "collective_permute" in lowering.lower(program).as_text()
    assert "collective_permute" not in lowering.lower(dataclasses.replace(program, exchange="gather")).as_text()


@pytest.fixture
def toy(toys: Any) -> registry.Loss:
    """A loss of class weights that nobody but the registry has heard of."""
    return registry.find("toy-softmax")


@pytest.mark.usefixtures("simulated")
def test_a_loss_that_is_declared_is_known_and_its_class_weights_too(toy: registry.Loss) -> None:
    program = Program("h100", 2, toy.command, 8, 4, classes=7)
    _, gradient = lowering.lower(program).out_info
    assert [one.shape for one in gradient] == [(8, 4), (7, 4)]
    encoded = dataclasses.replace(program, encoder="tdnn", frames=5, features=3)
    state, _ = lowering.lower(encoded).args_info[0]
    assert [one.shape for one in jax.tree.leaves(state.params["loss"])] == [(7, 4)]
    (loss,) = [option.type for option in fits.params if option.name == "loss"]
    assert isinstance(loss, click.Choice)
    assert toy.command in loss.choices


@pytest.mark.usefixtures("simulated")
def test_class_weights_are_whole_on_each_device_or_apart() -> None:
    whole = Program("h100", 4, "aam-softmax", 512, 16, classes=4096)
    apart = dataclasses.replace(whole, class_weights="apart").checked()
    assert (whole.weights_bytes, apart.weights_bytes) == (4096 * 16 * 4, 1024 * 16 * 4)
    found = {one.class_weights: said(one) for one in (whole, apart)}
    moved = {name: {one.kind for one in two.collectives if one.bytes >= 512 * 16 * 4} for name, two in found.items()}
    assert moved["whole"] == {"all-reduce"}  # of the gradient
    assert "all-gather" in moved["apart"]
    assert max(one.bytes for one in found["apart"].collectives) < whole.weights_bytes / 4
    assert found["apart"].peak_bytes < found["whole"].peak_bytes


@pytest.mark.usefixtures("simulated")
def test_an_update_leaves_class_weights_apart_and_what_the_optimizer_knows_of_them() -> None:
    program = Program("h100", 4, "am-softmax", 32, 8, "tdnn", frames=5, features=3, classes=2048, class_weights="apart")
    shares = [text for text in lowering.lower(program).compile().as_text().splitlines() if "ENTRY" in text]
    assert str(shares).count("f32[512,8]") >= 3
    assert "f32[2048,8]" not in str(shares)


@pytest.mark.usefixtures("simulated")
@trials(
    ("encoder", "loss"),
    itertools.product(ENCODERS, ["ge2e", "kl-hinge"]),
    always=lambda encoder, loss: (loss == "ge2e") == (encoder in ("blstm", "ecapa-tdnn")),
)
def test_the_whole_update_is_lowered_and_donates_its_state(encoder: str, loss: str) -> None:
    lowered = lowering.lower(Program("h100", 2, loss, 8, 4, encoder, frames=5, features=3, micro_batch=4))
    state, batch = lowered.args_info[0]
    assert all(one.donated for one in jax.tree.leaves(state))
    assert not any(one.donated for one in jax.tree.leaves(batch))
    assert batch.inputs.shape == (8, 5, 3)
    assert ("logits" in str(state.params)) == (loss == "kl-hinge")


@pytest.mark.usefixtures("simulated")
def test_the_update_of_sound_holds_the_front_end_and_augmentation() -> None:
    program = Program("h100", 1, "ge2e", 8, 4, "tdnn", features=24, seconds=0.5).checked()
    lowered = lowering.lower(program)
    state, batch = lowered.args_info[0]
    assert batch.inputs.shape == (8, 8000)
    assert all(one.donated for one in jax.tree.leaves(state))
    features = lowering.lower(dataclasses.replace(program, seconds=None)).as_text()
    transforms = lowered.as_text().count("stablehlo.fft")
    assert transforms > 3  # of frames, of the room, of channel and noise
    assert "stablehlo.fft" not in features


@pytest.mark.usefixtures("simulated")
def test_the_worker_tells_bad_input_and_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not divide" in said(Program("h100", 2, "batch-hard", 9, 4))

    def refuse(words: str) -> Any:
        def lower(program: Program) -> Any:
            raise jax.errors.JaxRuntimeError(words)

        monkeypatch.setattr(lowering, "lower", lower)
        return said(Program("tpu-v5e", 1, "batch-hard", 8, 4))

    full = refuse("RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Used 16.13G of 15.75G hbm. Exceeded by 394.3M.")
    assert (full.fits, full.peak_bytes) == (False, int(16.13 * 2**30))
    assert refuse("RESOURCE_EXHAUSTED: Ran out of memory in memory space vmem").startswith("RESOURCE")
    assert len(refuse("INTERNAL: " + 500 * "x")) == 303


def test_a_product_that_triton_cannot_compute_is_left_to_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    class Lowered:
        def compile(self, options: Any = None) -> Any:
            tried.append(options)
            if options is None:
                raise jax.errors.JaxRuntimeError("INTERNAL: Couldn't find output tile sizes that satisfy hlo: %dot")
            return jax.jit(jnp.sum).lower(jnp.ones(8)).compile()

    monkeypatch.setattr(lowering, "lower", lambda program: Lowered())
    assert said(Program("h100", 1, "semi-hard", 8, 4)).fits
    assert tried == [None, {"xla_gpu_enable_triton_gemm": False}]


def test_a_program_knows_whose_classes_can_be_apart(toy: registry.Loss) -> None:
    program = Program("h100", 4, "soft-triple", 64, 8, classes=12, class_weights="apart").checked()
    assert (program.shape_of_weights, program.weights_bytes) == ((12, 10, 8), 3 * 10 * 8 * 4)
    with pytest.raises(ValueError, match="13 classes do not divide among 4 devices"):
        dataclasses.replace(program, classes=13).checked()
    for loss in ("semi-hard", toy.command):
        with pytest.raises(ValueError, match=f"{loss} has no class weights that could be apart"):
            dataclasses.replace(program, loss=loss).checked()


def test_a_program_knows_how_its_rows_divide() -> None:
    assert Program("h100", 4, "deep-speaker", 48, 8, "blstm", micro_batch=16).checked().unit == 48
    with pytest.raises(ValueError, match=r"48 rows.* 4 devices in micro-batches of 32.* a multiple of 32"):
        Program("h100", 4, "semi-hard", 48, 8, "blstm", micro_batch=32).checked()
    with pytest.raises(ValueError, match=r"32 rows .* and into thirds: take a multiple of 12"):
        Program("h100", 4, "deep-speaker", 32, 8).checked()
    for one in ({"micro_batch": 8}, {"seconds": 2.0}):
        with pytest.raises(ValueError, match=f"`{next(iter(one))}` is of use with an encoder: name an `encoder`"):
            Program("h100", 4, "semi-hard", 32, 8, **one).checked()
    with pytest.raises(ValueError, match="batch-hard has no `max_class_size`"):
        Program("h100", 4, "batch-hard", 32, 8, max_class_size=8).checked()
    with pytest.raises(ValueError, match="`rows_per_class` 9 is more than `max_class_size` 8"):
        Program("h100", 4, "semi-hard", 32, 8, rows_per_class=9, max_class_size=8).checked()
    with pytest.raises(ValueError, match="`rows_per_class` 33 is more than `batch_size` 32"):
        Program("h100", 4, "semi-hard", 32, 8, rows_per_class=33).checked()
    for largest in ({"rows_per_class": 8, "max_class_size": 8}, {"rows_per_class": 32}, {"max_class_size": 2**40}):
        Program("h100", 4, "semi-hard", 32, 8, **largest).checked()
    assert Program("h100", 1, "semi-hard", 4).checked().rows_of_class == 4
    assert Program("h100", 1, "semi-hard", max_class_size=2).checked().rows_of_class == 2
    with pytest.raises(ValueError, match="info-nce is of two views, and an `encoder` here has one"):
        Program("h100", 4, "info-nce", 32, 8, "blstm").checked()
    with pytest.raises(ValueError, match="semi-hard gathers all rows: it has no `exchange`"):
        Program("h100", 4, "semi-hard", 32, 8, exchange="ring").checked()


# --- the process ------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "installed", lambda distribution: True)
    monkeypatch.setattr(sys, "executable", "false")
    with (
        Compiler() as ask,
        pytest.raises(ValueError, match=r"h100 x 1: .* ended with status 1: it said noth"),
    ):
        ask(Program("h100", 1, "semi-hard", 8, 4))


@pytest.mark.parametrize(
    ("failure", "status", "cause"),
    [
        (
            # With the note that JAX adds to an exception whose traceback it cuts.
            """
    error = OverflowError("Python int too large\\n\\nto convert")
    error.add_note("For simplicity, JAX has removed its internal frames")
    raise error""",
            1,
            "OverflowError: Python int too large",
        ),
        (
            """
    for line in ("I1127 01:31:44.1 7 a.cc:1] begun", "F1127 01:31:44.5  7 statusor.cc:99] overflow: [4, 10]", "more"):
        os.write(2, line.encode() + b"\\n")
    os.abort()""",
            -6,
            "overflow: [4, 10]",
        ),
    ],
    ids=["exception", "abort"],
)
def test_a_process_that_fails_tells_the_cause(failure: str, status: int, cause: str, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(f"import os\n\ndef serve(messages):{failure}\n")
    with Worker(file, {}) as process, pytest.raises(WorkerError) as end:
        process.ask("anything")
    assert (end.value.status, end.value.words) == (status, cause)


def test_the_environment_leaves_the_users_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_mine=1")
    assert targets.environment()["XLA_FLAGS"] == "--xla_mine=1 --xla_gpu_autotune_level=0"


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_target_has_slices_of_the_named_sizes(name: str) -> None:
    for devices, topology in targets.TARGETS[name].slices.items():
        chips = math.prod(int(size) for size in topology.rpartition(":")[2].split("x"))
        assert chips == max(devices, 4 if name.startswith("tpu") else 1)


# --- the search -------------------------------------------------------------------------------------------------------

MEMORY = 10**9


def compiled(peak: float, **more: Any) -> Compiled:
    return Compiled(peak <= MEMORY, int(peak), 1.5, **more)


def searched(peak: Callable[[int], float], asked: int, unit: int) -> tuple[int, Compiled | None, list[int]]:
    tried: list[int] = []

    def probe(rows: int) -> Compiled:
        assert rows % unit == 0
        assert rows not in [asked, *tried]
        tried.append(rows)
        return compiled(peak(rows))

    return *search.largest(probe, asked, compiled(peak(asked)), unit=unit, memory=MEMORY), tried


@pytest.mark.parametrize(
    ("peak", "asked", "most"),
    [
        (lambda rows: 10**6 + 6000 * rows, 65536, 2),  # a line
        (lambda rows: 6000 * rows, 10**6, 3),  # asked for too much
        (lambda rows: 10**6 + 3000 * rows * (1 + rows / 10**5), 4096, 5),  # bent upwards
        (lambda rows: 10**6 + 6000 * rows - 2000 * min(rows, 20000), 65536, 4),  # bent once
        (lambda rows: 10**6 + 10 * rows, 64, 5),  # from tiny to huge
        (lambda rows: 5 * 10**6 * -(-rows // 1000), 64, 6),  # in steps, flat at first
    ],
    ids=["line", "from-above", "bent-upwards", "bent-once", "far", "steps"],
)
def test_the_largest_batch_leaves_little_unused(peak: Callable[[int], float], asked: int, most: int) -> None:
    rows, there, tried = searched(peak, asked, 16)
    assert there is not None
    assert there.peak_bytes == int(peak(rows))
    assert (1 - search.UNUSED) * MEMORY <= peak(rows) <= MEMORY
    assert len(tried) <= most


def test_nothing_fits_where_not_even_the_least_batch_does() -> None:
    rows, there, tried = searched(lambda rows: 2.0 * MEMORY, 1024, 256)
    assert (rows, there) == (0, None)
    assert tried == [256]


def test_a_batch_of_few_units_is_found_to_the_unit() -> None:
    rows, _, tried = searched(lambda rows: 0.3e9 * rows / 48, 48, 48)
    assert rows == 3 * 48
    assert len(tried) <= 3


def test_a_jump_in_memory_is_approached() -> None:
    rows, _, tried = searched(lambda rows: 1000.0 * rows if rows < 300_000 else 1e10, 1024, 1)
    assert 290_000 < rows < 300_000
    assert len(tried) <= search.TRIES


# --- the table --------------------------------------------------------------------------------------------------------

PROGRAM = Program("tpu-v5e", 1, "semi-hard", 65536, 256)
GATHER = Collective("all-gather", "f32[65536,256]", 2**26, 3 * 2**24, 1)
LABELS = Collective("all-gather", "s32[65536]", 2**19, 3 * 2**17, 2)
ANSWERS = [
    Answer(PROGRAM, Compiled(True, 400 * 2**20, 29.6, (), 2e10, (512,)), 2490368, Compiled(True, 15 * 2**30, 130.0)),
    Answer(
        dataclasses.replace(PROGRAM, devices=4),
        Compiled(True, 2**27, 10.0, (GATHER, LABELS), 2.2e10, (128, None)),
        0,
    ),
    Answer(dataclasses.replace(PROGRAM, devices=16), Compiled(False, 2**34, 9.0, (), 2.2e10, (32, 32))),
]


def test_the_table_has_a_column_for_each_number_of_devices() -> None:
    lines = report.markdown(ANSWERS).splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: lines.index("")]]
    assert table == [
        ["semi-hard and its gradient, B = 65,536, D = 256, tpu-v5e", "1 device", "4 devices", "16 devices"],
        ["---", "---:", "---:", "---:"],
        ["fits", "yes", "yes", "**no**"],
        ["peak memory of a device", "400 MiB of 15.75 GiB", "128 MiB of 15.75 GiB", "16.00 GiB of 15.75 GiB"],
        ["all-gather, of all devices", "", "64.50 MiB in 3", ""],
        ["sent by each device", "", "48.38 MiB", ""],
        [
            "FLOPs of a device",
            "2e+10 x 512 = 1.02e+13",
            "2.2e+10, each loop once (trips 128, ?)",
            "2.2e+10 x 32 = 7.04e+11",
        ],
        ["times the ideal, 1 / devices", "1.000", "", "1.100"],
        ["largest batch that fits", "2,490,368 rows (15.00 GiB)", "none", ""],
        ["compiled in", "30 s", "10 s", "9 s"],
    ]
    notes = " ".join(lines)
    assert "this predicts memory, not speed" in notes
    assert "launches" not in notes
    assert "15.75 GiB of a chip" in notes
    assert "which may not be all" in notes


def test_the_table_tells_what_class_weights_take() -> None:
    program = Program("h100", 8, "aam-softmax", 4096, 256, classes=2**20, class_weights="apart")
    answer = Answer(program, Compiled(True, 300 * 2**20, 1.0))
    said = report.markdown([answer])
    assert "| aam-softmax and its gradient, B = 4,096, D = 256, C = 1,048,576 apart, h100 | 8 devices |" in said
    assert "| class weights of a device | 128 MiB |" in said
    assert "| peak beside them and their gradient | 44.00 MiB |" in said
    (found,) = report.as_json([answer])["answers"]
    assert found["class_weights_bytes"] == 2**27
    update = Answer(dataclasses.replace(program, encoder="tdnn", class_weights="whole"), answer.compiled)
    said = report.markdown([update])
    assert "| class weights of a device | 1.00 GiB |" in said
    assert "peak beside" not in said
    assert "class weights" not in report.markdown(ANSWERS)


def test_the_table_tells_launches_and_that_they_are_not_timed() -> None:
    program = Program("h100", 1, "semi-hard", 2048, 256, rows_per_class=16)
    answer = Answer(program, Compiled(True, 2**20, 1.0, launches=1664, decisions=17))
    said = report.markdown([answer])
    assert "| kernel launches + decisions of a call | 1,664 + 17 |" in said
    assert "are counted in the compiled text, not timed" in said
    assert "each other row of a class, of 16 here" in " ".join(said.split())
    assert "Classes of 16 rows may take a shorter branch than the one counted; --max-class-size 16 shows" in said
    bounded, other = (dataclasses.replace(program, **one) for one in ({"max_class_size": 16}, {"loss": "batch-hard"}))
    undecided = answer._replace(compiled=dataclasses.replace(answer.compiled, decisions=0))
    for one in (answer._replace(program=bounded), answer._replace(program=other), undecided):
        without = report.markdown([one])
        assert "shorter branch" not in without
        assert "a branch is its longest" in without
    assert report.as_json([answer])["rows_per_class"] == 16
    assert report.as_json(ANSWERS)["rows_per_class"] == 8
    (found,) = report.as_json([answer])["answers"]
    assert (found["launches"], found["decisions"]) == (1664, 17)


def test_the_title_names_the_whole_update() -> None:
    program = Program("h100", 4, "ge2e", 64, 32, "blstm", frames=100, features=12, micro_batch=16)
    assert report.title(program) == (
        "update of blstm with ge2e, B = 64, 100 frames of 12, micro-batches of 16, D = 32, h100"
    )
    heard = report.title(dataclasses.replace(program, seconds=1.5))
    assert heard == "update of blstm with ge2e, B = 64, 1.5 s of sound, micro-batches of 16, D = 32, h100"
    ring = Program("h100", 8, "info-nce", 64, 32, exchange="ring")
    assert report.title(ring) == "info-nce and its gradient, B = 64, D = 32, exchange by ring, h100"


# --- the command ------------------------------------------------------------------------------------------------------


class Imagined:
    """A compiler that knows the memory of a batch: a GB for every 10,000 rows of a device."""

    def __enter__(self) -> "Imagined":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __call__(self, program: Program) -> Compiled:
        memory = targets.TARGETS[program.target].memory
        peak = 10**5 * program.batch_size // program.devices
        return Compiled(peak <= memory, peak, 0.5, (GATHER,) if program.devices > 1 else ())


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtriplet.tools.fits.job.Compiler", Imagined)
    monkeypatch.setattr(compilers, "installed", lambda distribution: True)


@pytest.mark.usefixtures("imagined")
def test_the_command_answers(call: Any) -> None:
    status, out, err = call("fits", "--devices", "1,4", "--batch-size", "200000")
    assert status == 0
    assert "| fits | **no** | yes |" in out
    assert "tpu-v5e x 4, 200,000 rows: 4.66 GiB, fits, 0 s\n" in err


@pytest.mark.usefixtures("imagined")
def test_the_command_answers_in_json(call: Any) -> None:
    words = ["--json", "--quiet", "--target", "h100", "--devices", "2", "--loss", "ge2e", "--batch-size", "64"]
    status, out, err = call("fits", *words)
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["loss"], found["batch_size"], found["encoder"]) == ("ge2e", 64, None)
    (answer,) = found["answers"]
    assert (answer["devices"], answer["fits"], answer["peak_bytes"]) == (2, True, 32 * 10**5)
    assert answer["collectives"] == [dataclasses.asdict(GATHER)]
    assert 0.95 * found["memory_bytes"] < answer["largest_peak_bytes"] == answer["largest_batch"] * 10**5 / 2
    _, out, _ = call("fits", *words, "--no-largest")
    assert json.loads(out)["answers"][0]["largest_batch"] is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--loss", "semi-hart"], "did you mean semi-hard?"),
        (["--target", "tpu-v1"], "--target must be one of tpu-v5e, "),
        (["--encoder", "cnn"], "--encoder must be one of "),
        (["--devices", "3"], "--devices of tpu-v5e must be of 1, 2, 4, 8, 16, 32, 64, 128, 256; got 3"),
        (["--devices", "1,four"], "--devices must be whole numbers, joined by commas; got '1,four'"),
        (
            ["--devices", "1,16", "--batch-size", "24"],
            "24 rows does not divide among 16 devices: take a multiple of 16",
        ),
        (["--micro-batch", "16"], "--micro-batch is of use with an encoder: name an --encoder"),
        (["--seconds", "2"], "--seconds is of use with an encoder: name an --encoder"),
        (["--loss", "ge2e", "--max-class-size", "8"], "ge2e has no --max-class-size"),
        (["--rows-per-class", "0"], "--rows-per-class"),
        (["--rows-per-class", "8", "--max-class-size", "4"], "--rows-per-class 8 is more than --max-class-size 4"),
        (["--rows-per-class", "8", "--batch-size", "4"], "--rows-per-class 8 is more than --batch-size 4"),
        (["--encoder", "ecapa-tdnn", "--seconds", "1e12"], "--seconds"),
        (["--loss", "info-nce", "--encoder", "blstm"], "info-nce is of two views, and an --encoder here has one"),
        (["--exchange", "ring"], "semi-hard gathers all rows: it has no --exchange"),
        (["--class-weights", "apart"], "semi-hard has no class weights that could be apart"),
        (["--loss", "aam-softmax", "--class-weights", "apart", "--classes", "7", "--devices", "4"], "7 classes do not"),
        (["--class-weights", "spread"], "--class-weights must be one of whole, apart; got 'spread'"),
        (["--exchange", "rings"], "--exchange must be one of gather, ring; got 'rings'"),
        (["--batch-size", "0"], "--batch-size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("imagined")
def test_bad_input_is_one_line_and_status_2(words: list[str], complaint: str, call: Any) -> None:
    status, out, err = call("fits", *words)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert complaint in err


@pytest.mark.parametrize("target", targets.TARGETS)
def test_what_is_not_installed_is_named_with_the_option_that_fetches_it(
    target: str, monkeypatch: Any, call: Any
) -> None:
    monkeypatch.setattr(compilers, "installed", lambda distribution: distribution == "nvidia-nvvm")
    status, out, err = call("fits", "--target", target)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    for word in (target, "600 MB", "--install", *set(targets.TARGETS[target].needs) - {"nvidia-nvvm"}):
        assert word in err
    assert "nvidia-nvvm" not in err


# --- the compilers ----------------------------------------------------------------------------------------------------


def wheel(folder: Path, name: str) -> Path:
    """A package that would be imported with JAX if it were beside it."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as content:
        content.writestr(f"jax_plugins/{name}/__init__.py", "raise ImportError('started')")
        content.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        content.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        content.writestr(f"{info}/RECORD", "")
    return file


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for compilers; pip reaches no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    folder = compilers.folder()
    assert folder is not None
    return folder


def test_compilers_are_fetched_once_to_where_only_the_worker_looks(
    fetched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compilers, "requirements", lambda: [str(wheel(tmp_path, "toy_compiler"))])
    compilers.install()
    assert (fetched / "jax_plugins" / "toy_compiler").is_dir()
    assert [path.name for path in fetched.parent.iterdir()] == [fetched.name]
    assert compilers.installed("toy-compiler")
    assert not any(metadata.distributions(name="toy-compiler"))
    assert targets.environment()["PYTHONPATH"].split(os.pathsep)[0] == str(fetched)

    monkeypatch.setattr(compilers, "requirements", lambda: ["toy-compiler==1.*"])
    compilers.install()  # It is there, so that pip is not asked for what it cannot find.


def test_compilers_that_cannot_be_fetched_are_one_line_and_leave_nothing(
    fetched: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    monkeypatch.setattr(compilers, "requirements", lambda: ["no-such-compiler==1.*"])
    status, out, err = call("fits", "--install")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the compilers cannot be fetched: " in err
    assert "No matching distribution found for no-such-compiler" in err
    assert not list(fetched.parent.iterdir())
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert "Linux on x86-64 alone" in call("fits", "--install").err


@pytest.mark.usefixtures("fetched")
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])  # in a container, say
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert compilers.folder() is None
    assert compilers.installed("jax")
    assert not compilers.installed("no-such-distribution")
    assert targets.environment()["PYTHONPATH"] == "elsewhere"

    status, out, err = call("fits", "--install")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "set XDG_CACHE_HOME" in err
    monkeypatch.setattr(compilers, "installed", lambda distribution: False)
    status, out, err = call("fits")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--install" in err


def test_the_compilers_are_those_that_this_jax_names(monkeypatch: pytest.MonkeyPatch) -> None:
    libtpu, plugin, *of_cuda = compilers.requirements()
    assert re.fullmatch(r"libtpu==0\.0\.\d+\.\*", libtpu)
    assert re.fullmatch(r"jax-cuda13-plugin<=([\d.]+),>=\1", plugin)
    assert jax.__version__ in plugin
    assert {"nvidia-cuda-nvcc", "nvidia-nvvm"} == {one.partition("==")[0] for one in of_cuda}
    assert compilers.installed("jax")
    assert not compilers.installed("no-such-distribution")


def test_devices_are_counted() -> None:
    assert whole_numbers("devices", "4") == [4]
