"""A run of six updates, how it is disturbed, and that it is as if it had never been."""

import errno
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxtriplet import _files
from jaxtriplet.jobs import runs

ROOT = Path(__file__).parent.parent.parent
WORDS = ("train", "--recipe", "points", "--checkpoint-every", 2, "--devices", 1, "--quiet")


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(runs.load(folder).arrays())]


def assert_same(folder: Path, base: Path) -> None:
    """The curve and the weights are those of a run that nothing has disturbed, to the bit."""
    assert (folder / "metrics.jsonl").read_bytes() == (base / "metrics.jsonl").read_bytes()
    for ours, theirs in zip(weights(folder), weights(base), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not _files.leftovers(folder) + _files.leftovers(folder / "checkpoints")
    assert not (folder / ".lock").exists()


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
