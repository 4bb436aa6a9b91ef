"""What options take: paths, numbers and words, each refused in the words of the command line."""

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxtriplet.jobs import fields, latest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


FOLLOWED = "jaxtriplet.cli.followed"
"""Of a context, what it has followed, in words."""


class Place(click.Path):
    """A file or folder."""

    def __init__(self) -> None:
        """Gives a `Path`, of which nothing is looked at yet."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuses the empty name, which would be the folder that one is in."""
        if not str(value):
            self.fail("must name a file or folder; got ''", param, ctx)
        return super().convert(value, param, ctx)


class RunFolder(Place):
    """The folder of a run; `runs/latest` becomes the one that it leads to, which a report is to name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Follows `runs/latest`, and remembers that it did."""
        path = super().convert(value, param, ctx)
        found = latest.resolved(path)
        if found != path and ctx is not None:
            ctx.meta[FOLLOWED] = f"{path} is {found}"
        return found


MOST = 2**31 - 1
"""The largest whole number where no other one is said: what is counted in arrays is a number of 32 bits."""


class Whole(click.IntRange):
    """A whole number."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads it."""
        bounds = _bounds(self.min, self.max)
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"must be a whole number{f', {bounds}' * bool(bounds)}; got {value!r}", param, ctx)
        if number > (MOST if self.max is None else self.max):
            self.fail(f"must be a whole number, at most {MOST:,}; got {value!r}", param, ctx)
        return number

    def _describe_range(self) -> str:
        return _in_help(self.min, self.max)


class Number(click.FloatRange):
    """A number that is neither nan nor infinite; bounds alone let nan pass."""

    name = "x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads it."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            bounds = _bounds(self.min, self.max)
            self.fail(f"must be a finite number{f', {bounds}' * bool(bounds)}; got {value!r}", param, ctx)
        return number

    def _describe_range(self) -> str:
        return _in_help(self.min, self.max)


def _bounds(low: float | None, high: float | None) -> str:
    """Returns bounds in words.

    >>> _bounds(2, None), _bounds(0, 0.9), _bounds(1e-9, None), _bounds(None, None)
    ('at least 2', '0 to 0.9', 'above 0', '')
    """
    if low is not None and high is not None:
        return f"{low:.10g} to {high:.10g}"
    if low is None:
        return "" if high is None else f"at most {high:.10g}"
    return "above 0" if 0 < low < 1e-6 else f"at least {low:.10g}"


def _in_help(low: float | None, high: float | None) -> str:
    """Returns bounds that nobody would guess, in words."""
    return "" if high is None and (low is None or low <= 1) else _bounds(low, high)


class Choice(click.Choice[str]):
    """One of a few words, the nearest of which is offered for one that is mistyped."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Returns what is wrong, and a question."""
        near = get_close_matches(str(value).replace("_", "-").lower(), self.choices, 1)
        hint = "".join(f"; did you mean {word}?" for word in near)
        return f"must be one of {', '.join(self.choices)}; got '{value}'{hint}"


class Words(Choice):
    """One of a few words, which are looked up when they are needed: their module may take seconds to import."""

    def __init__(self, field: fields.Field) -> None:
        """Remembers where they are."""
        self.case_sensitive, self._field = True, field

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words."""
        return self._field.words("choices")


class Sum(click.ParamType[str]):
    """A text made up of words and numbers, such as `semi-hard+0.1*ge2e`, whose last word can be completed."""

    name = "text"

    def __init__(self, field: fields.Field) -> None:
        """Remembers where the words are."""
        self._field = field

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Returns the text with each word that its last one may become."""
        from click.shell_completion import CompletionItem

        begun = re.split(r"[+*]", incomplete)[-1]
        before = incomplete.removesuffix(begun)
        words = self._field.words("hints")
        return [CompletionItem(before + word) for word in words if word.startswith(begun)]


def kind_of(field: fields.Field) -> click.ParamType[Any]:
    """Returns what the option for a field of a config takes."""
    if field.extra["choices"] is not None:
        return Words(field)
    if field.extra["hints"] is not None:
        return Sum(field)
    ranges: dict[type, Callable[..., click.ParamType[Any]]] = {int: Whole, float: Number}
    return ranges[field.kind](field.meta.ge, field.meta.le) if field.kind in ranges else click.STRING
