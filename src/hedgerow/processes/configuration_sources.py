"""Where a gateway's settings come from, read and checked at its start, and again after SIGHUP."""

import os
from collections.abc import Callable, Collection

import msgspec

from hedgerow.configuration import startup_checks
from hedgerow.configuration.reload import Reloaded, applicable
from hedgerow.configuration.sources import CONFIG_VARIABLE, SIMULATE_PREFIX, Effective, effective_settings
from hedgerow.processes.cpu_count import usable_cpus
from hedgerow.processes.process_tuning import raise_descriptor_limit
from hedgerow.settings import DescriptorBudget, Settings
from hedgerow.settings.effective_routing import max_hedges, needs_simulator


def simulator_variables() -> Collection[str]:
    """Return the names of the simulator's variables."""
    from hedgerow_simulator.cli import simulate  # noqa: PLC0415 (40 ms, and rarely used)

    return [f"{SIMULATE_PREFIX}{str(parameter.name).upper()}" for parameter in simulate.params]


class ConfigurationSources:
    """All that settings come from: what was given at the start, and files that may change."""

    def __init__(self, config: str | None, flags: dict[str, str | None]) -> None:
        self._config = config
        self._flags = {name: text for name, text in flags.items() if text is not None}
        self._environment = dict(os.environ)
        self._addresses: startup_checks.Addresses | None = None
        self._has_simulator = False

    @property
    def has_file(self) -> bool:
        """A settings file was named."""
        return self._config is not None or CONFIG_VARIABLE in self._environment

    def read(self) -> Effective:
        """Return the settings in effect, checked as far as they can be without starting anything.

        Raises SettingsError. For the start: it looks up hosts, which may block.
        """
        effective = self._read(usable_cpus)
        self._addresses = startup_checks.look_up_hosts(effective.settings, effective.source_of)
        self._check(effective)
        self._has_simulator = needs_simulator(effective.settings)
        if self._has_simulator and any(name.startswith(SIMULATE_PREFIX) for name in self._environment):
            from hedgerow.processes.embedded_simulator import check_variables  # noqa: PLC0415 (rarely needed)

            check_variables()
        return effective

    def read_again(self, running: Settings) -> Reloaded:
        """Return what a running gateway can have of the settings as they are now; raises SettingsError."""
        effective = self._read(lambda: running.workers)
        reloaded = applicable(running, effective, has_simulator=self._has_simulator)
        self._check(msgspec.structs.replace(effective, settings=reloaded.settings))
        return reloaded

    def _read(self, count_cpus: Callable[[], int]) -> Effective:
        return effective_settings(
            self._flags,
            self._environment,
            config=self._config,
            count_cpus=count_cpus,
            simulator_variables=simulator_variables,
        )

    def _check(self, effective: Effective) -> None:
        settings, source_of = effective.settings, effective.source_of
        if self._addresses is not None:
            startup_checks.check_addresses(settings, source_of, self._addresses)
        startup_checks.check_named_files(
            self._environment,
            is_tls=startup_checks.is_tls(settings),
            is_traced=settings.trace_sample > 0,
        )
        if settings.trace_sample:
            startup_checks.check_tracing(settings.trace_sample, source_of("trace_sample"))
        DescriptorBudget.of(
            raise_descriptor_limit(),
            max_hedges(settings),
            settings.max_in_flight,
            setting=source_of("max_in_flight"),
        )
