"""Devices other than the processor, as workers' programs see them (`tools.workers`), asked in processes of their own.

It imports nothing of this package, and one library a process: the parent needs none of them, and what a library holds
of a device is given back when its process ends.
"""

from collections.abc import Iterator
from typing import Any

PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}
"""Devices, and what JAX calls the platforms that a worker uses."""

ALONE = ("tpu",)
"""Devices that belong to one process at a time."""


def environment(device: str) -> dict[str, str]:
    """Returns what a worker has in its environment.

    Args:
        device: A key of `PLATFORMS`.
    """
    # Several processes share the device: none may take more of it than it needs.
    shared = {} if device == "cpu" else {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {"JAX_PLATFORMS": PLATFORMS[device], **shared}


def serve(messages: Iterator[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Says of a `library` and a `device`: `name` and `memory` (bytes), or why it has none, `failed`."""
    for message in messages:
        try:
            yield _of_jax(message["device"]) if message["library"] == "jax" else _of_torch(message["device"])
        except Exception as error:
            yield {"failed": " ".join(str(error).split())}


def _of_jax(device: str) -> dict[str, Any]:
    import jax

    one = jax.devices(device)[0]
    return {"name": one.device_kind, "memory": int((one.memory_stats() or {}).get("bytes_limit", 0))}


def _of_torch(device: str) -> dict[str, Any]:
    import torch

    if device == "tpu" or not torch.cuda.is_available():
        raise RuntimeError(f"its PyTorch has no {device.upper()} here")
    return {"name": torch.cuda.get_device_name(), "memory": torch.cuda.get_device_properties(0).total_memory}
