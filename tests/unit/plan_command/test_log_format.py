"""The format of a log is found out from its first lines."""

from io import BytesIO

import pytest

from hedgerow.plan_command.log_format import recognise
from hedgerow.plan_command.source import SourceError
from unit.plan_command.test_log_lines import ENVOY, HAPROXY, NGINX


@pytest.mark.parametrize(
    ("text", "name", "unit_s"),
    [
        ('{"latency_ms": 1}\n', "JSON", 1e-3),
        ('# a comment\n{"duration_us": 1}\n', "JSON", 1e-6),
        ("latency_s,status\n1,200\n", "CSV", 1.0),
        (f"{NGINX} 0.25\n", "nginx's format", 1.0),
        (ENVOY.format(status=200, flags="-", more=""), "envoy's format", 1e-3),
        (HAPROXY.format(ms=1, status=200, state="----"), "haproxy's format", 1e-3),
    ],
)
def test_formats_are_recognised(text: str, name: str, unit_s: float) -> None:
    found = recognise("a", BytesIO(text.encode()), name=None, unit=None, field=None)
    assert (found.name, found.unit_s) == (name, unit_s)


def test_a_header_is_read_and_lines_are_left() -> None:
    file = BytesIO(b"latency_ms,status\n1,200\n")
    recognise("a", file, name=None, unit=None, field=None)
    assert file.read() == b"1,200\n"
    file = BytesIO(b"1,200\n")
    recognise("a", file, name="csv", unit="ms", field=None)
    assert file.read() == b"1,200\n"


@pytest.mark.parametrize(
    ("field", "unit", "unit_s"), [("spent_us", None, 1e-6), ("spent", "s", 1.0), ("spent_us", "ms", 1e-3)]
)
def test_a_field_may_be_named(field: str, unit: str | None, unit_s: float) -> None:
    found = recognise("a", BytesIO(f'{{"{field}": 1}}\n'.encode()), name="json", unit=unit, field=field)
    assert found.unit_s == unit_s


def test_a_unit_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(SourceError, match="unit of 'spent' is not known"):
        recognise("a", BytesIO(b'{"spent": 1}\n'), name=None, unit=None, field="spent")
