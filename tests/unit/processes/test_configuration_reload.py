import msgspec
from structlog.testing import CapturingLogger

from hedgerow.configuration.reload import Reloaded
from hedgerow.processes.configuration_reload import ConfigurationReload
from hedgerow.settings import Settings, SettingsError
from hedgerow.status.report_schema import ConfigurationStatus

FIRST, SECOND = Settings(hedges=1), Settings(hedges=2)


class Files:
    """Stands for the file: what it says next, or why it is rejected."""

    def __init__(self) -> None:
        self.next: Reloaded | str = Reloaded(SECOND, [])
        self.running: list[Settings] = []

    def read_again(self, running: Settings) -> Reloaded:
        self.running.append(running)
        if isinstance(self.next, str):
            raise SettingsError(self.next)
        return self.next


class Reloading:
    def __init__(self, *, has_file: bool = True) -> None:
        self.log, self.files, self.now = CapturingLogger(), Files(), 100.0
        read_again = self.files.read_again if has_file else None
        self.configuration = ConfigurationReload(FIRST, read_again, self.log, wall_clock=lambda: self.now)

    def logged(self) -> list[tuple[str, str, dict[str, object]]]:
        return [(call.method_name, call.args[0], call.kwargs) for call in self.log.calls]


def test_a_good_file_is_used_from_now_on() -> None:
    it = Reloading()
    assert it.configuration.status == ConfigurationStatus(100.0, None, [])
    it.now = 107.0
    assert it.configuration.reload()
    assert it.configuration.settings is SECOND
    assert it.configuration.status == ConfigurationStatus(107.0, None, [])
    assert it.logged() == [("info", "configuration loaded", {"routes": 0})]
    it.configuration.reload()
    assert it.files.running == [FIRST, SECOND], "each is compared with what is in effect"


def test_a_bad_file_changes_nothing_and_is_reported() -> None:
    it = Reloading()
    it.files.next = "'h.toml', line 3: routes[0].path: 'x' is not accepted; give a path"
    it.now = 107.0
    assert not it.configuration.reload()
    assert it.configuration.settings is FIRST
    assert it.configuration.status == ConfigurationStatus(100.0, it.files.next, [])
    assert it.logged() == [("error", "configuration rejected", {"reason": it.files.next})]


def test_a_good_file_after_a_bad_one_ends_the_report() -> None:
    it = Reloading()
    it.files.next = "bad"
    it.configuration.reload()
    it.files.next = Reloaded(SECOND, [])
    assert it.configuration.reload()
    assert it.configuration.status.error is None


def test_settings_that_need_a_restart_are_reported_until_a_file_has_none() -> None:
    it = Reloading()
    it.files.next = Reloaded(SECOND, ["'h.toml', line 1: port"])
    assert it.configuration.reload()
    assert it.configuration.status.needs_restart == ["'h.toml', line 1: port"]
    assert it.logged()[1:] == [
        ("warning", "settings need a restart", {"settings": ["'h.toml', line 1: port"]})
    ]
    it.files.next = "bad"
    it.configuration.reload()
    assert it.configuration.status.needs_restart == ["'h.toml', line 1: port"], "of what is in effect"
    it.files.next = Reloaded(SECOND, [])
    it.configuration.reload()
    assert it.configuration.status.needs_restart == []


def test_without_a_file_workers_are_replaced_as_they_are() -> None:
    it = Reloading(has_file=False)
    assert it.configuration.reload()
    assert it.configuration.settings is FIRST
    assert it.configuration.status == ConfigurationStatus(100.0)
    assert it.logged() == []


def test_the_status_is_json() -> None:
    it = Reloading()
    assert (
        msgspec.json.encode(it.configuration.status) == b'{"loaded_at":100.0,"error":null,"needs_restart":[]}'
    )
