"""`python -m prove.limited LIMITS serve …`: the command with other limits on callers, as JSON, in place of its own."""

import sys
from functools import partial

import msgspec

from hedgerow import cli
from hedgerow.settings import ClientLimits, Settings

if __name__ == "__main__":
    limits = msgspec.json.decode(sys.argv.pop(1), type=ClientLimits)
    setattr(cli, "Settings", partial(Settings, client_limits=limits))  # noqa: B010 (mypy: no place to assign to)
    cli.main()
