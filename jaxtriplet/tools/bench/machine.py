"""The machine, its accelerator and the libraries that figures belong to."""

import os
import platform
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from jaxtriplet.tools.bench import accelerators, with_torch
from jaxtriplet.tools.bench.contenders import CONTENDERS, Contender
from jaxtriplet.tools.bench.plan import machine_memory
from jaxtriplet.tools.bench.race import STARTUP
from jaxtriplet.tools.installed import installed_version
from jaxtriplet.tools.workers import Worker, WorkerError


def describe() -> dict[str, Any]:
    """Returns the processor, the cores this process may use, the memory in GiB, the system and the versions in use."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: *(.+)", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    names = {name for contender in CONTENDERS.values() for name in contender.distributions} | {"jaxlib", "numpy"}
    versions = {name: version for name in sorted(names) if (version := installed_version(name))}
    return {
        "processor": model[1] if model else platform.processor() or "unknown processor",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gib": round(machine_memory() / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | versions,
    }


def accelerator(device: str, contenders: Sequence[Contender]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns an accelerator's `name` and `memory` in bytes, and by contender why it cannot use it.

    Args:
        device: "gpu" or "tpu".
        contenders: Who is to take part, all installed.

    Raises:
        ValueError: JAX has no such device.
    """
    torch = [one.name for one in contenders if one.module == Path(with_torch.__file__)]
    libraries = ("jax", "torch") if torch else ("jax",)
    with ThreadPoolExecutor() as pool:
        found = dict(zip(libraries, pool.map(partial(_ask, device), libraries), strict=True))
    if why := found["jax"].get("failed"):
        raise ValueError(f"jax has no {device.upper()} here: {why}")
    why = found.get("torch", {}).get("failed")
    return found["jax"], {name: f"{name} is left out: {why}" for name in torch if why}


def _ask(device: str, library: str) -> dict[str, Any]:
    with Worker(Path(accelerators.__file__), accelerators.environment(device)) as process:
        try:
            return cast(dict[str, Any], process.ask({"library": library, "device": device}, STARTUP))
        except TimeoutError:
            return {"failed": f"no answer in {STARTUP:g} s"}
        except WorkerError as end:
            return {"failed": end.words or f"exit status {end.status}"}
