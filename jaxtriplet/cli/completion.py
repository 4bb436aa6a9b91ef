"""The command `completion`."""

import click

from jaxtriplet.cli import kinds, options

SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=options.Sections,
    examples=[
        ("bash >> ~/.bashrc", "From the next bash on."),
        ("zsh >> ~/.zshrc", "Likewise; after compinit."),
        ("fish > ~/.config/fish/completions/jaxtriplet.fish", "Likewise."),
    ],
)
@click.argument("shell", type=kinds.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands, options and words at TAB: SHELL is bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from jaxtriplet.cli.app import app

    found = get_completion_class(shell)
    assert found is not None
    print(found(app, {}, "jaxtriplet", "_JAXTRIPLET_COMPLETE").source())
