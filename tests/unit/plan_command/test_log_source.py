"""Logs of each format are read, and what is bad in them is said in one line."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from hedgerow.plan_command.log_source import read_log
from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.latency_sketch import bucket_of


def read(
    tmp_path: Path, text: str, *, name: str | None = None, unit: str | None = None, field: str | None = None
) -> Source:
    path = tmp_path / "log"
    path.write_text(text)
    return read_log(str(path), name=name, unit=unit, field=field)


def error_of(tmp_path: Path, text: str, **given: str) -> str:
    with pytest.raises(SourceError) as raised:
        read(tmp_path, text, **given)
    message = str(raised.value)
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / "log"))


def counted(source: Source) -> tuple[int, int, int]:
    observations = source.observations
    return sum(observations.successes), sum(observations.failures), sum(observations.cuts)


def has(source: Source, latency_ms: float) -> bool:
    return source.observations.successes[bucket_of(latency_ms / 1000)] > 0


@pytest.mark.parametrize(
    "line",
    [
        '{"latency_ms": 250, "status": 200}',
        '{"status": "200", "duration_ms": 250.0, "x": {"deep": [1]}}',
        '{"request_time": "0.250", "status": 200, "time": "2026-11-29T02:00:00Z"}',
        '{"took_ms": "250ms", "code": 200, "ts": 1700000000.5}',
        '{"latency": "0.25s", "latency_ms": "0.25s"}',
    ],
)
def test_json_lines(tmp_path: Path, line: str) -> None:
    source = read(tmp_path, f"{line}\n" * 3)
    assert counted(source) == (3, 0, 0)
    assert has(source, 250)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("latency_ms,status\n250,200\n", None),
        ("time,status,duration_s\n2026-11-29T02:00:00,200,0.25\n", None),
        ('"status","latency"\n"200","250"\n', "ms"),
        ("250,200\n", "ms"),
        ("0.25\n", "s"),
        ("\ufefflatency_ms,status\r\n250,200\r\n", None),
    ],
)
def test_csv(tmp_path: Path, text: str, unit: str | None) -> None:
    source = read(tmp_path, text, unit=unit)
    assert counted(source) == (1, 0, 0)
    assert has(source, 250)


def test_statuses_become_outcomes(tmp_path: Path) -> None:
    statuses = (200, 204, 301, 500, 503, 429, 408, 499, 404, 401)
    source = read(tmp_path, "latency_ms,status\n" + "".join(f"100,{status}\n" for status in statuses))
    assert counted(source) == (3, 4, 1)
    assert "2 with a client's error (4xx)" in source.description
    assert source.symptoms.rejected == 2 / 8


def test_holes_and_absurd_values_are_left_out_and_counted(tmp_path: Path) -> None:
    values = [100, 110, 120, None, "", -5, 4e9, "soon", [1], float("nan")]
    text = "".join(json.dumps({"latency_ms": value, "status": 200}) + "\n" for value in values)
    source = read(tmp_path, text + "\n\nno line\n" + '{"status": 200}\n{"latency_ms": 130, "status": 99}\n')
    assert source.observations.count == 3
    for part in ("negative", "above 1 h", "no number", "without a latency", "without a status"):
        assert part in source.description


def test_a_log_without_statuses_is_of_successes(tmp_path: Path) -> None:
    assert counted(read(tmp_path, "latency_ms\n100\n200\n")) == (2, 0, 0)


@pytest.mark.parametrize("text", ['{"latency_ms": 5}\n{"latency_ms": 6}\n', "latency_ms\n5\n6\n"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, text: str) -> None:
    assert counted(read(tmp_path, "\ufeff" + text)) == (2, 0, 0)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda text: text + b"\0"])
def test_a_log_that_is_no_text_is_rejected_in_one_short_line(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / "log"
    file.write_bytes(pack(b'{"latency_ms": 5}\n'))
    with pytest.raises(SourceError, match=r": it is no text; unpack"):
        read_log(str(file), name=None, unit=None, field=None)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", {}, ": it is empty"),
        ("\n \n", {}, ": it is empty"),
        ('{"a": 1}\n', {}, ": no latency found"),
        ('{"latency": 100}\n', {}, ": the unit of 'latency' is not known"),
        ('{"latency_ms": -1}\n', {}, ": none of 1 lines can be used: 1 with a negative latency"),
        ("hello\n", {}, ": no latency found"),
        ("hello\n" * 3, {"name": "nginx"}, ": none of 3 lines can be used: 3 that are not nginx's format"),
        ('{"latency_ms": 5}\n' + "hello\n" * 3, {}, ": 3 of 4 lines are not JSON, the first is line 2"),
        ('{"latency_ms": 5}\n', {"field": "took"}, ": no latency found: looked for took"),
    ],
)
def test_bad_logs_have_one_clear_line(tmp_path: Path, text: str, given: dict[str, str], message: str) -> None:
    assert message in error_of(tmp_path, text, **given)


def test_mixed_units_are_noticed(tmp_path: Path) -> None:
    mixed = "latency_ms,status\n" + "".join(f"{200 + n},200\n0.{200 + n},200\n" for n in range(100))
    assert "two units are mixed" in error_of(tmp_path, mixed)
    assert counted(read(tmp_path, mixed, unit="ms")) == (200, 0, 0)
    modes = "latency_ms,status\n" + "".join(f"{5 + n / 100},200\n{200 + n},200\n" for n in range(100))
    assert counted(read(tmp_path, modes)) == (200, 0, 0)


def test_an_upstream_that_is_slower_when_it_is_busy_is_noticed(tmp_path: Path) -> None:
    def log(busy_ms: int) -> str:
        rows = []
        for second in range(60):
            busy = second % 2
            rows += [f"2026-11-29T02:00:{second:02}Z,{busy_ms if busy else 100},200\n"] * (20 if busy else 5)
        return "time,latency_ms,status\n" + "".join(rows)

    assert read(tmp_path, log(200)).symptoms.slower_under_load == pytest.approx(2.0)
    assert read(tmp_path, log(100)).symptoms.slower_under_load == pytest.approx(1.0)
    assert read(tmp_path, "latency_ms\n100\n").symptoms.slower_under_load is None


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", Path("a\0b")):
        with pytest.raises(SourceError, match=r"folder|cannot be read"):
            read_log(str(path), name=None, unit=None, field=None)


def test_standard_input_is_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"latency_ms,status\n100,200\n")))
    assert counted(read_log("-", name=None, unit=None, field=None)) == (1, 0, 0)
