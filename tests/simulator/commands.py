"""The command `simulate`, where it is expected to end by itself."""

import subprocess

from support.processes import FAULTLESS, READ_TIMEOUT_S, clean_environment, simulate_command

AT_ONCE = ("--port=0", "--latency-ms=0", *FAULTLESS)


def run_to_end(*flags: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command until it ends."""
    return subprocess.run(
        simulate_command(*flags),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=READ_TIMEOUT_S,
        check=False,
        env=clean_environment(**environment),
    )
