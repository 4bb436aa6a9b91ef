"""The machine and the libraries that figures belong to."""

import os
import platform
from pathlib import Path
from typing import Any

from jaxtriplet.tools.bench.contenders import CONTENDERS, installed_version
from jaxtriplet.tools.bench.plan import machine_memory


def describe() -> dict[str, Any]:
    """Returns the processor, the cores this process may use, the memory in GiB, the system and the versions in use."""
    others = {name for contender in CONTENDERS.values() for name in contender.distributions} | {"jaxlib", "numpy"}
    versions = {name: installed_version(name) for name in sorted(others)}
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "memory_gib": round(machine_memory() / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version()} | {name: found for name, found in versions.items() if found},
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
