"""Compiling for accelerators that are not there, as the tests of what comes of it do."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from jaxtriplet.tools.fits import targets
from jaxtriplet.tools.fits.compiler import Compiled
from jaxtriplet.tools.fits.programs import Program

Compile = Callable[[Program], Compiled]

# One process compiles for the GPU, so that it compiles each program once.
ON_GPU = pytest.mark.xdist_group("h100")

_WRITE = """
import sys
from jaxtriplet.tools.fits import worker
from jaxtriplet.tools.fits.programs import Program
program = eval(sys.argv[1])
print(worker.compiled_for(program).as_text())
"""


def text_of(program: Program) -> str:
    """What the compiler makes of a program, as it writes it."""
    words, environment = [sys.executable, "-c", _WRITE, repr(program)], os.environ | targets.environment()
    return subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout
