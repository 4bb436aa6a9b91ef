"""Which tests run always: each loss and each property once. The rest of the tables takes `pytest --exhaustive`."""

from collections.abc import Callable, Iterable
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
