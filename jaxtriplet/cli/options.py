"""Options of the command line: those that several commands have, those of the fields of configs, and their help."""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

import click

from jaxtriplet.cli.kinds import FOLLOWED, Choice, Number, Place, RunFolder, Whole, kind_of
from jaxtriplet.jobs.fields import Field, fields_of
from jaxtriplet.jobs.latest import LATEST
from jaxtriplet.jobs.sections import BACKENDS, LAYERS

PATH = Place()
COMPARING, OUTPUT, PROCESSES = "How recordings are compared", "Output", "Several processes"
OTHERS, DEVICES = "Other options", "Devices"
LAST = (OUTPUT, DEVICES, PROCESSES, OTHERS)
"""Titles that end the help, whatever comes before them."""
WIDEST = 30
"""Choices that take more columns are told in the words of the help."""


class Formatter(click.HelpFormatter):
    """Breaks no line within an option or a name."""

    def write_text(self, text: str) -> None:
        """Writes words."""
        super().write_text(_whole(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], *args: Any, **settings: Any) -> None:
        """Writes names and words."""
        super().write_dl([(name, _whole(words)) for name, words in rows], *args, **settings)

    def getvalue(self) -> str:
        """Returns what was written."""
        return super().getvalue().replace(_HYPHEN, "-")


_HYPHEN = "\ue000"


def _whole(text: str) -> str:
    """Returns words whose hyphens are no place for a line to end; a list without spaces may end anywhere."""
    return re.sub(r"\S+", lambda word: word[0] if "," in word[0][:-1] else word[0].replace("-", _HYPHEN), text)


class Context(click.Context):
    """What formats help so."""

    formatter_class = Formatter


class Option(click.Option):
    """An option under a title of the help."""

    def __init__(self, *names: Any, section: str = OTHERS, **settings: Any) -> None:
        """Remembers the title."""
        super().__init__(*names, **settings)
        self.section = section


def option(*names: str, section: str = OTHERS, **settings: Any) -> Callable[[Any], Any]:
    """Returns a decorator that adds an option under a title; see `click.option`."""
    return click.option(*names, cls=Option, section=section, **settings)


