"""The whole update of ECAPA-TDNN from sound, compiled for accelerators that are not there: what it moves."""

import dataclasses
import re

from jaxtriplet.tools.fits import hlo, launches
from jaxtriplet.tools.fits.programs import Program

from ..modes import trials
from .compiling import text_of

ROWS, SECONDS = 8, 0.5
UPDATE = Program(
    batch_size=ROWS, dim=192, encoder="ecapa-tdnn", preset="paper", features=80, seconds=SECONDS, rows_per_class=4
)
_BY_HOST = {"infeed", "outfeed", "send", "recv", "send-done", "recv-done"}
_ALIAS = re.compile(r"\{(\d+)\}: \((\d+), \{\}, (?:may|must)-alias\)")


def shape(words: str) -> str:
    """An array without its layout."""
    return re.sub(r"\{.*?\}", "", words)


@trials(
    ("target", "loss"),
    [(target, loss) for loss in ("aam-softmax", "semi-hard") for target in ("h100", "tpu-v5e")],
    always=lambda target, loss: loss == "aam-softmax",
)
def test_an_update_takes_the_batch_and_leaves_the_state_where_it_is(target: str, loss: str) -> None:
    text = text_of(dataclasses.replace(UPDATE, target=target, loss=loss))
    module = hlo.read(text)
    instructions = [one for computation in module.computations.values() for one in computation]
    entry = [one for one in module.computations[module.entry] if one.opcode == "parameter"]
    arguments = {int(one.rest.partition(")")[0]): shape(one.type) for one in entry}

    # All but the batch is given up, and becomes the same part of the next state.
    state = {int(given): int(made) for made, given in _ALIAS.findall(text.partition("\n")[0])}
    *kept, inputs, labels, lengths = sorted(arguments)
    assert state == {place: place for place in kept}
    batch = [arguments[place] for place in (inputs, labels, lengths)]
    assert batch == [f"f32[{ROWS},{SECONDS * 16_000:.0f}]", f"s32[{ROWS}]", f"s32[{ROWS}]"]

    # The host gives nothing else, and is asked for nothing.
    assert not _BY_HOST & {one.opcode for one in instructions}
    assert not re.search(r'custom_call_target="[^"]*(?:callback|Host)', text)
    assert "S(5)" not in text  # the host's memory

    # Log-mel features, and before them filters of rooms, channels and noise.
    assert "jit(log_mel)" in text
    assert re.search(r'op_name="[^"]*jvp\(jit\(fft\)\)', text)

    copied = {shape(one.type) for one in instructions if one.opcode == "copy"} & {arguments[place] for place in kept}
    large = {one for one in copied if one.count(",")}
    if target == "tpu-v5e":
        assert not large  # into the chip's own memory and back, `copy-start` moves them while others are computed with
    else:
        # cuDNN has another order of a convolution's kernels. What turns their gradients round while it updates them
        # reads and writes in two orders, so that XLA has it write beside the state, and copies.
        assert {one.count(",") for one in large} <= {2}
        assert launches.count(module, trips=UPDATE.rows_per_class - 1).launches < 1000
