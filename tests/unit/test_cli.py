from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hedgerow import __version__, gateway
from hedgerow.cli import main
from hedgerow.processes import supervisor
from hedgerow.settings import AccessLog, LogFormat, LoserPolicy, Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that would have been served."""
    settings: list[Settings] = []
    monkeypatch.setattr(supervisor, "run", settings.append)
    return settings


@pytest.fixture
def hedgerow() -> Callable[..., Result]:
    def run(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environment)

    return run


def test_version_and_help(hedgerow: Callable[..., Result]) -> None:
    build = "compiled" if gateway.__file__.endswith(".so") else "plain"
    assert hedgerow("--version").output == f"hedgerow {__version__} ({build})\n"
    assert "simulate" in hedgerow("--help").output
    assert "HEDGEROW_DRAIN_MS" in hedgerow("serve", "--help").output


def test_defaults_are_the_contracts(hedgerow: Callable[..., Result], served: list[Settings]) -> None:
    assert hedgerow("serve", "--workers", "1").exit_code == 0
    assert served == [Settings()]


def test_flag_over_environment_over_file_over_default(
    hedgerow: Callable[..., Result], served: list[Settings], tmp_path: Path
) -> None:
    file = tmp_path / "hedgerow.toml"
    file.write_text('hedges = 1\nport = 1001\ndrain_ms = 5\nlosers = "cancel"\nlog-format = "json"\n')
    result = hedgerow(
        "serve", "--config", str(file), "--port", "1003", HEDGEROW_PORT="1002", HEDGEROW_DRAIN_MS="6"
    )
    assert result.exit_code == 0
    assert served[0].port == 1003
    assert served[0].drain_ms == 6
    assert served[0].hedges == 1
    assert served[0].losers is LoserPolicy.CANCEL
    assert served[0].log_format is LogFormat.JSON
    assert served[0].access_log is AccessLog.ERRORS


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--port", "65536"], "--port"),
        (["--port", "x"], "whole number from 0 to 65535"),
        (["--workers", "0"], "--workers"),
        (["--workers", "٣"], "--workers"),
        (["--max-in-flight", "-1"], "--max-in-flight"),
        (["--max-in-flight", "1000000"], "--max-in-flight"),
        (["--hedges", "17"], "--hedges"),
        (["--hedge-on-failure", "never"], "--hedge-on-failure"),
        (["--losers", "DRAIN "], "--losers"),
        (["--upstream", "gopher://x"], "--upstream"),
        (["--default-timeout-ms", "60001"], "--default-timeout-ms"),
        (["--trace-sample", "1.01"], "--trace-sample"),
        (["--trace-sample", "-0.1"], "--trace-sample"),
        (["--trace-sample", "nan"], "--trace-sample"),
        (["--trace-sample", "some"], "a share from 0 to 1"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--config", "/no/such/file"], "--config"),
    ],
)
def test_a_bad_setting_is_one_line_and_exit_code_2(
    hedgerow: Callable[..., Result], served: list[Settings], arguments: list[str], names: str
) -> None:
    result = hedgerow("serve", *arguments)
    assert result.exit_code == 2
    assert names in result.stderr
    assert result.stderr.count("\n") == 1
    assert not served


@pytest.mark.parametrize("text", ["hedge = 3", "hedges = [", "\x00", "config = 'x'"])
def test_a_bad_file_is_one_line_and_exit_code_2(
    hedgerow: Callable[..., Result], served: list[Settings], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    result = hedgerow("serve", "--config", str(file))
    assert result.exit_code == 2
    assert "--config" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not served
