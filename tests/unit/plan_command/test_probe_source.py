"""Probing keeps its rate, and stops where it is not wanted."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Thread

import pytest

from hedgerow.plan_command.probe_source import TRIAL, Answer, Client, probe
from hedgerow.plan_command.source import Source, SourceError


def asking(*answers: Answer, asked: list[int] | None = None) -> Callable[[], Answer]:
    given = cycle(answers)

    def ask() -> Answer:
        if asked is not None:
            asked.append(1)
        return next(given)

    return ask


def probed(requests: int, *answers: Answer, asked: list[int] | None = None) -> tuple[Source, list[float]]:
    slept: list[float] = []
    source = probe(
        "http://a/",
        requests,
        50.0,
        asking(*answers, asked=asked),
        sleep_until=slept.append,
        clock=lambda: 7.0,
    )
    return source, slept


def test_requests_are_sent_at_the_rate() -> None:
    source, slept = probed(100, Answer(200, "", 0.1))
    assert slept == pytest.approx([7.0 + number / 50 for number in range(100)])
    assert sum(source.observations.successes) == 100


def test_outcomes_are_observed() -> None:
    answers = [Answer(200, "", 0.1)] * 17 + [
        Answer(500, "", 0.2),
        Answer(None, "timeout", 10.0),
        Answer(302, "", 0.1),
    ]
    source, _ = probed(200, *answers)
    observations = source.observations
    assert (sum(observations.successes), sum(observations.failures), sum(observations.cuts)) == (170, 20, 10)
    assert "10 times timeout" in source.description


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(302, "", 0.1), "answers 302 to each of 10 requests"),
        (Answer(403, "", 0.1), "answers 403 to each of 10 requests"),
        (Answer(None, "connection refused", 0.0), "fails (connection refused) for each of 10 requests"),
    ],
)
def test_an_upstream_that_rejects_probes_is_asked_no_more(answer: Answer, message: str) -> None:
    asked: list[int] = []
    with pytest.raises(SourceError) as raised:
        probed(100_000, answer, asked=asked)
    assert message in str(raised.value)
    assert len(asked) < 100_000


def test_an_upstream_that_is_short_of_capacity_is_asked_no_more() -> None:
    with pytest.raises(SourceError, match=r"rejects .* as too many"):
        probed(100_000, *[Answer(200, "", 0.1)] * 7, Answer(429, "", 0.1))
    assert probed(20 * TRIAL, *[Answer(200, "", 0.1)] * 19, Answer(429, "", 0.1))[0].symptoms.rejected == 0.05


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a/",
        "http://",
        "a.example",
        "http://u:p@a/",
        "http://a:x/",
        "http://[x",
        "http://a..b/",
        "http://a/č",
    ],
)
def test_what_is_no_url_is_not_probed(url: str) -> None:
    with pytest.raises(SourceError, match="is not accepted"):
        Client(url)


@contextmanager
def serving(status: int, *, closes: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Serve; `closes`: each connection after its first answer, without saying so in it."""
    seen: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = closes

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_real_upstream_is_asked() -> None:
    with serving(200) as (url, seen), closing(Client(f"{url}/work?a=1")) as client:
        source = probe(url, 20, 1_000.0, client.ask)
    assert sum(source.observations.successes) == 20
    assert seen == ["/work?a=1"] * 20


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "response cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "response cut"),
        (b"\0\r\n\r\n", "response that is not HTTP"),
        (b"", "connection closed before a response"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", ""),
    ],
)
def test_only_a_whole_response_is_a_success(response: bytes, reason: str) -> None:
    def answer(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(response)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=answer, args=(listener,))
        thread.start()
        with closing(Client(f"http://127.0.0.1:{listener.getsockname()[1]}/")) as client:
            answers = [client.ask() for _ in range(2)]
        thread.join()
    assert [(one.status, one.reason[: len(reason)]) for one in answers] == [
        (None if reason else 200, reason)
    ] * 2


def test_a_connection_that_was_closed_while_it_was_idle_is_no_failure_of_the_upstream() -> None:
    with serving(200, closes=True) as (url, seen), closing(Client(f"{url}/")) as client:
        assert [client.ask().status for _ in range(3)] == [200] * 3
    assert len(seen) == 3


def test_a_real_upstream_that_does_not_answer_is_said() -> None:
    with pytest.raises(SourceError, match="refused"):
        probe("a", 20, 1_000.0, Client("http://127.0.0.1:1/").ask)
