"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
RUN = click.argument("run", type=PATH)
DATA = click.option("--data", type=PATH, required=True, help="Folder of the recordings.")
LABELLED = click.option(
    "--labelled/--unlabelled",
    default=True,
    help="Whether the folder tells who speaks; if not, any tree of folders will do.  [default: it does]",
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Write over what is there.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
QUIET = click.option("--quiet", is_flag=True, help="No progress bar.")


def out_folder(command: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns the option of a command for the folder of its results."""
    return click.option("--out", type=PATH, help=f"Folder for the results.  [default: runs/{command}-<time>]")
