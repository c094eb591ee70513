"""OpenTelemetry's environment variables, read and checked."""

import pytest

from hedgerow.settings import InvalidSetting
from hedgerow.tracing.exporter_settings import BatchLimits, disabled

QUEUE, BATCH, DELAY = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY"


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (QUEUE, BATCH, DELAY, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(variable, raising=False)


def test_the_defaults_are_opentelemetrys() -> None:
    limits = BatchLimits()
    assert (limits.queue, limits.batch, limits.delay_ms) == (2048, 512, 5_000)


def test_a_batch_is_never_larger_than_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QUEUE, "100")
    assert BatchLimits().batch == 100
    monkeypatch.setenv(BATCH, "101")
    with pytest.raises(InvalidSetting, match=BATCH):
        BatchLimits()


@pytest.mark.parametrize("given", ["0", "-1", " 5", "1_000", "٣", "10000001", "99999999999", "x"])
def test_what_is_no_number_in_range_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(DELAY, given)
    with pytest.raises(InvalidSetting, match=DELAY):
        BatchLimits()


@pytest.mark.parametrize(
    ("given", "is_disabled"), [("true", True), (" TRUE ", True), ("1", False), ("", False)]
)
def test_the_sdk_can_be_disabled(monkeypatch: pytest.MonkeyPatch, given: str, is_disabled: bool) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", given)
    assert disabled() is is_disabled
