"""`python -m hedgerow` is `hedgerow`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. What must be done before anything else is imported is done here."""
    # Held until the supervisor handles them. As PID 1 of a container it would not be sent them at all before. The
    # image has them blocked from its first instant.
    how = signal.SIG_BLOCK if sys.argv[1:2] == ["serve"] else signal.SIG_UNBLOCK
    signal.pthread_sigmask(how, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    leave_working_directory()
    from hedgerow.cli import main as run_command  # noqa: PLC0415

    run_command()


def leave_working_directory() -> None:
    """Import nothing from the folder in which we were started, unless we are from there or PYTHONPATH names it.

    `python -m` looks there first, and an empty entry of PYTHONPATH (`:/some/where`) means it, too.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted
        here = ""
    named = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if here not in (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), *named):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", here)]


if __name__ == "__main__":
    main()
