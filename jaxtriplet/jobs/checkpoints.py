"""Checkpoints of a training run: everything that a step changes, written in the background and read again exactly.

Batches are functions of the seed and the step, so that the number of steps in the state is the state of the loader too.
"""

from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as keep

from jaxtriplet.training import TrainState


class Checkpoints:
    """The newest two states of a run and the best one, in a folder; every process of a job takes part.

    Use it in a `with` statement, which at its end waits for what is still being written. A process that dies in the
    middle of writing leaves the checkpoint before usable.

    Args:
        folder: Where they are or will be; every process sees the same.
        every: How many steps apart.
        last: The number of steps of the run, after which there is one too.
    """

    def __init__(self, folder: Path, *, every: int, last: int) -> None:
        """Looks what the folder holds."""
        best = keep.BestN(get_metric_fn=_error, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(2), best]),
            best_fn=_error,
            best_mode="min",
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._every, self._last = every, last

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Waits for what is still being written."""
        if not isinstance(error, jax.errors.JaxRuntimeError):  # After a dead process there is nobody to wait for.
            self._manager.close()

    def newest(self) -> int:
        """Returns after how many steps the newest checkpoint was taken, 0 if there is none."""
        return self._manager.latest_step() or 0

    def best(self) -> int:
        """Returns after how many steps the best checkpoint was taken: the newest, if none was judged."""
        self._manager.wait_until_finished()
        return self._manager.best_step() or self.newest()

    def offer(self, step: int, state: TrainState, error: float | None = None) -> None:
        """Begins to write the state after so many steps, if it was judged or it is time for it.

        Args:
            step: After how many steps.
            state: The state.
            error: By which the best is chosen, the least; None if it was not judged.
        """
        if error is not None or step % self._every == 0 or step == self._last:
            metrics = {"error": float("inf") if error is None else error}
            self._manager.save(step, args=ocp.args.StandardSave(_arrays(state)), metrics=metrics)

    def restore(self, state: TrainState, *, step: int | None = None) -> TrainState:
        """Returns a state that was written.

        Args:
            state: One of the same run, which tells the shapes, and on which devices they lie.
            step: After how many steps; None for the newest.

        Raises:
            ValueError: It is of another model or optimizer.
        """
        wanted = _arrays(state)
        target = ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted))
        try:
            found = self._manager.restore(step or self.newest(), args=target)
        except (ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the checkpoint is of another model or optimizer: {reason}") from error
        leaves, tree = jax.tree.flatten(state)
        return jax.tree.unflatten(tree, [_like(leaf, found[name]) for leaf, name in zip(leaves, wanted, strict=True)])


def _error(metrics: dict[str, float]) -> float:
    return metrics["error"]


def _arrays(state: TrainState) -> dict[str, jax.Array]:
    """Returns the arrays of a state by their paths in it; a key as its numbers."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves
    }


def _like(leaf: Any, array: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
