"""What is measured: the settings of the table and of the picture, and the limits."""

import dataclasses
import itertools
import os
from collections.abc import Iterator
from typing import Annotated, NamedTuple, Self

from jaxtriplet import _checks
from jaxtriplet.jobs.fields import described
from jaxtriplet.tools import losses
from jaxtriplet.tools.bench.accelerators import ALONE, PLATFORMS
from jaxtriplet.tools.bench.contenders import CONTENDERS, RACED, USUAL, Contender
from jaxtriplet.tools.words import split, whole_numbers


class Setting(NamedTuple):
    """One loss on one shape of batch."""

    loss: str
    batch_size: int
    rows_per_class: int | None
    """None for two views, which have no classes, and for class weights, where rows are of any class."""
    dim: int
    classes: int | None = None
    """How many classes have weights; None for a loss without."""
    centers: int = 1
    """How many weights a class has."""

    def __str__(self) -> str:
        """The setting as headings and the progress bar show it."""
        rows = f"{self.rows_per_class} per class" if self.rows_per_class else "two views"
        if self.classes:
            rows = f"C = {self.classes:,}" + (f" of {self.centers} centers" if self.centers > 1 else "")
        return f"{self.loss}, B = {self.batch_size:,}, {rows}, D = {self.dim}"


class Line(NamedTuple):
    """Settings of growing cost: a contender that fails at one is not tried at the next."""

    settings: tuple[Setting, ...]
    rounds: int


# The picture: batches up to a size whose B x B matrix would take 4 GiB; class sizes at a batch that peers still manage.
SWEEP_BATCH_SIZES = (256, 1024, 4096, 16384, 32768)
SWEEP_CLASSES_AT = 1024
SWEEP_ROWS_PER_CLASS = (2, 8, 32, 128, 512)
SWEEP_ROUNDS = 3


# In place of the losses' own numbers. Of random unit rows, whose distance is about 1.41: at 1.0 no pair is pushed, and
# of semi-hard negatives, whose distances are squared, 0.2 is the paper's.
INSTEAD = {"contrastive": {"margin": 1.4}, "semi_hard": {"margin": 0.2}, "semi_hard_all": {"margin": 0.2}}

# Numbers of an option that is off.
UNUSED = {"aam_softmax": {"penalty"}}


