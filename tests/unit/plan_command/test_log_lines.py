"""Lines of each format, as the documentation of nginx, Envoy and HAProxy shows them."""

import pytest

from hedgerow.plan_command.log_lines import (
    CUT_STATUS,
    Fields,
    csv_reader,
    json_reader,
    read_envoy,
    read_haproxy,
    read_nginx,
)

NGINX = '10.0.0.1 - - [29/Nov/2026:02:00:01 +0000] "GET /x?a=1 HTTP/1.1" 200 612 "-" "curl/8.5.0"'
ENVOY = (
    '[2026-11-29T02:00:01.310Z] "GET /api HTTP/2" {status} {flags} {more}154 0 250 100 "10.0.35.28" '
    '"nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"\n'
)
HAPROXY = (
    "Nov 29 02:00:00 lb haproxy[14389]: 10.0.1.2:33317 [29/Nov/2026:02:00:01.655] http-in static/srv1 "
    '10/0/30/69/{ms} {status} 2750 - - {state} 1/1/1/1/0 0/0 {{1wt.eu}} {{}} "GET /index.html HTTP/1.1"\n'
)


@pytest.mark.parametrize(
    "rest",
    [
        " 0.250",
        ' "-" 0.250',
        " rt=9.1 uct=0.0 urt=0.250",
        ' request_time="0.250"',
        ' urt="0.250, 0.9"',
        "0.250",
    ],
)
def test_nginx(rest: str) -> None:
    line = f"{NGINX} {rest}\n".encode()
    assert read_nginx(line) == (b"0.250", b"200", b"29/Nov/2026:02:00:01")


@pytest.mark.parametrize("more", ["", 'via_upstream - "-" '])
@pytest.mark.parametrize(
    ("status", "flags", "expected"),
    [
        (200, "-", b"200"),
        (503, "UF", b"503"),
        (504, "UT", CUT_STATUS),
        (0, "DC", CUT_STATUS),
        (503, "UF,URX", b"503"),
    ],
)
def test_envoy(more: str, status: int, flags: str, expected: bytes) -> None:
    line = ENVOY.format(status=status, flags=flags, more=more).encode()
    assert read_envoy(line) == (b"250", expected, b"2026-11-29T02:00:01")


@pytest.mark.parametrize(
    ("ms", "status", "state", "expected"),
    [
        ("250", 200, "----", (b"250", b"200")),
        ("+30", 503, "SC--", (b"30", b"503")),
        ("60000", 504, "sH--", (b"60000", CUT_STATUS)),
        ("900", -1, "CH--", (b"900", CUT_STATUS)),
    ],
)
def test_haproxy(ms: str, status: int, state: str, expected: tuple[bytes, bytes]) -> None:
    line = HAPROXY.format(ms=ms, status=status, state=state).encode()
    assert read_haproxy(line) == (*expected, b"29/Nov/2026:02:00:01")


@pytest.mark.parametrize("line", [b"", b"\n", b"hello", b"[x] 200", b"\xff" * 100, b'"' * 1_000, b"{}"])
def test_other_lines_are_none(line: bytes) -> None:
    assert (read_nginx(line), read_envoy(line), read_haproxy(line)) == (None, None, None)


def test_json_of_fields_that_are_not_there() -> None:
    read = json_reader(Fields("took", "code", None))
    assert read(b'{"took": 5, "code": 200, "time": 7, "second": 8}') == (5, 200, "")
    assert read(b'{"took": 5}') == (5, None, "")
    assert read(b"[5]") is None
    assert read(b"\xff") is None


def test_seconds_of_json() -> None:
    read = json_reader(Fields("took", None, "at"))
    assert read(b'{"took": 5, "at": "2026-11-29T02:00:01.5Z"}') == (5, None, "2026-11-29T02:00:01")
    assert read(b'{"took": 5, "at": 1700000000.9}') == (5, None, 1_700_000_000)
    assert read(b'{"took": 5, "at": {}}') == (5, None, "")


def test_csv_by_its_columns() -> None:
    read = csv_reader(["at", "status", "took"], Fields("took", "status", "at"))
    assert read(b'2026-11-29T02:00:01.5,"200", 5 \r\n') == (b"5", b"200", b"2026-11-29T02:00:01")
    assert read(b"2026-11-29T02:00:01,200\n") is None
