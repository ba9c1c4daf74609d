"""The ``tidegate`` command: ``python -m tidegate``, and the console script of that name."""

import signal
import sys

from tidegate._tidegate import run_command


def main() -> int:
    """Runs the command line of this process; the exit code."""
    if sys.argv[1:2] == ["lint"]:
        # A program of another package, tidegate-lint: the parsers of sources weigh as much as all the rest.
        from tidegate._lint import lint

        return lint(sys.argv[2:])
    # Ctrl-C ends the command itself, which never comes back to the interpreter to be told.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_command(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
