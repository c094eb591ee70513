"""The exporter's settings, from OpenTelemetry's environment variables."""

import pytest

from hedgerow.settings import InvalidSetting
from hedgerow.tracing.exporter_settings import BatchLimits, disabled

QUEUE, BATCH, DELAY = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (QUEUE, BATCH, DELAY, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def limits() -> tuple[int, int, int]:
    found = BatchLimits()
    return found.queue, found.batch, found.delay_ms


def test_the_defaults_are_those_of_the_specification() -> None:
    assert limits() == (2048, 512, 5_000)


def test_a_short_queue_bounds_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUEUE, "100")
    monkeypatch.setenv(DELAY, "50")
    assert limits() == (100, 100, 50)


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", " 5", "\N{ARABIC-INDIC DIGIT THREE}", "10000001", "9" * 50]
)
@pytest.mark.parametrize("name", [QUEUE, BATCH, DELAY])
def test_a_value_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting, match=name):
        BatchLimits()


def test_a_batch_larger_than_the_queue_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUEUE, "100")
    monkeypatch.setenv(BATCH, "101")
    with pytest.raises(InvalidSetting, match=BATCH):
        BatchLimits()


@pytest.mark.parametrize(
    ("value", "is_disabled"), [("true", True), (" TRUE ", True), ("false", False), ("1", False)]
)
def test_only_true_disables(monkeypatch: pytest.MonkeyPatch, value: str, is_disabled: bool) -> None:
    assert not disabled()
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    assert disabled() is is_disabled
