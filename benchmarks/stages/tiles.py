"""How large a tile should be: losses by the numbers in a tile of distances."""

from stages.programs import ROWS_PER_CLASS, batch_of, missing, program_of
from stages.session import Session
from stages.timing import times

TILED = ("semi-hard", "batch-all", "supervised-contrastive")
"""One that picks, one that makes weights, one of row statistics."""


def run(session: Session) -> None:
    """Records the time of each loss in tiles of 2^22 to 2^26 numbers, by `block_size`, and as the library chooses."""
    sizes, budgets = ((128,), (2**10, 2**12)) if session.quick else ((8192, 65536), [2**two for two in range(22, 27)])
    for size in sizes:
        batches = {loss: session.place(*batch_of(loss, size)) for loss in TILED}
        blocks = {budget: {"block_size": min(size, budget // size)} for budget in budgets}
        choices = {"default": {}, **blocks}
        known = {"max_class_size": ROWS_PER_CLASS}  # One way of mining is compiled, where it would be three.
        programs = {
            (loss, budget): program_of(loss, batches[loss], options | ({} if missing(loss, known) else known))
            for budget, options in choices.items()
            for loss in TILED
        }
        built = session.compile(programs, share=0.4 if size < max(sizes) else 0.6)
        for loss in TILED:
            found = times(session, {key: one for key, one in built.items() if key[0] == loss}, turns=5)
            rows = [
                {"loss": loss, "batch_size": size, "numbers": budget, **choices[budget], **one}
                for (_, budget), one in found.items()
            ]
            session.rows("rows", rows)
