"""Which sources are read again; what settings are and what is rejected: tests/unit/configuration, test_cli.py."""

from pathlib import Path

import pytest

from hedgerow.processes import configuration_sources
from hedgerow.processes.configuration_sources import ConfigurationSources
from hedgerow.settings import SettingsError


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_file_is_read_again_and_what_was_given_beside_it_still_wins(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hedgerow.toml"
    file.write_text("hedges = 1\ndrain-ms = 5\nport = 1001\n")
    if way == "variable":
        monkeypatch.setenv("HEDGEROW_CONFIG", str(file))
    monkeypatch.setenv("HEDGEROW_DRAIN_MS", "6")
    sources = ConfigurationSources(
        str(file) if way == "flag" else None, {"hedge_after_ms": "7", "port": None}
    )
    assert sources.has_file
    running = sources.read().settings
    monkeypatch.delenv("HEDGEROW_DRAIN_MS")
    file.write_text("hedges = 3\ndrain-ms = 8\nport = 1002\n")
    reloaded = sources.read_again(running)
    assert (running.hedges, reloaded.settings.hedges) == (1, 3)
    assert (running.drain_ms, reloaded.settings.drain_ms) == (6, 6), "the environment is that of the start"
    assert (running.hedge_after_ms, reloaded.settings.hedge_after_ms) == (7, 7)
    assert reloaded.settings.port == 1001
    assert [name.rpartition(" ")[2] for name in reloaded.needs_restart] == ["port"]


def test_what_would_be_rejected_at_the_start_is_rejected_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration_sources, "raise_descriptor_limit", lambda: 1_000)
    file = tmp_path / "hedgerow.toml"
    file.write_text("port = 1001\n")
    sources = ConfigurationSources(str(file), {})
    running = sources.read().settings
    file.write_text("max-in-flight = 1000000\n")
    with pytest.raises(SettingsError, match=r"line 1: max-in-flight: 1000000 is not accepted"):
        sources.read_again(running)


def test_the_simulator_can_be_had_again_if_the_gateway_started_with_it(tmp_path: Path) -> None:
    file = tmp_path / "hedgerow.toml"
    file.write_text("")
    sources = ConfigurationSources(str(file), {})
    running = sources.read().settings
    file.write_text("upstream = 'http://h/'\n")
    running = sources.read_again(running).settings
    assert running.upstream == "http://h/"
    file.write_text("")
    assert sources.read_again(running).settings.upstream == "embedded"


def test_without_a_file_nothing_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEDGEROW_CONFIG", raising=False)
    assert not ConfigurationSources(None, {"port": "1001"}).has_file
