"""The configuration read again while the gateway runs: what of it can take effect, and what needs a restart."""

from typing import Final, NamedTuple

import msgspec

from hedgerow.configuration.sources import Effective
from hedgerow.settings.effective_routing import needs_simulator
from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.schema import Settings
from hedgerow.settings.setting import all_settings
from hedgerow.settings.upstream_url import EMBEDDED, EMBEDDED_TARGET

NEEDS_RESTART: Final = (
    "host", "port", "admin_host", "admin_port",  # bound at the start
    "workers",  # the memory that workers share has room for these
    "log_format", "log_level",  # of the supervisor's own log, too
    "drain_ms",  # of the workers that a reload drains
)  # fmt: skip


class Reloaded(NamedTuple):
    """What a running gateway can have of a configuration that was read again."""

    settings: Settings
    needs_restart: list[str]
    """Where settings are that were changed, and are not in effect: `'/etc/h.toml', line 2: port`."""


def applicable(running: Settings, read: Effective, *, has_simulator: bool) -> Reloaded:
    """Return what of `read` can take effect; raises InvalidSetting if nothing can.

    `has_simulator`: the gateway was started with the embedded one, which runs until it ends.
    """
    if running.routes and not read.settings.routes:
        accepted = (
            "[[routes]] as before, or start the gateway again: without them there is the default route alone"
        )
        raise InvalidSetting("the settings file", "no routes", accepted)
    if needs_simulator(read.settings) and not has_simulator:
        rules = (rule.name for rule in read.settings.upstreams if EMBEDDED_TARGET in rule.endpoints)
        source = next((f"upstreams.{name}" for name in rules), "upstream")
        accepted = "a URL, or start the gateway again: the simulator is started with it only"
        raise InvalidSetting(read.source_of(source), EMBEDDED, accepted)
    changed = [name for name in NEEDS_RESTART if getattr(read.settings, name) != getattr(running, name)]
    kept = {name: getattr(running, name) for name in changed}
    return Reloaded(
        msgspec.structs.replace(read.settings, **kept),
        [read.sources.get(name, f"{all_settings()[name].flag}, not given any more") for name in changed],
    )
