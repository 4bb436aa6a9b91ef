"""`jaxtriplet bench` on the device, beside what of PyTorch is installed."""

import os
import subprocess
import sys
from pathlib import Path

import jax
from jax.extend.backend import clear_backends

from stages.session import Session


def run(session: Session) -> None:
    """Runs the command in a process of its own; its files come into the folder `bench` of the results."""
    words = ["bench", "--device", session.device.platform, "--overwrite", "--out", str(session.out / "bench")]
    if session.quick:
        words += ["--losses", "batch-hard", "--batch-sizes", "64", "--rounds", "1", "--only", "jaxtriplet,floor"]
        words += ["--no-plot"]
    else:
        words += ["--batch-sizes", "2048"]
    # What this process holds of the card, the contenders may need; it is the last stage.
    jax.clear_caches()
    clear_backends()
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    # Which devices there are, the command decides itself.
    given = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"} | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "jaxtriplet", *words, "--quiet"]
    try:
        ended = subprocess.run(command, env=given, capture_output=True, text=True, timeout=max(session.left, 1))
    except subprocess.TimeoutExpired:
        session.record("failed", "it was stopped for lack of time; what it had measured is in the folder `bench`")
        return
    lines = ended.stderr.strip().splitlines()
    session.record("failed" if ended.returncode else "folder", lines[-1] if ended.returncode and lines else "bench")
