"""What all stages share: the device, the time that is left, and the results, which are on the disk at every moment."""

import concurrent.futures
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

COMPILING = min(12, 2 * (os.cpu_count() or 1))
"""Threads that compile at a time: XLA leaves Python alone meanwhile."""


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
        """
        self.device = jax.devices(device)[0]
        self.quick, self.out = quick, out
        self.results: dict[str, dict[str, Any]] = {}
        self._name, self._started = "", time.monotonic()
        self._end = self._stage_end = self._started + seconds
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds that are left of the stage."""
        return min(self._stage_end, self._end) - time.monotonic()

    @property
    def memory(self) -> int:
        """Bytes that programs may take on the device."""
        stats = self.device.memory_stats() or {}
        return int(stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)

    @contextlib.contextmanager
    def stage(self, name: str, seconds: float) -> Iterator[bool]:
        """Gives a stage its time, and says whether there is any."""
        self._name, begun = name, time.monotonic()
        self._stage_end = begun + seconds
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

    def compile(self, programs: Mapping[Any, Program], share: float = 0.7) -> dict[Any, Built | str]:
        """Compiles programs at the same time.

        Args:
            programs: By any key; the first are begun first.
            share: The part of the time left that compiling may take.

        Returns:
            By the same keys, what was built, or in words why it was not: the compiler refused, the plan needs more
            memory than there is, or time was up.
        """
        started, end = time.monotonic(), time.monotonic() + max(share * self.left, 0)
        # The threads of a pool that is not waited for go on; at the end the process ends with them.
        pool = concurrent.futures.ThreadPoolExecutor(COMPILING)
        futures = {key: pool.submit(self._build, program, end) for key, program in programs.items()}
        found: dict[Any, Built | str] = {}
        for key, future in futures.items():
            try:
                found[key] = future.result(max(end - time.monotonic(), 0))
            except concurrent.futures.TimeoutError:
                future.cancel()
                found[key] = "not compiled in time"
            except Exception as error:
                found[key] = said(error)
        pool.shutdown(wait=False, cancel_futures=True)
        built = sum(isinstance(one, Built) for one in found.values())
        self.say(f"{built} of {len(programs)} programs compiled in {time.monotonic() - started:.1f} s")
        return found

    def _build(self, program: Program, end: float) -> Built:
        if time.monotonic() > end:
            raise TimeoutError
        begun = time.monotonic()
        function: Any = program.function
        with program.settings():
            lowered = (function if hasattr(function, "lower") else jax.jit(function)).lower(*program.arguments)
        between = time.monotonic()
        compiled = lowered.compile(program.compiler_options)
        needs = memory_of(compiled)
        if needs is not None and needs > self.memory:
            raise MemoryError(f"needs {needs / 2**30:.3g} GiB")
        return Built(compiled, program.arguments, between - begun, time.monotonic() - between, needs)

    def end(self) -> None:
        """Ends the process, and with it what still compiles."""
        if failed := sys.exc_info()[0]:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if failed else 0)


def memory_of(compiled: Any) -> int | None:
    """Returns the bytes that a compiled program holds beside its arguments, or None where that is not known."""
    plan = compiled.memory_analysis()
    return int(plan.temp_size_in_bytes + plan.output_size_in_bytes) if plan else None


def said(error: BaseException) -> str:
    """Returns an error in so many words as fit a table."""
    name = "" if isinstance(error, MemoryError) else f"{type(error).__name__}: "
    return f"{name}{' '.join(str(error).split())}"[:200]
