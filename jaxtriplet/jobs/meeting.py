"""Where the processes and devices of a job meet, and how a batch divides among them."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxtriplet import _checks, parallel
from jaxtriplet.jobs import notes
from jaxtriplet.jobs.config import Config
from jaxtriplet.parallel.processes import HEARTBEAT
from jaxtriplet.parallel.shares import ALONE, ROUND, Processes, here

WAITS = 30.0  # seconds for the others to join, before it is told that they are waited for


def parts_of(config: Config) -> tuple[int, str]:
    """Returns into how many parts a batch divides at most, and what they are: rows, or triplets that keep together.

    Args:
        config: The numbers of the run.

    Example:
        >>> parts_of(Config.of_recipe("japanese-vowels", loss="deep-speaker", speakers=8, utterances=5))
        (13, 'triplets')
    """
    return (config.num_rows // 3, "triplets") if config.loss.in_thirds else (config.num_rows, "rows")


def devices_for(config: Config, asked: int | None = None) -> Mesh:
    """Returns the mesh of those devices of this process that share a batch.

    Args:
        config: The numbers of the run.
        asked: How many; None for as many as divide a batch.

    Raises:
        ValueError: A batch does not divide among so many, or there are fewer.

    Example:
        >>> thirds = Config.of_recipe("japanese-vowels", loss="deep-speaker", speakers=8, utterances=5)
        >>> devices_for(thirds).size  # of 8 devices none but one shares 13 triplets
        1
    """
    parts, words = parts_of(config)
    local = jax.local_devices()
    if asked is not None:
        _checks.positive_integer("`devices`", asked)
    number = asked or max(n for n in range(1, len(local) + 1) if parts % n == 0)
    if number > len(local):
        there = "is 1 device" if len(local) == 1 else f"are {len(local)} devices"
        raise ValueError(f"`devices` is {number}, and there {there} here; leave it out for as many as divide a batch")
    if parts % number:
        counts = [str(n) for n in range(1, len(local) + 1) if parts % n == 0]
        raise ValueError(
            f"the {parts} {words} of a batch do not divide among {number} devices: give `devices` of "
            f"{', '.join(counts)}, or other numbers of `speakers` or `utterances`"
        )
    return parallel.data_mesh(local[:number])


def meet(
    config: Config, out: Path | None, coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Mesh:
    """Joins the processes of a job, and returns the mesh of all their devices, which share a batch.

    Args:
        config: The numbers of the run.
        out: The folder that was asked for.
        coordinator: As `parallel.initialize` takes it.
        num_processes: Likewise.
        process_id: Likewise.

    Raises:
        ValueError: A batch does not divide among the devices, or there is no folder for all.
    """
    _join(out, coordinator, num_processes, process_id, HEARTBEAT)
    mesh = parallel.data_mesh()
    with notes.shared():
        _check_divides(config, mesh)
    mine = parallel.share_of(config.num_rows)
    say(f"rows {mine.start + 1} to {mine.stop} of {config.num_rows}, {jax.local_device_count()} of {mesh.size} devices")
    return mesh


def meet_to_share(
    out: str | Path | None,
    *,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> Processes:
    """Joins the processes of a job that share recordings, and returns who they are.

    Args:
        out: Where the results are to be.
        distributed: Whether there are others.
        coordinator: As `parallel.initialize` takes it.
        num_processes: Likewise.
        process_id: Likewise.

    Raises:
        ValueError: There is no place for all, or nobody to meet there.
    """
    check_place(coordinator, num_processes, process_id, distributed=distributed)
    if not distributed:
        return ALONE
    # They meet every few seconds, and notice as they do; a process that is busy for longer is not to end first.
    _join(out, coordinator, num_processes, process_id, 3 * round(ROUND))
    return here()


def check_place(
    coordinator: str | None, num_processes: int | None, process_id: int | None, *, distributed: bool
) -> None:
    """Refuses to tell a process its place in a job if it is in none."""
    if not distributed and (coordinator, num_processes, process_id) != (None, None, None):
        raise ValueError("`coordinator`, `num_processes` and `process_id` belong to `distributed=True`")


def _join(
    out: str | Path | None,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    heartbeat: int,
) -> None:
    if out is None:
        raise ValueError("`distributed=True` needs `out`, a folder that every process sees")
    _keep_standard_output()
    waits = threading.Timer(
        WAITS, warn, [f"waits for the other processes{f' at {coordinator}' if coordinator else ''}"]
    )
    waits.daemon = True
    waits.start()
    ends, is_main = signal.getsignal(signal.SIGTERM), threading.current_thread() is threading.main_thread()
    if is_main:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # while JAX waits, Python would not hear of it
    try:
        parallel.initialize(coordinator, num_processes, process_id, heartbeat=heartbeat)
    finally:
        waits.cancel()
        if is_main and ends is not None:
            signal.signal(signal.SIGTERM, ends)  # JAX's runtime takes it for a notice that need not end the process


def _check_divides(config: Config, mesh: Mesh) -> None:
    """Refuses a batch that does not divide among the processes and their devices."""
    processes, speakers = jax.process_count(), config.data.speakers
    if config.data.batches == "balanced" and speakers % processes:
        lacks = "some would have none" if speakers < processes else "each loads its own"
        raise ValueError(
            f"{speakers} speakers do not divide among {processes} processes, and {lacks}; give as `speakers` "
            f"a multiple of {processes}"
        )
    parts, words = parts_of(config)
    if words == "rows":
        parallel.check_divides(parts, mesh, mesh.axis_names)
    elif parts % mesh.size:
        raise ValueError(
            f"the {parts} {words} of a batch do not divide among {mesh.size} devices; give other `speakers` or "
            "`utterances`"
        )


def _keep_standard_output() -> None:
    """Leaves standard output to Python: Gloo greets its peers there."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)


def by_first(work: Callable[[], None]) -> None:
    """Lets process 0 do something for all, who wait until it is done.

    Args:
        work: What to do.

    Raises:
        OSError: It could not be done, in process 0.
        ValueError: Likewise; in the others in any case.
    """
    here().by_first(work, doing="begin")


def together() -> None:
    """Waits until every process of the job is here."""
    multihost_utils.sync_global_devices("together")


def warn(words: str) -> None:
    """Says on standard error, in a line, what is not as it should be.

    Args:
        words: What.
    """
    print(f"jaxtriplet: {_checks.printable(words)}", file=sys.stderr, flush=True)


def say(words: str) -> None:
    """Logs on standard error what one of several processes does.

    Args:
        words: What it does.
    """
    if jax.process_count() > 1:
        this = f"process {jax.process_index()} of {jax.process_count()}"
        print(f"jaxtriplet: {this}: {words}", file=sys.stderr, flush=True)
