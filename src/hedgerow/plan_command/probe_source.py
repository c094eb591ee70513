"""An upstream that is asked itself, politely: at a fixed rate, by few connections, and not on if it says no."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from threading import local
from typing import Final, NamedTuple

from hedgerow import __version__
from hedgerow.plan_command.source import Source, SourceError
from hedgerow.planning.advice import Symptoms
from hedgerow.planning.latency_sketch import CUT, FAILURE, SUCCESS
from hedgerow.planning.observations import Observations
from hedgerow.settings import InvalidSetting, parse_target

TIMEOUT_S: Final = 10.0
"""A request that takes longer is cut."""
MAX_REQUESTS: Final = 100_000
MAX_RATE: Final = 1_000.0
MAX_CONNECTIONS: Final = 32
"""At once. Where they do not do, the rate falls behind and the result says so."""
TRIAL: Final = 10
"""First requests, after which an upstream that rejects them all is asked no more."""
MAX_REJECTED: Final = 0.1
"""Share of 429 and 503 from which it is asked no more: it is short of capacity."""
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_TOO_MANY: Final = (429, 503)


class Answer(NamedTuple):
    """What one request came to: a status, or a reason in words, after `took_s`."""

    status: int | None
    reason: str
    took_s: float


Ask = Callable[[], Answer]


def probe(
    url: str,
    requests: int,
    rate: float,
    ask: Ask,
    *,
    on_answer: Callable[[], None] = lambda: None,
    sleep_until: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Source:
    """Send GET requests at `rate` a second and observe them; raises SourceError.

    A success is a 2xx whose whole body came; redirects are not followed. `ask` sends one request.
    """
    tally, began_at = _Tally(url, on_answer), clock()
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        running: list[Future[Answer]] = []
        try:
            for number in range(requests):
                (sleep_until or _sleep_until)(began_at + number / rate)
                running.append(pool.submit(ask))
                waiting = []
                for one in running:
                    if one.done():
                        tally.add(one.result())
                    else:
                        waiting.append(one)
                running = waiting
            for one in running:
                tally.add(one.result())
        finally:
            pool.shutdown(cancel_futures=True)
    return tally.source(clock() - began_at)


class _Tally:
    """What came of the requests that were sent."""

    def __init__(self, url: str, on_answer: Callable[[], None]) -> None:
        self._url = url
        self._on_answer = on_answer
        self._observations = Observations()
        self._statuses = Counter[int | str]()

    def add(self, answer: Answer) -> None:
        """Count an answer; raises SourceError if the upstream must not be asked further."""
        self._statuses[answer.status if answer.status is not None else answer.reason] += 1
        outcome = CUT if answer.reason == "timeout" else FAILURE
        if answer.status is not None and 200 <= answer.status < 300:
            outcome = SUCCESS
        self._observations.observe(answer.took_s, outcome)
        self._on_answer()
        self._stop_if_rejected()

    def source(self, span_s: float) -> Source:
        """Return what was observed, in `span_s`."""
        asked = self._statuses.total()
        self._observations.span_s = span_s
        most = self._statuses.most_common(6)
        others = "".join(f", {times} times {what}" for what, times in most if what != 200)
        said = f"{self._url}: {asked} requests in {span_s:.0f} s{others}"
        return Source(self._observations, Symptoms(self._too_many() / asked), said)

    def _too_many(self) -> int:
        return sum(self._statuses[status] for status in _TOO_MANY)

    def _stop_if_rejected(self) -> None:
        asked = self._statuses.total()
        most, times = self._statuses.most_common(1)[0]
        if (
            asked == TRIAL
            and times == TRIAL
            and not (isinstance(most, int) and (200 <= most < 300 or most >= 500))
        ):
            what = f"answers {most} to" if isinstance(most, int) else f"fails ({most}) for"
            raise SourceError(f"{self._url} {what} each of {TRIAL} requests; it was not asked further")
        if asked >= 2 * TRIAL and self._too_many() > MAX_REJECTED * asked:
            raise SourceError(
                f"{self._url} rejects {self._too_many()} of {asked} requests as too many (429 or 503); it was not "
                "asked further. It is short of capacity, and hedging would add to that; or pass a lower --rate"
            )


def _sleep_until(at: float) -> None:
    time.sleep(max(at - time.monotonic(), 0.0))


class Client:
    """Sends requests to an upstream, by a connection for each thread."""

    def __init__(self, url: str) -> None:
        """Raise SourceError for what is no URL of an upstream."""
        try:
            target = parse_target(url)
        except InvalidSetting:
            raise SourceError(
                f"--probe {url!r} is not accepted; a URL of http or https, without a user, percent-encoded"
            ) from None
        self._connect = HTTPSConnection if target.tls else HTTPConnection
        self._host, self._port, self._path = target.host, target.port, target.path
        self._threads = local()
        self._connections: list[HTTPConnection] = []

    def close(self) -> None:
        """Close the connections; nothing may be asked any more."""
        for connection in self._connections:
            connection.close()

    def ask(self) -> Answer:
        """Send one GET and read its answer to the end."""
        began_at = time.monotonic()
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._connect(self._host, self._port, timeout=TIMEOUT_S)
            self._connections.append(connection)
        try:
            answer = self._send(connection)
            _read_whole(answer)
            return Answer(answer.status, "", time.monotonic() - began_at)
        except TimeoutError:
            connection.close()
            return Answer(None, "timeout", time.monotonic() - began_at)
        except (OSError, HTTPException) as error:
            connection.close()
            return Answer(None, _reason(error), time.monotonic() - began_at)

    def _send(self, connection: HTTPConnection) -> HTTPResponse:
        """Send a GET and read the head of its answer; once more if a connection was closed while it was idle."""
        is_reused = connection.sock is not None
        try:
            connection.request("GET", self._path, headers={"User-Agent": f"hedgerow-plan/{__version__}"})
            return connection.getresponse()
        except ConnectionError:
            connection.close()
            if not is_reused:
                raise
            return self._send(connection)


def _read_whole(answer: HTTPResponse) -> None:
    """Read a body to its end; raises IncompleteRead where it is cut, which `read` with a size does not."""
    left = MAX_BODY_BYTES
    while left and (piece := answer.read(left)):
        left -= len(piece)
    if answer.length or not left:
        raise IncompleteRead(b"", answer.length)


def _reason(error: OSError | HTTPException) -> str:
    if isinstance(error, IncompleteRead):
        return f"response cut, or longer than {MAX_BODY_BYTES} bytes"
    if isinstance(error, ConnectionError) and not error.strerror:  # RemoteDisconnected
        return "connection closed before a response"
    if isinstance(error, HTTPException):
        return "response that is not HTTP"
    return (error.strerror or type(error).__name__).lower()
