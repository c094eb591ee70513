import os
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
    monkeypatch.setattr(supervisor, "run", lambda found, _: settings.append(found))
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
        (["--max-in-flight", "1000000"], "--max-in-flight: 1000000 is not accepted; give at most"),
        (["--hedges", "17"], "--hedges"),
        (["--hedge-on-failure", "never"], "--hedge-on-failure"),
        (["--losers", "DRAIN "], "--losers"),
        (["--upstream", "gopher://x"], "--upstream"),
        (["--default-timeout-ms", "60001"], "--default-timeout-ms"),
        (["--trace-sample", "1.01"], "--trace-sample"),
        (["--trace-sample", "-0.1"], "--trace-sample"),
        (["--trace-sample", "nan"], "--trace-sample"),
        (["--trace-sample", "some"], "a number from 0 to 1"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--admin-prot=1"], "--admin-port"),
        (["--host", "a..b"], "--host: 'a..b'"),
        (["--admin-host", "a..b"], "--admin-host: 'a..b'"),
        (["--host", ""], "--host: ''"),
        (["--admin-host", "nosuch.invalid"], "--admin-host: 'nosuch.invalid'"),
        (["--host", "nosuch.invalid"], "--host: 'nosuch.invalid'"),
        (["--host", "é.example"], "--host: 'é.example'"),
        (["--host", "fe80::1%no-such"], "--host: 'fe80::1%no-such'"),
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


@pytest.mark.parametrize(
    "text", ["hedge = 3", "hedges = [", "\x00", "config = 'x'", "port = true", "hedges = 0.3"]
)
@pytest.mark.parametrize("way", ["flag", "variable", "check"])
def test_a_bad_file_is_one_line_and_exit_code_2(
    hedgerow: Callable[..., Result], served: list[Settings], tmp_path: Path, text: str, way: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    if way == "variable":
        result = hedgerow("serve", HEDGEROW_CONFIG=str(file))
    else:
        result = hedgerow("serve", "--config", str(file)) if way == "flag" else hedgerow("check", str(file))
    assert result.exit_code == 2
    assert str(file) in result.stderr
    assert result.stderr.count("\n") == 1
    assert not result.stdout
    assert not served


@pytest.mark.parametrize("command", ["serve", "check", "simulate"])
def test_an_unknown_variable_gets_a_suggestion(
    hedgerow: Callable[..., Result], served: list[Settings], command: str
) -> None:
    result = hedgerow(command, HEDGEROW_UPSTRAEM="http://h/?k=s3cr3t")
    assert result.exit_code == 2
    assert result.stderr == "hedgerow: 'HEDGEROW_UPSTRAEM' is no setting; did you mean HEDGEROW_UPSTREAM?\n"
    assert not served


def test_an_unknown_variable_of_the_simulator_gets_a_suggestion(hedgerow: Callable[..., Result]) -> None:
    result = hedgerow("check", HEDGEROW_SIMULATE_ERRORS_RATE="1")
    assert result.exit_code == 2
    assert "did you mean HEDGEROW_SIMULATE_ERROR_RATE?" in result.stderr
    assert hedgerow("check", HEDGEROW_SIMULATE_ERROR_RATE="0.5").exit_code == 0


def test_variables_of_the_simulator_are_checked_only_if_it_is_the_upstream(
    hedgerow: Callable[..., Result], served: list[Settings]
) -> None:
    for command in ("check", "serve"):
        result = hedgerow(command, HEDGEROW_SIMULATE_ERROR_RATE="2")
        assert result.exit_code == 2
        assert result.stderr.startswith("hedgerow: HEDGEROW_SIMULATE_…: Invalid value for '--error-rate'")
    assert not served
    assert hedgerow("check", "--upstream=http://h/", HEDGEROW_SIMULATE_ERROR_RATE="2").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "https://u:s3cr3t@h/x"],
        ["serve", "https://h/x?k=s3cr3t"],
        ["serve", "https://u:s3cr3t x@h/x"],
        ["serve", "--upstraem=https://u:s3cr3t@h/x"],
        ["serve", "--upstream", "https://u:s3cr3t@h/x"],
        ["serve", "--upstream", "https://u: s3cr3t@h/x"],
        ["serve", "--upstream", "https://u:s3cr3t/y@h/x"],
        ["serve", "--upstream", "h/x?k=s3cr3t"],
        ["serve", "--upstream", "https://h /x?k=s3cr3t"],
        ["serve", "--port", "https://h/x?k=s3cr3t"],
        ["serve", "--config", "https://h/x?k=s3cr3t"],
        ["check", "https://h/x?k=s3cr3t"],
        ["check", "--live=https://h/x?k=s3cr3t"],
        ["check", "a", "https://h/x?k=s3cr3t"],
        ["check", "a", "https://h /x?k='s3cr3t"],
        ["https://u:s3cr3t@h/x"],
        ["https://u's3cr3t\\@h/x"],
        ["healthcheck", "--admin-host", "https://u:s3cr3t@h/x"],
        ["healthcheck", "--live=https://h/?s3cr3t"],
        ["simulate", "https://u:s3cr3t@h/x"],
    ],
)
def test_no_message_repeats_a_secret(hedgerow: Callable[..., Result], arguments: list[str]) -> None:
    result = hedgerow(*arguments)
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "s3cr3t" not in result.output


def test_the_processes_that_serve_starts_get_no_variable_of_the_settings(
    hedgerow: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[set[str]] = []
    monkeypatch.setattr(supervisor, "run", lambda *_: left.append({*os.environ}))
    variables = {
        "HEDGEROW_UPSTREAM": "http://h/?k=s3cr3t", "HEDGEROW_SIMULATE_SEED": "1", "HEDGEROW_SIMULATE_PORT": "tcp://10.0.0.1:1"
    }  # fmt: skip
    assert hedgerow("serve", **variables).exit_code == 0
    assert left[0].isdisjoint({"HEDGEROW_UPSTREAM", "HEDGEROW_SIMULATE_PORT"})
    assert "HEDGEROW_SIMULATE_SEED" in left[0]


def test_check_shows_the_settings_and_starts_nothing(
    hedgerow: Callable[..., Result], served: list[Settings], tmp_path: Path
) -> None:
    file = tmp_path / "h.toml"
    file.write_text('upstream = "https://h/x?apikey=s3cr3t"\n')
    results = [
        hedgerow("check", str(file)),
        hedgerow("check", "--config", str(file)),
        hedgerow("check", HEDGEROW_CONFIG=str(file)),
    ]
    for result in results:
        assert result.exit_code == 0
        assert f"upstream = 'https://h/x?apikey=***'      # '{file}', line 1: upstream\n" in result.stdout
        assert result.stdout == results[0].stdout
        assert not result.stderr
    assert not served
    assert hedgerow("check", str(file), "--config", str(file)).exit_code == 2


def test_check_shows_what_the_encoding_of_its_output_has_not(
    hedgerow: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "\udcffé.toml"
    file.write_text("port = 1\n")
    result = hedgerow("check", str(file))
    assert result.exit_code == 0
    assert "line 1: port" in result.stdout


@pytest.mark.parametrize("argument", ["x" * 100_000, "\x1b[31m", "\x7f", "a\nb", "\udcff", "x\u2028y"])
def test_a_message_is_one_printable_line_of_bounded_length(
    hedgerow: Callable[..., Result], argument: str
) -> None:
    for result in (hedgerow("serve", argument), hedgerow(argument), hedgerow("check", SSL_CERT_DIR=argument)):
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert len(line) < 1_100
        assert line.isprintable()
