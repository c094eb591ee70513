"""The command with other limits on clients: `python -m verification.harness.cli_with_limits JSON serve …`."""

import sys

import msgspec
from msgspec.structs import replace

from hedgerow import cli
from hedgerow.processes import supervisor
from hedgerow.processes.configuration_reload import Reload
from hedgerow.settings import ClientLimits, Settings

if __name__ == "__main__":
    limits = msgspec.json.decode(sys.argv.pop(1), type=ClientLimits)
    serve = supervisor.run

    def serve_limited(settings: Settings, read_again: Reload | None) -> None:
        """Serve by these settings, with the limits that were given."""
        serve(replace(settings, client_limits=limits), read_again)

    setattr(supervisor, "run", serve_limited)  # noqa: B010 (mypy: no place to assign to)
    cli.main()
