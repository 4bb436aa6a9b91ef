"""Every loss, its value and its gradient, at XLA's own level of optimisation: `python -m tests.optimised float32`."""

import os
import sys

import jax
import numpy as np

from . import judge
from .cases import BATCHES, LOSSES
from .flags import COMPILED_FAST


def main(dtype: str) -> None:
    """Judges all losses in one precision, on a ragged batch and on one with padding."""
    assert COMPILED_FAST not in os.environ.get("XLA_FLAGS", "")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    batches = [batch for batch in BATCHES if batch.name in ("ragged", "padding")]
    for case in LOSSES:
        for batch in batches:
            print(case.name, batch.name, dtype, flush=True)
            judge.value(case, batch, getattr(np, dtype))
            judge.gradient(case, batch, getattr(np, dtype))
    print(f"{len(batches) * len(LOSSES)} trials of {len(LOSSES)} losses")


if __name__ == "__main__":
    main(sys.argv[1])
