"""Compiling as a worker's program (`tools.workers`): a message is a `Program`, an answer what became of it.

An answer is a `Compiled`, or why the program could not be compiled.

It is to run in `targets.environment`.
"""

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from jaxtriplet.tools.fits import hlo, launches, lowering
from jaxtriplet.tools.fits.compiler import Compiled
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.targets import TARGETS

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def answer(program: Program) -> Compiled:
    """Compiles a program and returns what became of it.

    Raises:
        ValueError: It cannot be compiled, for another reason than memory.
    """
    started = time.perf_counter()
    try:
        compiled = compiled_for(program)
    except jax.errors.JaxRuntimeError as error:
        needed = needed_bytes(str(error))
        if needed is None:
            raise ValueError(*error.args) from error
        return Compiled(False, needed, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    peak, module = compiled.memory_analysis().peak_memory_in_bytes, hlo.read(compiled.as_text())
    is_gpu = TARGETS[program.target].platform == "cuda"
    work = launches.count(module, program.rows_of_class - 1) if is_gpu else None
    return Compiled(
        fits=peak <= TARGETS[program.target].memory,
        peak_bytes=peak,
        seconds=seconds,
        collectives=tuple(hlo.collectives(module, program.devices)),
        flops=(compiled.cost_analysis() or {}).get("flops"),
        loops=tuple(hlo.outer_loops(module)),
        launches=None if work is None else work.launches,
        decisions=None if work is None else work.decisions,
    )


def compiled_for(program: Program) -> Any:
    """Returns the `jax.stages.Compiled` of a program.

    Raises:
        JaxRuntimeError: The compiler refuses it.
    """
    lowered = lowering.lower(program)
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "output tile sizes" not in str(error):
            raise
    # Of Triton's kernels for a product the compiler would run some, and take none that fails; without a GPU to run them
    # it takes one unseen. cuBLAS has one for each product.
    return lowered.compile({"xla_gpu_enable_triton_gemm": False})


def needed_bytes(message: str) -> int | None:
    """Returns how many bytes a refused program needs, by the compiler's words; None if they are of something else.

    Example:
        >>> needed_bytes("RESOURCE_EXHAUSTED: ... Used 16.50G of 15.75G hbm. Exceeded hbm capacity by 768.00M.") / 2**30
        16.5
    """
    if "RESOURCE_EXHAUSTED" not in message or "hbm" not in message.lower():
        return None
    match = re.search(r"(\d+(?:\.\d+)?)([KMGT]?)\b", message)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def serve(programs: Iterable[Program]) -> Iterator[Compiled | str]:
    """Yields what became of each program."""
    for program in programs:
        try:
            yield answer(program)
        except ValueError as error:
            words = " ".join(str(error).split())
            yield words if len(words) <= 300 else f"{words[:300]}..."
