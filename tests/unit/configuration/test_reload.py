from pathlib import Path
from typing import Any

import pytest

from hedgerow.configuration.reload import NEEDS_RESTART, applicable
from hedgerow.configuration.sources import Effective, effective_settings
from hedgerow.settings import LogFormat, Settings
from hedgerow.settings.errors import SettingsError

ROUTES = "[upstreams.u]\nendpoints = ['http://h']\n[[routes]]\npath = '/a'\nupstream = 'u'\n"


def read(folder: Path, text: str, **flags: str) -> Effective:
    file = folder / "h.toml"
    file.write_text(text)
    return effective_settings(flags, {}, config=str(file), count_cpus=lambda: 1, simulator_variables=list)


def test_routes_and_most_settings_take_effect(tmp_path: Path) -> None:
    found = read(tmp_path, f"shedding = 'off'\naccess-log = 'all'\n{ROUTES}")
    reloaded = applicable(Settings(), found, has_simulator=True)
    assert reloaded.settings == found.settings
    assert reloaded.needs_restart == []
    assert reloaded.settings.routes[0].path == "/a"


OTHERS: dict[str, Any] = {
    "host": "127.0.0.2", "port": 9, "admin_host": "127.0.0.2", "admin_port": 10, "workers": 3, "log_format": "json",
    "log_level": "error", "drain_ms": 7,
}  # fmt: skip


@pytest.mark.parametrize("name", NEEDS_RESTART)
def test_what_needs_a_restart_is_kept_as_it_was_and_named(tmp_path: Path, name: str) -> None:
    literal = repr(OTHERS[name])
    found = read(tmp_path, f"# changed\n{name} = {literal}\n{ROUTES}")
    reloaded = applicable(Settings(), found, has_simulator=True)
    assert reloaded.needs_restart == [f"'{tmp_path / 'h.toml'}', line 2: {name}"]
    assert getattr(reloaded.settings, name) == getattr(Settings(), name)
    assert reloaded.settings.routes, "the rest is in effect"


def test_what_is_not_given_any_more_is_named_too(tmp_path: Path) -> None:
    running = Settings(port=1, log_format=LogFormat.JSON)
    reloaded = applicable(running, read(tmp_path, ""), has_simulator=True)
    assert reloaded == (running, ["--port, not given any more", "--log-format, not given any more"])


def test_a_file_that_was_emptied_takes_no_routes_away(tmp_path: Path) -> None:
    """It is being written, perhaps; and the default route is not what its clients ask for."""
    running = read(tmp_path, ROUTES).settings
    with pytest.raises(
        SettingsError, match=r"^the settings file: 'no routes' is not accepted; give \[\[routes\]\]"
    ):
        applicable(running, read(tmp_path, ""), has_simulator=True)


def test_a_simulator_that_does_not_run_cannot_be_had(tmp_path: Path) -> None:
    running = Settings(upstream="http://h")
    with pytest.raises(SettingsError, match=r"^--upstream \(its default\): 'embedded' is not accepted"):
        applicable(running, read(tmp_path, ""), has_simulator=False)
    with pytest.raises(SettingsError, match=r"line 2: upstreams\.u\.endpoints: 'embedded' is not accepted"):
        applicable(running, read(tmp_path, ROUTES.replace("http://h", "embedded")), has_simulator=False)
    assert applicable(Settings(), read(tmp_path, ROUTES), has_simulator=False).needs_restart == []
