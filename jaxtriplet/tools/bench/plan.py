"""What is measured: the settings of the table and of the picture, and the limits."""

import dataclasses
import itertools
import os
from collections.abc import Collection, Iterator
from typing import Annotated, NamedTuple, Self

from jaxtriplet import _checks
from jaxtriplet.jobs.fields import described
from jaxtriplet.losses import registry
from jaxtriplet.tools.bench.contenders import CONTENDERS, RACED, Contender
from jaxtriplet.tools.words import split, whole_numbers


class Setting(NamedTuple):
    """One loss on one shape of batch."""

    loss: str
    batch_size: int
    rows_per_class: int
    dim: int

    def __str__(self) -> str:
        """The setting as headings and the progress bar show it."""
        return f"{self.loss}, B = {self.batch_size:,}, {self.rows_per_class} per class, D = {self.dim}"


class Line(NamedTuple):
    """Settings of growing cost: a contender that fails at one is not tried at the next."""

    settings: tuple[Setting, ...]
    rounds: int


# The picture: batches up to a size whose B x B matrix would take 4 GiB; class sizes at a batch that peers still manage.
SWEEP_BATCH_SIZES = (256, 1024, 4096, 16384, 32768)
SWEEP_CLASSES_AT = 1024
SWEEP_ROWS_PER_CLASS = (2, 8, 32, 128, 512)
SWEEP_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers of a benchmark, limits being each contender's; each is also an option of `jaxtriplet bench`."""

    losses: Annotated[str, described("Which losses, joined by commas.")] = ",".join(RACED)
    batch_sizes: Annotated[str, described("Rows B of the batches, joined by commas; else 1024,2048.")] | None = None
    rows_per_class: Annotated[int, described("Rows K of each class: a usual P x K batch.", ge=2)] = 8
    dim: Annotated[int, described("Numbers D in an embedding, float32: a speaker encoder's usual width.", ge=1)] = 256
    rounds: Annotated[int, described("Turns of each contender, whose median counts; else 9.", ge=1)] | None = None
    only: Annotated[str, described(f"Contenders, joined by commas; else all: {', '.join(CONTENDERS)}.")] | None = None
    memory_limit: Annotated[float, described("GiB that each may add; else half the machine's.", ge=0.001)] | None = None
    time_limit: Annotated[float, described("Seconds for compiling and a call, and for all turns.", ge=0.001)] = 60.0

    def resolved(self, *, quick: bool = False) -> Self:
        """Returns the plan with the defaults filled in that depend on the machine, or on whether it shall be quick.

        Raises:
            ValueError: A loss or contender is unknown, nobody computes a loss, or a size does not
                fit.

        Example:
            >>> Plan(rounds=5).resolved(quick=True).batch_sizes
            '512'
        """
        plan = dataclasses.replace(
            self,
            losses=self.losses.replace("_", "-"),
            batch_sizes=self.batch_sizes or ("512" if quick else "1024,2048"),
            rounds=self.rounds or (3 if quick else 9),
            memory_limit=self.memory_limit or machine_memory() / 2**31,
        )
        _known("loss", plan.losses, registry.trainable())
        _known("contender", ",".join(CONTENDERS) if plan.only is None else plan.only, CONTENDERS)
        for loss in split(plan.losses):
            if registry.find(loss).class_weights:
                raise ValueError(f"{loss} has class weights; what is measured is losses of rows alone")
            if not any(contender.computes(loss) for contender in plan.contenders):
                raise ValueError(f"{plan.only} cannot compute {loss}")
        for size in plan.table_sizes:
            if not _divides(size, self.rows_per_class):
                raise ValueError(f"a batch of {size} rows is not two or more classes of {self.rows_per_class}")
        return plan

    @property
    def table_sizes(self) -> list[int]:
        """The batch sizes of the table."""
        return whole_numbers("batch sizes", self.batch_sizes or "")

    @property
    def contenders(self) -> list[Contender]:
        """Those who are asked for, in the order of the table, installed or not."""
        asked = CONTENDERS if self.only is None else split(self.only)
        return [contender for name, contender in CONTENDERS.items() if name in asked]

    def lines(self, *, plot: bool) -> Iterator[Line]:
        """Yields what is to be measured: the table, a line a setting, then with `plot` the axes of the picture."""
        assert self.rounds is not None  # resolved
        yield from (Line((setting,), self.rounds) for setting in self.table())
        by_size = [(size, self.rows_per_class) for size in SWEEP_BATCH_SIZES]
        by_class = [(SWEEP_CLASSES_AT, rows) for rows in SWEEP_ROWS_PER_CLASS]
        for loss in split(self.losses) if plot else ():
            for axis in (by_size, by_class):
                settings = (Setting(loss, size, rows, self.dim) for size, rows in axis if _divides(size, rows))
                yield Line(tuple(settings), min(self.rounds, SWEEP_ROUNDS))

    def table(self) -> list[Setting]:
        """Returns the settings of the table."""
        shapes = itertools.product(split(self.losses), self.table_sizes)
        return [Setting(loss, size, self.rows_per_class, self.dim) for loss, size in shapes]


def machine_memory() -> int:
    """Returns the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _divides(batch_size: int, rows_per_class: int) -> bool:
    return batch_size % rows_per_class == 0 and batch_size >= 2 * rows_per_class


def _known(kind: str, words: str, known: Collection[str]) -> None:
    if not split(words):
        raise ValueError(f"no {kind} is named; known: {', '.join(known)}")
    for word in split(words):
        if word not in known:
            raise ValueError(f"unknown {kind} {word!r}{_checks.nearest(word, known)}; known: {', '.join(known)}")
