"""The answers as a table, and as JSON."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from jaxtriplet.tools.fits import hlo
from jaxtriplet.tools.fits.compiler import Compiled
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.search import UNUSED
from jaxtriplet.tools.fits.targets import TARGETS
from jaxtriplet.tools.words import table


class Answer(NamedTuple):
    """What is known of a program."""

    program: Program
    compiled: Compiled
    largest: int | None = None
    """The rows of the largest batch that fits, 0 if none does; None if it was not looked for."""
    at_largest: Compiled | None = None


def size(count: float) -> str:
    """Returns bytes in words.

    Example:
        >>> size(16128 * 2**20), size(12)
        ('15.75 GiB', '12 B')
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.{2 if count < 100 * unit else 0}f} {name}"
    return f"{count:.0f} B"


def markdown(answers: Sequence[Answer]) -> str:
    """Returns a table with a column for each number of devices, and what to know about it.

    Args:
        answers: The same program with different numbers of devices.

    Returns:
        Markdown.
    """
    template = jinja2.Template(Path(__file__).with_name("fits.md.jinja").read_text(), trim_blocks=True)
    rows = [[name, *cells] for name, cells in _rows(answers) if any(cells)]
    program = answers[0].program
    words = {"note": TARGETS[program.target].note, "unused": f"{UNUSED:.0%}", "program": program}
    return template.render(table=table(rows), answers=answers, **words).rstrip()


def _rows(answers: Sequence[Answer]) -> Iterator[tuple[str, list[str]]]:
    programs, compiled = [one.program for one in answers], [one.compiled for one in answers]
    memory = TARGETS[programs[0].target].memory
    yield title(programs[0]), [f"{one.devices} device{'s' * (one.devices > 1)}" for one in programs]
    yield "fits", ["yes" if one.fits else "**no**" for one in compiled]
    yield "peak memory of a device", [f"{size(one.peak_bytes)} of {size(memory)}" for one in compiled]
    yield "class weights of a device", [size(one.weights_bytes) if one.weights_bytes else "" for one in programs]
    yield "peak beside them and their gradient", [_beside_weights(one) for one in answers]
    for kind in hlo.KINDS:
        yield f"{kind}, of all devices", [_moved(one, kind) for one in compiled]
    yield "sent by each device", [size(one.sent_bytes) if one.collectives else "" for one in compiled]
    yield "FLOPs of a device", [_work(one) for one in compiled]
    yield "kernel launches + decisions of a call", [_started(one) for one in compiled]
    if len(answers) > 1:
        yield "times the ideal, 1 / devices", _beside_ideal(answers)
    yield "largest batch that fits", [_largest(one) for one in answers]
    yield "compiled in", [f"{one.seconds:.0f} s" for one in compiled]


def title(program: Program) -> str:
    """Returns what is compiled, in words.

    Example:
        >>> title(Program("h100", 1, "semi-hard", 65536, 256))
        'semi-hard and its gradient, B = 65,536, D = 256, h100'
    """
    of = f"update of {program.encoder} with {program.loss}" if program.encoder else f"{program.loss} and its gradient"
    words = [of, f"B = {program.batch_size:,}"]
    if program.encoder:
        sound = program.seconds and f"{program.seconds:g} s of sound"
        words.append(sound or f"{program.frames} frames of {program.features}")
    if program.micro_batch:
        words.append(f"micro-batches of {program.micro_batch:,}")
    words.append(f"D = {program.dim}")
    if program.weights_bytes:
        words.append(f"C = {program.classes:,}" + (" apart" if program.class_weights == "apart" else ""))
    if program.exchange != "gather":
        words.append(f"exchange by {program.exchange}")
    return ", ".join([*words, program.target])


def _beside_weights(answer: Answer) -> str:
    program = answer.program
    if not program.weights_bytes or program.encoder:  # An optimizer has more of their size.
        return ""
    return size(answer.compiled.peak_bytes - 2 * program.weights_bytes)


def _moved(compiled: Compiled, kind: str) -> str:
    moved = [one for one in compiled.collectives if one.kind == kind]
    return f"{size(sum(one.bytes for one in moved))} in {sum(one.times for one in moved)}" if moved else ""


def _work(compiled: Compiled) -> str:
    if compiled.flops is None:
        return ""
    if compiled.all_flops is not None:
        return f"{compiled.flops:.3g} x {compiled.trips} = {compiled.all_flops:.3g}"
    trips = ", ".join("?" if one is None else str(one) for one in compiled.loops)
    return f"{compiled.flops:.3g}, each loop once (trips {trips})"


def _started(compiled: Compiled) -> str:
    return "" if compiled.launches is None else f"{compiled.launches:,} + {compiled.decisions:,}"


def _beside_ideal(answers: Sequence[Answer]) -> list[str]:
    first = answers[0]
    if first.compiled.all_flops is None:
        return [""] * len(answers)
    whole = first.compiled.all_flops * first.program.devices
    shares = [(one.compiled.all_flops, whole / one.program.devices) for one in answers]
    return ["" if flops is None else f"{flops / ideal:.3f}" for flops, ideal in shares]


def _largest(answer: Answer) -> str:
    if answer.largest is None:
        return ""
    if answer.at_largest is None:
        return "none"
    return f"{answer.largest:,} rows ({size(answer.at_largest.peak_bytes)})"


def as_json(answers: Sequence[Answer]) -> dict[str, Any]:
    """Returns the answers as JSON: bytes, seconds, floating-point operations; null where something is not known."""
    program = answers[0].program
    asked = {name: value for name, value in vars(program).items() if name != "devices"}
    known = {"rows_per_class": program.rows_of_class, "memory_bytes": TARGETS[program.target].memory}
    return asked | known | {"answers": [_figures(one) for one in answers]}


def _figures(answer: Answer) -> dict[str, Any]:
    compiled = answer.compiled
    return {
        "devices": answer.program.devices,
        "class_weights_bytes": answer.program.weights_bytes,
        **dataclasses.asdict(compiled),
        "sent_bytes": compiled.sent_bytes,
        "trips": compiled.trips,
        "all_flops": compiled.all_flops,
        "largest_batch": answer.largest,
        "largest_peak_bytes": answer.at_largest.peak_bytes if answer.at_largest else None,
    }
