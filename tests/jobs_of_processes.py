"""Several processes on this machine, as on several hosts: how a test starts them, and how they end."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .flags import COMPILED_FAST

ROOT = Path(__file__).parent.parent


def environment(devices: int) -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices} {COMPILED_FAST}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def job(
    processes: int,
    devices: int,
    command: Sequence[object],
    *,
    named: bool,
    each: Callable[[int], tuple[Sequence[object], dict[str, str]]] = lambda _: ((), {}),
) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts the processes of a job, each told its place in it by options or plain words; none outlives the test.

    Args:
        processes: How many.
        devices: Of each.
        command: What all are given.
        named: Whether the place is told by options.
        each: What one of them alone is given: words, and variables of its environment.
    """
    place = ("--coordinator", "--num-processes", "--process-id") if named else ("", "", "")
    port, running = free_port(), []
    for index in range(processes):
        told = zip(place, (f"127.0.0.1:{port}", processes, index), strict=True)
        own, variables = each(index)
        words = [str(word) for word in (*command, *own, *(word for pair in told for word in pair)) if word != ""]
        running.append(
            subprocess.Popen(
                [sys.executable, *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment(devices) | variables,
            )
        )
    try:
        yield running
    finally:
        for one in running:
            one.kill()
            one.communicate()


def ends(running: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Waits for all; returns their statuses, and what they wrote."""
    said = [one.communicate(timeout=240) for one in running]
    return [(one.returncode, *words) for one, words in zip(running, said, strict=True)]


def wait_for(condition: Callable[[], object], running: list[subprocess.Popen[str]]) -> None:
    """Waits until something has come to pass while all run."""
    for _ in range(1200):
        if condition():
            return
        assert all(one.poll() is None for one in running), ends(running)
        time.sleep(0.1)
    raise AssertionError("it did not come to pass in two minutes")
