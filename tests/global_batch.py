"""One batch and what all losses make of it, on whatever devices there are; as a program, one process of a job.

`python -m tests.global_batch OUT [COORDINATOR NUMBER INDEX]`; without the last three, as an MPI launcher tells.
"""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import parallel

from .cases import DIM, MEETING, Case, case_of

# And two whose rows travel from device to device.
SPREAD = MEETING + [case_of(name, "ring", exchange="ring") for name in ("supervised_contrastive", "contrastive")]
ROWS, FEATURES = 16, 3


def all_reductions(total: jax.Array, valid: jax.Array, active: jax.Array) -> jax.Array:
    """A reduction in which each of the three that there are has a part of its own."""
    return total / valid + 0.3 * total / active + 0.1 * total


def batch(dtype: Any) -> tuple[Any, Any]:
    """Weights of a linear encoder, and the rows: inputs, ragged labels, a mask."""
    rng = np.random.default_rng(3)
    weights = (rng.normal(size=(FEATURES, DIM)) * 0.6).astype(dtype)
    labels = np.array([3, 0, 3, 1, 9, 9, 3, 0, 7, 9, 3, 0, 9, 9, 3, 5], np.int32)
    where = np.arange(ROWS) % 5 != 1
    return weights, ((rng.normal(size=(ROWS, FEATURES)) + 0.3).astype(dtype), labels, where)


def in_global_view(case: Case, mesh: jax.sharding.Mesh) -> Case:
    """The case with its loss spread over a mesh."""
    spread = parallel.sharded(case.loss, mesh)
    return replace(case, loss=lambda *arrays, axis_name=None, **options: spread(*arrays, **options))


def figures(cases: list[Case], weights: Any, rows: Any) -> dict[str, Any]:
    """The value and the gradient of each loss by the encoder's weights."""

    def loss(case: Case, weights: Any) -> Any:
        inputs, labels, where = rows
        embeddings = jnp.matmul(inputs, weights, precision="highest")
        embeddings = embeddings / jnp.sqrt(jnp.sum(embeddings**2, axis=1, keepdims=True))
        return case.loss(labels, embeddings, *case.numbers, where=where, reduce_fn=all_reductions)

    return {case.name: jax.value_and_grad(partial(loss, case))(weights) for case in cases}


def on_a_mesh(dtype: Any) -> dict[str, Any]:
    """The figures, computed by all devices of all processes."""
    mesh, (weights, rows) = parallel.data_mesh(), batch(dtype)
    mine = parallel.share_of(ROWS)
    rows = parallel.spread_rows(jax.tree.map(lambda array: array[mine], rows), mesh)
    weights = parallel.place(weights, parallel.replicated(mesh))
    cases = [in_global_view(case, mesh) for case in SPREAD]
    whole = jax.jit(partial(figures, cases), out_shardings=parallel.replicated(mesh))(weights, rows)
    return jax.device_get(parallel.on_this_process(whole))


if __name__ == "__main__":
    out, *job = sys.argv[1:]
    parallel.initialize(*((job[0], int(job[1]), int(job[2])) if job else ()))
    jax.config.update("jax_enable_x64", True)
    found = {
        f"{name}/{part}": array
        for name, both in on_a_mesh("float64").items()  # the strictest judge
        for part, array in zip(("value", "gradient"), both, strict=True)
    }
    if jax.process_index() == 0:
        np.savez(out, devices=jax.device_count(), processes=jax.process_count(), **found)
