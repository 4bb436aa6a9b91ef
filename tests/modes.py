"""Which tests run always: each loss and each property once. The rest of the tables takes `pytest --exhaustive`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import pytest


def trials(
    names: str | tuple[str, ...],
    table: Iterable[Any],
    *,
    always: Callable[..., bool],
    ids: Callable[..., str] | None = None,
) -> Any:
    """Parametrises a test by a table, of which only some lines run always.

    Args:
        names: The arguments of the test; with several, a line of the table is a tuple.
        table: What to try.
        always: Whether a line runs without `--exhaustive`.
        ids: The name of a line; None for pytest's own.
    """
    lines = [line if isinstance(names, tuple) else (line,) for line in table]
    marks = [() if always(*line) else (pytest.mark.exhaustive,) for line in lines]
    told = [
        pytest.param(*line, id=None if ids is None else ids(*line), marks=mark)
        for line, mark in zip(lines, marks, strict=True)
    ]
    return pytest.mark.parametrize(names, told)


def grouped(names: tuple[str, ...], table: Iterable[tuple[Any, ...]], *, always: Callable[..., bool]) -> Any:
    """Parametrises a test by the lines of a table whose beginnings are the same, which it goes through itself.

    A test for each line would cost more than many a line does. Of every beginning there are up to two tests: of what
    runs always, and of the rest.

    Args:
        names: The arguments of the test, of which the last takes the ends of the lines, a list.
        table: What to try; lines of the same beginning stand together.
        always: Whether a line runs without `--exhaustive`.
    """
    told = []
    for beginning, lines in groupby(table, key=lambda line: line[:-1]):
        ends: dict[bool, list[Any]] = {True: [], False: []}
        for line in lines:
            ends[always(*line)].append(line[-1])
        word = "-".join(getattr(one, "name", None) or one.__name__ for one in beginning)
        told += [
            pytest.param(*beginning, some, id=f"{word}-{'some' if quick else 'others'}", marks=marks)
            for (quick, some), marks in zip(ends.items(), ((), (pytest.mark.exhaustive,)), strict=True)
            if some
        ]
    return pytest.mark.parametrize(names, told)


@contextmanager
def trying(name: str) -> Iterator[None]:
    """Says which of the things that a test goes through has failed."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"It was tried with: {name}")
        raise
