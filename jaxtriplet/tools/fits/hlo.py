"""Reading compiled HLO, XLA's text of what one device runs: its collectives, and how often its loops run."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")

ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
# A tuple's type has spaces: it ends where a word stands before a parenthesis, which is the opcode.
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.-]+) = (.*?)(?: ([\w-]+)\((.*))?")
_CALLED = re.compile(r"\b(?:calls|body|to_apply|(?:true|false|branch)_computations?)=(\{[^}]*\}|%?[\w.-]+)")
CONDITION = re.compile(r"condition=%?([\w.-]+)")
_KNOWN_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Instruction(NamedTuple):
    """One line of HLO."""

    name: str
    type: str
    """The arrays that it yields."""
    opcode: str
    rest: str
    """Operands and attributes."""
    root: bool


class Module(NamedTuple):
    """Computations by name, and which of them is the program."""

    computations: dict[str, list[Instruction]]
    entry: str


@dataclass(frozen=True)
class Collective:
    """Equal collectives of one step."""

    kind: str
    arrays: str
    """What one of them moves, of all devices together."""
    bytes: int
    """The size of that, in all runs."""
    sent_bytes: int
    """What each device sends, if the devices stand in a ring, in all runs."""
    times: int
    """How often it runs in a step."""


def read(text: str) -> Module:
    r"""Reads the text of a compiled program.

    Example:
        >>> module = read("ENTRY %main (x: f32[2]) -> f32[2] {\n  ROOT %x = f32[2]{0} parameter(0)\n}")
        >>> module.entry, module.computations["main"][0].opcode
        ('main', 'parameter')
    """
    computations: dict[str, list[Instruction]] = {}
    entry = name = ""
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith((" ", "HloModule")):
            name = line.removeprefix("ENTRY ").split()[0].removeprefix("%")
            entry = name if line.startswith("ENTRY ") else entry
            computations[name] = []
        elif name and (match := _INSTRUCTION.fullmatch(line)):
            root, written, arrays, opcode, rest = match.groups("")
            if not opcode:
                raise ValueError(f"not an instruction of HLO: {line[:100]}")
            computations[name].append(Instruction(written, arrays, opcode, rest, bool(root)))
    return Module(computations, entry)


def called_by(instruction: Instruction) -> list[str]:
    """Returns the computations that an instruction runs: what it fuses, a loop's body, the branches to choose from."""
    return re.findall(r"[\w.-]+", " ".join(_CALLED.findall(instruction.rest)))


def collectives(module: Module, devices: int) -> list[Collective]:
    """Returns what one step moves between devices.

    In a ring of n devices an all-gather of S bytes sends S (n - 1) / n from each, a reduce-scatter of S bytes likewise,
    and an all-reduce is both. Of a loop whose trips are not known in advance one trip is counted.

    Args:
        module: The program.
        devices: How many devices there are, where a collective does not name groups.

    Returns:
        The collectives, large ones first.
    """
    found: Counter[tuple[str, str, int, int]] = Counter()
    for computation, instruction, times, _ in _visits(module, module.entry):
        kind = instruction.opcode.removesuffix("-done")
        if kind in KINDS:
            group = _group(instruction.rest) or devices
            parts = group if kind == "reduce-scatter" else 1
            if computation.startswith("all-reduce-scatter"):  # The TPU compiler's word for one operation of the chip.
                kind = "reduce-scatter"
            arrays = [_whole(array, parts) for array in ARRAY.finditer(instruction.type)]
            size = sum(size for _, size in arrays)
            found[kind, " + ".join(words for words, _ in arrays), size, _sent(kind, size, group)] += times
    each = [
        Collective(kind, words, size * times, sent * times, times)
        for (kind, words, size, sent), times in found.items()
        if size
    ]
    return sorted(each, key=lambda one: -one.bytes)


def _visits(
    module: Module, name: str, times: int = 1, *, looped: bool = False
) -> Iterator[tuple[str, Instruction, int, bool]]:
    """Yields the instructions that a computation reaches, where each stands, how often it runs, and if in a loop."""
    for instruction in module.computations.get(name, []):
        yield name, instruction, times, looped
        if instruction.opcode in ("async-update", "async-done"):  # They name again what async-start calls.
            continue
        loop = instruction.opcode == "while"
        trips = (trip_count(module, instruction) or 1) if loop else 1
        for called in called_by(instruction):
            yield from _visits(module, called, times * trips, looped=looped or loop)


def _whole(array: re.Match[str], parts: int) -> tuple[str, int]:
    """Returns an array of so many times the rows: in words, and its bytes."""
    name, bits, shape = array.groups()
    sizes = [int(size) for size in shape.split(",") if size]
    if sizes:
        sizes[0] *= parts
    words = f"{name}[{','.join(map(str, sizes))}]"
    return words, math.prod(sizes) * max(8, int(bits or 8)) // 8


def _group(rest: str) -> int | None:
    match = re.search(r"replica_groups=(?:\{\{([\d,]*)\}|\[\d+,(\d+)\]<=)", rest)
    return match and (int(match[2]) if match[2] else match[1].count(",") + 1)


def _sent(kind: str, size: int, group: int) -> int:
    passes = {"all-reduce": 2, "collective-permute": group / max(1, group - 1)}.get(kind, 1)
    return round(passes * size * (group - 1) / group)


def outer_loops(module: Module) -> list[int | None]:
    """Returns the trips of each loop that stands in no other; None where they depend on the data."""
    visits = _visits(module, module.entry)
    return [trip_count(module, one) for _, one, _, looped in visits if one.opcode == "while" and not looped]


def trip_count(module: Module, loop: Instruction) -> int | None:
    """Returns how often a `while` runs, or None if that depends on the data.

    JAX's scans count from 0 up to a constant, which the loop's condition compares with.
    """
    if match := _KNOWN_TRIPS.search(loop.rest):
        return int(match[1])
    condition = CONDITION.search(loop.rest)
    lines = module.computations.get(condition[1], []) if condition else []
    constants = {line.name: line.rest.partition(")")[0] for line in lines if line.opcode == "constant"}
    for line in lines:
        if line.root and line.opcode == "compare" and "direction=LT" in line.rest:
            _, bound, *_ = re.findall(r"%([\w.-]+)", line.rest.partition(")")[0])
            return int(constants[bound]) if constants.get(bound, "").isdigit() else None
    return None
