"""Work in a process of its own, which is sent messages and sends an answer for each.

A program is a file with a function `serve(messages)` that yields an answer for each message. Its process runs this
file by its path, which needs the standard library alone: what a program does not import is not in its memory.
"""

import os
import re
import runpy
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

_ROOT = Path(__file__).parents[2]
# How XLA tells why it aborts, before its stack and much else: `F1127 01:31:44.543956   31335 statusor.cc:99] why`.
_FATAL = re.compile(r"F\d{4} [\d:.]+ +\d+ \S+\] (.+)")


@dataclass(eq=False)
class WorkerError(Exception):
    """A worker ended where its answer was due."""

    status: int
    """The exit status, negative for a signal."""
    words: str
    """Why: a fatal message of XLA, an exception's first line, or else the last line on standard error, if any."""


class Worker(ExitStack):
    """A program's process: started by a message when there is none, ended by `close` or with the context."""

    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        """Starts nothing yet.

        Args:
            program: The file with `serve`; it finds this package.
            environment: What the process has in its environment beside this one's.
        """
        super().__init__()
        self._program, self._environment = program, environment
        self._running: tuple[subprocess.Popen[bytes], Connection, IO[str]] | None = None

    def ask(self, message: Any, seconds: float | None = None) -> Any:
        """Sends a message and returns its answer.

        Args:
            message: What the program understands.
            seconds: How long to wait for the answer; None for as long as it takes.

        Raises:
            TimeoutError: There is none within these seconds.
            WorkerError: There will be none; the next message starts another process.
        """
        process, connection, errors = self._running = self._running or self._start()
        with suppress(BrokenPipeError):  # What has ended has no answer, which is told below.
            connection.send(message)
        if not connection.poll(seconds):
            raise TimeoutError
        with suppress(EOFError, ConnectionResetError):
            return connection.recv()
        status = process.wait()
        errors.seek(0)
        words = _why([line.strip() for line in errors if line.strip()])
        self.close()
        raise WorkerError(status, words)

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection, IO[str]]:
        errors = self.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 (the stack closes it)
        given = os.environ | self._environment
        path = os.pathsep.join([str(_ROOT), *filter(None, [given.get("PYTHONPATH")])])
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), str(self._program)],
                stdin=subprocess.DEVNULL,
                stdout=errors,  # What libraries print is no answer.
                stderr=errors,
                pass_fds=[theirs.fileno()],
                env=given | {"PYTHONPATH": path},
            )
        # What `close` does, the last first.
        self.callback(setattr, self, "_running", None)
        self.enter_context(ours)
        self.callback(process.wait)
        self.callback(process.kill)
        return process, ours, errors


def _why(lines: list[str]) -> str:
    fatal = [found[1] for found in map(_FATAL.match, lines) if found]
    return [*fatal, *lines[-1:], ""][0]


def serve(handle: str, program: str) -> None:
    """Answers what comes through a connection with a program, until it is closed."""
    with suppress(EOFError), Connection(int(handle)) as connection:
        for answer in runpy.run_path(program)["serve"](iter(connection.recv, None)):
            connection.send(answer)


if __name__ == "__main__":
    try:
        serve(*sys.argv[1:])
    except Exception as error:
        # A traceback may end in notes, such as JAX's on frames that it leaves out.
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])
