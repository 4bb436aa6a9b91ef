"""One contender as a worker's program (`tools.workers`).

The first message is the job: `module` (a file with `prepare`), `contender`, `loss`, `batch_size`, `rows_per_class`
(None for two views and class weights), `dim`, `classes` and `centers` (of class weights; None and 1 without), `numbers`
(of the loss, by name), `device` ("cpu", "gpu" or "tpu"), `memory_limit` (bytes) and `time_limit` (seconds). The first
answer says that it is built and warm: `value` and `gradient_norm`, `first_call` (seconds, compilation included),
`choice` (which variant was fastest) and `calls` (how many make one measurement). Each further message asks for a
measurement: `wall` and `cpu` (seconds a call) and `peak` (bytes of the whole process so far); a message that is another
job begins anew. An answer with `failed` says why there is nothing more of this job.

What is called on an accelerator returns before it is computed. It has a `wait(result)`, which is called once for all
calls of a measurement, and a `peak()` of its own, the bytes that it takes of the device.

It imports nothing of this package, which would bring JAX into every contender's memory.
"""

import math
import resource
import runpy
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], tuple[Any, Any]]  # the value and the gradients

# Long enough that neither the clock nor a thread pool's waking up shows.
LEAST_SECONDS = 0.05


def make_batch(
    batch_size: int, rows_per_class: int | None, dim: int, classes: int | None = None, centers: int = 1
) -> tuple[np.ndarray, ...]:
    """Returns what every contender is given, of random unit rows float32 [B, D].

    Shuffled labels int32 [B] and rows; with `classes`, labels of any class, rows and class weights float32 [C, D], or
    [C, K, D] for several centers; without them and without rows of a class, two views.
    """
    random = np.random.default_rng(0)
    if classes:
        labels = random.integers(classes, size=batch_size, dtype=np.int32)
        weights = _unit_rows(random, classes * centers, dim).reshape(classes, *[centers][: centers > 1], dim)
        return labels, _unit_rows(random, batch_size, dim), weights
    if rows_per_class is None:
        return _unit_rows(random, batch_size, dim), _unit_rows(random, batch_size, dim)
    labels = random.permutation(np.arange(batch_size, dtype=np.int32) // rows_per_class)
    return labels, _unit_rows(random, batch_size, dim)


def _unit_rows(random: np.random.Generator, number: int, dim: int) -> np.ndarray:
    rows = random.standard_normal((number, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measure(call: Call, calls: int) -> tuple[float, float]:
    """Returns the wall and CPU seconds (of all threads) of a call, the mean of `calls`."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        result = call()
    wait(call, result)
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def wait(call: Call, result: tuple[Any, Any]) -> None:
    """Waits until the result of a call is computed to the end, if it is not."""
    getattr(call, "wait", lambda result: None)(result)


def fastest(variants: Mapping[str, Call]) -> tuple[str, float]:
    """Returns which variant is fastest once warm, and its seconds; the first has been called already."""
    seconds: dict[str, float] = {}
    for name, call in variants.items():
        if seconds:
            call()
        seconds[name], _ = measure(call, 1)
    best = min(seconds, key=lambda name: seconds[name])
    return best, seconds[best]


def peak_memory() -> int:
    """Returns the most memory that this process has held, in bytes."""
    if status := _status("VmHWM"):  # On Linux `ru_maxrss` would count the parent that forked this process.
        return status
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_memory(more: int) -> None:
    """Makes allocations fail that would add more bytes than these to the process; only Linux heeds it."""
    if now := _status("VmData"):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = now + more if hard == resource.RLIM_INFINITY else min(now + more, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _status(key: str) -> int:
    """A figure of Linux's account of this process in bytes, 0 elsewhere."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def over(seconds: float) -> str:
    """Returns how a result beyond the time limit is shown."""
    return f"over {seconds:g} s"


def serve(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Takes jobs, and yields what becomes of them; whatever a library raises is its result."""
    job: dict[str, Any] | None = next(messages)
    while job:
        job = yield from _outcome(job, messages)


def _outcome(
    job: dict[str, Any], messages: Iterator[dict[str, Any]]
) -> Generator[dict[str, Any], None, dict[str, Any] | None]:
    """Yields what becomes of a job, and returns the next one, if there is one."""
    try:
        return (yield from _measurements(job, messages))
    except MemoryError as error:
        known, limit = [size for size in error.args if isinstance(size, int)], job["memory_limit"]
        yield {"failed": f"needs {'' if known else 'more than '}{[*known, limit][0] / 2**30:.3g} GiB"}
    except Exception as error:
        yield {"failed": f"{type(error).__name__}: {' '.join(str(error).split())}"[:100]}
    return next(messages, None)


def _measurements(
    job: dict[str, Any], asked: Iterator[dict[str, Any]]
) -> Generator[dict[str, Any], None, dict[str, Any] | None]:
    """Builds and warms the contender, then measures it whenever it is asked, until there is another job."""
    batch = make_batch(job["batch_size"], job["rows_per_class"], job["dim"], job["classes"], job["centers"])
    prepare = runpy.run_path(job["module"])["prepare"]
    build = prepare(job["contender"], job["loss"], batch, job["numbers"], job["device"])
    del batch  # Whoever has copied it does not hold it twice.
    started = time.perf_counter()
    variants = build(job["memory_limit"])
    first = next(iter(variants.values()))
    if job["device"] == "cpu":  # The memory of other devices is not that of the process.
        limit_memory(job["memory_limit"])
    value, gradients = result = first()
    wait(first, result)
    first_call = time.perf_counter() - started
    if first_call > job["time_limit"]:
        yield {"failed": over(job["time_limit"])}
        return next(asked, None)
    norm = math.hypot(*(np.linalg.norm(np.asarray(one.cpu() if hasattr(one, "cpu") else one)) for one in gradients))
    del gradients, result  # Class weights are many: a second gradient beside the first would be the peak.
    choice, seconds = fastest(variants)
    calls = max(1, math.ceil(LEAST_SECONDS / seconds))
    warm = {"first_call": first_call, "choice": choice, "calls": calls}
    yield {"value": float(value), "gradient_norm": norm, **warm}
    peak = getattr(variants[choice], "peak", peak_memory)
    for message in asked:
        if message:
            return message
        wall, cpu = measure(variants[choice], calls)
        yield {"wall": wall, "cpu": cpu, "peak": peak()}
    return None
