"""A bar for work that reports how much of it is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(words: str, *, unit: str = "file", quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on standard error, once there is something to show.

    Args:
        words: What is done.
        unit: Of what, in the singular.
        quiet: Whether to show nothing.

    Yields:
        A function of how much is done and how much there is, as `progress_fn` takes it.
    """
    with tqdm(desc=words, unit=unit, disable=quiet, delay=0.5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
