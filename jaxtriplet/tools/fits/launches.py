"""What a GPU's program asks of the host that runs it: kernels to launch, and decisions that wait for the device.

Counted in the compiled text. How long a launch takes, and which of them XLA gathers in a CUDA graph, it does not tell.
"""

import math
import re
from dataclasses import dataclass

from jaxtriplet.tools.fits.hlo import ARRAY, CONDITION, Instruction, Module, called_by, trip_count

# They name memory, or what is done already: `async-start` and the like stand for the work, whose end `...-done` awaits.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "add-dependency", "opt-barrier"}
# XLA's bitonic sort compares within so many rows in one kernel, fewer where what is sorted along fills shared memory.
_SORTED_AT_ONCE = 4096
_SHARED_MEMORY = 48 * 2**10


@dataclass(frozen=True)
class Work:
    """What the host does for one call."""

    launches: int = 0
    """Kernels, calls of a library, copies on the device and collectives that it starts."""
    decisions: int = 0
    """How often it waits for a number from the device, to know what to start next."""

    def __add__(self, other: "Work") -> "Work":
        """Returns both, one after the other."""
        return Work(self.launches + other.launches, self.decisions + other.decisions)

    def __mul__(self, times: int) -> "Work":
        """Returns it so many times over."""
        return Work(self.launches * times, self.decisions * times)


def count(module: Module, trips: int) -> Work:
    r"""Counts what one call of a program asks of its host.

    A loop whose trips are known asks for nothing but its body. One whose trips depend on the data asks before each, and
    once more to learn that there is none; a branch asks once, and counts as the one with the most launches, so that the
    data may ask for less. A call of a library is one launch, whatever that launches; of what a kernel needs beside it,
    such as zeros to add to, the text says nothing.

    Args:
        module: The compiled program.
        trips: Of each loop whose trips depend on the data, how often it is to run.

    Returns:
        Launches and decisions.

    Example:
        >>> from jaxtriplet.tools.fits import hlo
        >>> lines = ["%x = f32[2]{0} parameter(0)", "ROOT %y = f32[2]{0} fusion(%x), kind=kLoop, calls=%doubled"]
        >>> text = "\n  ".join(["ENTRY %main (x: f32[2]) -> f32[2] {", *lines]) + "\n}"
        >>> count(hlo.read(text), trips=7)
        Work(launches=1, decisions=0)
    """
    return _of(module, module.entry, trips)


def _of(module: Module, computation: str, trips: int) -> Work:
    instructions = module.computations.get(computation, [])
    return sum((_by(module, instruction, trips) for instruction in instructions), Work())


def _by(module: Module, instruction: Instruction, trips: int) -> Work:
    if instruction.opcode in _FREE or instruction.opcode.endswith(("-done", "-update")):
        return Work()
    called = called_by(instruction)
    match instruction.opcode:
        case "while":
            return _loop(module, instruction, _of(module, called[0], trips), trips)
        case "conditional":
            branches = [_of(module, branch, trips) for branch in called]
            return Work(decisions=1) + max(branches, key=lambda one: (one.launches, one.decisions))
        case "call" | "async-start":
            return sum((_of(module, one, trips) for one in called), Work())
        case "fusion":
            roots = [one for one in module.computations.get(called[0], []) if one.root]
            return Work(_kernels(roots[0]) if roots else 1)
    return Work(_kernels(instruction))


def _loop(module: Module, loop: Instruction, body: Work, trips: int) -> Work:
    known = trip_count(module, loop)
    if known is not None:
        return body * known
    condition = CONDITION.search(loop.rest)
    asked = _of(module, condition[1], trips) if condition else Work()
    return body * trips + (asked + Work(decisions=1)) * (trips + 1)


def _kernels(instruction: Instruction) -> int:
    """Returns how many kernels an instruction is, which all are one but a sort of many rows."""
    if instruction.opcode != "sort":
        return 1
    arrays = list(ARRAY.finditer(instruction.type))
    (dimension,) = re.findall(r"dimensions=\{(\d+)\}", instruction.rest)
    rows = int(arrays[0][3].split(",")[int(dimension)])
    width = sum(max(8, int(array[2] or 8)) // 8 for array in arrays)
    at_once = min(_SORTED_AT_ONCE, 2 ** int(math.log2(_SHARED_MEMORY // width)))
    # Each of the stages beyond compares over longer and longer distances, and then within what is sorted at once.
    beyond = max(0, (rows - 1).bit_length() - at_once.bit_length() + 1)
    return 1 + beyond + beyond * (beyond + 1) // 2
