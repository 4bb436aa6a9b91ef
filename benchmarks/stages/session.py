"""What all stages share: the device, the time that is left, and the results, which are on the disk at every moment."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import jax

from stages import places

T = TypeVar("T")
COMPILING = min(6, 2 * (os.cpu_count() or 1))
"""Threads that compile at a time. XLA tries a GPU's kernels on the card, one after the other: more would only wait."""
LATE = "no time was left"
"""What stands in the place of a result that there was no time for."""


class Program(NamedTuple):
    """A function and what it is called with."""

    function: Callable[..., Any]
    """One that is jitted already is compiled as it is."""
    arguments: tuple[Any, ...]
    settings: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    """Of JAX, while it is traced."""
    compiler_options: Mapping[str, Any] | None = None


class Built(NamedTuple):
    """A compiled program."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    traced: float
    """Seconds of tracing and lowering, others being traced at the same time."""
    compiled: float
    """Seconds of compiling, likewise."""
    needs: int | None
    """Bytes that it holds at its peak beside its arguments, by the compiler's plan."""


class Session:
    """One run of the script."""

    def __init__(self, device: str, out: Path, *, quick: bool, seconds: float) -> None:
        """Finds the device.

        Args:
            device: "cpu", "gpu" or "tpu".
            out: The folder of the results, made if it is not there.
            quick: Whether to try small shapes only.
            seconds: For everything.

        Raises:
            RuntimeError: There is no such device.
            OSError: The folder cannot be written.
        """
        self.device = jax.devices(device)[0]
        self.quick, self.out = quick, out
        self.results: dict[str, dict[str, Any]] = {}
        self._name, self._started = "", time.monotonic()
        self._end = self._stage_end = self._started + seconds
        self._spent: tuple[float, ...] = ()
        places.make(out)

    @property
    def left(self) -> float:
        """Seconds that are left of the stage."""
        return min(self._stage_end - time.monotonic(), self.left_of_all)

    @property
    def left_of_all(self) -> float:
        """Seconds that are left of the run."""
        return self._end - time.monotonic()

    @property
    def memory(self) -> int:
        """Bytes that programs may take on the device."""
        stats = self.device.memory_stats() or {}
        return int(stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)

    @contextlib.contextmanager
    def stage(self, name: str, seconds: float) -> Iterator[bool]:
        """Gives a stage its time, and says whether there is any."""
        self._name, begun = name, time.monotonic()
        self._stage_end, self._spent = begun + seconds, ()
        self.results[name] = {}
        worth_it = self.left > min(15, seconds / 4)
        if not worth_it:
            self.record("skipped", f"{self.left:.0f} s were left")
        self.say("starts")
        yield worth_it
        self.record("seconds", round(time.monotonic() - begun, 1))

    def say(self, words: str) -> None:
        """Prints a line of progress."""
        print(f"[{time.monotonic() - self._started:6.1f} s] {self._name}: {words}", flush=True)

    def record(self, key: str, value: Any) -> None:
        """Adds a result to the stage, and puts all results on the disk."""
        self.results[self._name][key] = value
        beside = self.out / "results.json.new"
        beside.write_text(json.dumps(self.results, indent=1))
        beside.replace(self.out / "results.json")

    def rows(self, key: str, rows: list[dict[str, Any]]) -> None:
        """Adds rows to a table of the stage."""
        self.record(key, [*self.results[self._name].get(key, []), *rows])

    def place(self, *arrays: Any) -> tuple[jax.Array, ...]:
        """Returns arrays that lie on the device."""
        return tuple(jax.device_put(array, self.device) for array in arrays)

    def compile(self, programs: Mapping[Any, Program]) -> dict[Any, Built | str]:
        """Compiles a group of programs, a few at a time.

        One is begun only if as much time is left of the stage as the last ones took, by their median; one that
        has been begun is waited for. So nothing compiles when this returns, unless the time of the whole run is up.

        Args:
            programs: By any key; the first are begun first.

        Returns:
            By the same keys, what was built, or in words why it was not: the compiler refused, the plan needs more
            memory than there is, or `LATE`.
        """
        started = time.monotonic()
        pool = concurrent.futures.ThreadPoolExecutor(COMPILING)
        futures = {key: pool.submit(self._build, program) for key, program in programs.items()}
        found: dict[Any, Built | str] = {}
        for key, future in futures.items():
            try:
                found[key] = future.result(max(self.left_of_all, 0))
            except concurrent.futures.TimeoutError:
                found[key] = LATE
            except Exception as error:
                found[key] = said(error)
        # What still compiles here ends with the process.
        pool.shutdown(wait=False, cancel_futures=True)
        built = sum(isinstance(one, Built) for one in found.values())
        self.say(f"{built} of {len(programs)} programs compiled in {time.monotonic() - started:.1f} s")
        return found

    def _build(self, program: Program) -> Built:
        if self.left <= (median(self._spent) if self._spent else 0):
            raise concurrent.futures.TimeoutError
        begun = time.monotonic()
        function: Any = program.function
        with program.settings():
            lowered = (function if hasattr(function, "lower") else jax.jit(function)).lower(*program.arguments)
        between = time.monotonic()
        compiled = lowered.compile(program.compiler_options)
        ended = time.monotonic()
        self._spent = (*self._spent, ended - begun)[-COMPILING:]
        needs = memory_of(compiled)
        if needs is not None and needs > self.memory:
            raise MemoryError(f"needs {needs / 2**30:.3g} GiB")
        return Built(compiled, program.arguments, between - begun, ended - between, needs)

    def end(self) -> None:
        """Ends the process, and with it what still compiles."""
        if failed := sys.exc_info()[0]:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if failed else 0)


def grouped(items: Iterable[T], size: int = COMPILING) -> Iterator[list[T]]:
    """Returns lists of so many items, the last of what is left: groups to compile and to measure one after the other.

    >>> list(grouped("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    left = iter(items)
    while group := list(itertools.islice(left, size)):
        yield group


def memory_of(compiled: Any) -> int | None:
    """Returns the bytes that a compiled program holds beside its arguments, or None where that is not known."""
    plan = compiled.memory_analysis()
    return int(plan.temp_size_in_bytes + plan.output_size_in_bytes) if plan else None


def said(error: BaseException) -> str:
    """Returns an error in so many words as fit a table."""
    name = "" if isinstance(error, MemoryError) else f"{type(error).__name__}: "
    return f"{name}{' '.join(str(error).split())}"[:200]
