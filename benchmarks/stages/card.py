"""Which card it is, and what it can do at its best: products in every precision, memory, launches."""

import subprocess
from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stages.programs import DIM, LARGEST, products
from stages.session import COMPILING, Built, Program, Session, grouped
from stages.timing import times

PRESETS = {
    "float32 HIGHEST": jax.lax.Precision.HIGHEST,
    "X9": "BF16_BF16_F32_X9",
    "X6": "BF16_BF16_F32_X6",
    "X3": "BF16_BF16_F32_X3",
    "TF32": "TF32_TF32_F32",
    "bfloat16 (BF16_BF16_F32)": "BF16_BF16_F32",
    "DEFAULT": jax.lax.Precision.DEFAULT,
}
"""Precisions of products of float32 rows, by their names in the table."""
OF_HALVES = "bfloat16 rows"
_ASKED = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.limit"


def run(session: Session) -> None:
    """Records the card, its limits, and the three products [T, 256] x [256, N] in every precision."""
    session.record("card", describe(session))
    session.record("limits", limits(session))
    for size in (256, 512) if session.quick else (2048, 8192):
        measure(session, size)
    session.record("clocks after", asked_of_driver())


def describe(session: Session) -> dict[str, Any]:
    """Returns the device's name and memory, and the versions in use."""
    device = session.device
    return {
        "kind": device.device_kind,
        "platform": device.platform,
        "memory_gib": round(session.memory / 2**30, 1),
        "jax": jax.__version__,
        "backend": " ".join(device.client.platform_version.split()),
        "driver": asked_of_driver(),
    }


def asked_of_driver() -> dict[str, str] | str:
    """Returns what nvidia-smi says, or that there is none."""
    try:
        command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        return dict(zip(_ASKED.split(","), printed.splitlines()[0].split(", "), strict=True))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def limits(session: Session) -> dict[str, Any]:
    """Returns the bandwidth of a copy, and what a launch and a decision on data cost."""
    many, trips = (2**20, 100) if session.quick else (2**28, 1000)
    large, small, count = session.place(np.zeros(many, np.float32), np.zeros(8, np.float32), np.int32(trips))

    def loop(x: jax.Array, number: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda at: at[0] < number, lambda at: (at[0] + 1, at[1] * 0.5 + 1), (0, x))[1]

    programs = {
        "copy": Program(lambda x: x + 1, (large,)),
        "call": Program(lambda x: x + 1, (small,)),
        "while_loop": Program(loop, (small, count)),
    }
    found = times(session, session.compile(programs))
    milliseconds = {name: one.get("ms") for name, one in found.items()}
    copy, call, trip = (milliseconds[name] for name in programs)
    return {
        "copy_gb_per_s": copy and round(8 * many / copy / 1e6, 1),
        "call_us": call and round(1e3 * call, 2),
        "while_loop_trip_us": trip and round(1e3 * trip / trips, 2),
    }


def measure(session: Session, size: int) -> None:
    """Records the products with so many rows in every precision, a few precisions at a time."""
    anchors = min(size, LARGEST // size)
    random = np.random.default_rng(size)
    x, y = (random.standard_normal((count, DIM)).astype(np.float32) for count in (anchors, size))
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    exact = x[:256].astype(np.float64) @ y.T.astype(np.float64)
    for names in grouped([*PRESETS, OF_HALVES], COMPILING // 2):
        session.rows("products", products_of(session, names, session.place(x, y), exact))


def products_of(
    session: Session, names: Iterable[str], given: tuple[jax.Array, ...], exact: np.ndarray
) -> list[dict[str, Any]]:
    """Returns times of one product and of all three, and errors of an inner product against float64, by precision."""
    x, y = given
    halves = tuple(one.astype(jnp.bfloat16) for one in given)
    programs: dict[Any, Program] = {}
    for name in names:
        one = PRESETS.get(name)
        precision = jax.lax.DotAlgorithmPreset[one] if isinstance(one, str) else one
        rows = halves if name == OF_HALVES else given
        programs[name, "one"] = Program(partial(inner, precision=precision), rows)
        programs[name, "three"] = Program(partial(products, precision=precision), rows)
    built = session.compile(programs)
    found = times(session, built)
    table = []
    for name in names:
        single, three = found[name, "one"], found[name, "three"]
        row: dict[str, Any] = {"size": f"{len(x)} x {len(y)}", "precision": name}
        row |= {"one_ms": single.get("ms"), "three_ms": three.get("ms")}
        row["failed"] = single.get("failed") or three.get("failed")
        if "ms" in single:
            row["tflops"] = round(2e-9 * len(x) * len(y) * DIM / single["ms"], 1)
            row["largest_error"] = error_of(built[name, "one"], exact)
        table.append(row)
    return table


def inner(x: jax.Array, y: jax.Array, precision: Any) -> jax.Array:
    """All inner products, in float32."""
    return jnp.matmul(x, y.T, precision=precision, preferred_element_type=jnp.float32)


def error_of(built: Built | str, exact: np.ndarray) -> float:
    """Returns the largest error of an inner product of unit rows."""
    assert isinstance(built, Built)
    return float(np.abs(np.asarray(built.call(*built.arguments)[: len(exact)], np.float64) - exact).max())
