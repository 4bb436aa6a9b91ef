"""What a run leaves in its folder `nan/` when a loss is no longer finite: the batch, and the state before its update.

The folder holds, for NumPy alone:

- `state.npz`: the arrays of the train state by their paths in it, such as `params.encoder.embedding.kernel`;
- `batch-0.npz`, and one more for each further process: `inputs`, `labels`, `lengths` and `where`, as far as there are
  such, the rows that the process loaded; a tree of inputs has names such as `inputs.tokens`;
- `nan.json`: `step`, counted from 1, and `problem`.

`read` makes them a state and a batch again, on which the update can be run and looked into:

    from pathlib import Path
    from jaxtriplet.jobs import Config, nonfinite
    from jaxtriplet.jobs.fit import fresh_state, objective_of
    from jaxtriplet.jobs.sources import find
    from jaxtriplet.training import make_update

    config = Config.read("runs/mine/config.json")
    given = {"data": Path("recordings"), "dev": None, "dev_fraction": 0.1}  # as to `train`; all None without `data`
    source = find(config.data.source)(config, **given, allow_outside=False, quiet=True)
    batches = source.batches(1)
    batch, state = nonfinite.read("runs/mine/nan", (next(batches(0)), fresh_state(source, batches)))
    update = make_update(objective_of(config), augment_fn=source.augment_fn, micro_batch=config.training.micro_batch)
    after, metrics = update(state, batch)  # `state` is used up; `metrics.loss` is what it was

A run that ends well in the same folder removes it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import _files
from jaxtriplet.jobs.states import arrays_of, with_arrays
from jaxtriplet.training import Batch, TrainState


def keep(folder: Path, step: int, problem: str, batch: Batch, state: TrainState) -> None:
    """Writes what a step was made of; every process writes its rows, the first one the rest.

    Args:
        folder: The folder; what a step before has left there is replaced.
        step: The number of the step, from 1.
        problem: What is wrong with it.
        batch: The batch, this process's rows of it.
        state: The state before the update.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {name: np.asarray(leaf) for name, leaf in _named(batch).items()}
    _files.write_arrays(folder / f"batch-{jax.process_index()}.npz", **rows)
    if not jax.process_index():
        _files.write_arrays(folder / "state.npz", **jax.device_get(arrays_of(state)))
        _files.write_json(folder / "nan.json", {"step": step, "problem": problem})


def remove(folder: Path) -> None:
    """Removes what `keep` has written, and the folder if nothing else is in it.

    Args:
        folder: The folder, which need not be there.
    """
    for path in (*folder.glob("batch-*.npz"), folder / "state.npz", folder / "nan.json"):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def read(folder: Path | str, like: tuple[Batch, TrainState]) -> tuple[Batch, TrainState]:
    """Returns the batch and the state of a step whose loss was not finite.

    Args:
        folder: The folder `nan` of a run of one process.
        like: A batch and a state of the same run, such as the first ones: they tell the trees. See the module for how
            to have them.

    Example:
        >>> read("runs/mine/nan", (Batch(None, None), None))
        Traceback (most recent call last):
        ...
        FileNotFoundError: [Errno 2] No such file or directory: 'runs/mine/nan/batch-0.npz'
    """
    batch, state = like
    with np.load(Path(folder) / "batch-0.npz") as rows:
        tree = jax.tree.structure(batch)
        batch = jax.tree.unflatten(tree, [rows[name] for name in _named(batch)])
    with np.load(Path(folder) / "state.npz") as arrays:
        return batch, with_arrays(state, {name: jnp.asarray(arrays[name]) for name in arrays})


def _named(batch: Batch) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
