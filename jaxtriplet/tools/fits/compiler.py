"""The worker's process, started and asked: what becomes of a program on an accelerator that is not there."""

import dataclasses
from pathlib import Path

from jaxtriplet.tools.fits import targets
from jaxtriplet.tools.fits.hlo import Collective
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.workers import Worker, WorkerError


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler says of a program, for one device."""

    fits: bool
    peak_bytes: int
    """Peak memory; of a program that the compiler refuses, what it says is needed, which may not be all."""
    seconds: float
    """Of compiling."""
    collectives: tuple[Collective, ...] = ()
    flops: float | None = None
    """Floating-point operations, a loop's body counted once; None if the compiler does not tell."""
    loops: tuple[int | None, ...] = ()
    """The trips of each loop that is in no other; None where they depend on the data."""
    launches: int | None = None
    """Kernels and the like that a call launches, as `launches.count` tells them; None for a chip that runs it whole."""
    decisions: int | None = None
    """How often a call waits for a number from the device, to know what to launch next; None likewise."""

    @property
    def trips(self) -> int | None:
        """The trips of the loop over tiles, 1 if there is none; None if there are loops of other kinds."""
        trips = set(self.loops) or {1}
        return trips.pop() if len(trips) == 1 else None

    @property
    def all_flops(self) -> float | None:
        """`flops` times `trips`: the little that is done outside the loop counts as if it were inside."""
        return None if self.flops is None or self.trips is None else self.flops * self.trips

    @property
    def sent_bytes(self) -> int:
        """What each device sends in a step, if the devices stand in a ring."""
        return sum(one.sent_bytes for one in self.collectives)


class Compiler(Worker):
    """Compiles programs in a process that is started when there is one, and ended with the context."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        super().__init__(Path(__file__).with_name("worker.py"), targets.environment())

    def __call__(self, program: Program) -> Compiled:
        """Compiles a program.

        Args:
            program: The program.

        Returns:
            What the compiler says of it.

        Raises:
            ValueError: The program cannot be compiled: it does not divide, something is not installed, or the compiler
                fails for another reason than memory.
        """
        try:
            said = self.ask(program)
        except WorkerError as end:
            said = f"the compiler's process ended with status {end.status}: {end.words[:200] or 'it said nothing'}"
        if isinstance(said, Compiled):
            return said
        raise ValueError(f"{program.target} x {program.devices}: {said}")
