"""What is to be compiled: a loss with its gradient, or a whole update, for a slice of an accelerator."""

import dataclasses
import math
from typing import Annotated, Self, get_args

from jaxtriplet.jobs.fields import described
from jaxtriplet.losses.registry import Loss
from jaxtriplet.tools import losses
from jaxtriplet.tools.fits.targets import TARGETS
from jaxtriplet.types import Exchange

WHERE = ("whole", "apart")


@dataclasses.dataclass(frozen=True)
class Program:
    """A program for a slice of a target; each field but `devices` is also an option of `jaxtriplet fits`."""

    target: Annotated[str, described("The accelerator.", choices=TARGETS)] = "tpu-v5e"
    devices: Annotated[int, described("How many of them.", option=False)] = 1
    loss: Annotated[str, described("The loss.", choices="jaxtriplet.tools.losses:known")] = "semi-hard"
    batch_size: Annotated[int, described("Rows B of the batch of all devices, or of each of two views.", ge=1)] = 65536
    dim: Annotated[int, described("Numbers D in an embedding, or logits of a loss of logits.", ge=1)] = 256
    encoder: (
        Annotated[str, described("Compile the whole update of this encoder.", choices="jaxtriplet.models:ENCODERS")]
        | None
    ) = None
    preset: Annotated[str, described("Size of the encoder.", choices="jaxtriplet.models:preset_names")] = "small"
    frames: Annotated[int, described("Frames of an utterance; of use with an encoder.", ge=1)] = 200
    features: Annotated[int, described("Numbers in a frame; of use with an encoder.", ge=1)] = 40
    seconds: (
        Annotated[
            float,
            described(
                "Compile the front end too, augmentation included: seconds of sound in place of frames.",
                ge=0.1,
                le=3600,
            ),
        ]
        | None
    ) = None
    micro_batch: Annotated[int, described("Rows to encode at a time; with an encoder.", ge=1)] | None = None
    classes: Annotated[int, described("Classes C of a loss with class weights.", ge=1)] = 1000
    class_weights: Annotated[
        str, described("Where these are: whole on each device, or apart, a share on each.", choices=WHERE)
    ] = "whole"
    rows_per_class: (
        Annotated[
            int,
            described(
                "Rows of the largest class: how often loops over them are counted to run, on a GPU.  "
                "[default: 8, or as many as there can be]",
                ge=1,
            ),
        ]
        | None
    ) = None
    max_class_size: (
        Annotated[int, described("A bound on these that the loss is told, if it takes one.", ge=1)] | None
    ) = None
    exchange: Annotated[
        str, described("How rows reach other devices: all to each, or round a ring.", choices=get_args(Exchange))
    ] = "gather"

    def checked(self) -> Self:
        """Returns the program.

        Raises:
            ValueError: Its rows cannot be shared out, or its loss has no use for what is asked.
        """
        loss = losses.find(self.loss)
        if self.exchange != "gather" and "exchange" not in loss.signature.parameters:
            raise ValueError(f"{self.loss} gathers all rows: it has no `exchange`")
        if self.max_class_size is not None and "max_class_size" not in loss.signature.parameters:
            raise ValueError(f"{self.loss} has no `max_class_size`")
        self._check_classes()
        if self.encoder is not None and losses.of_two_views(loss):
            raise ValueError(f"{self.loss} is of two views, and an `encoder` here has one: leave it out")
        for name in ("micro_batch", "seconds"):
            if self.encoder is None and getattr(self, name) is not None:
                raise ValueError(f"`{name}` is of use with an encoder: name an `encoder`")
        if self.class_weights == "apart":
            self._check_apart(loss)
        if self.batch_size % self.unit:
            split = f"{self.devices} devices" + (f" in micro-batches of {self.micro_batch}" if self.micro_batch else "")
            thirds = " and into thirds" if loss.rows == "thirds" else ""
            raise ValueError(
                f"a batch of {self.batch_size} rows does not divide among {split}{thirds}: "
                f"take a multiple of {self.unit}"
            )
        return self

    def _check_classes(self) -> None:
        for name in ("max_class_size", "batch_size"):
            most = getattr(self, name)
            if self.rows_per_class is not None and most is not None and self.rows_per_class > most:
                raise ValueError(f"`rows_per_class` {self.rows_per_class} is more than `{name}` {most}")

    def _check_apart(self, loss: Loss) -> None:
        if "class_axis_name" not in loss.signature.parameters:
            raise ValueError(f"{self.loss} has no class weights that could be apart")
        if self.classes % self.devices:
            raise ValueError(f"{self.classes} classes do not divide among {self.devices} devices")

    @property
    def rows_of_class(self) -> int:
        """The rows of the largest class: those asked for, or 8 where so many can be."""
        return self.rows_per_class or min(8, self.batch_size, self.max_class_size or 8)

    @property
    def could_be_bound(self) -> bool:
        """Whether the loss would take a `max_class_size`, and is told none."""
        return self.max_class_size is None and "max_class_size" in losses.find(self.loss).signature.parameters

    @property
    def shape_of_weights(self) -> tuple[int, ...]:
        """The shape of the class weights of all devices together; of no use if the loss has none."""
        centers = losses.find(self.loss).centers
        return (self.classes, self.dim) if centers == 1 else (self.classes, centers, self.dim)

    @property
    def weights_bytes(self) -> int:
        """What a device holds of class weights, in bytes; 0 if the loss has none."""
        if not losses.find(self.loss).class_weights:
            return 0
        return 4 * math.prod(self.shape_of_weights) // (self.devices if self.class_weights == "apart" else 1)

    @property
    def unit(self) -> int:
        """Of which number of rows a batch is a multiple."""
        parts = 3 if losses.find(self.loss).rows == "thirds" else 1
        return math.lcm(self.devices * parts, self.micro_batch or 1)
