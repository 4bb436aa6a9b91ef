"""The accelerators to compile for, and what that needs installed."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtriplet import _checks
from jaxtriplet.tools.fits import compilers


class Target(NamedTuple):
    """A kind of accelerator."""

    platform: str
    """As JAX calls it."""
    memory: int
    """Bytes of a device that a program may use."""
    slices: Mapping[int, str]
    """The topology to ask the compiler for, by the number of devices."""
    needs: tuple[str, ...]
    """The distributions that compile for it."""
    note: str
    """What `memory` is, in words."""


def _tpu(name: str, memory: float, *shapes: str) -> Target:
    # A host has four chips; on fewer, a program has the host's topology and some of its devices.
    sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    slices = {size: f"{name}:{shape}" for size, shape in zip(sizes, (shapes[0], shapes[0], *shapes), strict=True)}
    note = f"the TPU compiler lets a program use {memory:g} GiB of a chip"
    return Target("tpu", int(memory * 2**30), slices, ("libtpu",), note)


# The TPU compiler names its limit where it refuses a program ("exceeds available HBM (15.75G)"). Of an H100 80GB, whose
# description beside this file tells 84,929,347,584 bytes, JAX takes three quarters unless it is told otherwise.
_FLAT = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8")
TARGETS: dict[str, Target] = {
    "tpu-v5e": _tpu("v5e", 15.75, *_FLAT),
    "tpu-v6e": _tpu("v6e", 31.25, *_FLAT),
    "tpu-v5p": _tpu("v5p", 95.74, *_CUBE),
    "h100": Target(
        "cuda",
        84_929_347_584 * 3 // 4,
        {1: "1x1x1", 2: "1x1x2", 4: "1x1x4", **{8 * hosts: f"1x{hosts}x8" for hosts in (1, 2, 4, 8, 16, 32)}},
        ("jax-cuda13-plugin", "jax-cuda13-pjrt", "nvidia-cuda-nvcc", "nvidia-nvvm"),
        "JAX takes three quarters of an 80 GB card unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise",
    ),
}


def check(name: str, devices: int) -> None:
    """Raises a `ValueError` if there is no such slice of the target."""
    _checks.option("`target`", name, TARGETS)
    target = TARGETS[name]
    if devices not in target.slices:
        raise ValueError(f"`devices` of {name} must be of {', '.join(map(str, target.slices))}; got {devices}")


def check_installed(name: str) -> None:
    """Raises a `ValueError` if what compiles for a target is not installed."""
    if missing := [distribution for distribution in TARGETS[name].needs if not compilers.installed(distribution)]:
        raise ValueError(f"{name} needs {', '.join(missing)}: fetch the compilers (600 MB, once) with `install=True`")


def environment() -> dict[str, str]:
    """Returns what a process's environment has to have before JAX compiles for accelerators that are not there."""
    return {
        "PYTHONPATH": os.pathsep.join(compilers.path(filter(None, [os.environ.get("PYTHONPATH")]))),
        # Autotuning would run the kernels that it compares.
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_autotune_level=0".strip(),
        "JAX_PLATFORMS": "cpu",
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        # libtpu asks the cloud's metadata and its chips what it runs on; this is an answer that suits every topology.
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_WORKER_ID": "0",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_LOG_DIR": "disabled",
        # One process at a time may use the chips; any number may compile.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }


def devices_of(name: str, devices: int) -> list[Any]:
    """Returns the described devices of a slice; call it in a process with that `environment`."""
    from jax.experimental import topologies

    target = TARGETS[name]
    asked = {"topology_name" if target.platform == "tpu" else "topology": target.slices[devices]}
    description = Path(__file__).with_name(f"{name}.textproto")
    if description.exists():
        asked["target_config"] = description.read_text()
    found = topologies.get_topology_desc(platform=target.platform, **asked)
    return list(found.devices[:devices])
