"""Numbers tuned for each platform, of which a program has those of the platform that it is lowered for.

They decide how the work is done, never what is found. `jax.default_backend()` would not do: a program may be compiled
ahead of time, or exported, for another platform than that of the process.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

# Rows of more candidates than this are wide: see `Cut`.
WIDE = 2**14


class Cut(NamedTuple):
    """How many anchors a tile has."""

    budget: int
    """Bytes of a tile, all that is kept alive of it."""
    least: int
    """Anchors in a tile at least, ..."""
    least_of_wide: int
    """... and at least where rows are wide."""
    most: int
    """Anchors in a tile at most."""

    def anchors(self, candidates: int, keeps: int, more: int = 0) -> int:
        """Returns how many anchors to meet at once.

        Args:
            candidates: How many each of them meets.
            keeps: Bytes that are kept of each pair.
            more: Bytes that are kept of each anchor beside these.
        """
        least = self.least_of_wide if candidates > WIDE else self.least
        return min(self.most, max(least, self.budget // max(1, candidates * keeps + more)))


class Tuning(NamedTuple):
    """The numbers of one platform."""

    mined: Cut
    measured: Cut
    together: int
    """Bytes of one tile of all anchors where candidates meet anchors too, which spares a product of four."""
    by_anchor: bool
    """Whether rules look at one anchor at a time, side by side."""
    at_hand: int
    """Where no class is larger, the positives of an anchor are met side by side, without a loop that asks for more."""
    straight: int
    """So many positives, known in advance, are visited in straight code; more in a loop."""
    many: int
    """Where a class is larger, each anchor's distances are sorted, instead of passed over for each positive."""
    picked: float
    """A row that is picked costs as much as so many rows of a product."""
    ordered: int
    """More candidates are put in order, to know how many positives there are; fewer are counted in each tile."""
    compared: int
    """More candidates are put in order by a sort; fewer by comparing each with each, which is one launch."""
    fewest: int
    """The smallest shape compiled for centroids of which there may be few; then twice as many each."""
    classes: int
    """So many centres of classes are met at once, whole rows of them, at three products; more in blocks, at four."""
    block: int
    """Centres in such a block."""


_ALL = 2**31
# Times are of value and gradient, D = 256, 8 rows a class. CPU: two cores, CPU ms. CUDA: an H200, float32; what is
# counted is of programs compiled for an H100. TPU: nothing was run, memory is that of programs compiled for a v5e.
TUNING: dict[str, Tuning] = {
    "cpu": Tuning(
        # 128 x 2048 distances are 1 MiB, which stays in a core's cache. In units of the three products, with 64, 128,
        # 256: batch-all 1.49, 1.34, 1.81; semi-hard 1.36, 1.21, 1.24.
        mined=Cut(0, 128, 128, 128),
        # SupCon, B = 2048, with 64, 128, 256, 512: 1.57, 1.39, 1.20, 1.23. Of wide rows 128, for the memory of it.
        measured=Cut(2**22, 256, 128, _ALL),
        together=0,
        by_anchor=False,  # XLA's reductions are vectorised down columns alone
        at_hand=0,
        straight=0,  # batch-all, B = 2048: straight 138, a loop 106
        many=250,  # B = 1024, classes of half the batch: the sort 258 ms, the loop 510
        picked=1e9,  # never: semi-hard, B = 2048, 14 picks 107, weights 111, which is no reason for a second way
        ordered=512,
        compared=0,
        fewest=128,  # a branch takes 0.1 s to compile
        classes=2**14,
        block=2**11,
    ),
    "cuda": Tuning(
        # At B = 65,536 semi-hard and batch-all peak at 487 and 483 MiB in all; what takes less a pair has larger tiles.
        mined=Cut(2**28, 8, 8, _ALL),
        # 266 to 459 MiB of most losses; SupCon, B = 8192, 2.8 ms with 2^24 numbers or 2^25.
        measured=Cut(2**27, 8, 8, _ALL),
        together=2**29,  # symmetric InfoNCE, B = 8192: 2.98 ms in one tile, 4.05 in two, which take a fourth product
        # With masks laid out alike. B = 2048: semi-hard 0.57 -> 0.30 ms, batch-all 0.45 -> 0.29, batch-hard 0.19 ->
        # 0.12; B = 8192: 3.4 -> 2.5, 5.7 -> 3.8, 1.7 -> 1.3. Eight searches of a row are one kernel.
        by_anchor=True,
        at_hand=9,  # a trip of a loop on data is 18 us for the host's waiting alone
        straight=16,
        many=250,  # as on the CPU: not measured
        picked=150,  # B = 2048: to add up 16 rows for each anchor took 146 us, the two products that this spares 110
        ordered=_ALL,
        compared=2**13,  # 12 launches fewer
        fewest=2**12,  # which spares a decision; B x B inner products take 0.06 ms at B = 2048
        classes=2**17,
        block=2**13,
    ),
    "tpu": Tuning(
        mined=Cut(5 * 2**25, 8, 8, _ALL),  # at B = 65,536 at most 512 MiB
        measured=Cut(2**27, 8, 8, _ALL),
        together=2**29,
        by_anchor=False,  # what can be seen here, launches, a TPU does not have
        at_hand=0,
        straight=0,
        many=250,
        picked=1e9,  # never: a TPU adds rows up one after the other
        ordered=512,
        compared=0,
        fewest=2**12,
        classes=2**14,
        block=2**11,
    ),
}
"""Platforms by JAX's names; another has the numbers of "cuda"."""


def plans(plan_fn: Callable[[Tuning], Any]) -> dict[str, Any]:
    """Returns the plan of each platform."""
    return {name: plan_fn(tuning) for name, tuning in TUNING.items()}


def by_platform(work: Callable[..., Any], plans: Mapping[str, Any], *given: Any) -> Any:
    """Returns `work(plan, *given)` by the plan of the platform that the program is lowered for."""
    usual = plans["cuda"]
    others = {name: plan for name, plan in plans.items() if plan != usual}
    if not others:
        return work(usual, *given)
    branches = {name: functools.partial(work, plan) for name, plan in others.items()}
    return jax.lax.platform_dependent(*given, default=functools.partial(work, usual), **branches)
