"""Options of the command line made of the fields of configs."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from jaxtriplet.jobs.fields import Field, fields_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Words(click.Choice[str]):
    """One of a few words, which are looked up when they are needed: their module may take seconds to import."""

    def __init__(self, field: Field) -> None:
        """Remembers where they are."""
        self.case_sensitive, self._field = True, field

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words."""
        return self._field.words("choices") or ()


class Sum(click.ParamType[str]):
    """A text made up of words and numbers, such as `semi-hard+0.1*ge2e`, whose last word can be completed."""

    name = "text"

    def __init__(self, field: Field) -> None:
        """Remembers where the words are."""
        self._field = field

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        """Returns the text with each word that its last one may become."""
        from click.shell_completion import CompletionItem

        begun = re.split(r"[+*]", incomplete)[-1]
        before = incomplete.removesuffix(begun)
        words = self._field.words("hints") or ()
        return [CompletionItem(before + word) for word in words if word.startswith(begun)]


class FieldOption(click.Option):
    """An option for a field of a config, whose help is made when it is read."""

    def __init__(
        self,
        *declarations: Any,
        field: Field,
        help_fn: Callable[[Field], str],
        section: str = "Options",
        **settings: Any,
    ) -> None:
        """Remembers the title of its section in the help, and how its words are made."""
        super().__init__(*declarations, **settings)
        self.section, self._field, self._help_fn = section, field, help_fn

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Makes its words."""
        self.help = self._help_fn(self._field)
        return super().get_help_record(ctx)


class Sections(click.Command):
    """A command whose help shows options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                sections.setdefault(getattr(option, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def options_of(config: type) -> Decorator:
    """Returns a decorator that gives a command an option for each field of a config, with its default.

    Args:
        config: A dataclass, or one of nested ones; see `jobs.fields`.
    """
    fields = [field for field in fields_of(config).values() if field.extra["option"]]
    return decorated(option(one, _described, default=one.default_fn(), show_default=True) for one in fields)


def _described(field: Field) -> str:
    return field.meta.description or ""


def option(field: Field, help_fn: Callable[[Field], str], **settings: Any) -> Decorator:
    """Returns a decorator that gives a command an option for a field.

    Args:
        field: The field.
        help_fn: From the field to the words of its help, when these are asked for.
        **settings: As `click.option` takes them, and `section`, its title in the help of `Sections`.
    """
    name = f"--{field.name.replace('_', '-')}"
    return click.option(name, cls=FieldOption, type=_type(field), field=field, help_fn=help_fn, **settings)


def decorated(options: Iterable[Decorator]) -> Decorator:
    """Returns one decorator of many, the first of which stands first in the help.

    Args:
        options: The many.
    """
    options = list(options)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


def _type(field: Field) -> click.ParamType[Any]:
    if field.extra["choices"] is not None:
        return Words(field)
    if field.extra["hints"] is not None:
        return Sum(field)
    ranges: dict[type, Any] = {int: click.IntRange, float: click.FloatRange}
    kind: click.ParamType[Any] = (
        ranges[field.kind](field.meta.ge, field.meta.le) if field.kind in ranges else click.STRING
    )
    return kind
