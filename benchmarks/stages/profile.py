"""Where the time of one call goes: the kernels of the device by their total time, from JAX's own profiler."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from stages.programs import batch_of, missing, program_of
from stages.session import Built, Program, Session, said
from stages.timing import times

KERNELS, CALLS = 25, 5
# Kernels one by one: of those that are replayed together, the profiler may tell no more than that.
ONE_BY_ONE = {"xla_gpu_graph_min_graph_size": 1_000_000}


def run(session: Session, asked: Sequence[tuple[str, int]], options: Mapping[str, Any]) -> None:
    """Records the kernels of each loss at each batch size that is asked for.

    Args:
        session: The run.
        asked: Losses and batch sizes.
        options: Keywords of the losses.
    """
    programs: dict[Any, Program] = {}
    for loss, size in asked or [("semi-hard", 64 if session.quick else 2048)]:
        if lacking := missing(loss, options):
            session.record(f"{loss}, {size}", {"failed": lacking})
            continue
        program = program_of(loss, session.place(*batch_of(loss, size)), options)
        programs[loss, size, "as it is"] = program
        programs[loss, size, "kernels one by one"] = program._replace(compiler_options=ONE_BY_ONE)
    built = session.compile(programs)
    for key, one in built.items():
        loss, size, how = key
        found = times(session, {key: one}, turns=3)[key]
        if isinstance(one, Built) and "ms" in found:
            found |= traced(one)
        session.record(f"{loss}, {size}, {how}", {**found, "options": dict(options)})


def traced(built: Built) -> dict[str, Any]:
    """Returns what ran in some calls; a profiler that does not work is told of in its place."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with jax.profiler.trace(folder):
                for _ in range(CALLS):
                    last = built.call(*built.arguments)
                jax.block_until_ready(last)
            return kernels(Path(folder))
        except Exception as error:
            return {"no profile": said(error)}


def kernels(folder: Path) -> dict[str, Any]:
    """Returns what ran on the device, by name: microseconds and runs of a call; the longest first.

    Args:
        folder: Where the profiler wrote.
    """
    spent: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    (file,) = folder.rglob("*.xplane.pb")
    planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    # Without a device, what runs is in threads of the host whose names tell.
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    lines = [line for plane in devices or planes for line in plane.lines]
    for kind in ("Stream", "XLA Ops", "tf_XLA"):  # GPU, TPU, CPU
        for event in (event for line in lines if line.name.startswith(kind) for event in line.events):
            if not event.name.startswith("Thunk"):  # What holds others.
                spent[event.name] += event.duration_ns
                runs[event.name] += 1
        if spent:
            break
    top = [
        {"kernel": name, "us": round(time / CALLS / 1e3, 2), "runs": round(runs[name] / CALLS, 2)}
        for name, time in spent.most_common(KERNELS)
    ]
    total = {"device_us": round(sum(spent.values()) / CALLS / 1e3, 2), "launches": sum(runs.values()) / CALLS}
    return {**total, "kernels": top}
