"""The log of real processes: its lines, and that nothing about it can hold the gateway up."""

import fcntl
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from hedgerow.settings import LogFormat
from hedgerow.telemetry.line_writer import MAX_LINE_CHARACTERS, MAX_WAITING_LINES
from hedgerow.telemetry.logs import ALIKE_PER_S, Logs, unlimited
from support.process_fixtures import Serve, Simulate
from support.processes import FAULTLESS, READ_TIMEOUT_S, GatewayProcess

NO_UPSTREAM = ("--upstream", "http://127.0.0.1:1/", "--hedges=0")
DROPPED = "hedgerow_log_lines_dropped_total"


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def ask_often(served: GatewayProcess, times: int) -> None:
    """Ask for what is not there, on one connection; with `--access-log all` each of them is a line."""
    connection = HTTPConnection(urlsplit(served.url).netloc, timeout=READ_TIMEOUT_S)
    for _ in range(times):
        connection.request("GET", "/nowhere")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404
    connection.close()


# -- its lines


def test_a_request_that_failed_is_a_line_with_all_that_explains_it(serve: Serve) -> None:
    served = serve(*NO_UPSTREAM)
    before = datetime.now(UTC)
    assert served.status_of(request_id="mine") == 502
    (line,) = [line for line in lines_of(served.stop_and_read()) if line["event"] == "request"]
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) <= at <= datetime.now(UTC)
    assert line.pop("took_ms") >= 0
    assert line == {
        "event": "request",
        "level": "warning",
        "request_id": "mine",
        "route": "/api/smart",
        "code": "all_failed",
        "attempts": ["connect"],
    }


def test_on_a_terminal_a_line_is_for_people(serve: Serve) -> None:
    served = serve(*NO_UPSTREAM, "--log-format=console")
    assert served.status_of(request_id="mine") == 502
    (line,) = [line for line in served.stop_and_read().splitlines() if "mine" in line]
    assert not line.startswith("{")
    assert "Z" in line.split()[0]
    assert "code=all_failed" in line
    assert "attempts=['connect']" in line


def test_by_default_a_success_is_no_line(serve: Serve, simulate: Simulate) -> None:
    served = serve("--upstream", simulate("--latency-ms=1-2", *FAULTLESS).url)
    assert [served.status_of() for _ in range(5)] == [200] * 5
    assert served.stop_and_read() == ""


class Moody(BaseHTTPRequestHandler):
    """An upstream that fails until it is well."""

    well = False

    def do_GET(self) -> None:
        self.send_response(200 if type(self).well else 500)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b'{"time":1}')

    def log_message(self, *_: object) -> None:
        pass


def test_the_upstream_turning_bad_and_well_again_is_a_line_each(serve: Serve) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        served = serve("--upstream", f"http://127.0.0.1:{server.server_port}/", "--hedges=0")
        assert [served.status_of() for _ in range(10)] == [502] * 10
        served.status_when(lambda status: 0.0 in status["series"]["attempt_success_rate"])
        Moody.well = True
        assert [served.status_of() for _ in range(60)] == [200] * 60
        served.status_when(lambda status: 1.0 in status["series"]["attempt_success_rate"])
        server.shutdown()
    bad, well = [line for line in lines_of(served.stop_and_read()) if line["event"].startswith("upstream")]
    assert (bad["event"], bad["level"]) == ("upstream unhealthy", "warning")
    assert re.fullmatch(
        r"100 % of \d+ attempts failed in the last \d+ s, most by status_5xx\.", bad["reason"]
    )
    assert (well["event"], well["level"]) == ("upstream recovered", "warning")
    assert re.match(
        r"[\d.]+ % of \d+ attempts and [\d.]+ % of \d+ requests succeeded in the last", well["reason"]
    )
    assert well["unhealthy_for_s"] >= 0


def test_a_flood_of_the_same_line_is_logged_as_a_few_and_a_number(serve: Serve) -> None:
    served = serve(*NO_UPSTREAM, "--log-level=warning")
    assert [served.status_of() for _ in range(200)] == [502] * 200
    lines = [line for line in lines_of(served.stop_and_read()) if line["event"] == "request"]
    summaries = [line for line in lines if "suppressed" in line]
    assert summaries
    assert {line["code"] for line in summaries} == {"all_failed"}
    logged = len(lines) - len(summaries)
    assert logged + sum(line["suppressed"] for line in summaries) == 200
    assert logged <= ALIKE_PER_S * (len(summaries) + 1)


