"""What is compiled: a loss with its gradient, or a whole update."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from jaxtriplet import losses, parallel
from jaxtriplet.losses.weighted import LOSSES as _FUNCTIONS
from jaxtriplet.models import build
from jaxtriplet.tools.fits import targets
from jaxtriplet.training import Batch, create_state, make_optimizer, make_update

# The losses by their names on the command line: the function, and its words.
LOSSES: dict[str, tuple[str, Mapping[str, str]]] = {
    "semi-hard": ("semi_hard", {}),
    "semi-hard-all": ("semi_hard", {"negatives": "all"}),
    "batch-all": ("batch_all", {}),
    "batch-hard": ("batch_hard", {}),
    "ge2e": ("ge2e", {}),
    "ge2e-contrast": ("ge2e", {"method": "contrast"}),
    "kl-hinge": ("kl_hinge", {}),
    "deep-speaker": ("deep_speaker", {}),
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program for a slice of a target."""

    target: str
    devices: int
    loss: str
    batch_size: int
    dim: int
    """Numbers in an embedding, or logits for kl-hinge."""
    encoder: str | None = None
    """None: value and gradient of the loss of given embeddings; else the whole update."""
    preset: str = "small"
    """The size of the encoder."""
    frames: int = 200
    features: int = 40
    micro_batch: int | None = None

    def checked(self) -> Self:
        """Returns the program, or raises a `ValueError` if its rows cannot be shared out."""
        if self.micro_batch is not None and self.encoder is None:
            raise ValueError("micro-batches are of the encoder: name an --encoder")
        if self.batch_size % self.unit:
            split = f"{self.devices} devices" + (f" in micro-batches of {self.micro_batch}" if self.micro_batch else "")
            thirds = " and into thirds" if self.loss == "deep-speaker" else ""
            raise ValueError(
                f"a batch of {self.batch_size} rows does not divide among {split}{thirds}: "
                f"take a multiple of {self.unit}"
            )
        return self

    @property
    def unit(self) -> int:
        """Of which number of rows a batch is a multiple."""
        thirds = 3 if self.loss == "deep-speaker" else 1
        return math.lcm(self.devices * thirds, self.micro_batch or 1)

    def with_rows(self, batch_size: int) -> Self:
        """Returns the program for a batch of another size."""
        return dataclasses.replace(self, batch_size=batch_size)


def lower(program: Program) -> Any:
    """Returns the program, traced and ready to compile; call it in a process with `targets.environment`.

    Rows are spread over the devices, and the update's state is on each of them.
    """
    mesh = parallel.data_mesh(targets.devices_of(program.target, program.devices))
    return (_update if program.encoder else _loss)(program, mesh)


def _loss(program: Program, mesh: Mesh) -> Any:
    name, words = LOSSES[program.loss]
    loss = parallel.sharded(functools.partial(_FUNCTIONS[name], **words), mesh)
    rows = functools.partial(jax.ShapeDtypeStruct, sharding=parallel.by_rows(mesh))
    labels = rows((program.batch_size,), jnp.int32)
    embeddings = rows((program.batch_size, program.dim), jnp.float32)
    return jax.jit(jax.value_and_grad(loss, argnums=1)).lower(labels, embeddings)


def _update(program: Program, mesh: Mesh) -> Any:
    name, words = LOSSES[program.loss]
    loss_fn = losses.weighted({name: 1.0}, **{name: words})
    logits = program.dim if name == "kl_hinge" else None

    def start() -> Any:
        assert program.encoder is not None
        model = build(
            program.encoder,
            program.preset,
            program.features,
            embedding_dim=program.dim,
            num_outputs=logits,
            rngs=nnx.Rngs(0),
        )
        return create_state(model, loss_fn, make_optimizer(1e-3), seed=0)

    def batch() -> Batch:
        integers = jnp.zeros(program.batch_size, jnp.int32)
        return Batch(jnp.zeros((program.batch_size, program.frames, program.features)), integers, integers)

    update: Any = make_update(loss_fn, mesh=mesh, micro_batch=program.micro_batch)
    return update.lower(jax.eval_shape(start), jax.eval_shape(batch))
