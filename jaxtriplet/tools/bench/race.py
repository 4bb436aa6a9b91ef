"""The race: the workers of a setting are built one after the other, then called in turn, round by round.

So all are measured in the same minutes: what else the machine does disturbs them alike. On the processor each setting
has workers of its own, whose memory is then that setting's. On a GPU, where starting and compiling take longer than
measuring, workers stay for all settings, and are built at the same time; a TPU has one contender after the other.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from jaxtriplet.tools.bench import accelerators, worker
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
    device: str = "cpu"
    """Where it is measured."""


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
        values = [turn[key] for turn in self.turns if key in turn]
        if self.failure or not values:
            return None
        return max(values) if key == "peak" else median(values)


Result = tuple[Setting, list[Outcome]]


class Workers(ExitStack):
    """The processes of contenders: new ones for each setting on the processor, the same ones on an accelerator."""

    def __init__(self, device: str) -> None:
        """Starts none yet.

        Args:
            device: A key of `accelerators.PLATFORMS`.
        """
        super().__init__()
        self.at_once = device != "cpu"
        self._environment = accelerators.environment(device)
        self._of: dict[str, Worker] = {}

    def of(self, contender: str) -> Worker:
        """Returns the process of a contender."""
        if contender not in self._of:
            self._of[contender] = self.enter_context(Worker(Path(worker.__file__), self._environment))
        return self._of[contender]

    def settle(self) -> None:
        """Ends what the next setting must not find, after one."""
        if not self.at_once:
            self.close()
            self._of.clear()


def race(
    setting: Setting,
    contenders: Sequence[Contender],
    rounds: int,
    limits: Limits,
    tell: Callable[[str], None] = lambda step: None,
    workers: Workers | None = None,
) -> list[Outcome]:
    """Measures contenders at one setting.

    Args:
        setting: The loss and the batch.
        contenders: Who takes part, all installed.
        rounds: Turns of each; fewer for one whose turns have used up its time.
        limits: For each contender.
        tell: Is told each step.
        workers: The processes, where several may use the device; None for new ones.

    Returns:
        An outcome for each contender, in their order; one that fails says why.
    """
    if limits.device in accelerators.ALONE and len(contenders) > 1:
        return [one for contender in contenders for one in race(setting, [contender], rounds, limits, tell)]
    if workers is None:
        with Workers(limits.device) as workers:
            return race(setting, contenders, rounds, limits, tell, workers)
    outcomes = [Outcome(contender.name) for contender in contenders]
    running = [(outcome, workers.of(outcome.contender)) for outcome in outcomes]

    def build(contender: Contender, outcome: Outcome, process: Worker) -> None:
        job = setting._asdict() | {"contender": contender.name, "module": str(contender.module)}
        job |= {"numbers": numbers_of(setting.loss), "device": limits.device}
        job |= {"memory_limit": limits.memory, "time_limit": limits.seconds}
        outcome.ready = _answer(outcome, process, job, limits.seconds, startup=STARTUP)

    with ThreadPoolExecutor(max(len(running), 1)) as pool:
        pending = []
        for contender, (outcome, process) in zip(contenders, running, strict=True):
            tell(f"{setting}: {contender.name} starts")
            pending.append(pool.submit(build, contender, outcome, process))
            if not workers.at_once:
                wait(pending)
    for one in pending:
        one.result()
    for number in range(rounds):
        tell(f"{setting}: round {number + 1} of {rounds}")
        for outcome, process in running:
            if not outcome.failure:
                _take_turn(outcome, process, limits.seconds)
    workers.settle()
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
    limits = Limits(int(plan.memory_limit * 2**30), plan.time_limit, plan.device)
    done: dict[Setting, list[Outcome]] = {}
    with Workers(plan.device) as workers:
        for line in lines:
            failed: set[str] = set()
            for setting in line.settings:
                if setting not in done:
                    fit = [one for one in contenders if one.computes(setting.loss) and one.name not in failed]
                    shared = None if plan.alone else workers
                    done[setting] = race(setting, fit, line.rounds, limits, tell, shared)
                    yield setting, done[setting]
                failed |= {outcome.contender for outcome in done[setting] if outcome.failure}
