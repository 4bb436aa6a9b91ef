"""What a job shows of its progress on standard error: a bar in a terminal; elsewhere, a line every so often."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from jaxtriplet import _checks

EVERY = 10.0
"""Seconds between two lines, where nobody watches a bar."""


class Bar:
    """How far a job is.

    Args:
        words: What is done.
        unit: Of what: "step".
        total: How many there are; None as long as nobody knows.
        quiet: Whether to show nothing.
        delay: Seconds during which a bar is not worth showing.
    """

    def __init__(self, words: str, unit: str, total: int | None = None, *, quiet: bool, delay: float = 0.0) -> None:
        """Shows a bar, or nothing yet."""
        self._words, self._unit, self._total, self._quiet = words, unit, total, quiet
        self._doing, self._figures, self._said = words, "", {words}
        self._first, self._done, self._moves = 0, 0, False
        self._made = self._begun = self._told = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if not quiet and sys.stderr.isatty():
            self._bar = tqdm(desc=words, total=total, unit=unit, delay=delay, dynamic_ncols=True)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the bar; where lines were written, a last one follows unless an error ends it."""
        if self._bar is not None:
            self._bar.close()
        elif kind is None and len(self._said) > 1 and self._moves:
            self._say(f"{self._so_far()}, {_clock(time.monotonic() - self._made)} in all")

    def start(self, done: int) -> None:
        """Begins where so much is done already."""
        self._first = self._done = done
        if self._bar is not None:
            self._bar.initial = self._bar.n = done
            self._bar.refresh()

    def doing(self, words: str | None = None) -> None:
        """Says what is done for a while, such as "compiling".

        Args:
            words: What; None for what the bar is there for.
        """
        words = words or self._words
        if self._quiet or words == self._doing:
            return
        self._doing = words
        if self._bar is not None:
            self._bar.delay = 0  # what is said once is ended by a new line, too
            self._bar.set_description_str(words)
        elif words not in self._said:
            self._say(words)
        self._said.add(words)

    def to(self, done: int, total: int | None = None, figures: str = "") -> None:
        """Shows that so much is done.

        Args:
            done: How much.
            total: How many there are, if that was not known.
            figures: What is found so far.
        """
        if self._quiet:
            return
        self._total, self._figures = total or self._total, figures or self._figures
        now, begins = time.monotonic(), not self._moves
        if begins:  # what came before was compiling, which tells nothing of the pace
            self._moves, self._begun, self._first = True, now, done
        self._done = done
        if self._bar is not None:
            if begins and self._doing != self._words:
                self._bar.initial = self._bar.n = self._bar.last_print_n = done
                self._bar.unpause()
            self._bar.total = self._total
            self._bar.set_postfix_str(self._figures, refresh=False)
            self._bar.update(done - self._bar.n)
        self.doing()
        if self._bar is None and now - self._told >= EVERY:
            self._tell(now)

    def note(self, words: str) -> None:
        """Says something beside, quiet or not."""
        line = f"jaxtriplet: {_checks.printable(words)}"
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.write(line, file=sys.stderr)

    def says(self, figures: str) -> None:
        """Shows what is found or under way, as `to` does."""
        self._figures, now = figures, time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(figures)
        elif not self._quiet and now - self._told >= EVERY:
            self._tell(now)

    def _tell(self, now: float) -> None:
        moved, seconds = self._done - self._first, now - self._begun
        pace = ""
        if moved > 0 and seconds > 0 and self._total:
            rate = moved / seconds
            pace = f", {_pace(rate, self._unit)}, {_clock((self._total - self._done) / rate)} left"
        self._say(f"{self._so_far()}{pace}")
        self._said.add("")

    def _so_far(self) -> str:
        there = "" if self._total is None else f" of {self._total:,}"
        return f"{self._done:,}{there} {self._unit}s{f', {self._figures}' * bool(self._figures)}"

    def _say(self, words: str) -> None:
        self._told = time.monotonic()
        print(f"jaxtriplet: {self._words}: {words}", file=sys.stderr, flush=True)


def _pace(rate: float, unit: str) -> str:
    return f"{rate:,.1f} {unit}s a second" if round(rate, 1) >= 1 else f"{1 / rate:,.1f} seconds a {unit}"


def _clock(seconds: float) -> str:
    """Returns a time as a clock shows it.

    >>> _clock(75), _clock(3725.4), _clock(59.6)
    ('1:15', '1:02:05', '1:00')
    """
    whole = round(seconds)
    return tqdm.format_interval(whole).lstrip("0") if whole >= 60 else f"0:{whole:02}"
