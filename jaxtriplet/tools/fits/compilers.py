"""The accelerators' compilers in a folder of their own, which only the process that compiles looks into.

Beside JAX they would be started with it, and on a machine without these accelerators complain at every start.
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from jaxtriplet import _files
from jaxtriplet.tools.installed import installed_version

# JAX names in its extras the releases that go with it; CUDA's own assembler and library of functions are NVIDIA's.
_OF_JAX = {"libtpu": "tpu", "jax-cuda13-plugin": "cuda13-local"}
_OF_CUDA = ("nvidia-cuda-nvcc==13.*", "nvidia-nvvm==13.*")


def folder() -> Path | None:
    """Returns where the compilers for this JAX are, or would be: in `$XDG_CACHE_HOME` or `~/.cache`; None without."""
    caches = _files.cache_folder()
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return caches and caches / f"compilers-jax{metadata.version('jax')}-{python}"


def path(usual: Iterable[str]) -> list[str]:
    """Returns where Python has to look for the compilers: in the folder, if there is one, and where it looks anyway."""
    own = folder()
    return [*([] if own is None else [str(own)]), *usual]


def installed(distribution: str) -> bool:
    """Returns whether a distribution is in the folder or beside JAX, where those have it who own the accelerator."""
    return installed_version(distribution, path(sys.path)) is not None


def requirements() -> list[str]:
    """Returns what pip is to fetch for this JAX."""
    # libtpu==0.0.42.*; extra == "tpu"
    named = [re.fullmatch(r"([\w-]+)([^;\[]*); extra == .([\w-]+).", one) for one in metadata.requires("jax") or ()]
    return [f"{one[1]}{one[2]}" for one in named if one and _OF_JAX.get(one[1]) == one[3]] + list(_OF_CUDA)


def install() -> None:
    """Fetches the compilers into the folder, once: 600 MB, of which nothing is run while it is installed.

    Raises:
        ValueError: There are none for this machine, there is no place for them, or pip cannot fetch them; the message
            says why.
    """
    if all(installed(re.split("[=<>]", one)[0]) for one in requirements()):
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise ValueError("the compilers are there for Linux on x86-64 alone")
    if (own := folder()) is None:
        raise ValueError("the compilers have no place: you have no home; set XDG_CACHE_HOME to a folder for them")
    own.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".compilers-", dir=own.parent) as beside:
        whole = Path(beside, "whole")
        words = ["pip", "install", "--quiet", "--only-binary", ":all:", "--target", str(whole), *requirements()]
        done = subprocess.run([sys.executable, "-P", "-m", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ValueError(f"the compilers cannot be fetched: {reason}")
        shutil.rmtree(own, ignore_errors=True)
        whole.rename(own)
