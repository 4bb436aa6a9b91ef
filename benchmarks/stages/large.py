"""What compiles for long and so comes last: 65,536 rows, then 32,768, then rows of 768 numbers."""

from stages import card, losses, tiles
from stages.programs import DIM
from stages.session import Session


def run(session: Session) -> None:
    """Records products, losses and tiles as the stages of small batches do."""
    large, middle = (96, 80) if session.quick else (65536, 32768)
    chosen = losses.OF_TWO_VIEWS if session.quick else losses.LOSSES
    variants = tuple(losses.VARIANTS)
    # Fast rows are of those losses that peers have.
    fast = losses.OF_TWO_VIEWS
    losses.measure(session, chosen, large, DIM, variants[:3], fast=fast, textbook=True)
    tiles.measure(session, large, "tiles")
    card.measure(session, large)
    losses.measure(session, chosen, middle, DIM, variants[:2], fast=(), textbook=False)
    losses.measure(session, fast, large, losses.WIDE, variants[2:], fast=fast, textbook=False)
