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
    """Import nothing from the folder in which we were started, as `python -m` does, unless we are from there."""
    if sys.flags.safe_path:
        return
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted
        here = ""
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] in ("", here) and source != here:
        del sys.path[0]


if __name__ == "__main__":
    main()
