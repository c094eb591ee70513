from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgerow.configuration.sources import (
    DEFAULT_ROUTE_SETTINGS,
    Effective,
    admin_address,
    effective_settings,
    is_service_variable,
)
from hedgerow.settings import Settings
from hedgerow.settings.effective_routing import effective_routing
from hedgerow.settings.errors import SettingsError
from hedgerow.settings.setting import Setting, all_settings
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

NAMES = list(all_settings())


def effective(
    flags: dict[str, str] | None = None, environment: dict[str, str] | None = None, config: str | None = None
) -> Effective:
    return effective_settings(
        flags or {},
        environment or {},
        config=config,
        count_cpus=lambda: 7,
        simulator_variables=lambda: ["HEDGEROW_SIMULATE_SEED"],
    )


def toml(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(character):08x}" for character in value)
        return f'"{escaped}"'
    return repr(value)


def by_each_way(folder: Path, setting: Setting, text: str, typed: object) -> list[Any]:
    """Return the value of a setting, or None where it is rejected: by flag, variable and file."""
    file = folder / "h.toml"
    results: list[Any] = []
    for content in {toml(text), toml(typed)}:
        file.write_text(f"{setting.key} = {content}\n")
        results.append(attempt(setting, config=str(file)))
    return [
        *results,
        attempt(setting, flags={setting.name: text}),
        attempt(setting, environment={setting.variable: text}),
    ]


def attempt(setting: Setting, **given: Any) -> Any:
    try:
        return repr(getattr(effective(**given).settings, setting.name))
    except SettingsError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert " is not accepted; give " in message
    return None


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-2, 70_000),
    st.floats(),
    st.floats(-0.5, 1.5),
    st.sampled_from([86_400_000, 86_400_001]),
)
WORDS = st.sampled_from(
    ["auto", "on", "off", "wait", "immediate", "drain", "cancel", "json", "errors", "info", "embedded", "true", "false",
     "http://a/x", "http://a/x,http://b/x", "a..b", "localhost", "::1", "127.0.0.1", "1_000", " 1", "+1", "0x1",
     "1e3", "", "1.0", "inf", "nan", "٣", "01", "-0", "-0.0", "Auto", "9" * 30]
)  # fmt: skip
TEXTS = st.one_of(WORDS, NUMBERS.map(str), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_a_text_is_accepted_and_means_the_same_whichever_way_it_comes(
    tmp_path: Path, name: str, text: str
) -> None:
    assert len(set(by_each_way(tmp_path, all_settings()[name], text, text))) == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, setting in all_settings().items() if setting.is_number])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(number=NUMBERS)
def test_a_number_is_accepted_and_means_the_same_whichever_way_it_comes(
    tmp_path: Path, name: str, number: float
) -> None:
    assert len(set(by_each_way(tmp_path, all_settings()[name], str(number), number))) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "typed", ["true", "false", "[]", "{}", "1979-05-27", "07:32:00", "[1]", "{a = 1}", "inf", "-nan"]
)
def test_no_setting_takes_another_type_from_the_file(tmp_path: Path, name: str, typed: str) -> None:
    file = tmp_path / "h.toml"
    setting = all_settings()[name]
    file.write_text(f"\n{setting.key} = {typed}\n")
    with pytest.raises(SettingsError) as caught:
        effective(config=str(file))
    assert str(caught.value).startswith(f"'{file}', line 2: {setting.key}: ")
    assert str(caught.value).partition("; give ")[2].startswith(setting.accepted)


def test_flag_over_variable_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("hedges = 1\nport = 1001\ndrain_ms = 5\n")
    environment = {"HEDGEROW_CONFIG": str(file), "HEDGEROW_PORT": "1002", "HEDGEROW_DRAIN_MS": "6"}
    found = effective({"port": "1003"}, environment)
    assert found.settings == Settings(workers=7, port=1003, drain_ms=6, hedges=1)
    assert found.sources == {
        "hedges": f"'{file}', line 1: hedges", "port": "--port", "drain_ms": "HEDGEROW_DRAIN_MS",
    }  # fmt: skip
    assert found.source_of("losers") == "--losers (its default)"


def test_the_flag_config_wins_over_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("hedges = 1\n")
    assert effective({}, {"HEDGEROW_CONFIG": "/no/such/file"}, str(file)).settings.hedges == 1
    with pytest.raises(SettingsError, match=r"^HEDGEROW_CONFIG: '' is not accepted"):
        effective({}, {"HEDGEROW_CONFIG": ""})
    with pytest.raises(SettingsError, match=r"^--config: '' is not accepted"):
        effective({}, {"HEDGEROW_CONFIG": str(file)}, "")


def test_a_value_that_another_one_wins_over_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("port = true\n")
    with pytest.raises(SettingsError, match="line 1: port: true is not accepted"):
        effective({"port": "1"}, {}, str(file))
    with pytest.raises(SettingsError, match=r"^HEDGEROW_PORT: 'x' is not accepted"):
        effective({"port": "1"}, {"HEDGEROW_PORT": "x"})


