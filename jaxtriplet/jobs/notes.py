"""What is noted on an error for whoever tells it: how to go on, how to need less memory, and whether all know of it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from jaxtriplet.parallel.shares import SHARED, known

_NEED_LESS = "to need less memory"
_GO_ON = "to go on, give the same options with `out={}` and `resume=True`"
_AGAIN = "to go on, call it again with the same options"
_begun: list[str] = []  # what is under way, or was when an error came

Typed = Callable[[Path | None], str]
"""From the folder that a run goes on in, or None for a job that goes on by itself, to what to type for that."""


@contextmanager
def resumable(folder: Path | None = None) -> Iterator[None]:
    """Notes on what interrupts a job how to go on.

    Args:
        folder: The folder of a run that goes on if it is told to; None for a job that does so by itself.
    """
    how = _AGAIN if folder is None else _GO_ON.format(folder)
    _begun[:] = [how]
    try:
        yield
        _begun.clear()
    except ValueError:
        _begun.clear()
        raise
    except BaseException as error:
        if folder is not None and is_out_of_memory(error):
            error.add_note(f"{_NEED_LESS}, give a `micro_batch`, or fewer `speakers` or `utterances`, and begin anew")
        error.add_note(how)
        raise


def at_once(typed: Typed) -> str:
    """Returns how to go on if the process ended here and now; "" if nothing is begun that can."""
    return _worded(_begun[-1], typed) if _begun else ""


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


def advice(error: BaseException, typed: Typed | None = None) -> list[str]:
    """Returns what is noted that a user can do; the notes of libraries are left out.

    Args:
        error: The error.
        typed: How to type what is noted; None for the words of Python.

    >>> error = MemoryError()
    >>> error.add_note("JAX has removed its internal frames")
    >>> try:
    ...     with resumable(Path("runs/mine")):
    ...         raise error
    ... except MemoryError as caught:
    ...     print(*advice(caught), sep="; ")
    ...     print(advice(caught, lambda folder: f"jaxtriplet train --out {folder} --resume")[-1])
    to need less memory, give a `micro_batch`, or fewer `speakers` or `utterances`, and begin anew; to go on, give ...
    to go on: jaxtriplet train --out runs/mine --resume
    """
    notes = [note for note in getattr(error, "__notes__", ()) if note.startswith(("to go on, ", _NEED_LESS))]
    return notes if typed is None else [_worded(note, typed) for note in notes]


def _worded(note: str, typed: Typed) -> str:
    if note == _AGAIN:
        return f"to go on: {typed(None)}"
    found = re.fullmatch(re.escape(_GO_ON).replace(re.escape("{}"), "(.*)"), note, re.DOTALL)
    return note if found is None else f"to go on: {typed(Path(found[1]))}"


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether the memory of the host or of a device does not suffice."""
    of_device = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    return of_device or isinstance(error, MemoryError)
