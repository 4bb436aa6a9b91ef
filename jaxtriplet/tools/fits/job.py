"""The job of `jaxtriplet fits`: compile, and look for the largest batch."""

from collections.abc import Callable, Sequence

from jaxtriplet.tools.fits import targets
from jaxtriplet.tools.fits.compiler import Compiled, Compiler
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.fits.report import Answer, size
from jaxtriplet.tools.fits.search import largest


def fits(programs: Sequence[Program], *, with_largest: bool, tell: Callable[[str], None]) -> list[Answer]:
    """Answers for each program whether it fits its target.

    Args:
        programs: The programs.
        with_largest: Whether to look for the largest batch that fits.
        tell: Is told each compilation.

    Returns:
        An answer for each.

    Raises:
        ValueError: A program cannot be compiled.
    """
    for program in programs:
        targets.check(program.target, program.devices)
        program.checked()
    with Compiler() as compiler:

        def compiled(program: Program) -> Compiled:
            found = compiler(program)
            words = f"{size(found.peak_bytes)}, {'fits' if found.fits else 'does not fit'}, {found.seconds:.0f} s"
            tell(f"{program.target} x {program.devices}, {program.batch_size:,} rows: {words}")
            return found

        return [_answer(program, compiled, with_largest) for program in programs]


def _answer(program: Program, compiled: Callable[[Program], Compiled], with_largest: bool) -> Answer:
    found = compiled(program)
    if not with_largest:
        return Answer(program, found)
    rows, there = largest(
        lambda rows: compiled(program.with_rows(rows)),
        program.batch_size,
        found,
        unit=program.unit,
        memory=targets.TARGETS[program.target].memory,
    )
    return Answer(program, found, rows, there)


def counts(words: str) -> list[int]:
    """Reads numbers of devices, joined by commas.

    Example:
        >>> counts("1, 4,16")
        [1, 4, 16]
    """
    try:
        found = [int(word) for word in words.split(",")]
    except ValueError:
        raise ValueError(f"the devices {words!r} are not whole numbers joined by commas") from None
    return found
