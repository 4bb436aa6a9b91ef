"""The race: the workers of a setting are built one after the other, then called in turn, round by round.

So all are measured in the same minutes: what else the machine does disturbs them alike.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from jaxtriplet.tools.bench import worker
from jaxtriplet.tools.bench.contenders import Contender
from jaxtriplet.tools.bench.plan import Line, Plan, Setting, numbers_of
from jaxtriplet.tools.workers import Worker, WorkerError

# Seconds for importing the libraries, which is nobody's time; sentence-transformers alone took 20 on a busy machine.
STARTUP = 120.0


class Limits(NamedTuple):
    """What a contender may use."""

    memory: int
    """Bytes that it may add to what its libraries take."""
    seconds: float
    """For its first call, and for all its turns together."""


@dataclass
class Outcome:
    """What became of one contender at one setting."""

    contender: str
    failure: str | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    """What the worker said when it was warm."""
    turns: list[dict[str, float]] = field(default_factory=list)
    """`wall`, `cpu` (seconds a call) and `peak` (bytes), for each round."""

    def figure(self, key: str) -> float | None:
        """Returns the median of `wall` or `cpu` (of all threads together), or the most of `peak`; None if it failed."""
        values = [turn[key] for turn in self.turns]
        if self.failure or not values:
            return None
        return max(values) if key == "peak" else median(values)


Result = tuple[Setting, list[Outcome]]


def race(
    setting: Setting,
    contenders: Sequence[Contender],
    rounds: int,
    limits: Limits,
    tell: Callable[[str], None] = lambda step: None,
) -> list[Outcome]:
    """Measures contenders at one setting.

    Args:
        setting: The loss and the batch.
        contenders: Who takes part, all installed.
        rounds: Turns of each; fewer for one whose turns have used up its time.
        limits: For each contender.
        tell: Is told each step.

    Returns:
        An outcome for each contender, in their order; one that fails says why.
    """
    outcomes = [Outcome(contender.name) for contender in contenders]
    with ExitStack() as stack:
        running = []
        for contender, outcome in zip(contenders, outcomes, strict=True):
            tell(f"{setting}: {contender.name} starts")
            # The figures are the processor's, whatever else the machine has.
            process = stack.enter_context(Worker(Path(worker.__file__), {"JAX_PLATFORMS": "cpu"}))
            job = setting._asdict() | {"contender": contender.name, "module": str(contender.module)}
            job |= {"numbers": numbers_of(setting.loss)}
            job |= {"memory_limit": limits.memory, "time_limit": limits.seconds}
            outcome.ready = _answer(outcome, process, job, limits.seconds, startup=STARTUP)
            running.append((outcome, process))
        for number in range(rounds):
            tell(f"{setting}: round {number + 1} of {rounds}")
            for outcome, process in running:
                if not outcome.failure:
                    _take_turn(outcome, process, limits.seconds)
    return outcomes


def _take_turn(outcome: Outcome, process: Worker, seconds: float) -> None:
    spent = [turn["wall"] * outcome.ready["calls"] for turn in outcome.turns]
    if spent and sum(spent) + spent[-1] > seconds:
        return
    if turn := _answer(outcome, process, {}, seconds):
        outcome.turns.append(turn)


def _answer(
    outcome: Outcome, process: Worker, message: dict[str, Any], seconds: float, startup: float = 0.0
) -> dict[str, Any]:
    """Returns what the worker answers, which is nothing where it fails."""
    try:
        said: dict[str, Any] = process.ask(message, startup + seconds)
    except TimeoutError:
        said = {"failed": worker.over(seconds)}
    except WorkerError as end:
        words = f"killed by signal {-end.status}" if end.status < 0 else f"exit status {end.status}"
        said = {"failed": f"{words}: {end.words[:100]}" if end.words else words}
    outcome.failure = said.pop("failed", None)
    if outcome.failure:
        process.close()  # What it holds may be what another needs.
    return said


def run(
    plan: Plan, lines: Iterable[Line], contenders: Sequence[Contender], tell: Callable[[str], None]
) -> Iterator[Result]:
    """Measures a plan.

    Args:
        plan: The limits, resolved.
        lines: What to measure, `plan.lines(...)`.
        contenders: Who takes part, all installed.
        tell: Is told each step.

    Yields:
        Each setting with the outcomes of those who compute its loss. A setting of the picture that was in the table is
        not measured again, and a contender that failed on the way up an axis is left out of the rest of it.
    """
    assert plan.memory_limit is not None  # resolved
    limits = Limits(int(plan.memory_limit * 2**30), plan.time_limit)
    done: dict[Setting, list[Outcome]] = {}
    for line in lines:
        failed: set[str] = set()
        for setting in line.settings:
            if setting not in done:
                fit = [one for one in contenders if one.computes(setting.loss) and one.name not in failed]
                done[setting] = race(setting, fit, line.rounds, limits, tell)
                yield setting, done[setting]
            failed |= {outcome.contender for outcome in done[setting] if outcome.failure}