def _run(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Takes the newest run where none is named."""
    if value:
        return value
    if not LATEST.exists():
        raise click.BadParameter(f"must name the folder of a finished run, since there is no {LATEST} here")
    found = parameter.type.convert(LATEST, parameter, ctx)
    return (found,) if parameter.nargs < 0 else found


RUN = click.argument("run", type=RunFolder(), required=False, callback=_run)
RUNS = click.argument("run", type=RunFolder(), nargs=-1, callback=_run)
DATA = option("--data", type=PATH, metavar="DIR", required=True, help="Folder of the recordings.", section="Recordings")
LABELLED = option(
    "--labelled/--unlabelled",
    default=True,
    help="Whether the folder tells who speaks; if not, any tree of folders will do.  [default: it does]",
    section="Recordings",
)
ALLOW_OUTSIDE = option(
    "--allow-outside",
    is_flag=True,
    help="Read what lists name outside the folder of the recordings, too.",
    section="Recordings",
)
OVERWRITE = option("--overwrite", is_flag=True, help="Write over what is there.", section=OUTPUT)
JSON = option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.", section=OUTPUT)
QUIET = option("--quiet", is_flag=True, help="Show no progress.", section=OUTPUT)


def comparing(*, crops: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the options of a command for how recordings are compared; with crops of them or without."""
    options = [
        option(
            "--backend",
            type=Choice(BACKENDS),
            help="How to compare.  [default: the run's own]",
            section=COMPARING,
        ),
        option(
            "--backend-layer",
            type=Choice(LAYERS),
            help="Of --fit-on: what to fit.  [default: the run's]",
            section=COMPARING,
        ),
        option(
            "--fit-on",
            type=PATH,
            metavar="DIR",
            help="Fit the back-end on the speakers in here, not those trained on.",
            section=COMPARING,
        ),
    ]
    if crops:
        options += [
            option(
                "--crops",
                type=Whole(0),
                default=0,
                help="Crops whose mean to take.  [default: none]",
                section=COMPARING,
            ),
            option(
                "--crop-seconds",
                type=Number(0.1),
                default=4.0,
                show_default=True,
                help="How long they are.",
                section=COMPARING,
            ),
        ]

    return lambda command: _with(command, options)


def distributed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options by which a process learns its place in a job of several."""
    told = "[default: what SLURM, Open MPI or Kubernetes tell]"
    options = [
        option(
            "--distributed",
            is_flag=True,
            help="This is one of several processes; all are given the same options.",
            section=PROCESSES,
        ),
        option("--coordinator", metavar="HOST:PORT", help=f"Where process 0 is.  {told}", section=PROCESSES),
        option(
            "--num-processes",
            type=Whole(1),
            help="How many processes there are.  [default: likewise]",
            section=PROCESSES,
        ),
        option(
            "--process-id",
            type=Whole(0),
            help="Which of them this is, from 0.  [default: likewise]",
            section=PROCESSES,
        ),
    ]
    return _with(command, options)


def _with(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    for one in reversed(options):
        command = one(command)
    return command


def out_folder(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the option of a command for the folder of its results."""
    return option(
        "--out",
        type=PATH,
        metavar="DIR",
        help=f"Folder for the results.  [default: runs/{command}-<time>]",
        section=OUTPUT,
    )


class FieldOption(Option):
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
        section: str = OTHERS,
        **settings: Any,
    ) -> None:
        """Names the option, and says what it takes."""
        super().__init__([f"--{field.name.replace('_', '-')}"], type=kind_of(field), section=section, **settings)
        self._field, self._help_fn = field, help_fn

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Makes its words; many choices stand among them."""
        self.help, known = self._help_fn(self._field), self._field.words("choices")
        if len("|".join(known)) > WIDEST:
            self.metavar = "NAME"
            if "see the list" not in str(self.help):
                self.help = f"{self.help}  One of {', '.join(known)}."
        return super().get_help_record(ctx)


class Sections(click.Command):
    """A command whose help begins with examples, and shows options under titles.

    Args:
        *args: As `click.Command` takes them.
        examples: What to type, without the program's name, and what that does.
        **settings: As `click.Command` takes them.
    """

    context_class = Context

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **settings: Any) -> None:
        """Remembers the examples."""
        super().__init__(*args, **settings)
        self.examples = examples

    def invoke(self, ctx: click.Context) -> Any:
        """Says which run `runs/latest` is, unless all is to be quiet."""
        if FOLLOWED in ctx.meta and not ctx.params.get("quiet"):
            click.echo(f"jaxtriplet: {ctx.meta[FOLLOWED]}", err=True)
        return super().invoke(ctx)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples, then what the command does."""
        if self.examples:
            with formatter.section("Examples"):
                for typed, what in self.examples:
                    formatter.write(f"  {' '.join(['jaxtriplet', str(ctx.info_name), *typed.split()])}\n")
                    with formatter.indentation(), formatter.indentation():
                        formatter.write_text(what)
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)):
                sections.setdefault(getattr(one, "section", OTHERS), []).append(record)
        for title in sorted(sections, key=lambda title: LAST.index(title) if title in LAST else -1):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def options_of(config: type, section_fn: Callable[[Field], str] = lambda _: OTHERS) -> list[click.Parameter]:
    """Returns an option for each field of a config, with its default.

    Args:
        config: A dataclass, or one of nested ones; see `jobs.fields`.
        section_fn: From a field to its title in the help.
    """
    fields, usual = [field for field in fields_of(config).values() if field.extra["option"]], config()
    return [FieldOption(one, section=section_fn(one), default=one.of(usual), show_default=True) for one in fields]
