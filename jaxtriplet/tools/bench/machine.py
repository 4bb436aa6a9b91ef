"""The machine and the libraries that figures belong to."""

import os
import platform
import re
from pathlib import Path
from typing import Any

from jaxtriplet.tools.bench.contenders import CONTENDERS
from jaxtriplet.tools.bench.plan import machine_memory
from jaxtriplet.tools.installed import installed_version


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
