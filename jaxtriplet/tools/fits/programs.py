"""What is to be compiled: a loss with its gradient, or a whole update, for a slice of an accelerator."""

import dataclasses
import math
from typing import Annotated, Self

from msgspec import Meta

from jaxtriplet.losses import registry
from jaxtriplet.tools.fits.targets import TARGETS

# Where the words are; they are looked up when they are needed.
_LOSSES = {"choices": "jaxtriplet.losses.registry:trainable"}
_ENCODERS = {"choices": "jaxtriplet.models:ENCODERS"}
_PRESETS = {"choices": ("small", "paper")}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program for a slice of a target; what has a description is also an option of `jaxtriplet fits`."""

    target: Annotated[str, Meta(description="The accelerator.", extra={"choices": tuple(TARGETS)})] = "tpu-v5e"
    devices: Annotated[int, Meta(extra={"option": False})] = 1
    loss: Annotated[str, Meta(description="The loss.", extra=_LOSSES)] = "semi-hard"
    batch_size: Annotated[int, Meta(ge=1, description="Rows B of the batch of all devices.")] = 65536
    dim: Annotated[int, Meta(ge=1, description="Numbers D in an embedding, or logits of a loss of logits.")] = 256
    encoder: Annotated[str, Meta(description="Compile the update of this encoder.", extra=_ENCODERS)] | None = None
    preset: Annotated[str, Meta(description="Size of the encoder.", extra=_PRESETS)] = "small"
    frames: Annotated[int, Meta(ge=1, description="Frames of an utterance; of use with an encoder.")] = 200
    features: Annotated[int, Meta(ge=1, description="Numbers in a frame; of use with an encoder.")] = 40
    micro_batch: Annotated[int, Meta(ge=1, description="Rows to encode at a time; with an encoder.")] | None = None
    classes: Annotated[int, Meta(ge=1, description="Classes of a loss with class weights.")] = 1000

    def checked(self) -> Self:
        """Returns the program.

        Raises:
            ValueError: Its rows cannot be shared out, or are those of no batch.
        """
        if registry.find(self.loss).rows == "given":
            raise ValueError(f"{self.loss} is a loss of given rows, and no batch has them")
        if self.micro_batch is not None and self.encoder is None:
            raise ValueError("micro-batches are of the encoder: name an `encoder`")
        if self.batch_size % self.unit:
            split = f"{self.devices} devices" + (f" in micro-batches of {self.micro_batch}" if self.micro_batch else "")
            thirds = " and into thirds" if self._in_thirds else ""
            raise ValueError(
                f"a batch of {self.batch_size} rows does not divide among {split}{thirds}: "
                f"take a multiple of {self.unit}"
            )
        return self

    @property
    def unit(self) -> int:
        """Of which number of rows a batch is a multiple."""
        return math.lcm(self.devices * (3 if self._in_thirds else 1), self.micro_batch or 1)

    @property
    def _in_thirds(self) -> bool:
        return registry.find(self.loss).rows == "thirds"

    def with_rows(self, batch_size: int) -> Self:
        """Returns the program for a batch of another size."""
        return dataclasses.replace(self, batch_size=batch_size)
