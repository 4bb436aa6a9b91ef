"""How large a tile should be: losses by the numbers in a tile of distances."""

from typing import Any

from stages.programs import ROWS_PER_CLASS, batch_of, missing, program_of
from stages.session import LATE, Session
from stages.timing import times

TILED = ("semi-hard", "batch-all", "supervised-contrastive")
"""One that picks, one that makes weights, one of row statistics."""


def run(session: Session) -> None:
    """Records the time of each loss at 8,192 rows; the stage `large` goes on."""
    measure(session, 128 if session.quick else 8192, "rows")


def measure(session: Session, size: int, key: str) -> None:
    """Records the time of each loss in tiles of 2^22 to 2^26 numbers, by `block_size`, and as the library chooses."""
    budgets = [2**two for two in ((10, 12) if session.quick else range(22, 27))]
    choices: dict[Any, dict[str, int]] = {"default": {}}
    choices |= {budget: {"block_size": min(size, budget // size)} for budget in budgets}
    known = {"max_class_size": ROWS_PER_CLASS}  # One way of mining is compiled, where it would be three.
    for loss in TILED:
        found: dict[Any, dict[str, Any]] = {budget: {"failed": LATE} for budget in choices}
        if session.left > 0:
            batch, more = session.place(*batch_of(loss, size)), {} if missing(loss, known) else known
            programs = {budget: program_of(loss, batch, options | more) for budget, options in choices.items()}
            found = times(session, session.compile(programs), turns=5)
        rows = [{"loss": loss, "batch_size": size, "numbers": budget, **choices[budget]} for budget in choices]
        session.rows(key, [row | one for row, one in zip(rows, found.values(), strict=True)])
