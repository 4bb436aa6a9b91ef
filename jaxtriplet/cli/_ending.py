"""How the program ends when something comes between: the one place that turns it into an exit status and a line.

Status 2 is for what the user can mend in what was typed or named, 1 for what the machine refused, 128 and the number of
the signal for an interruption. `jobs.notes` are what an error has been given to say beside its own words.
"""

import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import jax

from jaxtriplet import _checks
from jaxtriplet.jobs import notes

_NAMED = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""Errors of the system about a path that was given."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_said: list[bool] = []  # of each error that is told, whether every process of the job knows of it


class Stopped(BaseException):
    """A signal asks the program to end."""

    def __init__(self, number: int) -> None:
        """Remembers the signal."""
        super().__init__(number)
        self.number = number


class Ended(click.ClickException):
    """A command has ended early, for a reason that is in words already."""

    def __init__(self, status: int, message: str) -> None:
        """Remembers both."""
        super().__init__(message)
        self.status = status


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Makes the first SIGINT or SIGTERM an error, after which all is put away; the second ends the program at once."""
    before, unraisable = {number: signal.signal(number, _stop) for number in _SIGNALS}, sys.unraisablehook
    sys.unraisablehook = _again
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for one in _SIGNALS:
        signal.signal(one, _stop_at_once)
    raise Stopped(number)


def _again(lost: "sys.UnraisableHookArgs") -> None:
    """Stops once more if that was lost, as an error in a finalizer is; any other such error is told."""
    if not isinstance(lost.exc_value, Stopped):
        sys.__unraisablehook__(lost)
        return
    for one in _SIGNALS:
        signal.signal(one, _stop)
    threading.Timer(0.01, os.kill, (os.getpid(), lost.exc_value.number)).start()


def _stop_at_once(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    if not _said:
        words = "; ".join(filter(None, ["jaxtriplet: stopped at once", notes.at_once(again)]))
        os.write(2, f"{words}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)


def say(words: str, *, shared: bool = False) -> None:
    """Writes the one line on standard error that tells why the program ends.

    Args:
        words: Why; spaces are kept, since a command to type and the name of a folder may hold several in a row.
        shared: Whether every process of a job ends for this reason.
    """
    line = re.sub(r"\s*[\r\n]\s*", " ", words.strip())
    print(f"jaxtriplet: {_checks.printable(line)}", file=sys.stderr, flush=True)
    _said.append(shared)


def is_cut_short(status: int) -> bool:
    """Returns whether the program is to end at once: an ordinary exit waits for threads, and for the whole job.

    Args:
        status: The exit status. What one process of a job alone has met, the others may wait for for ever.
    """
    if jax.distributed.is_initialized():
        return status != 0 and not all(_said)
    return status not in (0, 2)


def again(folder: Path | None) -> str:
    """Returns what to type to go on with what was typed.

    Args:
        folder: The folder of a training; None for a command that goes on if it is given once more.
    """
    program, *words = sys.argv
    if folder is not None:
        words = [word for word in words if word not in ("--overwrite", "--resume")]
        for at, word in enumerate(words):  # what was named may be a link that leads to another run by now
            if word == "--out" and at + 1 < len(words):
                words[at + 1] = str(folder)
                break
            if word.startswith("--out="):
                words[at] = f"--out={folder}"
                break
        else:
            words += ["--out", str(folder)]
        words.append("--resume")
    return f"{'python -m ' * (Path(program).name == '__main__.py')}jaxtriplet {' '.join(map(quoted, words))}"


def quoted(word: str) -> str:
    r"""Returns a word as a shell reads it, on one line and in characters that can be seen.

    >>> print(quoted("k  run"), quoted("a\nb\xa0c'"), quoted("\udcff"))
    'k  run' $'a\nb\xc2\xa0c\'' $'\xff'
    """
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(one: str) -> str:
    if one.isprintable():
        return f"\\{one}" if one in "\\'" else one
    if one in "\n\t\r":
        return repr(one)[1:-1]
    # What a byte would be that is none of a name is a lone surrogate here.
    return "".join(f"\\x{byte:02x}" for byte in one.encode(errors="surrogateescape"))


def ending(error: BaseException) -> tuple[int, str] | None:
    """Returns the exit status and the line for an error, None for a fault of the program itself.

    Args:
        error: What came out of a command.

    >>> ending(FileNotFoundError(2, "No such file or directory", "a.txt"))
    (2, 'a.txt: no such file or directory')
    >>> ending(OSError(28, "No space left on device"))
    (1, '[Errno 28] No space left on device')
    >>> ending(Stopped(15))
    (143, 'stopped')
    """
    if isinstance(error, Ended):
        return error.status, error.message
    if isinstance(error, Stopped):
        status, words = 128 + error.number, "stopped"
    elif isinstance(error, KeyboardInterrupt | click.Abort):
        status, words = 128 + signal.SIGINT, "stopped"
    elif isinstance(error, click.ClickException | ValueError):
        status, words = 2, mistyped(error) if isinstance(error, click.ClickException) else str(error)
    elif isinstance(error, OSError):
        status, words = 1, str(error)
        # What one of several processes does not find was there when they met.
        if isinstance(error, _NAMED) and not jax.distributed.is_initialized():
            status = 2
            if error.strerror and error.filename:
                is_folder = isinstance(error, IsADirectoryError)
                reason = "a folder, not a file" if is_folder else f"{error.strerror[0].lower()}{error.strerror[1:]}"
                words = f"{os.fsdecode(error.filename)}: {reason}"
    elif isinstance(error, EOFError):  # no command asks anything
        status, words = 2, f"a file ends too early: {error}"
    elif notes.is_out_of_memory(error):
        status, words = 1, f"out of memory ({str(error)[:200]})" if str(error) else "out of memory"
    elif isinstance(error, jax.errors.JaxRuntimeError) and jax.distributed.is_initialized():
        reason = " ".join(str(error).split())[:200]
        this = f"process {jax.process_index()} of {jax.process_count()}"
        status, words = 1, f"{this}: another process is gone, so the job ends; start all again ({reason})"
    else:
        return None
    return status, "; ".join([words, *notes.advice(error, again)])


def mistyped(error: click.ClickException) -> str:
    """Returns what click finds wrong with what was typed, and what to do.

    Args:
        error: What click raises.

    >>> mistyped(click.BadParameter("must be above 0; got -1", param=click.Option(["--steps"])))
    '--steps must be above 0; got -1'
    """
    words = error.format_message()
    parameter, context = getattr(error, "param", None), getattr(error, "ctx", None)
    if isinstance(error, click.BadParameter) and parameter is not None:
        name = parameter.opts[-1] if isinstance(parameter, click.Option) else parameter.human_readable_name
        if not isinstance(error, click.MissingParameter):
            return f"{name} {error.message}" if error.message.startswith("must ") else f"{name}: {error.message}"
        wanted = getattr(parameter, "help", None)
        words = f"{name} is missing" + (f": name the {wanted[0].lower()}{wanted[1:].rstrip('.')}" if wanted else "")
        if wanted:
            return words
    if context is None or "Did you mean" in words or "(Possible" in words:
        return words
    return f"{words.rstrip('.')}; see {context.command_path} --help"
