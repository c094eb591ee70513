"""A gateway with one route before services, and what clients get of it or of a service directly."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.process_fixtures import Serve
from support.processes import READ_TIMEOUT_S, GatewayProcess

Before = Callable[..., GatewayProcess]

WRITTEN_BY_US = frozenset(("date", "server-timing", "x-request-id"))
"""Headers of answers that the gateway makes, and `Date`, which differs from one second to the next."""
OF_ONE_CONNECTION = frozenset(("connection", "keep-alive", "transfer-encoding"))


@pytest.fixture
def before(serve: Serve, tmp_path: Path) -> Before:
    """Start a gateway with one route, `/`, before some endpoints."""

    def start(*endpoints: str, upstream: str = "", route: str = "") -> GatewayProcess:
        return serve("--config", str(one_route(tmp_path, *endpoints, upstream=upstream, route=route)))

    return start


def one_route(folder: Path, *endpoints: str, upstream: str = "", route: str = "") -> Path:
    """Write a file with one route, `/`, before some endpoints."""
    file = folder / "hedgerow.toml"
    file.write_text(
        f"[upstreams.u]\nendpoints = {json.dumps(endpoints)}\n{upstream}\n"
        f"[[routes]]\npath_prefix = '/'\nupstream = 'u'\n{route}\n"
    )
    return file


@dataclass(frozen=True)
class Answer:
    """An answer without what differs from one to the next."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """End-to-end headers by name, those of one name in their order, without those that the gateway makes. A length only
    where there is no body."""
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return dict(reversed(self.headers)).get(name)


class Client:
    """One keep-alive connection to a server."""

    def __init__(self, authority: str) -> None:
        self._connection = http.client.HTTPConnection(authority, timeout=READ_TIMEOUT_S)

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request, and return its answer."""
        self._connection.request(method, target, body, headers)
        answer = self._connection.getresponse()
        left_out = WRITTEN_BY_US | OF_ONE_CONNECTION
        if method != "HEAD":
            left_out |= {"content-length"}  # an answer in chunks is passed on with it
        kept = [(name.lower(), value) for name, value in answer.getheaders()]
        return Answer(
            answer.status,
            tuple(sorted((each for each in kept if each[0] not in left_out), key=itemgetter(0))),
            answer.read(),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def answer_of(authority: str, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
    """Send a request on a connection of its own, to an authority or the one of a URL."""
    client = Client(urlsplit(authority).netloc or authority)
    try:
        return client.ask(method, target, body, **headers)
    finally:
        client.close()


def ask(
    gateway: GatewayProcess, method: str, target: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Send a request to a gateway, and return status and body of the answer."""
    answer = answer_of(gateway.authority, method, target, body, **headers)
    return answer.status, answer.body
