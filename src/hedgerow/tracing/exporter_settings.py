"""The settings of the span exporter, from OpenTelemetry's environment variables."""

import os

from hedgerow.settings import InvalidSetting


def _int_variable(variable: str, default: int) -> int:
    given = os.environ.get(variable, "")
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= 10_000_000):
        raise InvalidSetting(variable, given, "a whole number from 1 to 10000000")
    return int(given)


class BatchLimits:
    """The limits of the batch exporter, with the defaults of OpenTelemetry.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
    """

    def __init__(self) -> None:
        """Read the environment; raises InvalidSetting."""
        self.queue = _int_variable("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        """Spans that wait or are being exported; more are dropped. A span takes about 3 KB."""
        self.batch = _int_variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", min(512, self.queue))
        self.delay_ms = _int_variable("OTEL_BSP_SCHEDULE_DELAY", 5_000)
        if self.batch > self.queue:
            accepted = f"at most OTEL_BSP_MAX_QUEUE_SIZE ({self.queue})"
            raise InvalidSetting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", self.batch, accepted)


def disabled() -> bool:
    """Return whether `OTEL_SDK_DISABLED` turns tracing off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
