"""What is noted on an error for whoever tells it: how to go on, how to need less memory, and whether all know of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from jaxtriplet.parallel.shares import SHARED, known

_GO_ON, _NEED_LESS = "to go on", "to need less memory"


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Notes on what interrupts a training how to go on.

    Args:
        folder: The folder of the run.
    """
    try:
        yield
    except ValueError:
        raise
    except BaseException as error:
        if is_out_of_memory(error):
            error.add_note(f"{_NEED_LESS}, give a `micro_batch`, or fewer `speakers` or `utterances`, and begin anew")
        error.add_note(f"{_GO_ON}, give the same options with `out={folder}` and `resume=True`")
        raise


@contextmanager
def shared() -> Iterator[None]:
    """Notes on an error that every process of the job ends by it, so that each can wait for the others' last words."""
    try:
        yield
    except Exception as error:
        known(error)
        raise


def is_shared(error: BaseException) -> bool:
    """Returns whether the other processes of a job end for the same reason; the note may be on what caused an error."""
    return any(SHARED in getattr(one, "__notes__", ()) for one in (error, error.__cause__))


def advice(error: BaseException) -> list[str]:
    """Returns what is noted that a user can do; the notes of libraries are left out.

    >>> error = MemoryError()
    >>> error.add_note("JAX has removed its internal frames")
    >>> try:
    ...     with resumable(Path("runs/mine")):
    ...         raise error
    ... except MemoryError as caught:
    ...     print(*advice(caught), sep="; ")
    to need less memory, give a `micro_batch`, or fewer `speakers` or `utterances`, and begin anew; to go on, give ...
    """
    return [note for note in getattr(error, "__notes__", ()) if note.startswith((_GO_ON, _NEED_LESS))]


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether the memory of the host or of a device does not suffice."""
    of_device = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return of_device or isinstance(error, MemoryError)
