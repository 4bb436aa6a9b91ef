"""Work in a process of its own: for each JSON object on a line of standard input, one on standard output.

A program is a file with a function `serve(messages)` that yields an answer for each message. Its process runs this
file by its path, which needs the standard library alone: what a program does not import is not in its memory.
"""

import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_ROOT = Path(__file__).parents[2]


@dataclass
class WorkerError(Exception):
    """A worker ended where its answer was due."""

    status: int
    """The exit status, negative for a signal."""
    words: str
    """The last line on standard error, or nothing."""


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
        self._running: tuple[subprocess.Popen[str], IO[str]] | None = None

    def say(self, message: Mapping[str, Any]) -> None:
        """Sends a message; if the process is dead, `hear` says so."""
        self._running = self._running or self._start()
        with suppress(BrokenPipeError):
            print(json.dumps(message), file=self._running[0].stdin, flush=True)

    def hear(self, seconds: float | None = None) -> dict[str, Any]:
        """Returns the next answer.

        Args:
            seconds: How long to wait for it; None for as long as it takes.

        Raises:
            TimeoutError: There is none within these seconds.
            WorkerError: There will be none; the next message starts another process.
        """
        assert self._running is not None
        process, errors = self._running
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        if line := process.stdout.readline():
            return json.loads(line)
        status = process.wait()
        errors.seek(0)
        words = [line.strip() for line in errors if line.strip()]
        self.close()
        raise WorkerError(status, words[-1] if words else "")

    def _start(self) -> tuple[subprocess.Popen[str], IO[str]]:
        errors = self.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115 (the stack closes it)
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"PYTHONPATH": path} | self._environment,
        )
        # What `close` does, the last first.
        self.callback(setattr, self, "_running", None)
        self.callback(process.communicate)
        self.callback(process.kill)
        return process, errors


def serve(program: str) -> None:
    """Answers standard input with a program; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for answer in runpy.run_path(program)["serve"](map(json.loads, sys.stdin)):
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
