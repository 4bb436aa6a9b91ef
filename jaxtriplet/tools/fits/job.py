"""The job of `jaxtriplet fits`: compile, and look for the largest batch."""

import dataclasses
import sys
from collections.abc import Callable, Sequence

from jaxtriplet.tools.fits import compilers, search, targets
from jaxtriplet.tools.fits.compiler import Compiled, Compiler
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.report import Answer, size


def fits(
    programs: Sequence[Program], *, install: bool = False, largest: bool = True, quiet: bool = False
) -> list[Answer]:
    """Answers for each program whether it fits its target, such as `fits([Program("h100", 8, "ge2e", 4096)])`.

    Args:
        programs: The programs.
        install: Whether to fetch the compilers where there are none: 600 MB, into a folder of their own.
        largest: Whether to look for the largest batch that fits, which takes minutes.
        quiet: Whether not to tell each compilation on standard error.

    Returns:
        An answer for each; `report.markdown` makes a table of them, `report.as_json` an object.

    Raises:
        ValueError: A program cannot be compiled, or the compilers are not there.
    """
    if install:
        compilers.install()
    for program in programs:
        targets.check(program.target, program.devices)
        program.checked()
        targets.check_installed(program.target)
    with Compiler() as compiler:

        def compiled(program: Program) -> Compiled:
            what = f"{program.target} x {program.devices}, {program.batch_size:,} rows"
            if not quiet:
                print(f"{what}: compiling", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
            found = compiler(program)
            words = f"{size(found.peak_bytes)}, {'fits' if found.fits else 'does not fit'}, {found.seconds:.0f} s"
            if not quiet:
                print(f"{what}: {words}", file=sys.stderr, flush=True)
            return found

        return [_answer(program, compiled, largest) for program in programs]


def _answer(program: Program, compiled: Callable[[Program], Compiled], largest: bool) -> Answer:
    found = compiled(program)
    if not largest:
        return Answer(program, found)
    rows, there = search.largest(
        lambda rows: compiled(dataclasses.replace(program, batch_size=rows)),
        program.batch_size,
        found,
        unit=program.unit,
        memory=targets.TARGETS[program.target].memory,
    )
    return Answer(program, found, rows, there)
