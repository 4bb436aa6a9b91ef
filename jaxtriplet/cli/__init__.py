"""The command line, `jaxtriplet`; also `python -m jaxtriplet`."""

import os
import sys


def main() -> None:
    """Runs the command line: exit status 2 and one line for what the user can mend, never a traceback for it."""
    try:
        from jaxtriplet.cli._ending import heeding_signals, is_cut_short
        from jaxtriplet.cli.app import run

        with heeding_signals():
            status = run()
            if is_cut_short(status):
                sys.stdout.flush()
                os._exit(status)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "jaxtriplet":
            raise
        missing = f'{error.name} is not installed: pip install "jaxtriplet[speech]"' if error.name else str(error)
        print(f"jaxtriplet: {missing}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:  # while the above is imported; later, signals are heeded
        print("jaxtriplet: stopped", file=sys.stderr)
        status = 130
    sys.exit(status)
