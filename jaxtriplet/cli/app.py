"""The group of commands, each imported when it is called, and how an error ends the program."""

import re
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click

import jaxtriplet
from jaxtriplet.cli._ending import Ended, ending, is_cut_short, say
from jaxtriplet.cli.options import Context
from jaxtriplet.jobs.notes import is_shared

# What the first page of help says of each command, which it need not import for that.
COMMANDS = {
    "train": "Train a speaker encoder on recordings, or without --data on JapaneseVowels.",
    "evaluate": "Judge the encoder of a run by trials: is it one speaker in both recordings?",
    "compare": "Compare several runs on the same trials: figures, curves and differences.",
    "embed": "Embed every recording of a folder with the encoder of a run.",
    "cluster": "Group the recordings of a folder by speaker, with the encoder of a run.",
    "export": "Write the encoder of a run into one file that needs JAX and flatbuffers alone.",
    "throughput": "Measure how fast the recordings of a folder pass the stages of training.",
    "bench": "Measure the losses beside other libraries and beside the least that such a loss can cost.",
    "fits": "Tell whether a batch fits an accelerator, which need not be there.",
    "completion": "Print what makes a shell complete commands, options and words.",
}


class Lazy(click.Group):
    """A group that imports a command, `jaxtriplet.cli.NAME:NAME`, when it is called; until then a short text stands."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in their own order."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Imports the command that is called, and remembers its parameters."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            module = str(name).replace("-", "_")
            command = getattr(import_module(f"jaxtriplet.cli.{module}"), module)
            ctx.obj = command.params
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what the library says of arguments is said of options."""
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if isinstance(error, click.ClickException) or (end := ending(error)) is None:
                raise
            status, message = end
            for word in sorted((word for word in sys.argv if "`" in word), key=len, reverse=True):
                message = message.replace(word, word.replace("`", "\0"))  # told as it was typed
            raise Ended(status, said_of_options(message, ctx.obj or ()).replace("\0", "`")) from error


@click.group(
    cls=Lazy,
    commands={name: click.Command(name, short_help=words) for name, words in COMMANDS.items()},
    epilog="Exit status: 0; 2 for what you can mend in what was typed or named; 1 for what the machine refused; 130 "
    "after Ctrl-C and 143 after SIGTERM. jaxtriplet completion prints what makes a shell complete words at TAB.",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 80,
        "token_normalize_func": lambda word: word.replace("_", "-"),
    },
)
@click.version_option(jaxtriplet.__version__, message="%(version)s")
def app() -> None:
    """Metric-learning losses for JAX that are exact at any batch size, and an encoder of voices trained with them.

    Begin with `jaxtriplet train`, which needs no data; then `jaxtriplet train --data DIR`, with recordings of yours.
    """


_interrupted: list[BaseException] = []


def run() -> int:
    """Runs the command of `sys.argv`.

    Returns:
        The exit status: 0, or that of `_ending` with one line on standard error.
    """
    try:
        app(prog_name="jaxtriplet", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except BaseException as error:
        if (end := ending(error)) is None:
            raise
        status, words = end
        say(words, shared=is_shared(error))
        # What was interrupted half made would speak up when it is put away, after the last word: it stays as it is.
        _interrupted[:] = [error] if is_cut_short(status) else []
        return status
    return 0


def said_of_options(message: str, parameters: Iterable[click.Parameter]) -> str:
    """Returns a message of the library, whose arguments in backquotes become options where there are such.

    Args:
        message: What a function says of its arguments.
        parameters: Those of the command.

    >>> estimate, overwrite = click.Option(["--estimate"]), click.Option(["--overwrite"], is_flag=True)
    >>> labelled = click.Option(["--labelled/--unlabelled"])
    >>> message = 'give `estimate="silhouette"` or `labelled=False`, or add `overwrite=True`; see `1 path path`'
    >>> said_of_options(message, [estimate, overwrite, labelled])
    'give --estimate silhouette or --unlabelled, or add --overwrite; see `1 path path`'
    """
    known = {parameter.name: parameter for parameter in parameters}

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        parameter = known.get(name)
        if not isinstance(parameter, click.Option):
            return match[0] if parameter is None else parameter.human_readable_name
        if not parameter.is_flag:
            return " ".join([parameter.opts[-1], *([value.strip("\"'")] if value else [])])
        names = parameter.secondary_opts if value == "False" else parameter.opts
        return names[-1] if names else match[0]

    return re.sub(r"`(\w+)(?:=([^`]*))?`", option, message)
