import pytest

from hedgerow.settings import InvalidSetting, Settings
from hedgerow.settings.setting import AUTO, all_settings, convert


def test_every_field_but_the_limits_can_be_set() -> None:
    assert set(Settings.__struct_fields__) - set(all_settings()) == {
        "routes",
        "upstreams",
        "client_limits",
        "upstream_limits",
    }


def test_every_default_is_accepted_and_is_itself() -> None:
    for name, setting in all_settings().items():
        value = convert(setting, setting.default, setting.flag)
        assert value == (AUTO if setting.takes_auto else getattr(Settings(), name))


def test_names_follow_from_the_field() -> None:
    setting = all_settings()["hedge_after_ms"]
    assert (setting.key, setting.flag, setting.variable) == (
        "hedge-after-ms", "--hedge-after-ms", "HEDGEROW_HEDGE_AFTER_MS",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("port", "0", 0), ("port", 65_535, 65_535), ("hedges", "-0", 0), ("workers", "256", 256), ("workers", 1, 1),
        ("max_in_flight", "auto", AUTO), ("workers", "auto", AUTO), ("trace_sample", "0.5", 0.5),
        ("trace_sample", "1e-05", 1e-05), ("trace_sample", 1, 1.0), ("trace_sample", "1", 1.0),
        ("admin_host", "::", "::"), ("shedding", "off", "off"),
    ],
)  # fmt: skip
def test_values_that_are_accepted(name: str, given: object, value: object) -> None:
    converted = convert(all_settings()[name], given, "")
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("hedge_after_ms", 0.3, "0.3"), ("hedge_after_ms", "0.3", "'0.3'"), ("hedge_after_ms", 300.0, "300.0"),
        ("hedge_after_ms", "300.0", "'300.0'"), ("hedge_after_ms", "3e2", "'3e2'"), ("hedge_after_ms", "", "''"),
        ("default_timeout_ms", 1.9, "1.9"), ("default_timeout_ms", 0, "0"), ("hedges", True, "true"),
        ("max_timeout_ms", float("inf"), "inf"), ("max_timeout_ms", float("nan"), "nan"), ("port", True, "true"),
        ("port", "true", "'true'"), ("port", "65536", "'65536'"), ("port", -1, "-1"), ("port", "-1", "'-1'"),
        ("port", " 1", "' 1'"), ("port", "1 ", "'1 '"), ("port", "1\n", "'1\\n'"), ("port", "+1", "'+1'"),
        ("port", "1_0", "'1_0'"), ("port", "٣", "'٣'"), ("port", "0x10", "'0x10'"), ("port", "080", "'080'"),
        ("port", "1\0", "'1\\x00'"), ("port", "\udcff", "'\\udcff'"), ("port", "9" * 5_000, "'999"),
        ("port", 10**30, "10000"), ("port", [1], "an array"), ("port", {"a": 1}, "a table"), ("port", "auto", "'auto'"),
        ("workers", 0, "0"), ("workers", 257, "257"), ("workers", "AUTO", "'AUTO'"), ("max_in_flight", 0, "0"),
        ("trace_sample", True, "true"), ("trace_sample", 1.01, "1.01"), ("trace_sample", "nan", "'nan'"),
        ("trace_sample", float("nan"), "nan"), ("trace_sample", "inf", "'inf'"), ("trace_sample", "1e999", "'1e999'"),
        ("trace_sample", 10**400, "a number of"), ("trace_sample", ".5", "'.5'"), ("trace_sample", "-0.1", "'-0.1'"),
        ("losers", "DRAIN", "'DRAIN'"), ("losers", "\udcff", "'\\udcff'"), ("losers", 1, "1"), ("losers", "", "''"),
        ("shedding", True, "true"), ("log_level", "trace", "'trace'"), ("hedge_on_failure", "never", "'never'"),
        ("host", True, "true"), ("host", 127, "127"), ("host", "", "''"), ("host", "a..b", "'a..b'"),
        ("admin_host", "[::1]", "'[::1]'"), ("upstream", 1, "1"), ("upstream", "http://a/,http://b/", "'http://a/,"),
    ],
)  # fmt: skip
def test_values_that_are_rejected_by_one_line_with_what_is_accepted(
    name: str, given: object, shown: str
) -> None:
    setting = all_settings()[name]
    with pytest.raises(InvalidSetting) as caught:
        convert(setting, given, "HERE")
    message = str(caught.value)
    assert message.startswith(f"HERE: {shown}")
    assert f"is not accepted; give {setting.accepted}" in message
    assert len(message.splitlines()) == 1
