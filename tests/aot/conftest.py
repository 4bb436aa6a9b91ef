"""A compiler for all tests."""

import functools
from collections.abc import Iterator

import pytest

from jaxtriplet.tools.fits.compiler import Compiler

from .compiling import Compile


@pytest.fixture(scope="session")
def compile_for() -> Iterator[Compile]:
    """One process compiles all programs, each once."""
    with Compiler() as compiler:
        yield functools.cache(compiler)
