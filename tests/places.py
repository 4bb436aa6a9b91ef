"""Points of eight classes, whose embeddings are so wide that devices share the class weights; loaders that break.

As a program, `python -m tests.places`, this is the command line with them, as the recipe "points".
"""

import itertools
from typing import Any

import numpy as np
from flax import nnx

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.recipes import RECIPES
from jaxtriplet.jobs.sources import SOURCES

from .points import NUMBERS, Points

PLACES = "tests.places:Places"


class Places(Points):
    """Points of eight classes, two around each place."""

    ends = 6
    """After how many steps the loader breaks, if that is before the end."""

    def __init__(self, config: Config, **_: Any) -> None:
        super().__init__(config)
        self.num_classes = 8
        self._labels = np.repeat(np.arange(8, dtype=np.int32), 5)

    def build(self) -> nnx.Linear:
        return nnx.Linear(2, 512, rngs=nnx.Rngs(self.config.training.seed))

    def batches(self, shares: int) -> Any:
        from_step = super().batches(shares)

        def broken(begin: int) -> Any:
            yield from itertools.islice(from_step(begin), self.ends - begin)
            if self.ends < self.config.training.steps:
                raise ValueError("a recording is damaged")

        return broken


if __name__ == "__main__":
    from jaxtriplet.cli import main

    SOURCES["points"], RECIPES["points"] = PLACES, NUMBERS  # type: ignore[index]
    main()
