"""Checkpoints of a training run: everything that a step changes, written in the background and read again exactly."""

from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from jaxtriplet.training import TrainState


class Checkpoints:
    """The newest two states of a run, in a folder; every process of a job takes part.

    Use it in a `with` statement, which at its end waits for what is still being written. A process that dies in the
    middle of writing leaves the checkpoint before usable.

    Args:
        folder: Where they are or will be; every process sees the same.
        every: How many steps apart.
        last: The number of steps of the run, after which there is one too.
    """

    def __init__(self, folder: Path, *, every: int, last: int) -> None:
        """Looks what the folder holds."""
        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True, enable_async_checkpointing=True)
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

    def offer(self, step: int, state: TrainState) -> None:
        """Begins to write the state after so many steps, if it is time for it."""
        if step % self._every == 0 or step == self._last:
            self._manager.save(step, args=ocp.args.StandardSave(_arrays(state)))

    def restore(self, state: TrainState) -> TrainState:
        """Returns the newest state.

        Args:
            state: A fresh one of the same run, which tells the shapes, and on which devices they lie.

        Raises:
            ValueError: It is of another model or optimizer.
        """
        wanted = _arrays(state)
        target = ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted))
        try:
            found = self._manager.restore(self.newest(), args=target)
        except (ValueError, KeyError) as error:
            raise ValueError(f"the checkpoint is of another model or optimizer: {error}") from error
        leaves, tree = jax.tree.flatten(state)
        return jax.tree.unflatten(tree, [_like(leaf, found[name]) for leaf, name in zip(leaves, wanted, strict=True)])


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
