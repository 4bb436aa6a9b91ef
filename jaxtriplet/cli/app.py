"""The group of commands, each imported when it is called, and how an error ends the program."""

import os
import sys
from importlib import import_module
from typing import NoReturn

import click
import jax

import jaxtriplet

# What the first page of help says of each command, which it need not import for that.
COMMANDS = {
    "train": "Train a speaker encoder on recordings, or without --data on JapaneseVowels.",
    "evaluate": "Judge the encoder of a run by trials: is it one speaker in both recordings?",
    "embed": "Embed every recording of a folder with the encoder of a run.",
    "cluster": "Group the recordings of a folder by speaker, with the encoder of a run.",
    "export": "Write the encoder of a run into one file that needs nothing but JAX.",
    "throughput": "Measure how fast the recordings of a folder pass the stages of training.",
    "bench": "Measure the losses beside other libraries and beside the least that such a loss can cost.",
    "fits": "Tell whether a batch fits an accelerator, which need not be there.",
}


class Lazy(click.Group):
    """A group that imports a command, `jaxtriplet.cli.NAME:NAME`, when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"jaxtriplet.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=Lazy, context_settings={"max_content_width": 120})
@click.version_option(jaxtriplet.__version__, message="%(version)s")
def app() -> None:
    """Exact metric-learning losses for JAX, and speaker embeddings trained with them."""


def run() -> int:
    """Runs the command of `sys.argv`.

    Returns:
        The exit status: 0; 2 with one line on standard error for what the user can mend; 130 if interrupted.
    """
    try:
        app(standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        print("jaxtriplet: stopped", file=sys.stderr)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except click.ClickException as error:
        return _mendable(error.format_message())
    except (ValueError, OSError) as error:
        return _mendable(str(error))
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        _leave(error)
    return 0


def _leave(error: jax.errors.JaxRuntimeError) -> NoReturn:
    """Ends one of several processes when another is gone."""
    this = f"process {jax.process_index()} of {jax.process_count()}"
    print(
        f"jaxtriplet: {this}: another process is gone, so the job ends; start all again with --resume "
        f"({' '.join(str(error).split())[:200]})",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)  # An ordinary exit would wait for the process that is gone.


def _mendable(message: str) -> int:
    print(f"jaxtriplet: {' '.join(message.split())}", file=sys.stderr)
    return 2
