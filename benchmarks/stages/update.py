"""The whole training step of a speaker encoder: time, memory, and whether its state is given over."""

import time
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxtriplet import losses
from jaxtriplet.models import build
from jaxtriplet.training import Batch, create_state, make_optimizer, make_update
from stages.session import LATE, Built, Program, Session, said
from stages.timing import figures

ENCODER = "ecapa-tdnn"
CLASSES = 5994
"""Speakers of VoxCeleb2's training set."""
LOSSES = ("aam_softmax", "semi_hard")
PRECISIONS = ("default", "highest", "bfloat16")
"""Of the encoder's products, by `jax.default_matmul_precision`; parameters and the loss are float32 in all."""
STEPS = 20


def run(session: Session) -> None:
    """Records a row for each loss and each precision of the encoder's products."""
    preset, size, frames, features, width = ("small", 8, 20, 8, 16) if session.quick else ("paper", 256, 200, 80, 192)
    classes, steps = (30, 2) if session.quick else (CLASSES, STEPS)
    random = np.random.default_rng(0)
    batch = Batch(
        jnp.asarray(random.standard_normal((size, frames, features)), jnp.float32),
        labels=jnp.asarray(np.arange(size) // 8, jnp.int32),
        lengths=jnp.full(size, frames, jnp.int32),
    )
    shape = f"{ENCODER} {preset}, {size} x {frames} x {features}"
    precisions = PRECISIONS[: 1 if session.quick else None]
    for name in LOSSES:
        built: dict[Any, Built | str] = dict.fromkeys(precisions, LATE)
        if session.left > 0:
            loss_fn = losses.weighted({name: 1.0})
            # Made number by number, each a program, which the processor's compiler is quick with.
            with jax.default_device(jax.local_devices(backend="cpu")[0]):
                model = build(ENCODER, preset, features, embedding_dim=width, rngs=nnx.Rngs(0))
                made = create_state(model, loss_fn, make_optimizer(1e-3), seed=0, width=width, num_classes=classes)
            programs: dict[Any, Program] = {}
            for precision in precisions:
                state, given = jax.device_put((made, batch), session.device, may_alias=False)
                settings = partial(jax.default_matmul_precision, None if precision == "default" else precision)
                programs[precision] = Program(make_update(loss_fn), (state, given), settings)
            built = session.compile(programs)
        for precision, one in built.items():
            row = {"loss": name, "precision": precision, "shape": shape}
            try:
                row |= {"failed": one} if isinstance(one, str) else steps_of(one, steps)
            except Exception as error:
                row["failed"] = said(error)
            session.rows("rows", [row])


def steps_of(built: Built, steps: int) -> dict[str, Any]:
    """Returns the time of a step, and whether the state before the first one was donated, every array of it."""
    before, batch = built.arguments
    state, metrics = jax.block_until_ready(built.call(before, batch))
    donated = [leaf.is_deleted() for leaf in jax.tree.leaves(before)]
    turns = []
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(steps):
            state, metrics = built.call(state, batch)
        jax.block_until_ready((state, metrics))
        turns.append(1e3 * (time.perf_counter() - started) / steps)
    loss = float(metrics.loss)
    whole = {"donated": f"{sum(donated)} of {len(donated)} arrays", "loss_at_the_end": loss}
    return {"ms": median(turns), "turns": turns, **whole, **figures(built)}
