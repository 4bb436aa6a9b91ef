"""The race: the workers of a setting are built one after the other, then called in turn, round by round.

So all are measured in the same minutes: what else the machine does disturbs them alike.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from jaxtriplet.tools.bench import worker
from jaxtriplet.tools.bench.contenders import Contender
from jaxtriplet.tools.bench.plan import Line, Plan, Setting

MARGIN = 0.2
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

    @property
    def wall(self) -> float | None:
        """The median wall seconds of a call."""
        return self._median("wall")

    @property
    def cpu(self) -> float | None:
        """The median CPU seconds of a call, all threads together."""
        return self._median("cpu")

    @property
    def peak(self) -> float | None:
        """The peak memory of the process in bytes."""
        return None if self.failure or not self.turns else max(turn["peak"] for turn in self.turns)

    def _median(self, key: str) -> float | None:
        return None if self.failure or not self.turns else median(turn[key] for turn in self.turns)


Result = tuple[Setting, list[Outcome]]


class Worker:
    """A contender's process."""

    def __init__(self, contender: Contender, setting: Setting, limits: Limits) -> None:
        """Starts it, and tells it its job."""
        root = Path(__file__).parents[3]
        paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`close` closes it)
        self._process = subprocess.Popen(
            [sys.executable, "-P", worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # The figures are the processor's, whatever else the machine has.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"},
        )
        self._say(
            setting._asdict()
            | {"contender": contender.name, "module": str(contender.module)}
            | {"margin": MARGIN, "memory_limit": limits.memory, "time_limit": limits.seconds}
        )

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # If it is dead, `hear` will say so.
            print(json.dumps(message), file=self._process.stdin, flush=True)

    def measure(self, seconds: float) -> dict[str, Any]:
        """Asks for a measurement, and returns it."""
        self._say({})
        return self.hear(seconds)

    def hear(self, seconds: float, named: float | None = None) -> dict[str, Any]:
        """Returns the next line; `failed` if there is none within these seconds (`named` is the limit to name)."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return {"failed": worker.over(named or seconds)}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": self._last_words()}

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        killed = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        return f"{killed}: {lines[-1][:100]}" if lines else killed

    def close(self) -> None:
        """Ends the process, if it has not ended."""
        if not self._errors.closed:
            self._process.kill()
            self._process.communicate()
            self._errors.close()


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
    outcomes = {contender.name: Outcome(contender.name) for contender in contenders}
    with ExitStack() as stack:
        running: dict[str, Worker] = {}
        for contender in contenders:
            tell(f"{setting}: {contender.name} starts")
            process = Worker(contender, setting, limits)
            stack.callback(process.close)
            _get_ready(outcomes[contender.name], process, limits.seconds)
            running = _still_running(running | {contender.name: process}, outcomes)
        for number in range(rounds):
            tell(f"{setting}: round {number + 1} of {rounds}")
            for name, process in running.items():
                _take_turn(outcomes[name], process, limits.seconds)
            running = _still_running(running, outcomes)
    return list(outcomes.values())


def _still_running(running: dict[str, Worker], outcomes: dict[str, Outcome]) -> dict[str, Worker]:
    for name, process in running.items():
        if outcomes[name].failure:
            process.close()  # What it holds may be what another needs.
    return {name: process for name, process in running.items() if not outcomes[name].failure}


def _get_ready(outcome: Outcome, process: Worker, seconds: float) -> None:
    outcome.ready = process.hear(STARTUP + seconds, named=seconds)
    outcome.failure = outcome.ready.pop("failed", None)


def _take_turn(outcome: Outcome, process: Worker, seconds: float) -> None:
    spent = [turn["wall"] * outcome.ready["calls"] for turn in outcome.turns]
    if spent and sum(spent) + spent[-1] > seconds:
        return
    turn = process.measure(seconds)
    outcome.failure = turn.pop("failed", None)
    if not outcome.failure:
        outcome.turns.append(turn)


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
        Each setting with its outcomes. A setting of the picture that was in the table is not measured again, and a
        contender that failed on the way up an axis is left out of the rest of it.
    """
    assert plan.memory_limit is not None  # resolved
    limits = Limits(int(plan.memory_limit * 2**30), plan.time_limit)
    done: dict[Setting, list[Outcome]] = {}
    for line in lines:
        running = list(contenders)
        for setting in line.settings:
            if setting not in done:
                done[setting] = race(setting, running, line.rounds, limits, tell)
                yield setting, done[setting]
            failed = {outcome.contender for outcome in done[setting] if outcome.failure}
            running = [contender for contender in running if contender.name not in failed]
