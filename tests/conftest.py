"""Eight simulated devices and JAX's strict modes, set before anything imports jax."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Accelerators, if there are any, round products differently: the figures of these tests are the CPU's.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compilation is most of what the tests do, and the arithmetic of the programs does not depend on how well they are
# optimised: a fifth less of both cores.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
    ]
)

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


class Called(NamedTuple):
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """Runs a command in this process: `call("train", "--steps", 3)`."""
    from jaxtriplet.cli import app  # here, since the losses are tested where click is not installed

    def run(*words: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["jaxtriplet", *map(str, words)])
        return Called(app.run(), *capsys.readouterr())

    return run


def pytest_configure(config: pytest.Config) -> None:
    """Knows the mark below where pytest-xdist is not installed."""
    config.addinivalue_line("markers", "xdist_group(name): tests of one worker (--dist loadgroup)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one case share what it compiled: one worker takes them all."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "case" in parameters:
            item.add_marker(pytest.mark.xdist_group(parameters["case"].name))
