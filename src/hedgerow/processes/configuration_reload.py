"""The configuration in effect, and what SIGHUP makes of it: a good file is used by new workers, a bad one by none."""

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, TypeAlias

from structlog.typing import FilteringBoundLogger

from hedgerow.settings import Settings, SettingsError
from hedgerow.status.report_schema import ConfigurationStatus

if TYPE_CHECKING:
    from hedgerow.configuration.reload import Reloaded

Reload: TypeAlias = Callable[[Settings], "Reloaded"]
"""Reads the configuration again, beside the settings that are in effect. Raises SettingsError."""


class ConfigurationReload:
    """The settings in effect, and how the last attempt to change them went."""

    def __init__(
        self,
        settings: Settings,
        read_again: Reload | None,
        log: FilteringBoundLogger,
        *,
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """`read_again` is None where there is no file."""
        self.settings = settings
        self._read_again = read_again
        self._log = log
        self._wall_clock = wall_clock
        self.status = ConfigurationStatus(loaded_at=round(wall_clock(), 3))

    def reload(self) -> bool:
        """Read the file again, if there is one; return whether workers should be replaced, by `settings`.

        Without a file they should be: SIGHUP is how an operator replaces them.
        """
        if self._read_again is None:
            return True
        try:
            read = self._read_again(self.settings)
        except SettingsError as error:
            self.status = ConfigurationStatus(self.status.loaded_at, str(error), self.status.needs_restart)
            self._log.error("configuration rejected", reason=str(error))
            return False
        self.settings = read.settings
        self.status = ConfigurationStatus(round(self._wall_clock(), 3), None, read.needs_restart)
        self._log.info("configuration loaded", routes=len(read.settings.routes))
        if read.needs_restart:
            self._log.warning("settings need a restart", settings=read.needs_restart)
        return True
