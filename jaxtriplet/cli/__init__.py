"""The command line, `jaxtriplet`; also `python -m jaxtriplet`."""

import sys


def main() -> None:
    """Runs the command line: exit status 2 and one line for what the user can mend, never a traceback for it."""
    try:
        from jaxtriplet.cli._ending import heed_signals
        from jaxtriplet.cli.app import run

        heed_signals()
        status = run()
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "jaxtriplet":
            raise
        missing = f'{error.name} is not installed: pip install "jaxtriplet[speech]"' if error.name else str(error)
        print(f"jaxtriplet: {missing}", file=sys.stderr)
        status = 2
    sys.exit(status)
