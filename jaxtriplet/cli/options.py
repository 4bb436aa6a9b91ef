"""Options of the command line: those that several commands have, and those made of the fields of configs."""

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jaxtriplet.jobs.fields import Field, fields_of
from jaxtriplet.jobs.sections import BACKENDS, LAYERS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PATH = click.Path(path_type=Path)
RUN = click.argument("run", type=PATH)
DATA = click.option("--data", type=PATH, required=True, help="Folder of the recordings.")
LABELLED = click.option(
    "--labelled/--unlabelled",
    default=True,
    help="Whether the folder tells who speaks; if not, any tree of folders will do.  [default: it does]",
)
ALLOW_OUTSIDE = click.option(
    "--allow-outside", is_flag=True, help="Read what lists name outside the folder of the recordings, too."
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Write over what is there.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
QUIET = click.option("--quiet", is_flag=True, help="No progress bar.")


def comparing(*, crops: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the options of a command for how recordings are compared; with crops of them or without."""
    options = [
        click.option("--backend", type=Choice(BACKENDS), help="How to compare.  [default: the run's own]"),
        click.option("--backend-layer", type=Choice(LAYERS), help="Of --fit-on: what to fit.  [default: the run's]"),
        click.option("--fit-on", type=PATH, help="Fit the back-end on the speakers in here, not those trained on."),
    ]
    if crops:
        options += [
            click.option(
                "--crops", type=click.IntRange(0), default=0, help="Crops whose mean to take.  [default: none]"
            ),
            click.option("--crop-seconds", type=Number(0.1), default=4.0, show_default=True, help="How long they are."),
        ]

    return lambda command: _with(command, options)


def distributed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options by which a process learns its place in a job of several."""
    told = "[default: what SLURM, Open MPI or Kubernetes tell]"
    options = [
        click.option(
            "--distributed", is_flag=True, help="This is one of several processes; all are given the same options."
        ),
        click.option("--coordinator", help=f"host:port of process 0.  {told}"),
        click.option(
            "--num-processes", type=click.IntRange(1), help="How many processes there are.  [default: likewise]"
        ),
        click.option(
            "--process-id", type=click.IntRange(0), help="Which of them this is, from 0.  [default: likewise]"
        ),
    ]
    return _with(command, options)


def _with(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def out_folder(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the option of a command for the folder of its results."""
    return click.option("--out", type=PATH, help=f"Folder for the results.  [default: runs/{command}-<time>]")


class Number(click.FloatRange):
    """A number that is neither nan nor infinite; bounds alone let nan pass."""

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        """Remembers the bounds, if there are any."""
        super().__init__(low, high)
        if low is None and high is None:
            self.name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Reads it."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"must be a finite number; got {value}", param, ctx)
        return number

    def _describe_range(self) -> str:
        return "" if (self.min, self.max) == (None, None) else super()._describe_range()


class Choice(click.Choice[str]):
    """One of a few words, the nearest of which is offered for one that is mistyped."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Returns what is wrong, and a question."""
        near = get_close_matches(str(value).replace("_", "-"), self.choices, 1)
        return " ".join([super().get_invalid_choice_message(value, ctx), *(f"Did you mean '{word}'?" for word in near)])


class Words(Choice):
    """One of a few words, which are looked up when they are needed: their module may take seconds to import."""

    def __init__(self, field: Field) -> None:
        """Remembers where they are."""
        self.case_sensitive, self._field = True, field

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words."""
        return self._field.words("choices")


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
        words = self._field.words("hints")
        return [CompletionItem(before + word) for word in words if word.startswith(begun)]


class FieldOption(click.Option):
    """An option for a field of a config, whose help is made when it is read.

    Args:
        field: The field.
        help_fn: From the field to the words of its help.
        section: Its title in the help of `Sections`.
        **settings: As `click.Option` takes them.
    """

    def __init__(
        self,
        field: Field,
        help_fn: Callable[[Field], str | None] = attrgetter("meta.description"),
        section: str = "Options",
        **settings: Any,
    ) -> None:
        """Names the option, and says what it takes."""
        super().__init__([f"--{field.name.replace('_', '-')}"], type=_type(field), **settings)
        self.section, self._field, self._help_fn = section, field, help_fn

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Makes its words."""
        self.help = self._help_fn(self._field)
        return super().get_help_record(ctx)


class Sections(click.Command):
    """A command whose help shows options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                sections.setdefault(getattr(option, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def options_of(config: type) -> list[click.Parameter]:
    """Returns an option for each field of a config, with its default.

    Args:
        config: A dataclass, or one of nested ones; see `jobs.fields`.
    """
    fields, usual = [field for field in fields_of(config).values() if field.extra["option"]], config()
    return [FieldOption(one, default=one.of(usual), show_default=True) for one in fields]


def _type(field: Field) -> click.ParamType[Any]:
    if field.extra["choices"] is not None:
        return Words(field)
    if field.extra["hints"] is not None:
        return Sum(field)
    ranges: dict[type, Callable[..., click.ParamType[Any]]] = {int: click.IntRange, float: Number}
    return ranges[field.kind](field.meta.ge, field.meta.le) if field.kind in ranges else click.STRING
