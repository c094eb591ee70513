import logging

from hedgerow.tracing.exporter import _LastLogMessage


def test_why_spans_cannot_be_exported_does_not_quote_secrets_of_the_receivers_url() -> None:
    words = _LastLogMessage()
    words.emit(
        logging.LogRecord(
            "opentelemetry", logging.ERROR, "", 1, "Failed: %s with url: /v1/traces?k=s3cr3t",
            ("http://u:s3cr3t@h/",), None,
        )
    )  # fmt: skip
    assert words.last == "Failed: http://***@h/ with url: /v1/traces?k=***"
