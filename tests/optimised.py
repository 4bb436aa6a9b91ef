"""Losses and their gradients at XLA's own level of optimisation: `python -m tests.optimised NAME ...`."""

import os
import sys

import jax
import numpy as np

from . import judge
from .cases import BATCHES, named
from .flags import COMPILED_FAST


def main(*names: str) -> None:
    """Judges losses in float32, on a ragged batch and on one with padding."""
    assert COMPILED_FAST not in os.environ.get("XLA_FLAGS", "")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    batches = [batch for batch in BATCHES if batch.name in ("ragged", "padding")]
    for case in map(named, names):
        for batch in batches:
            print(case.name, batch.name, flush=True)
            judge.value(case, batch, np.float32)
            judge.gradient(case, batch, np.float32)
    print(f"{len(batches) * len(names)} trials of {len(names)} losses")


if __name__ == "__main__":
    main(*sys.argv[1:])
