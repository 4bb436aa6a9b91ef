"""Checkpoints of a training run: everything that a step changes, written in the background and read again exactly.

Batches are functions of the seed and the step, so that the number of steps in the state is the state of the loader too.
"""

import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as keep

from jaxtriplet import _files
from jaxtriplet.jobs.meeting import by_first, warn
from jaxtriplet.jobs.states import arrays_of, with_arrays

_State = TypeVar("_State")

# Orbax writes these two after all others, when the folder has its checksums already; no number of a state is in them.
_LATE = ("_CHECKPOINT_METADATA", "commit_success.txt")
_DRAFT = ".orbax-checkpoint-tmp"
_ITEMS = "default", "metrics"
"""The folders in a checkpoint: of the state, and of what the best is chosen by."""
_STEP = re.compile(r"0|[1-9]\d*")
"""The names that Orbax takes for those of steps, whatever is in them."""


class Checkpoints:
    """The newest two states of a run and the best one, in a folder; every process of a job takes part.

    Use it in a `with` statement, which at its end waits for what is still being written. A process that dies in the
    middle of writing leaves the checkpoint before usable. Each is sealed by checksums: what is damaged is told, removed
    and made again. What is not a checkpoint stays as it is.

    Args:
        folder: Where they are or will be; every process sees the same. Nothing else in it has a number for its name.
        every: How many steps apart.
        last: The number of steps of the run, after which there is one too.

    Raises:
        ValueError: There are some, and none can be used, or something else has a number for its name.

    Example:
        >>> import tempfile
        >>> import jax.numpy as jnp
        >>> from jaxtriplet import jobs
        >>> state = {"weights": jnp.zeros(3), "key": jax.random.key(0)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with jobs.Checkpoints(folder, every=2, last=5) as checkpoints:
        ...         for step in range(1, 6):
        ...             state["weights"] += 1
        ...             if checkpoints.due(step):
        ...                 checkpoints.write(step, state)
        ...     with jobs.Checkpoints(folder, every=2, last=5) as checkpoints:
        ...         checkpoints.newest(), checkpoints.restore(state, step=4)["weights"].tolist()
        (5, [4.0, 4.0, 4.0])
    """

    def __init__(self, folder: Path | str, *, every: int, last: int) -> None:
        """Looks what the folder holds."""
        folder = Path(folder)
        by_first(partial(_clear, folder))
        best = keep.BestN(get_metric_fn=_error, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(2), best]),
            best_fn=_error,
            best_mode="min",
            # What process 0 sees, since not every host sees at once what it has removed.
            single_host_load_and_broadcast=jax.process_count() > 1,
            # Called when all is written, before the folder gets its name: one that has it has its checksums.
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        self._folder, self._every, self._last, self._begun = folder, every, last, 0
        self._open = ExitStack()
        with _silence(), _in_words(folder):
            self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._identity = _identity(folder)

    def __enter__(self) -> Self:
        """Returns itself."""
        self._open.enter_context(_silence())
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Waits for what is still being written."""
        if error is None:
            with self._open, _in_words(self._folder):
                self.settle()
                self._manager.close()
        elif jax.process_count() == 1:  # Others, who may be dead, would have to be waited for.
            # The first error is the one to tell; a thread that it has cut off from here may speak still.
            with suppress(Exception):
                self._manager.close()

    def newest(self) -> int:
        """Returns after how many steps the newest checkpoint was taken, 0 if there is none."""
        return self._manager.latest_step() or 0

    def settle(self) -> None:
        """Waits until what was begun is written.

        Raises:
            OSError: It cannot be written.
        """
        with _in_words(self._folder):
            written, done = Future[None](), self._manager.wait_until_finished
            threading.Thread(target=_fulfil, args=(written, done), name="settle", daemon=True).start()
            # Several processes wait for each other, and none of them is told that there is nowhere to write any more.
            while not wait([written], timeout=1).done:
                if _identity(self._folder) != self._identity:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._folder))
            written.result()

    def best(self) -> int:
        """Returns after how many steps the best checkpoint was taken: the newest, if none was judged."""
        self.settle()
        return self._manager.best_step() or self.newest()

    def due(self, step: int, error: float | None = None) -> bool:
        """Returns whether it is time for a checkpoint after so many steps.

        Args:
            step: After how many steps.
            error: By which the best is chosen; a state that was judged is always written.
        """
        return error is not None or step % self._every == 0 or step == self._last

    def write(self, step: int, state: Any, error: float | None = None) -> None:
        """Begins to write the state after so many steps.

        Args:
            step: After how many steps.
            state: The state, any tree of arrays, such as a `TrainState`; a number of Python's is no array.
            error: By which the best is chosen, the least; None if it was not judged.

        Raises:
            OSError: It, or the one before, cannot be written.
            ValueError: The state holds something else than arrays, none at all, or two by one name.
        """
        metrics = {"error": float("inf") if error is None else error}
        self.settle()
        with _in_words(self._folder):
            self._begun = step
            self._manager.save(step, args=ocp.args.StandardSave(arrays_of(state)), metrics=metrics)

    def restore(self, state: _State, *, step: int | None = None) -> _State:
        """Returns a state that was written.

        Args:
            state: One of the same run, which tells the shapes, and on which devices they lie.
            step: After how many steps; None for the newest.

        Raises:
            ValueError: It is damaged, or of another model or optimizer.
        """
        step = step or self.newest()
        wanted = arrays_of(state)
        target = ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, wanted))
        try:
            found = self._manager.restore(step, args=target)
        except (ValueError, KeyError, FileNotFoundError) as error:
            folder, reason = self._folder / str(step), " ".join(str(error).split())[:200]
            if what := _flaw(folder):
                raise ValueError(f"{folder} is damaged ({what})") from error
            raise ValueError(f"the checkpoint is of another model or optimizer: {reason}") from error
        return with_arrays(state, found)

    def _seal(self) -> None:
        if not jax.process_index():
            draft = self._folder / f"{self._begun}{_DRAFT}"
            _files.seal(draft if draft.exists() else self._folder / str(self._begun), but=_LATE)


def _clear(folder: Path) -> None:
    """Removes what a kill has left, and what cannot be used, if anything can."""
    there = [path for path in folder.glob("*") if _STEP.fullmatch(path.name)]
    for path in there:
        if not _is_checkpoint(path):  # Orbax would take it for one, and remove it when there are newer ones.
            raise ValueError(f"{path} is no checkpoint, though its name is a number as theirs are: move it elsewhere")
    _files.clear(folder)
    steps = sorted(int(path.name) for path in there)
    flaws = {step: _flaw(folder / str(step)) for step in steps}
    usable = [step for step, flaw in flaws.items() if flaw is None]
    if steps and not usable:
        what = f"{folder} holds no checkpoint that can be used ({steps[-1]}: {flaws[steps[-1]]})"
        raise ValueError(
            f"{what}; put back a copy of what is damaged, or begin anew with `overwrite=True` or elsewhere"
        )
    for step, flaw in flaws.items():
        if flaw is not None:
            newest = f", and the run goes on from {usable[-1]}" if step > usable[-1] else ""
            warn(f"{folder / str(step)} cannot be used ({flaw}): it is removed{newest}")
            _files.remove(folder / str(step))


def _is_checkpoint(folder: Path) -> bool:
    """Returns whether a folder is a checkpoint, or what is left of one whose removal was cut short."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    return bool(names & {_files.SUMS, _LATE[0]}) or names <= {*_ITEMS, *_LATE}


def _flaw(folder: Path) -> str | None:
    """Returns what is wrong with a checkpoint, None if nothing is."""
    try:
        _files.read_object(folder / _LATE[0])
    except FileNotFoundError:
        return f"{_LATE[0]} is missing"
    except ValueError as error:
        return f"{_LATE[0]}: {error}"
    return _files.flaw(folder, but=_LATE)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Returns what tells a folder from one of the same name, such as what Orbax makes anew where it has been moved."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _fulfil(promised: "Future[None]", work: Callable[[], None]) -> None:
    """Does some work in a thread of its own, of which a future tells the end."""
    try:
        work()
        promised.set_result(None)
    except BaseException as error:
        promised.set_exception(error)


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Turns what Orbax makes of an error of the system, in the background too, into that error."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(folder)) from error
        raise


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps Orbax's log, with tracebacks of its threads, from standard error: its errors reach whoever waits for it."""
    log = logging.getLogger("absl")
    log.addFilter(_is_not_orbax)
    try:
        yield
    finally:
        log.removeFilter(_is_not_orbax)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    return f"{os.sep}orbax{os.sep}" not in record.pathname


def _error(metrics: dict[str, float]) -> float:
    return metrics["error"]