def numbers_of(loss: str) -> dict[str, float]:
    """Returns the numbers with which a loss is measured, every contender alike.

    Example:
        >>> numbers_of("supervised-contrastive"), numbers_of("semi-hard")
        ({'temperature': 0.1}, {'margin': 0.2})
    """
    found = losses.find(loss)
    numbers = found.numbers | INSTEAD.get(found.name, {})
    return {name: numbers[name] for name in numbers if name not in UNUSED.get(found.name, ())}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers of a benchmark, limits being each contender's; each is also an option of `jaxtriplet bench`."""

    losses: Annotated[
        str, described(f"Which losses, joined by commas, of those that others compute ({', '.join(RACED)}) or any.")
    ] = ",".join(USUAL)
    device: Annotated[
        str,
        described("Where to measure; on an accelerator, PyTorch's contenders need CUDA.", choices=tuple(PLATFORMS)),
    ] = "cpu"
    batch_sizes: (
        Annotated[
            str, described("Rows B of the batches, joined by commas; else 1024,2048, on an accelerator 2048,8192.")
        ]
        | None
    ) = None
    rows_per_class: Annotated[
        int, described("Rows K of each class: a usual P x K batch. Two views and class weights have none.", ge=2)
    ] = 8
    classes: Annotated[int, described("Classes C of losses with class weights; labels are drawn of them.", ge=2)] = (
        10_000
    )
    centers: Annotated[int, described("Weights of each class; else 1, of soft-triple 10.", ge=1)] | None = None
    dim: Annotated[int, described("Numbers D in an embedding, float32: a speaker encoder's usual width.", ge=1)] = 256
    rounds: Annotated[int, described("Turns of each contender, whose median counts; else 9.", ge=1)] | None = None
    only: Annotated[str, described(f"Contenders, joined by commas; else all: {', '.join(CONTENDERS)}.")] | None = None
    memory_limit: (
        Annotated[float, described("GiB that each may add; else half the machine's or the accelerator's.", ge=0.001)]
        | None
    ) = None
    time_limit: Annotated[float, described("Seconds for compiling and a call, and for all turns.", ge=0.001)] = 60.0

    def resolved(self, *, quick: bool = False, memory: int = 0) -> Self:
        """Returns the plan with the defaults filled in that depend on the machine, or on whether it shall be quick.

        Args:
            quick: Whether it shall take some minutes.
            memory: Bytes of the accelerator; 0 for those of the machine.

        Raises:
            ValueError: A loss or contender is unknown, nobody computes a loss, or a size does not
                fit.

        Example:
            >>> Plan(rounds=5).resolved(quick=True).batch_sizes
            '512'
        """
        usual_sizes = "512" if quick else "1024,2048" if self.on_processor else "2048,8192"
        plan = dataclasses.replace(
            self,
            losses=self.losses.replace("_", "-"),
            batch_sizes=usual_sizes if self.batch_sizes is None else self.batch_sizes,
            rounds=self.rounds or (3 if quick else 9),
            memory_limit=self.memory_limit or (memory or machine_memory()) / 2**31,
        )
        for kind, named, known in (
            ("`device`", plan.device, PLATFORMS),
            ("`losses`", plan.losses, losses.known()),
            ("`only`", ",".join(CONTENDERS) if plan.only is None else plan.only, CONTENDERS),
        ):
            if not split(named):
                raise ValueError(f"{kind} names none; known: {', '.join(known)}")
            for word in split(named):
                _checks.option(kind, word, known)
        for loss in split(plan.losses):
            if not any(contender.computes(loss) for contender in plan.contenders):
                raise ValueError(f"`only`: {plan.only} cannot compute {loss}")
        for setting in plan.table():
            if not _divides(setting):
                kind = "rows" if setting.classes else "pairs"
                kind = f"classes of {setting.rows_per_class}" if setting.rows_per_class else kind
                raise ValueError(f"`batch_sizes`: a batch of {setting.batch_size} rows is not two or more {kind}")
        return plan

    @property
    def on_processor(self) -> bool:
        """Whether it is the processor that is measured."""
        return self.device == "cpu"

    @property
    def alone(self) -> bool:
        """Whether contenders have the device one after the other."""
        return self.device in ALONE

    @property
    def table_sizes(self) -> list[int]:
        """The batch sizes of the table."""
        return whole_numbers("batch_sizes", self.batch_sizes or "")

    @property
    def contenders(self) -> list[Contender]:
        """Those who are asked for, in the order of the table, installed or not."""
        if self.only is None:
            return [contender for contender in CONTENDERS.values() if contender.processor or not self.on_processor]
        return [contender for name, contender in CONTENDERS.items() if name in split(self.only)]

    def lines(self, *, plot: bool) -> Iterator[Line]:
        """Yields what is to be measured: the table, a line a setting, then with `plot` the axes of the picture.

        On an accelerator the picture is of the table, since compiling the rest would take most of an hour.
        """
        assert self.rounds is not None  # resolved
        yield from (Line((setting,), self.rounds) for setting in self.table())
        by_size = [(size, self.rows_per_class) for size in SWEEP_BATCH_SIZES]
        by_class = [(SWEEP_CLASSES_AT, rows) for rows in SWEEP_ROWS_PER_CLASS]
        for loss in split(self.losses) if plot and self.on_processor else ():
            for axis in (by_size, by_class):
                # Of two views, and with class weights, there is one setting along the axis of rows per class.
                settings = dict.fromkeys(self._setting(loss, *shape) for shape in axis)
                if len(settings) > 1:
                    yield Line(tuple(filter(_divides, settings)), min(self.rounds, SWEEP_ROUNDS))

    def table(self) -> list[Setting]:
        """Returns the settings of the table."""
        shapes = itertools.product(split(self.losses), self.table_sizes)
        return [self._setting(loss, size, self.rows_per_class) for loss, size in shapes]

    def _setting(self, loss: str, batch_size: int, rows_per_class: int) -> Setting:
        found = losses.find(loss)
        if found.class_weights:
            centers = self.centers or found.centers
            return Setting(loss, batch_size, None, self.dim, self.classes, centers)
        return Setting(loss, batch_size, None if losses.of_two_views(found) else rows_per_class, self.dim)


def machine_memory() -> int:
    """Returns the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _divides(setting: Setting) -> bool:
    rows = setting.rows_per_class or 1
    return setting.batch_size % rows == 0 and setting.batch_size >= 2 * rows