def test_auto_is_the_number_of_cpus_and_no_cap() -> None:
    assert effective({"workers": "auto", "max_in_flight": "auto"}).settings == Settings(workers=7)
    assert effective({"workers": "3"}).settings.workers == 3


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("HEDGEROW_UPSTRAEM", "HEDGEROW_UPSTREAM"),
        ("HEDGEROW_HEDGE_AFTER", "HEDGEROW_HEDGE_AFTER_MS"),
        ("HEDGEROW_CONFG", "HEDGEROW_CONFIG"),
        ("Hedgerow_Port", "HEDGEROW_PORT"),
        ("HEDGEROW_SIMULATE_SED", "HEDGEROW_SIMULATE_SEED"),
        ("HEDGEROW_", None),
        ("HEDGEROW_CLIENT_LIMITS", None),
        ("HEDGEROW_PORT_X", "HEDGEROW_PORT"),
    ],
)
def test_an_unknown_variable_is_rejected_with_the_nearest_one(name: str, nearest: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        effective({}, {name: "1"})
    assert str(caught.value).startswith(f"{name!r} is no setting; ")
    assert nearest is None or str(caught.value).endswith(f"did you mean {nearest}?")


def test_variables_of_the_simulator_and_of_others_are_not_ours() -> None:
    assert effective({}, {"HEDGEROW_SIMULATE_SEED": "x", "HEDGEROWS": "1", "PORT": "x"}).sources == {}


SERVICE = {
    "HEDGEROW_SERVICE_HOST": "10.0.0.1",
    "HEDGEROW_SERVICE_PORT": "80",
    "HEDGEROW_SERVICE_PORT_HTTP": "80",
    "HEDGEROW_PORT": "tcp://10.0.0.1:80",
    "HEDGEROW_PORT_80_TCP": "tcp://10.0.0.1:80",
    "HEDGEROW_PORT_80_TCP_PROTO": "tcp",
    "HEDGEROW_PORT_80_TCP_PORT": "80",
    "HEDGEROW_PORT_80_TCP_ADDR": "10.0.0.1",
    "HEDGEROW_ADMIN_PORT": "tcp://[fd00::1]:8081",
    "HEDGEROW_ADMIN_SERVICE_HOST": "fd00::1",
    "HEDGEROW_SIMULATE_PORT": "tcp://10.0.0.2:8090",
    "HEDGEROW_SIMULATE_PORT_8090_TCP": "tcp://10.0.0.2:8090",
}
"""What Kubernetes sets in the pods of a namespace with Services `hedgerow`, `hedgerow-admin`, `hedgerow-simulate`."""


def test_what_kubernetes_sets_for_a_service_is_ignored_and_shown() -> None:
    found = effective({}, {**SERVICE, "HEDGEROW_HEDGES": "1"})
    assert found.settings == Settings(workers=7, hedges=1)
    assert found.ignored == sorted(SERVICE)
    assert "HEDGEROW_SERVICE_HOST" in found.describe()
    assert admin_address({}, SERVICE, config=None) == ("127.0.0.1", 8081)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEDGEROW_PORT", "8080"), ("HEDGEROW_PORT", "tcp://"), ("HEDGEROW_PORT", "tcp://a b:1"),
        ("HEDGEROW_PORT", "http://10.0.0.1:80"), ("HEDGEROW_PORT", "tcp://10.0.0.1:80/x"), ("HEDGEROW_PORT_X", "1"),
        ("HEDGEROW_UPSTREAM", "tcp://10.0.0.1:80"), ("HEDGEROW_PORT_80_HTTP", "1"), ("PORT", "tcp://10.0.0.1:80"),
        ("OTHER_SERVICE_HOST", "x"),
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_services_variable(name: str, value: str) -> None:
    assert not is_service_variable(name, value)


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (
            {"default_timeout_ms": "70000"}, {},
            "--default-timeout-ms: 70000 is not accepted; give at most 60000, by --max-timeout-ms (its default)",
        ),
        (
            {}, {"HEDGEROW_MAX_TIMEOUT_MS": "50"},
            "--default-timeout-ms (its default): 10000 is not accepted; give at most 50, by HEDGEROW_MAX_TIMEOUT_MS",
        ),
    ],
)  # fmt: skip
def test_values_that_do_not_go_together_are_rejected_by_both_names(
    flags: dict[str, str], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        effective(flags, environment)
    assert str(caught.value) == message


def test_values_at_the_bound_go_together() -> None:
    assert effective({"default_timeout_ms": "60000"}).settings.default_timeout_ms == 60_000


def test_the_admin_address_comes_from_the_same_sources_and_no_other_setting_matters(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("admin-port = 9\nadmin_host = '::1'\nport = true\nnonsense = 1\n")
    environment = {"HEDGEROW_CONFIG": str(file), "HEDGEROW_HEDGES": "x", "HEDGEROW_NONSENSE": "1"}
    assert admin_address({}, environment, config=None) == ("::1", 9)
    assert admin_address({}, {**environment, "HEDGEROW_ADMIN_PORT": "8"}, config=None) == ("::1", 8)
    assert admin_address({"admin_port": "7"}, {**environment, "HEDGEROW_ADMIN_PORT": "8"}, config=None) == (
        "::1",
        7,
    )
    assert admin_address({}, {"HEDGEROW_CONFIG": "/no/such"}, config=str(file)) == ("::1", 9)
    with pytest.raises(SettingsError, match=r"^HEDGEROW_ADMIN_PORT: 'x'"):
        admin_address({}, {"HEDGEROW_ADMIN_PORT": "x"}, config=None)


def test_the_description_has_each_setting_redacted_and_its_source() -> None:
    found = effective({"upstream": "https://h/x?apikey=K"}, {"HEDGEROW_HEDGES": "1"})
    lines = found.describe().splitlines()
    assert [line.partition(" = ")[0] for line in lines] == [
        setting.key for setting in all_settings().values()
    ]
    words = {line.split()[0]: line.split()[2:] for line in lines}
    assert words["upstream"] == ["'https://h/x?apikey=***'", "#", "--upstream"]
    assert words["hedges"] == ["1", "#", "HEDGEROW_HEDGES"]
    assert words["losers"] == ["'drain'", "#", "default"]
    assert words["workers"] == ["7", "#", "default:", "auto"]
    assert words["max-in-flight"] == ["'auto'", "#", "default"]


def test_what_is_described_is_a_file_that_gives_the_same_settings(tmp_path: Path) -> None:
    found = effective({"upstream": "https://h/x", "losers": "cancel", "trace_sample": "0.25", "workers": "2"})
    file = tmp_path / "h.toml"
    file.write_text(found.describe())
    assert effective(config=str(file)).settings == found.settings


ROUTES = """\
[upstreams.u]
endpoints = ['http://h/?key=s3cr3t']
[[routes]]
path = '/a'
upstream = 'u'
contract = 'smart'
"""


@pytest.mark.parametrize("name", DEFAULT_ROUTE_SETTINGS)
def test_a_setting_of_the_default_route_is_rejected_where_there_are_routes(tmp_path: Path, name: str) -> None:
    setting, file = all_settings()[name], tmp_path / "h.toml"
    file.write_text(ROUTES)
    place = f"there is no default route where the file has routes ('{file}', line 3)"
    rejected = f" is not accepted; give {DEFAULT_ROUTE_SETTINGS[name]}: {place}"
    ways = ({"flags": {name: setting.default}}, {"environment": {setting.variable: setting.default}})
    for way in ways:
        with pytest.raises(SettingsError) as caught:
            effective(**way, config=str(file))
        assert str(caught.value).endswith(rejected)
        assert str(caught.value).startswith((setting.flag, setting.variable))
    file.write_text(f"{setting.key} = '{setting.default}'\n{ROUTES}")
    with pytest.raises(SettingsError, match=f"line 1: {setting.key}: .* \\('{file}', line 4\\)$"):
        effective(config=str(file))


class Reads:
    """Settings that record which of them are read."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self.settings, name)


def test_no_setting_of_the_default_route_is_ignored_where_there_are_routes() -> None:
    reads: Any = Reads(Settings(hedge_mode="observe"))
    effective_routing(reads, EMBEDDED_TARGET)
    assert reads.names & set(NAMES) == set(DEFAULT_ROUTE_SETTINGS) - {"upstream"}


def test_all_other_settings_go_with_routes(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    others = [setting for name, setting in all_settings().items() if name not in DEFAULT_ROUTE_SETTINGS]
    file.write_text("".join(f"{setting.key} = '{setting.default}'\n" for setting in others) + ROUTES)
    assert effective(config=str(file)).settings.routes


def test_what_is_in_effect_is_described_with_routes_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text(ROUTES)
    described = effective(config=str(file)).describe()
    assert described.endswith(
        "# routes, in the order in which they match:\n"
        "#   /a  GET,HEAD  -> u  1 hedge after 300ms\n"
        "# upstreams:\n"
        "#   u = http://h/?key=*** (least_request)"
    )
    assert "hedge-after-ms" not in described
    assert "s3cr3t" not in described
    assert "routes" not in effective().describe()


def test_the_admin_port_is_read_from_a_file_whose_routes_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("admin-port = 9\n[[routes]]\nx = 1\n")
    assert admin_address({}, {}, config=str(file)) == ("127.0.0.1", 9)
    with pytest.raises(SettingsError, match="line 3: routes"):
        effective(config=str(file))


def test_a_table_that_is_written_wrong_is_rejected_with_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text("[[route]]\npath = '/'\n")
    with pytest.raises(SettingsError, match=r"line 1: 'route' is no setting; did you mean routes\?"):
        effective(config=str(file))