def test_who_asks_for_each_request_gets_each(serve: Serve, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        served = serve(*NO_UPSTREAM, "--access-log=all", stderr=log)
        ask_often(served, 300)
        served.stop_and_read()
    lines = lines_of((tmp_path / "log").read_text())
    assert sum(line["event"] == "request rejected" for line in lines) == 300


# -- what can be wrong with it

MORE_THAN_FITS = MAX_WAITING_LINES + 2_000


def test_a_log_without_a_reader_does_not_hold_up_the_gateway(serve: Serve) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"):
        served = serve(*NO_UPSTREAM, "--access-log=all", stderr=writer)
        os.close(writer)
        ask_often(served, MORE_THAN_FITS)
        assert served.status_of() == 502
        assert served.metrics()[DROPPED] > 0
        assert served.status()["workers"]["unresponsive"] == 0
        served.stop_and_read()


def test_a_log_that_is_read_again_says_what_was_lost(serve: Serve) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as log:
        served = serve(*NO_UPSTREAM, "--access-log=all", stderr=writer)
        os.close(writer)
        ask_often(served, MORE_THAN_FITS)
        dropped = int(served.metrics()[DROPPED])
        lines = lines_of("".join(log.readline().decode() for _ in range(MORE_THAN_FITS - dropped)))
        assert {line["event"] for line in lines} == {"request rejected"}
        logged = json.loads(log.readline())
        assert (logged["event"], logged["lines"]) == ("log lines dropped", dropped)
        assert served.metrics()[DROPPED] == dropped


def test_a_full_disk_does_not_kill_the_gateway(serve: Serve) -> None:
    with Path("/dev/full").open("wb") as full:
        served = serve(*NO_UPSTREAM, "--access-log=all", stderr=full)
        ask_often(served, 50)
        assert served.status_of() == 502
        while served.metrics()[DROPPED] < 51:
            pass
        served.stop_and_read()


def test_a_reader_that_has_gone_does_not_kill_the_gateway(serve: Serve) -> None:
    reader, writer = os.pipe()
    served = serve(*NO_UPSTREAM, "--access-log=all", stderr=writer)
    os.close(writer)
    os.close(reader)
    ask_often(served, 50)
    while served.metrics()[DROPPED] < 50:
        pass
    served.stop_and_read()


def test_a_terminal_that_was_closed_does_not_kill_the_gateway(serve: Serve) -> None:
    terminal, ours = os.openpty()
    served = serve(*NO_UPSTREAM, "--access-log=all", stderr=ours)
    os.close(ours)
    os.close(terminal)
    ask_often(served, 50)
    assert served.status_of() == 502
    while served.metrics()[DROPPED] < 51:
        pass
    served.stop_and_read()


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_a_stderr_that_is_closed_is_no_clients_connection(closed: str) -> None:
    """The next descriptor had its number: lines of the log went to a socket."""
    command = f"exec {sys.executable} -m hedgerow serve --port=0 --admin-port=0 --workers=1 --access-log=all"
    served = GatewayProcess(["sh", "-c", f"{command} {' '.join(NO_UPSTREAM)} {closed}"], stderr=None)
    try:
        ask_often(served, 50)
        assert served.status_of() == 502
        worker = served.workers[0]
        for descriptor in (f"{served.process.pid}/fd/2", f"{worker.pid}/fd/{worker.cmdline()[-1]}"):
            assert Path(f"/proc/{descriptor}").readlink() == Path(os.devnull)
        served.stop_and_read()
    finally:
        served.kill()


def test_a_stderr_made_non_blocking_loses_no_line(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    logs = Logs(LogFormat.JSON, "info", writer)
    with (
        (tmp_path / "log").open("wb") as copy,
        os.fdopen(reader, "rb") as log,
        subprocess.Popen(["cat"], stdin=log, stdout=copy) as cat,
    ):
        for number in range(500):
            unlimited(logs.log).info("line", number=number, long="x" * 200)
        logs.flush(READ_TIMEOUT_S)
        os.close(writer)
        cat.wait(READ_TIMEOUT_S)
    assert [line["number"] for line in lines_of((tmp_path / "log").read_text())] == list(range(500))
    assert logs.dropped == 0


def test_a_line_is_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs(LogFormat.CONSOLE, "info")
    logs.log.info("x" * 1_000_000)
    logs.flush(READ_TIMEOUT_S)
    assert len(capfd.readouterr().err) == MAX_LINE_CHARACTERS + 1


def test_what_libraries_log_is_a_line_like_any_other() -> None:
    program = (
        "import logging\n"
        "from hedgerow.settings import LogFormat\n"
        "from hedgerow.telemetry.logs import Logs\n"
        "logs = Logs(LogFormat.JSON, 'info')\n"
        "logs.catch_all()\n"
        "logging.getLogger('asyncio').error('a task %s', 'broke')\n"
        "raise ZeroDivisionError\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=READ_TIMEOUT_S
    )  # fmt: skip
    broke, ended = lines_of(run.stderr)
    assert (broke["event"], broke["logger"], broke["level"]) == ("a task broke", "asyncio", "error")
    assert (ended["event"], ended["level"]) == ("unhandled exception ends the process", "critical")
    assert "ZeroDivisionError" in ended["exception"]
    assert run.returncode == 1
